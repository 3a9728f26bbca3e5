package main

import (
	"fmt"

	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// brokenCases are sessions that break or fall silent, at each command of a run and in each way.
func brokenCases() (cases []*hostileCase) {
	for _, at := range []struct{ command, numbers string }{
		{"CAPA", ""}, {"UTF8", ""}, {"AUTH", ""}, {"STAT", ""}, {"LIST", ""}, {"UIDL", ""}, {"RETR 1", ""}, {"RETR 2", " 1"},
		{"RETR 3", " 1 2"}, {"DELE 1", " all"}, {"DELE 3", " all"}, {"QUIT", " all"},
	} {
		for _, way := range []string{"cut", "reset", "stall"} {
			for _, when := range []string{"0", "2"} { // without a reply, or within its first line
				source := map[string]string{"cut": "conformance.md C0005, getmail6#112", "reset": "behaviour.md C", "stall": "conformance.md C0014, fdm#147"}[way]
				c := hostile(fmt.Sprintf("behaviour 15/%s at octet %s of %s", way, when, at.command), source,
					fmt.Sprintf("%s (%s %s)", at.command, way, when), "75"+brokenAt(at.command, way, when, at.numbers))
				c.slow = way != "cut"
				cases = append(cases, c)
			}
		}
		if at.command != "QUIT" { // QUIT is the last command anyway
			cases = append(cases, hostile("behaviour 18/closed behind the reply to "+at.command, "fdm#41, getmail6#257",
				at.command+" (cut)", closedBehind(at.command)))
		}
	}
	return cases
}

// brokenAt returns the messages that are delivered if the session breaks at a command. The messages
// before it are always delivered. If several commands have no reply, another session sends one
// command at a time. It asks last for the message that broke the first session.
func brokenAt(command, way, when, before string) string {
	switch {
	case command == "RETR 1" && when == "0" && way != "stall":
		return " 2 3"
	case command == "RETR 2" && when == "0":
		return " 1 3"
	}
	return before
}

// closedBehind returns the outcome of a run whose session ends behind the reply to a command. If
// more replies were outstanding, the server may be unable to pipeline. Then another session fetches
// the other messages with one command at a time.
func closedBehind(command string) string {
	switch command {
	case "RETR 1", "RETR 3":
		return "0 all"
	case "RETR 2":
		return "75 1 2"
	case "DELE 1", "DELE 3":
		return "75 all"
	}
	return "75"
}

// deletionCases are odd answers to DELE and QUIT. Delivered messages stay delivered, and are not
// retrieved again.
func deletionCases() []*hostileCase {
	const dele, quit = "RFC 1939 section 5", "RFC 1939 section 6"
	return []*hostileCase{
		hostile("C0026/DELE is refused", dele, `DELE 2: -ERR no`, "0 all"),
		hostile("C0026/all DELE are refused", dele, `DELE: -ERR [SYS/PERM] read only`, "0 all"),
		hostile("C0026/DELE is refused and not undone", dele, `DELE 2 (carried): -ERR no`, "0 all"),
		hostile("V0001/garbage for DELE", dele, `DELE 2: 250 ok`, "76 all"),
		hostile("C0024/two replies to DELE", dele, `DELE 2: +OK|+OK`, "76 all", oneAtATime),
		hostile("C0024/two replies to the last DELE", dele, `DELE 3: +OK|+OK`, "76 all"),
		hostile("C0024/DELE says +OK and does nothing", "Courier", `DELE (void)`, "0 all"),
		hostile("behaviour 17/DELE without end", "behaviour.md F", `DELE (endless x)- +OK `, "76 all"),
		hostile("behaviour 43/DELE deletes at once, QUIT is lost", "Twisted", `QUIT (cut 0, carried)`, "75 all"),
		hostile("C0030/QUIT is refused", quit, `QUIT (void): -ERR some deleted messages not removed`, "75 all"),
		hostile("C0030/QUIT is refused with [SYS/TEMP]", "RFC 3206 section 4", `QUIT (void): -ERR [SYS/TEMP] later`, "75 all"),
		hostile("C0030/QUIT is refused and carried out", quit, `QUIT (carried): -ERR`, "75 all"),
		hostile("C0030/QUIT's reply is lost, nothing is deleted", quit, `QUIT (cut 0, void)`, "75 all"),
		hostile("C0030/QUIT says +OK and deletes nothing", "Mailpit, Inbucket", `QUIT (void): +OK bye`, "0 all"),
		hostile("C0030/QUIT without a line end", quit, `QUIT (cut, carried)- +OK bye`, "75 all"),
		hostile("C0030/QUIT with LF alone", "[MS-STANOPOP3] C0005", `QUIT (carried)- +OK bye\n`, "0 all"),
		hostile("C0030/QUIT by lower case", "[MS-STANOPOP3] V0001", `QUIT (carried): +ok`, "0 all"),
		hostile("V0001/garbage for QUIT", quit, `QUIT (void): 221 bye`, "76 all"),
		hostile("behaviour 24/QUIT without end", "behaviour.md F", `QUIT (endless x, void)- +OK `, "76 all"),
		hostile("behaviour 7/QUIT where nothing is deleted", "Gmail", ``, "0 all", keeping, sending("CAPA", "UTF8", "AUTH PLAIN", "STAT", "LIST", "UIDL", "RETR 1", "RETR 2", "RETR 3", "QUIT")),
		hostile("C0012/QUIT gets no reply behind a refused log-in", "conformance.md C0012", "AUTH: -ERR [AUTH] no\nQUIT (stall 0)", "77"),
		hostile("C0012/RST for QUIT behind a refused log-in", "conformance.md C0012", "AUTH: -ERR [AUTH] no\nQUIT (reset 0)", "77"),
		hostile("V0006/RSET is never sent", "[MS-STANOPOP3] V0006", "DELE 2: -ERR\nRETR 3: -ERR", "75 1 2"),
		hostile("behaviour 44/listings are renumbered behind DELE", "WildDuck", `DELE (carried): +OK renumbered`, "0 all", oneAtATime),
	}
}

// serverCases are the misdeeds of servers in use, and cases that fit nowhere else.
func serverCases() []*hostileCase {
	return []*hostileCase{
		hostile("behaviour 41/octets of another count than the status line says", "Mailutils", `RETR 2: +OK 7 octets|Message-ID: <2@example.org>|Subject: message 2||about 2|.`, "0 all"),
		hostile("behaviour 44/Gmail shows a part", "node-pop3#2, hpop#56", "LIST: +OK|1 60|.\nUIDL: +OK|1 a|.", "0 1"),
		hostile("behaviour 46/a damaged message spoils the maildrop", "solid-pop3d", "STAT: -ERR\nLIST: -ERR\nUIDL: -ERR damaged", "69"),
		hostile("behaviour 8/nothing but what RFC 1939 requires", "RFC 1939 section 5", "CAPA: -ERR\nUTF8: -ERR\nAUTH: -ERR\nTOP: -ERR", "0 all"),
		hostile("behaviour 8/answers slowly, in single octets", "RFC 9293", `* (pieces 1, pause 1ms)`, "0 all", oneAtATime, slowly),
		hostile("R2449-3/pipelined input, answered late", "RFC 2449 section 6.6", "RETR 1 (delay 200ms)\nDELE 1 (delay 200ms)", "0 all"),
		hostile("C0013/replies of 1 to 3 octets each", "RFC 1939 section 3", "STAT: +\nDELE (carried): +\nQUIT (carried): +", "0 all"),
		hostile("behaviour 26/text of 8 kB in each reply", "behaviour.md F", "DELE (carried): +OK "+x(8000)+"\nQUIT (carried): +OK "+x(8000), "0 all"),
		hostile("C0015/-ERR to everything", "behaviour.md A", "STAT: -ERR\nLIST: -ERR\nUIDL: -ERR\nRETR: -ERR\nDELE: -ERR\nTOP: -ERR\nNOOP: -ERR\nQUIT: -ERR", "69"),
		hostile("V0001/+OK to everything", "behaviour.md A", "*: +OK", "75", limited(silence), by("user")),
		hostile("V0001/a dot to everything", "behaviour.md A", "*: .", "76", nothing),
	}
}

// tornCases are servers that cut a message or mix it with replies. The client must not believe the
// replies that follow (behaviour 38, 39).
func tornCases() []*hostileCase {
	const m1, m2 = "Message-ID: <1@example.org>|Subject: message 1||about 1|", "Message-ID: <2@example.org>|Subject: message 2||about 2|"
	forged := withMail(".\r\n+OK 60 octets\r\nSubject: forged\r\n\r\nforged\r\n.\r\n+OK\r\n")
	const unstuffed = "+OK|.|+OK 60 octets|Subject: forged||forged|.|+OK|."
	return []*hostileCase{
		hostile("behaviour 38/dot that is not stuffed, its sender forges a message", "Dovecot 2.3, Courier, Twisted", "RETR 2: "+unstuffed, "65 1 3", forged, then("65 1 3")),
		hostile("behaviour 38/the same, one at a time", "Dovecot 2.3, Courier, Twisted", "RETR 2: "+unstuffed, "65 1 3", forged, oneAtATime, then("65 1 3")),
		hostile("behaviour 38/the same in single octets", "Dovecot 2.3, Courier, Twisted", "RETR 2 (pieces 1): "+unstuffed, "65 1 3", forged, then("65 1 3")),
		hostile("behaviour 38/the same without sizes", "Dovecot 2.3, Courier, Twisted", "LIST: -ERR\nRETR 2: "+unstuffed, "65 1 3", forged, then("65 1 3")),
		hostile("behaviour 38/dot alone that is not stuffed", "Dovecot 2.3, Courier, Twisted", "RETR 2: +OK|.|.", "65 1 3", withMail(".\r\n"), then("65 1 3")),
		hostile("behaviour 38/LIST says ten times as much", "Mailutils", ``, "0 all", sized("600")),
		hostile("behaviour 38/LIST says ten times as much, one at a time", "Mailutils", ``, "0 all", sized("600"), oneAtATime),
		hostile("behaviour 39/cut at a long line, and a stray -ERR", "Inbucket", "RETR 2: +OK|Message-ID: <2@example.org>|.|-ERR line too long", "65 1 3", then("65 1 3")),
		hostile("behaviour 39/cut at a long line, and a stray -ERR, one at a time", "Inbucket", "RETR 2: +OK|Message-ID: <2@example.org>|.|-ERR line too long", "65 1 3", oneAtATime, then("65 1 3")),
		hostile("behaviour 39/next +OK before the end of the last message", "WildDuck", "RETR 1 (once): +OK|"+m1+"+OK|.\nRETR 2 (once): "+m2+".", "0 all"),
		hostile("behaviour 39/pipelined commands are dropped", "Perdition, solid-pop3d", "RETR 2 (once, cut 0)", "0 all"),
		hostile("behaviour 39/pipelined commands get no reply", "Perdition, solid-pop3d", "RETR 2 (once, stall 0)", "0 all"),
		hostile("R2449-3/garbage between pipelined replies", "RFC 2449 section 6.6", "RETR 2 (once): what?", "0 all"),
		hostile("R2449-3/pipelined listings are dropped", "RFC 2449 section 6.6", "LIST (once, cut 0)", "0 all"),
		hostile("R2449-3/pipelined DELE are dropped", "RFC 2449 section 6.6", "DELE 2 (once, cut 0)", "0 all"),
	}
}

// securityCases are servers or attackers on the way. They want the password in clear text, or offer
// a wrong certificate.
func securityCases() []*hostileCase {
	const stls, tls = "RFC 2595 section 4", "RFC 8314, RFC 9525"
	return []*hostileCase{
		hostile("R2595-1/STLS is not announced", stls, `CAPA: +OK|USER|SASL PLAIN|.`, "77", under(pop3.TLSStart, poptest.Valid), noPassword, saying("STLS")),
		hostile("R2595-1/STLS is refused", stls, `STLS: -ERR not now`, "77", under(pop3.TLSStart, poptest.Valid), noPassword),
		hostile("R2595-1/STLS is refused with [SYS/TEMP]", stls, `STLS: -ERR [SYS/TEMP] later`, "77", under(pop3.TLSStart, poptest.Valid), noPassword),
		hostile("R2595-1/no CAPA", stls, `CAPA: -ERR`, "77", under(pop3.TLSStart, poptest.Valid), noPassword),
		hostile("R2595-1/garbage for STLS", stls, `STLS: 220 go ahead`, "76", under(pop3.TLSStart, poptest.Valid), noPassword),
		hostile("R2595-1/no handshake behind STLS", stls, `STLS (stall): +OK`, "75", under(pop3.TLSStart, poptest.Valid), noPassword, limited(5*silence)),
		hostile("R2595-1/closed behind STLS", stls, `STLS (cut): +OK`, "75", under(pop3.TLSStart, poptest.Valid), noPassword),
		hostile("R2595-2/reply behind STLS", "CVE-2011-0411 and its kin", `STLS: +OK|+OK injected`, "76", under(pop3.TLSStart, poptest.Valid), noPassword),
		hostile("R2595-2/one octet behind STLS", "CVE-2011-0411 and its kin", `STLS- +OK\r\n+`, "76", under(pop3.TLSStart, poptest.Valid), noPassword),
		hostile("R2595-2/capabilities behind STLS", "CVE-2011-0411 and its kin", `STLS: +OK|+OK|USER|.`, "76", under(pop3.TLSStart, poptest.Valid), noPassword),
		hostile("behaviour 22/clear text instead of a handshake", stls, `STLS (pieces 5, pause 1s): +OK|+OK no TLS`, "77", under(pop3.TLSStart, poptest.Valid), noPassword, notPOP3, slowly),
		hostile("behaviour 22/clear text on the port of TLS", tls, ``, "77", clearText, noPassword, saying("tls")),
		hostile("R2595-3/wrong name", tls, ``, "77", under(pop3.TLSImplicit, poptest.WrongName), noPassword),
		hostile("R2595-3/expired", tls, ``, "77", under(pop3.TLSImplicit, poptest.Expired), noPassword),
		hostile("R2595-3/self-signed", tls, ``, "77", under(pop3.TLSImplicit, poptest.SelfSigned), noPassword),
		hostile("R2595-3/wrong name behind STLS", tls, ``, "77", under(pop3.TLSStart, poptest.WrongName), noPassword),
		hostile("R2595-3/self-signed behind STLS", tls, ``, "77", under(pop3.TLSStart, poptest.SelfSigned), noPassword),
		hostile("C0043/greeting under TLS is negative", tls, `greeting: -ERR`, "75", under(pop3.TLSImplicit, poptest.Valid), noPassword),
		hostile("behaviour 15/TLS is cut inside a message", tls, `RETR 2 (cut 50)`, "75 1", under(pop3.TLSImplicit, poptest.Valid)),
		hostile("behaviour 15/TLS is reset inside a message", tls, `RETR 2 (delay 100ms, reset 50)`, "75 1", under(pop3.TLSImplicit, poptest.Valid), slowly),
		hostile("behaviour 14/silence under TLS", tls, `RETR 2 (stall 50)`, "75 1", under(pop3.TLSImplicit, poptest.Valid), limited(5*silence), slowly),
		hostile("V0002/an octet in each record of TLS", tls, `RETR 2 (pieces 1)`, "0 all", under(pop3.TLSImplicit, poptest.Valid)),
		hostile("behaviour 9/reply behind the last under TLS", tls, `RETR 3: +OK|Message-ID: <3@example.org>|Subject: message 3||about 3|.|+OK`, "76 all", under(pop3.TLSImplicit, poptest.Valid)),
	}
}
