package main

import "strings"

// messageCases are odd messages, served as RFC 1939 says, and odd ways to serve messages. Message 2
// is the odd one.
func messageCases() []*hostileCase {
	const body, b10, b11, b12 = "RFC 1939 section 3", "behaviour.md B", "behaviour.md B", "behaviour.md B"
	const head = "Subject: odd\r\n\r\n"
	return []*hostileCase{
		// These are odd contents.
		hostile("C0023/no header", b10, ``, "0 all", withMail("just text\r\n")),
		hostile("C0023/header alone", b10, ``, "0 all", withMail("Subject: odd\r\n")),
		hostile("C0023/header and blank line", b10, ``, "0 all", withMail(head)),
		hostile("C0023/one line end", b10, ``, "0 all", withMail("\r\n")),
		hostile("C0023/no octet", b10, ``, "0 all", withMail("")),
		hostile("C0023/no octet, LIST says 2", "Mailutils", ``, "0 all", withMail(""), sized("2")),
		hostile("C0023/no line end at its end", b10, ``, "0 all", withMail(head+"the end")),
		hostile("C0023/CR at its end", b10, ``, "0 all", withMail(head+"the end\r")),
		hostile("C0023/LF at its end", b10, ``, "0 all", withMail(head+"the end\n")),
		hostile("C0023/LF alone throughout", b10, ``, "0 all", withMail("Subject: odd\n\none\ntwo\n")),
		hostile("C0023/CR alone throughout", b10, ``, "0 all", withMail("Subject: odd\r\rone\rtwo\r")),
		hostile("C0023/CR CR LF", b10, ``, "0 all", withMail(head+"one\r\r\ntwo\r\r\r\n\r\n")),
		hostile("C0023/LF CR", b10, ``, "0 all", withMail(head+"one\n\rtwo\n\r\r\n")),
		hostile("C0023/NUL", b10, ``, "0 all", withMail(head+"a\x00b\r\n\x00\r\n\x00")),
		hostile("C0023/each octet", b10, ``, "0 all", withMail(head+eachOctet()+"\r\n")),
		hostile("C0023/8-bit header", "Courier", ``, "0 all", withMail("Subject: \xe9\xff\xc3\xa9\r\n\r\n\xff\r\n")),
		hostile("C0023/line of 1 MB", "odoo#10920, Mailpile#2161", ``, "0 all", withMail(head+x(1<<20)+"\r\n")),
		hostile("C0023/header line of 200 kB", b10, ``, "0 all", withMail("Subject: "+x(200_000)+"\r\n\r\nodd\r\n")),
		hostile("C0023/header of 2 MB", b10, ``, "0 all", withMail(strings.Repeat("X-Odd: "+x(90)+"\r\n", 21_000)+"\r\nodd\r\n")),
		hostile("C0023/lines that other formats know", b10, ``, "0 all", withMail("Return-Path: <>\r\nStatus: RO\r\nX-UIDL: a\r\n\r\nFrom a@example.org Thu Oct  1 12:00:00 2026\r\n>From b\r\n")),
		hostile("C0023/reads like replies", b10, ``, "0 all", withMail("+OK 3 180\r\n-ERR no\r\n\r\n+OK\r\n.\r\n+OK\r\n\r\n")),
		hostile("C0006/lines of dots", body, ``, "0 all", withMail(head+".\r\n..\r\n...\r\n. \r\n.x\r\n\r\n.\r\n")),
		hostile("C0006/dot as the first octet", body, ``, "0 all", withMail(".\r\nSubject: odd\r\n\r\nodd\r\n")),
		hostile("C0006/dot as the last octet", body, ``, "0 all", withMail(head+"odd.")),
		hostile("C0006/dot alone in the last line", body, ``, "0 all", withMail(head+"odd\r\n.")),
		hostile("C0006/dots behind CR and LF alone", b11, ``, "0 all", withMail(head+"a\n.\nb\r.\rc\n.\r\nd\r.\n\r\n")),
		hostile("C0006/nothing but dots", body, ``, "0 all", withMail(strings.Repeat(".\r\n", 1000))),
		hostile("C0006/a million dots", body, ``, "0 all", withMail(head+strings.Repeat(".", 1<<20)+"\r\n")),
		hostile("V0002/an octet at a time", "RFC 9293", `RETR (pieces 1)`, "0 all", withMail(head+".\r\n..\r\n\r\r\n.")),
		hostile("V0002/two octets at a time", "RFC 9293", `RETR (pieces 2)`, "0 all", withMail(head+".\r\n..\r\n\r\r\n.")),
		hostile("V0002/three octets at a time", "RFC 9293", `RETR (pieces 3)`, "0 all", withMail(head+".\r\n..\r\n\r\r\n.")),
		hostile("V0002/slowly, an octet at a time", "RFC 9293", `RETR 2 (pieces 1, pause 1ms)`, "0 all", withMail(head+".\r\n..\r\n\r\r\n.")),
		hostile("V0002/end at the border of a buffer", "Buffers of 4, 32 and 64 KiB", ``, "0 all", withMail(head+x(65536-len(head)-2)+"\r\n")),
		hostile("V0002/dot at the border of a buffer", "Buffers of 4, 32 and 64 KiB", ``, "0 all", withMail(head+x(65536-len(head)-len("+OK 65536 octets\r\n")-2)+"\r\n.\r\nx\r\n")),

		// These are odd ways to serve them.
		hostile("C0022/refused", "python/cpython#95252", `RETR 2: -ERR no such message`, "75 1 3", saying("message 2 (unique-id b) is refused", "no such message")),
		hostile("C0022/all refused", "behaviour.md C", `RETR: -ERR`, "75"),
		hostile("C0022/refused in many words", "behaviour.md F", "RETR 2: -ERR \x1b"+x(8000), "75 1 3"),
		hostile("C0022/refused one at a time", "zmail#115", `RETR 2: -ERR`, "75 1 3", oneAtATime),
		hostile("R3206-1/refused with [SYS/TEMP]", "RFC 3206 section 4", `RETR 2: -ERR [SYS/TEMP] later`, "75 1 3"),
		hostile("R3206-1/refused with [SYS/PERM]", "RFC 3206 section 4", `RETR 2: -ERR [SYS/PERM] damaged`, "75 1 3"),
		hostile("R6856-1/refused with [UTF8]", "RFC 6856 section 4", `RETR 2: -ERR [UTF8] not for you`, "75 1 3", saying("not for you")),
		hostile("C0022/refused and closed", "behaviour.md C", `RETR 2 (cut): -ERR`, "75 1"),
		hostile("V0001/by a plus", "[MS-STANOPOP3] V0001", `RETR 2: +|Subject: odd||odd|.`, "0 all", as(2, "Subject: odd\n\nodd\n")),
		hostile("V0001/garbage for a status line", "[MS-STANOPOP3] V0001", `RETR 2: Subject: odd||odd|.`, "76 1"),
		hostile("C0021/status line announces other octets", b12, `RETR 2: +OK 99999999999 octets|Subject: odd||odd|.`, "0 all", as(2, "Subject: odd\n\nodd\n"), sized("20")),
		hostile("C0021/LIST says 0", b12, ``, "0 all", sized("0")),
		hostile("C0021/LIST says 1", b12, ``, "0 all", sized("1")),
		hostile("C0021/LIST says less by 2", "Mailutils", ``, "0 all", sized("58")),
		hostile("C0021/LIST says more by 2", "Mailutils", ``, "0 all", sized("62")),
		hostile("C0021/LIST says as much as 63 bits hold", b12, ``, "0 all", sized("9223372036854775807")),
		hostile("C0021/LIST says nothing", b12, ``, "0 all", sized(" ")),
		hostile("C0006/LF for the end", "[MS-STANOPOP3] C0006", `RETR 2 (stall)- +OK\r\nSubject: odd\r\n\r\nodd\r\n.\n`, "75 1"),
		hostile("C0006/LF alone and an end that is one", b11, `RETR 2- +OK\nSubject: odd\n\nodd\n.\nstill odd\n\r\n.\r\n`, "0 all", as(2, "Subject: odd\n\nodd\n.\nstill odd\n\n")),
		hostile("C0006/CR for the end", "[MS-STANOPOP3] C0006", `RETR 2 (stall)- +OK\r\nSubject: odd\r\n\r\nodd\r\n.\r`, "75 1"),
		hostile("C0006/no end", "[MS-STANOPOP3] C0006", `RETR 2 (stall): +OK|Subject: odd||odd`, "75 1"),
		hostile("C0006/FIN for the end", "[MS-STANOPOP3] C0006", `RETR 2 (cut): +OK|Subject: odd||odd`, "75 1"),
		hostile("C0006/FIN in the end", "getmail6#94", `RETR 2 (cut)- +OK|Subject: odd||odd|.`, "75 1"),
		hostile("C0006/RST for the end", "mpop hangs, peers.md 1.3", `RETR 2 (delay 100ms, reset 40)`, "75 1", slowly),
		hostile("C0006/FIN behind the status line", "getmail6#94", `RETR 2 (cut): +OK`, "75 1"),
		hostile("C0006/FIN in the status line", "[MS-STANOPOP3] C0005", `RETR 2 (cut)- +O`, "75 1"),
		hostile("C0014/no reply to RETR", "[MS-STANOPOP3] C0014", `RETR 2 (stall 0)`, "75 1 3"),
		hostile("C0014/no reply to the first RETR", "[MS-STANOPOP3] C0014", `RETR 1 (stall 0)`, "75"),
		hostile("behaviour 9/reply behind the last", "behaviour.md A", `RETR 3: +OK|Message-ID: <3@example.org>|Subject: message 3||about 3|.|+OK 60 octets`, "76 all"),
		hostile("behaviour 13/without end", "behaviour.md B", `RETR 2 (endless `+x(70)+`|): +OK`, "75 1", until(3*timeUnit), slowly),
		hostile("behaviour 13/one line without end", "behaviour.md B", `RETR 2 (endless `+x(70)+`)- +OK\r\n`, "75 1", until(3*timeUnit), slowly),
		hostile("behaviour 14/drips", "znuny#852, mailman#106", `RETR 2 (pieces 1, pause 100ms, endless x|): +OK`, "75 1", limited(silence), until(2*timeUnit), slowly),
		hostile("behaviour 14/slow and alive", "behaviour.md C", `RETR 2 (pieces 1, pause 10ms)`, "0 all", withMail(head+x(200)+"\r\n"), limited(5*silence), until(patience), slowly),
		hostile("V0004/vanished", "behaviour.md C", `RETR 2: -ERR message is gone`, "75 1 3", oneAtATime),
		hostile("C0034/TOP is not wanted for what is new", "R9 of style.md", `TOP: -ERR`, "0 all"),
		hostile("behaviour 12/larger than max_size, LIST lies", "fdm#155", `RETR 2: +OK|`+strings.Repeat(x(70)+"|", 100)+`.`, "0 1 3", largest(1000), then("0 1 3")), // until the limit or LIST changes
		hostile("behaviour 12/larger than max_size without end", "fdm#155", `RETR 2 (endless `+x(70)+`|): +OK`, "75 1", largest(1000), until(3*timeUnit), slowly),
	}
}

// eachOctet returns a line with every octet except CR and LF.
func eachOctet() string {
	var b strings.Builder
	for c := range 256 {
		if c != '\r' && c != '\n' {
			b.WriteByte(byte(c))
		}
	}
	return b.String()
}
