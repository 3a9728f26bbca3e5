package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// dropCases are odd answers to STAT. They are only a hint (C0017).
func dropCases() []*hostileCase {
	const stat = "RFC 1939 section 5"
	cases := []*hostileCase{
		hostile("C0017/most messages of 32 bits", stat, `STAT: +OK 2147483647 2147483647`, "0 all"),
		hostile("C0017/20 digits", "old servers that overflow", `STAT: +OK 99999999999999999999 99999999999999999999`, "0 all"),
		hostile("C0017/negative", "old servers that overflow", `STAT: +OK -3 -180`, "0 all"),
		hostile("C0017/nothing", stat, `STAT: +OK`, "0 all"),
		hostile("C0017/no octets", stat, `STAT: +OK 3`, "0 all"),
		hostile("C0017/words", stat, `STAT: +OK three messages`, "0 all"),
		hostile("C0017/zero", stat, `STAT: +OK 0 0`, "0 all"),
		hostile("C0017/tabs, zeros and text", stat, "STAT: +OK \t 003\t0180 and \\x1b[2J", "0 all"),
		hostile("C0031/STAT is refused", "behaviour.md A", `STAT: -ERR`, "0 all"),
		hostile("C0014/STAT gets no reply", "curl#14677", `STAT (stall 0)`, "75"),
		hostile("V0001/garbage for STAT", stat, `STAT: 3 180`, "76"),
		hostile("C0019/STAT in several lines", "curl#14677", `STAT: +OK 3 180|3 messages|.`, "76"),
		hostile("behaviour 24/STAT without end", "behaviour.md F", `STAT (endless 9)- +OK 3 `, "76"),
	}
	return cases
}

// listCases are odd answers to LIST and UIDL.
func listCases() []*hostileCase {
	const list, uidl, dup = "RFC 1939 section 5", "RFC 1939 section 7", "conformance.md C0011"
	return []*hostileCase{
		hostile("C0020/empty maildrop", list, ``, "0 all", withIDs()),
		hostile("C0020/empty lists of a maildrop that is not", "Gmail, Mailpit", `LIST: +OK|.
			UIDL: +OK|.`, "0"),
		hostile("C0021/sizes are ten times too small", "conformance.md C0021", `LIST: +OK|1 6|2 6|3 6|.`, "0 all"),
		hostile("C0021/sizes are off by the lines", "Mailutils", `LIST: +OK|1 56|2 56|3 56|.`, "0 all"),
		hostile("C0021/sizes are off by 2", "Mailutils", `LIST: +OK|1 62|2 58|3 62|.`, "0 all"),
		hostile("C0021/sizes are zero", "behaviour.md B", `LIST: +OK|1 0|2 0|3 0|.`, "0 all"),
		hostile("C0021/sizes are negative", "behaviour.md B", `LIST: +OK|1 -60|2 -1|3 -9223372036854775808|.`, "0 all"),
		hostile("C0021/sizes are words", "behaviour.md B", `LIST: +OK|1 small|2 \x1b[2J|3 1e9|.`, "0 all"),
		hostile("C0021/sizes are missing", "behaviour.md B", `LIST: +OK|1|2 |3|.`, "0 all"),
		hostile("C0021/sizes are beyond 64 bits", "behaviour.md B", `LIST: +OK|1 99999999999999999999|2 18446744073709551616|3 9223372036854775808|.`, "0 all"),
		hostile("C0021/blanks, zeros and text", list, "LIST: +OK|  1\t \t060 x|0002 60\t|3 60 octets|.", "0 all"),
		hostile("C0031/LIST is refused", "behaviour.md A", `LIST: -ERR`, "0 all", saying("sizes")),
		hostile("C0014/LIST gets no reply", "behaviour.md C", `LIST (stall 0)`, "75"),
		hostile("C0005/LIST is not ended", "[MS-STANOPOP3] C0005", `LIST (stall): +OK|1 60|2 60|3 60`, "75"),
		hostile("C0019/LIST has one line", list, `LIST: +OK 3 messages`, "75", limited(silence), oneAtATime),
		hostile("C0011/gap", dup, `LIST: +OK|1 60|3 60|.
			UIDL: +OK|1 a|3 c|.`, "0 1 3"),
		hostile("C0011/backwards", dup, `LIST: +OK|3 60|2 60|1 60|.
			UIDL: +OK|2 b|3 c|1 a|.`, "0 all"),
		hostile("C0011/number 0", dup, `UIDL: +OK|0 z|1 a|2 b|3 c|.`, "76 all"),
		hostile("C0011/negative number", dup, `UIDL: +OK|-1 z|1 a|2 b|3 c|.`, "76 all"),
		hostile("C0011/signed number", dup, `UIDL: +OK|+1 a|2 b|3 c|.`, "76 2 3"),
		hostile("C0011/hexadecimal number", dup, `UIDL: +OK|1 a|2 b|0x3 c|.`, "76 1 2"),
		hostile("C0011/number of 32 bits", dup, `UIDL: +OK|1 a|2 b|3 c|4294967297 a|.`, "76 all"),
		hostile("C0011/number of 64 bits", dup, `UIDL: +OK|1 a|2 b|3 c|18446744073709551617 a|.`, "76 all"),
		hostile("C0011/number of 8000 digits", dup, "UIDL: +OK|1 a|2 b|3 c|"+strings.Repeat("9", 8000)+" a|.", "76 all"),
		hostile("C0011/no number", dup, `UIDL: +OK|one a|2 b|3 c|.`, "76 2 3"),
		hostile("C0011/number twice in UIDL", dup, `UIDL: +OK|1 a|2 b|2 c|.`, "76"),
		hostile("C0011/number twice with the same unique-id", dup, `UIDL: +OK|1 a|2 b|2 b|3 c|.`, "76"),
		hostile("C0011/number twice in LIST", dup, `LIST: +OK|1 60|2 60|1 61|3 60|.`, "76"),
		hostile("C0011/message that does not exist", dup, `LIST: +OK|1 60|2 60|3 60|9 60|.
			UIDL: +OK|1 a|2 b|3 c|9 z|.`, "75 all"),
		hostile("C0038/UIDL is shorter than LIST", uidl, `UIDL: +OK|1 a|3 c|.`, "76 1 3"),
		hostile("C0038/LIST is shorter than UIDL", uidl, `LIST: +OK|2 60|.`, "76 2"),
		hostile("C0038/LIST and UIDL of different messages", uidl, `LIST: +OK|1 60|2 60|.
			UIDL: +OK|2 b|3 c|.`, "76 2"),
		hostile("C0038/LIST is empty", uidl, `LIST: +OK|.`, "76"),
		hostile("C0038/UIDL is empty", uidl, `UIDL: +OK|.`, "76"),
		hostile("C0038/no unique-id", uidl, `UIDL: +OK|1 a|2|3 c|.`, "76 1 3"),
		hostile("C0038/blanks for a unique-id", uidl, "UIDL: +OK|1 a|2  \t |3 c|.", "76 1 3"),
		hostile("C0038/text behind the unique-id", uidl, `UIDL: +OK|1 a|2 b Message-ID <x>|3 c	|.`, "0 all"),
		hostile("C0038/empty line", uidl, `UIDL: +OK|1 a||2 b|3 c|.`, "0 all"),
		hostile("C0037/UIDL is refused", uidl, `UIDL: -ERR unknown command`, "69", saying("unique-ids")),
		hostile("C0037/UIDL is refused for now", "RFC 3206 section 4", `UIDL: -ERR [SYS/TEMP] later`, "75"),
		hostile("C0037/UIDL is refused for good", "RFC 3206 section 4", `UIDL: -ERR [SYS/PERM] damaged`, "69"),
		hostile("C0014/UIDL gets no reply", "behaviour.md C", `UIDL (stall 0)`, "75"),
		hostile("behaviour 16/UIDL is cut", "behaviour.md C", `UIDL (cut): +OK|1 a|2 b`, "75"),
		hostile("behaviour 16/UIDL is cut at the dot", "behaviour.md C", `UIDL (cut)- +OK|1 a|2 b|3 c|.`, "75"),
		hostile("behaviour 16/UIDL is cut in the unique-id", "behaviour.md C", `UIDL (cut)- +OK|1 a|2 b|3 c`, "75"),
		hostile("C0005/lists with LF alone", "[MS-STANOPOP3] C0005", `LIST- +OK\n1 60\n2 60\n3 60\n.\n
			UIDL- +OK\n1 a\n2 b\n3 c\n.\n`, "0 all"),
		hostile("C0005/CR within a line", "[MS-STANOPOP3] C0005", `UIDL: +OK|1 a\r2 b|2 b|3 c|.`, "76 2 3"),
		hostile("C0005/CR CR LF", "[MS-STANOPOP3] C0005", `UIDL- +OK\r\r\n1 a\r\r\n2 b\r\n3 c\r\n.\r\n`, "76 2 3"),
		hostile("V0002/dots before numbers", "[MS-STANOPOP3] V0002", `LIST: +OK|.1 60|2 60|.3 60|.
			UIDL: +OK|.1 a|2 b|.3 c|.`, "0 all"),
		hostile("V0002/two dots", "[MS-STANOPOP3] V0002", `UIDL: +OK|1 a|..|2 b|3 c|.`, "76 all"),
		hostile("V0002/dot and blank", "[MS-STANOPOP3] V0002", `UIDL: +OK|1 a|. |2 b|3 c|.`, "76 all"),
		hostile("C0020/octet at a time", "RFC 9293", `LIST (pieces 1)
			UIDL (pieces 1)`, "0 all"),
		hostile("behaviour 9/reply behind UIDL", "behaviour.md A", `UIDL: +OK|1 a|2 b|3 c|.|+OK`, "76"),
		hostile("behaviour 9/line behind UIDL", "behaviour.md A", `UIDL: +OK|1 a|2 b|.|3 c|.`, "76"),
		hostile("behaviour 9/LIST is answered twice", "behaviour.md A", `LIST: +OK|1 60|2 60|3 60|.|+OK|1 60|2 60|3 60|.`, "76"),
		hostile("behaviour 24/LIST line of 9 kB", "behaviour.md F", "LIST: +OK|1 60"+x(9000)+"|2 60|3 60|.", "76"),
		hostile("behaviour 24/LIST line without end", "behaviour.md F", `LIST (endless 1): +OK`, "76"),
		hostile("behaviour 24/UIDL line without end", "behaviour.md F", `UIDL (endless x)- +OK|1 `, "76"),
		hostile("behaviour 24/UIDL of one line over and over", "behaviour.md F", `UIDL (endless 1 a|): +OK`, "76"),
		hostile("behaviour 24/UIDL of empty lines", "behaviour.md F", `UIDL (endless |): +OK`, "76", limited(time.Minute), slowly),
		hostile("behaviour 24/UIDL of unreadable lines", "behaviour.md F", "UIDL (endless 0 "+x(1000)+"|): +OK", "76", limited(time.Minute), slowly),
	}
}

// idCases are maildrops with all kinds of unique-ids, on a good server.
func idCases() []*hostileCase {
	const uidl, f25 = "RFC 1939 section 7", "behaviour.md F"
	var each []string
	for c := '!'; c <= '~'; c++ {
		each = append(each, string(c))
	}
	var octets []string
	for c := 1; c < 256; c++ {
		if !strings.ContainsRune("\t\n\r ", rune(c)) && (c < '!' || c > '~') {
			octets = append(octets, string([]byte{byte(c)}))
		}
	}
	var pairs []string
	for i := range each {
		pairs = append(pairs, each[i]+each[len(each)-1-i])
	}
	return []*hostileCase{
		hostile("C0039/each of the 94 characters", uidl, ``, "0 all", withIDs(each...)),
		hostile("C0039/two of the 94 characters", uidl, ``, "0 all", withIDs(pairs...), slowly),
		hostile("C0039/each other octet", "conformance.md C0039", ``, "0 all", withIDs(octets...), slowly),
		hostile("C0039/all 94 in one", uidl, ``, "0 all", withIDs(strings.Join(each, ""), "b")),
		hostile("C0039/1, 69, 70 and 71 octets", uidl, ``, "0 all", withIDs("x", x(69), x(70), x(71))),
		hostile("C0039/100 and 255 octets", "Exchange, Zimbra", ``, "0 all", withIDs(x(100), x(255), x(256))),
		hostile("C0039/1023 and 1024 octets", "conformance.md C0039", ``, "0 all", withIDs(x(1023), x(1024))),
		hostile("C0039/1025 octets", "conformance.md C0039", ``, "76 1 3", withIDs("a", x(1025), "c"), then("76 1 3")),
		hostile("C0039/NUL", "conformance.md C0039", ``, "76 1 3", withIDs("a", "b\x00", "c"), then("76 1 3")),
		hostile("behaviour 3/differ in their case", "behaviour.md A", ``, "0 all", withIDs("aB", "Ab", "ab", "AB")),
		hostile("behaviour 3/differ in leading zeros", "behaviour.md A", ``, "0 all", withIDs("1", "01", "001", "1.0", "+1")),
		hostile("behaviour 3/differ in their last octet", "behaviour.md A", ``, "0 all", withIDs(x(1000)+"1", x(1000)+"2")),
		hostile("behaviour 3/one begins as the other", "behaviour.md A", ``, "0 all", withIDs("1", "10", "100", "1+0", "1+1")),
		hostile("behaviour 3/numbers of other messages", "TA-dmarc#36", ``, "0 all", withIDs("3", "1", "2")),
		hostile("behaviour 25/paths", f25, ``, "0 all", withIDs("../../../etc/passwd", "/etc/passwd", ".", "..", "a/b", "~/x", "new/a")),
		hostile("behaviour 25/shell words", f25, ``, "0 all", withIDs("$(touch${IFS}x)", "`id`", ";id", "|id", "&", ">x", "*", "'", `"`, `\`, "$HOME", "!!")),
		hostile("behaviour 25/options", f25, ``, "0 all", withIDs("--delete", "-n", "--", "--config=x")),
		hostile("behaviour 25/SQL", f25, ``, "0 all", withIDs("';--", "\"'", "%", "_", "');DROP", "NULL", "x'00'")),
		hostile("behaviour 25/Maildir's own", f25, ``, "0 all", withIDs("a:2,S", ",S=60:2,", ":2,T", ".hidden", ",pf=")),
		hostile("behaviour 25/formats and escapes", f25, ``, "0 all", withIDs("%s%n", "%00", "%25", `\x00`, "\x1b[2J", "\x07", "\x7f", "\x9b31m")),
		hostile("behaviour 25/UTF-8 and what is none", f25, ``, "0 all", withIDs("é", "e\u0301", "\xc3", "\xed\xa0\x80", "\ufeff", "\u202e", "\u2028", "😀")),
		hostile("behaviour 26/refused with escapes in its unique-id", f25, `RETR 2: -ERR no`, "75 1 3", withIDs("a", "\x1b[2J\x07%\xff", "c"),
			saying("%1B[2J%07%25%FF")),
		hostile("C0041/all with one unique-id", "popa3d", ``, "0 all", withIDs(slices.Repeat([]string{"same"}, 25)...)),
		hostile("C0041/all with one unique-id, one at a time", "popa3d", ``, "0 all", withIDs(slices.Repeat([]string{"same"}, 5)...), oneAtATime),
		hostile("C0041/all with one unique-id, one refused", "popa3d", `RETR 3: -ERR`, "75 1 2 4 5", withIDs(slices.Repeat([]string{"same"}, 5)...)),
		hostile("C0041/two of three with one unique-id, kept", "Mailutils", ``, "0 all", withIDs("a", "b", "a"), keeping),
		hostile("C0013/300 messages", "RFC 1939 section 5", ``, "0 all", withIDs(numbered(300)...), slowly),
	}
}

// numbered returns n unique-ids.
func numbered(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("id-%d", i+1)
	}
	return ids
}
