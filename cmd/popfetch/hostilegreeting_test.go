package main

// greetingCases are servers with a bad greeting. The client must send nothing to them (C0002).
func greetingCases() []*hostileCase {
	const greeting = "RFC 1939 section 3"
	return []*hostileCase{
		hostile("C0002/silent", greeting, `greeting (stall 0)`, "75", nothing, saying("no complete greeting within 400ms")),
		hostile("C0002/half a line and silence", greeting, `greeting (stall)- +OK he`, "75", nothing),
		hostile("C0002/CR and silence", greeting, `greeting (stall)- +OK he\r`, "75", nothing),
		hostile("C0002/half a line and FIN", greeting, `greeting (cut)- +OK he`, "75", nothing, saying("closed inside a reply")),
		hostile("C0002/half a line and RST", greeting, `greeting (reset)- +OK he`, "75", nothing),
		hostile("C0002/FIN", greeting, `greeting (cut 0)`, "75", nothing, saying("closed before a reply")),
		hostile("C0002/RST", greeting, `greeting (reset 0)`, "75", nothing),
		hostile("C0002/an octet at a time", greeting, `greeting (pieces 1, pause 2ms)`, "0 all"),
		hostile("C0002/late", greeting, `greeting (delay 300ms)`, "0 all"),
		hostile("behaviour 14/greeting that drips", "behaviour.md C", `greeting (pieces 1, pause 50ms, endless x)- +OK `, "75", nothing, limited(silence)),
		hostile("behaviour 24/greeting without end", "behaviour.md F", `greeting (endless x)- +OK `, "76", nothing, saying("a line of at most 8192 octets")),
		hostile("behaviour 24/greeting of NULs", "behaviour.md F", `greeting (endless \x00)- +`, "76", nothing),
		hostile("V0001/lower case", "[MS-STANOPOP3] V0001", `greeting: +ok`, "0 all"),
		hostile("V0001/a plus alone", "[MS-STANOPOP3] V0001", `greeting: +`, "0 all"),
		hostile("V0001/-err", "[MS-STANOPOP3] V0001", `greeting: -err no`, "75", nothing),
		hostile("V0001/OK without a plus", "[MS-STANOPOP3] V0001", `greeting: OK ready`, "76", nothing),
		hostile("V0001/empty line", "[MS-STANOPOP3] V0001", `greeting:`, "76", nothing),
		hostile("V0001/blank before the plus", "[MS-STANOPOP3] V0001", `greeting:  +OK`, "76", nothing),
		hostile("V0001/byte order mark", "[MS-STANOPOP3] V0001", `greeting: \xef\xbb\xbf+OK ready`, "76", nothing),
		hostile("behaviour 20/SMTP", "RFC 5321 section 4.2", `greeting: 220 mail.example.org ESMTP`, "76", nothing, saying("220 mail.example.org ESMTP")),
		hostile("behaviour 20/SMTP in several lines", "RFC 5321 section 4.2", `greeting: 220-mail.example.org|220 ready`, "76", nothing),
		hostile("behaviour 20/IMAP", "RFC 9051 section 7.1", `greeting: * OK [CAPABILITY IMAP4rev2] ready`, "76", nothing),
		hostile("behaviour 20/HTTP", "RFC 9112 section 4", `greeting (cut): HTTP/1.1 400 Bad Request|Content-Length: 0|`, "76", nothing),
		hostile("behaviour 20/TLS record", "RFC 8446 section 5.1", `greeting (cut)- \x15\x03\x01\x00\x02\x02\x0a`, "76", nothing),
		hostile("behaviour 20/SSH", "RFC 4253 section 4.2", `greeting: SSH-2.0-OpenSSH_9.9`, "76", nothing),
		hostile("behaviour 26/escapes and bell", "behaviour.md F", `greeting: -ERR \x1b[2J\x07\x1b]0;owned\x07\x9b`, "75", nothing, saying(`\x1b[2J\x07`)),
		hostile("behaviour 26/8000 octets of text", "behaviour.md F", "greeting: -ERR "+x(8000), "75", nothing),
		hostile("C0005/LF alone", "[MS-STANOPOP3] C0005", `greeting- +OK ready\n`, "0 all"),
		hostile("C0005/CR alone does not end a line", "[MS-STANOPOP3] C0005", `greeting (stall)- +OK ready\r+OK\r`, "75", nothing),
		hostile("R2449-6/[IN-USE]", "RFC 2449 section 8.1.2", `greeting: -ERR [IN-USE] busy`, "75", nothing),
		hostile("R3206-1/[SYS/TEMP]", "RFC 3206 section 4", `greeting: -ERR [SYS/TEMP] later`, "75", nothing),
		hostile("R3206-1/[SYS/PERM]", "RFC 3206 section 4", `greeting: -ERR [SYS/PERM] call us`, "69", nothing),
		hostile("behaviour 9/two greetings", "behaviour.md A", `greeting: +OK ready|+OK ready`, "76", noPassword),
		hostile("behaviour 9/reply to CAPA before it is asked", "behaviour.md A", `greeting: +OK ready|+OK|USER|.`, "76", noPassword),
		hostile("C0008/seems to be logged in", "RFC 1939 section 4", `greeting: +OK maildrop has 3 messages`, "0 all"),
		hostile("V0008/APOP is announced and fails", "Mailutils, solid-pop3d, Twisted", `greeting: +OK <1.2@example.org>
			APOP: -ERR`, "0 all"),
	}
}
