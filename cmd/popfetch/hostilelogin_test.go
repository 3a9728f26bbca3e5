package main

import (
	"fmt"

	"github.com/popfetch/popfetch/internal/login"
)

// capabilityCases are odd answers to CAPA and UTF8.
func capabilityCases() []*hostileCase {
	const capa = "RFC 2449 section 5"
	return []*hostileCase{
		hostile("R2449-1/CAPA is refused", "popa3d, solid-pop3d", `CAPA: -ERR`, "0 all"),
		hostile("R2449-1/CAPA is refused in words of its own", "popa3d, solid-pop3d", `CAPA: - what?`, "0 all"),
		hostile("R2449-1/no capability", capa, `CAPA: +OK|.`, "77", noPassword, saying("nothing")),
		hostile("R2449-1/lower case", capa, `CAPA: +ok|user|top|uidl|pipelining|sasl plain|.`, "0 all"),
		hostile("R2449-1/unknown ones", capa, `CAPA: +OK|X-FROB a b c|\x1b[2J|=?|USER USER|-|PIPELINING yes please|.`, "0 all"),
		hostile("R2449-1/empty lines", capa, `CAPA: +OK||USER|| |.`, "0 all"),
		hostile("R2449-1/each twice", capa, `CAPA: +OK|USER|USER|SASL PLAIN|SASL PLAIN|.`, "0 all"),
		hostile("R2449-1/LF alone", "[MS-STANOPOP3] C0005", `CAPA- +OK\nUSER\nTOP\n.\n`, "0 all"),
		hostile("V0002/stuffed capability", capa, `CAPA: +OK|..USER|.USER|.`, "0 all"),
		hostile("R2449-1/8-bit, NUL and CR", capa, `CAPA: +OK|\xff\xfe\x00|US\rER|USER|.`, "0 all"),
		hostile("R2449-2/blanks around", "mpop#14", `CAPA: +OK| USER |  SASL   PLAIN   |TOP	|.`, "0 all"),
		hostile("R2449-2/SASL alone", capa, `CAPA: +OK|SASL|USER|.`, "0 all"),
		hostile("C0009/nothing in common", "RFC 5034 section 3", `CAPA: +OK|SASL GSSAPI KERBEROS_V4|.`, "77", noPassword, saying("GSSAPI")),
		hostile("C0009/a mechanism with escapes", "behaviour.md F", `CAPA: +OK|SASL \x1b]0;x\x07|.`, "77", noPassword),
		hostile("R2449-2/one line of 8 kB", "behaviour.md F", "CAPA: +OK|USER|X "+x(8000)+"|.", "0 all"),
		hostile("behaviour 24/one line of 9 kB", "behaviour.md F", "CAPA: +OK|USER|X "+x(9000)+"|.", "76", noPassword),
		hostile("behaviour 24/without end", "behaviour.md F", `CAPA (endless X-MORE|): +OK`, "76", noPassword),
		hostile("behaviour 24/one line without end", "behaviour.md F", `CAPA (endless x): +OK`, "76", noPassword),
		hostile("behaviour 24/empty lines without end", "behaviour.md F", `CAPA (endless |): +OK`, "76", noPassword),
		hostile("C0014/no reply", "[MS-STANOPOP3] C0014", `CAPA (stall 0)`, "75", noPassword),
		hostile("C0005/list is not ended", "[MS-STANOPOP3] C0005", `CAPA (stall): +OK|USER`, "75", noPassword),
		hostile("C0006/FIN instead of the end", "[MS-STANOPOP3] C0006", `CAPA (cut): +OK|USER`, "75", noPassword),
		hostile("behaviour 9/reply behind the end", "behaviour.md A", `CAPA: +OK|USER|SASL PLAIN|.|+OK logged in`, "76", noPassword),
		hostile("behaviour 9/no list behind +OK", "Internet routers' POP3 proxies", `CAPA: +OK`, "75", noPassword, limited(silence)),
		hostile("V0001/garbage", "[MS-STANOPOP3] V0001", `CAPA: 500 unknown command`, "76", noPassword),
		hostile("behaviour 45/closes after an unknown command", "WildDuck, Twisted", `CAPA (cut): -ERR`, "75", noPassword),
		hostile("behaviour 42/UTF8 is refused", "RFC 6856 section 2", `UTF8: -ERR`, "0 all"),
		hostile("behaviour 42/UTF8 is not known", "fdm#140", `CAPA: +OK|USER|TOP|UIDL|.
			UTF8 (cut): -ERR`, "0 all"),
		hostile("C0014/UTF8 gets no reply", "fdm#140", `UTF8 (stall 0)`, "75", noPassword),
		hostile("R2449-1/other capabilities after the log-in", capa, `CAPA (once): +OK|USER|SASL PLAIN|.
			CAPA: +OK|UIDL|TOP|PIPELINING|.`, "0 all"),
		hostile("R2449-1/CAPA is refused after the log-in", capa, `CAPA (once): +OK|USER|SASL PLAIN|.
			CAPA: -ERR`, "0 all"),
		hostile("R2449-5/EXPIRE 0", "RFC 2449 section 6.7", `CAPA: +OK|USER|TOP|UIDL|PIPELINING|EXPIRE 0|.`, "0 all", keeping, then("0 all")),
		hostile("R2449-5/EXPIRE of nonsense", "RFC 2449 section 6.7", `CAPA: +OK|USER|TOP|UIDL|PIPELINING|EXPIRE -99999999999999999999 USER|.`, "0 all"),
		hostile("R2449-4/LOGIN-DELAY of nonsense", "RFC 2449 section 6.5", `CAPA: +OK|USER|TOP|UIDL|LOGIN-DELAY soon|.`, "0 all"),
	}
}

// loginCases are odd answers to a log-in.
func loginCases() []*hostileCase {
	const auth, user = "RFC 5034 section 4", "RFC 1939 section 7"
	cases := []*hostileCase{
		hostile("C0045/USER is refused", user, `USER: -ERR no such user`, "77", by(login.User), noPassword, without("AUTH-RESP-CODE"), saying("no such user")),
		hostile("C0045/USER is refused by lower case", user, `USER: -err`, "77", by(login.User), noPassword, without("AUTH-RESP-CODE")),
		hostile("C0045/garbage for USER", user, `USER: 331 password please`, "76", by(login.User), noPassword),
		hostile("C0014/USER gets no reply", user, `USER (stall 0)`, "75", by(login.User), noPassword),
		hostile("behaviour 9/USER gets two replies", "behaviour.md A", `USER: +OK|+OK`, "76", by(login.User), noPassword),
		hostile("C0010/PASS is refused", user, `PASS: -ERR no`, "77", by(login.User), without("AUTH-RESP-CODE"), sending("CAPA", "UTF8", "USER mrose", "PASS tanstaaf", "QUIT")),
		hostile("C0010/PASS is refused and closed", user, `PASS (cut): -ERR no`, "77", by(login.User), without("AUTH-RESP-CODE")),
		hostile("C0010/closed without a reply to PASS", "conformance.md C0010", `PASS (cut 0)`, "75", by(login.User)),
		hostile("C0010/RST without a reply to PASS", "conformance.md C0010", `PASS (reset 0)`, "75", by(login.User)),
		hostile("C0014/PASS gets no reply", user, `PASS (stall 0)`, "75", by(login.User)),
		hostile("behaviour 45/locked maildrop takes its time", "Courier, solid-pop3d", `PASS (delay 300ms): -ERR [IN-USE] locked`, "75", by(login.User)),
		hostile("V0001/PASS by lower case", "[MS-STANOPOP3] V0001", `PASS (carried): +ok`, "0 all", by(login.User)),
		hostile("V0001/PASS by a plus", "[MS-STANOPOP3] V0001", `PASS (carried): +`, "0 all", by(login.User)),
		hostile("C0010/one attempt and no other mechanism", "node-imap#782, hybridclaw#1406", `AUTH: -ERR [AUTH] wrong`, "77", sending("CAPA", "UTF8", "AUTH PLAIN", "QUIT")),
		hostile("R3206-1/no code where codes are announced", "RFC 3206 section 6", `AUTH: -ERR`, "75"),
		hostile("R3206-1/no code where none is announced", "RFC 3206 section 6", `AUTH: -ERR`, "77", without("AUTH-RESP-CODE")),
		hostile("R2449-6/code in lower case", "RFC 2449 section 8", `AUTH: -ERR [in-use] busy`, "75", without("AUTH-RESP-CODE")),
		hostile("R2449-6/code not in front", "RFC 2449 section 8", `AUTH: -ERR busy [IN-USE]`, "77", without("AUTH-RESP-CODE")),
		hostile("R2449-6/code that is not closed", "RFC 2449 section 8", `AUTH: -ERR [IN-USE busy`, "77", without("AUTH-RESP-CODE")),
		hostile("R2449-6/unknown code", "RFC 2449 section 8", `AUTH: -ERR [X-NEW/THING] no`, "77", without("AUTH-RESP-CODE")),
		hostile("R2449-6/no text", "RFC 2449 section 8", `AUTH: -ERR [AUTH]`, "77"),
		hostile("behaviour 26/escapes in the refusal", "behaviour.md F", `AUTH: -ERR [AUTH] \x1b[31m\x00\xff\r`, "77", saying(`\x1b[31m`)),
		hostile("R5034-1/challenge that is no base64", auth, `AUTH: + !!!!`, "77", by(login.Login), noPassword),
		hostile("R5034-1/challenge and silence", auth, `AUTH (stall): + `, "75", by(login.Login)),
		hostile("R5034-1/challenge of 60 kB", auth, "AUTH LOGIN: + "+x(60000), "77", by(login.Login), noPassword, without("AUTH-RESP-CODE")),
		hostile("R5034-1/challenge of 70 kB", auth, "AUTH LOGIN: + "+x(70000), "76", by(login.Login), noPassword),
		hostile("behaviour 24/challenge without end", "behaviour.md F", `AUTH LOGIN (endless QUJD)- + `, "76", by(login.Login), noPassword),
		hostile("R5034-1/PLAIN is asked again", auth, `AUTH: + `, "77"),
		hostile("R5034-1/LOGIN is asked for nothing more", auth, `AUTH LOGIN: +OK`, "69", by(login.Login), noPassword),
		hostile("R5034-1/foreign reply", auth, `AUTH: 235 authenticated`, "76"),
		hostile("R5034-2/AUTH is not known, though announced", "Mailutils", `AUTH: -ERR unknown command`, "77", without("AUTH-RESP-CODE")),
		hostile("C0009/CAPA lies about USER", "RFC 2449 section 6.3", `USER: -ERR not here`, "77", by(login.User), noPassword, without("AUTH-RESP-CODE")),
		hostile("C0010/reply to AUTH has one behind it", "behaviour.md A", `AUTH (carried): +OK in|+OK 3 180`, "76"),
		hostile("V0008/no timestamp", user, `greeting: +OK ready`, "77", by(login.Apop), noPassword, then("77")),
		hostile("V0008/8-bit in the timestamp", "CVE-2007-1558", `greeting: +OK <1\xff@example.org>`, "77", by(login.Apop), noPassword, then("77")),
		hostile("V0008/two timestamps", "CVE-2007-1558", `greeting: +OK <1@a> <2@b>`, "77", by(login.Apop), noPassword, then("77")),
		hostile("V0008/timestamp without @", "CVE-2007-1558", `greeting: +OK <1.example.org>`, "77", by(login.Apop), noPassword, then("77")),
		hostile("V0008/APOP is refused", "Mailutils, solid-pop3d, Twisted", `greeting: +OK <1@example.org>
			APOP: -ERR`, "77", by(login.Apop), noPassword, without("AUTH-RESP-CODE"), then("77")),
	}
	for code, status := range map[string]int{
		"IN-USE": 75, "LOGIN-DELAY": 75, "SYS/TEMP": 75, "SYS/PERM": 69, "AUTH": 77, "SYS/NEW": 75, "UTF8": 75,
	} {
		for _, command := range []string{"AUTH", "PASS"} {
			mechanism := map[string]login.Mechanism{"AUTH": login.Plain, "PASS": login.User}[command]
			c := hostile("R3206-1/["+code+"] to "+command, "RFC 2449 section 8.1, RFC 3206",
				fmt.Sprintf("%s: -ERR [%s] so it is", command, code), fmt.Sprint(status), by(mechanism), saying("so it is"))
			c.slow = command == "PASS"
			cases = append(cases, c)
		}
	}
	return cases
}
