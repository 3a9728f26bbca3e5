package poptest

import "strings"

// oddHeaders returns mail with headers that have made programs fail.
func oddHeaders() []Sample {
	return []Sample{
		{Name: "empty", Message: nil},
		{Name: "blank line only", Message: []byte("\r\n")},
		{Name: "no header", Message: crlf("\nJust a body after the blank line.\n")},
		{Name: "no blank line", Message: crlf("this is not a header\nnor is this\n")},
		{Name: "header only", Message: crlf(strings.TrimSuffix(header("Nothing more", ""), "\n"))},
		{Name: "header and blank line", Message: crlf(header("Nothing after it", ""))},
		{Name: "raw 8-bit header", Message: crlf("From: J\xf6rg <joerg@example.net>\nSubject: Gr\xfc\xdfe\n\nKein encoded-word.\n")},
		{Name: "utf-8 header", Message: crlf("From: Jörg <jörg@bücher.example>\nTo: 用户@例子.example\nSubject: Grüße 你好\n" +
			"Message-ID: <grüße@bücher.example>\n\nRFC 6532.\n")},
		{Name: "from line first", Message: crlf("From ada@example.net Thu Oct  1 08:15:00 2026\n" + header("Mbox", "") + "Body.\n")},
		{Name: "from lines in body", Message: crlf(header("From lines", "") + "From here on\n\nFrom there\n>From quoted\n>>From twice\n")},
		{Name: "existing marks", Message: crlf("Return-Path: <ada@example.net>\nX-Original-To: bob@example.org\n" +
			"Delivered-To: bob@example.org\nStatus: RO\nX-Status: AF\nX-UIDL: 0001abcd\nX-UID: 17\nX-Keywords: old\n" +
			"Content-Length: 3\nLines: 1\n" + header("Marked before", "") + "Not three octets.\n")},
		{Name: "doubled fields", Message: crlf("Subject: one\nSubject: two\nMessage-ID: <1@example.net>\nMessage-ID: <2@example.net>\n" +
			"Date: yesterday\nFrom: a@example.net\nFrom: b@example.net\n\nWhich one?\n")},
		{Name: "200 kB header line", Message: crlf("X-Long: " + strings.Repeat("0123456789", 20000) + "\n" + header("Long line", "") + "Body.\n")},
		{Name: "many header lines", Message: crlf(strings.Repeat("X-Spam-Report: * 0.0 a rule was tried\n", 3000) + header("Many", "") + "Body.\n")},
		{Name: "folded everywhere", Message: crlf("Subject:\n \n\tfolded\n  again\nFrom:\n a@example.net\n (comment\n in lines)\nX-Empty:\n\nBody.\n")},
		{Name: "blanks in names", Message: crlf("Subject : blank before the colon\nNo colon here\nFrom: a@example.net\n\nBody.\n")},
		{Name: "controls in subject", Message: crlf("Subject: \x1b]0;title\x07\x1b[31mred\x08\x7f\nFrom: a@example.net\n\n\x1b[2JGone?\n")},
		{Name: "shell in fields", Message: crlf("Subject: $(touch /tmp/x); `id` | %s %n ' \"\nMessage-ID: <../../../../etc/passwd>\n" +
			"From: -oQ/tmp@example.net\n\n$(reboot)\n")},
		{Name: "no message-id", Message: crlf("From: a@example.net\n\nThe second of two that differ only here: 2\n")},
		{Name: "bare LF header", Message: []byte("Subject: bare\nFrom: a@example.net\n\nLF all over.\n.\nnot the end\n")},
		{Name: "dot first", Message: crlf(".Subject: a dot is the first octet\nFrom: a@example.net\n\nBody.\n")},
		{Name: "dot line first", Message: crlf(".\n+OK not a reply\nFrom: a@example.net\n\nBody.\n")},
	}
}

// oddBodies returns mail with unusual line ends, dots and lengths in the body.
func oddBodies() []Sample {
	long := strings.Repeat("No line end for a megabyte. ", 1<<20/28+1)
	return []Sample{
		{Name: "dot lines", Message: crlf(header("Dots", "") + ".\n..\n...\n.a\n..a\n. \n.\t\n\n.\n")},
		{Name: "dot last", Message: crlf(header("Dot last", "") + "the last line is one dot\n.\n")},
		{Name: "replies in body", Message: crlf(header("Replies", "") + ".\n+OK\n-ERR\n+OK 3 messages\n.\nQUIT\nDELE 1\n")},
		{Name: "no final newline", Message: crlf(header("Unfinished", "") + "this line does not end")},
		{Name: "final dot without newline", Message: crlf(header("Unfinished dot", "") + "and then\n.")},
		{Name: "blank lines at the end", Message: crlf(header("Blank lines", "") + "text\n\n\n\n\n")},
		{Name: "trailing blanks", Message: crlf(header("Blanks", "") + "two blanks  \ntab\t\n \n\t\n")},
		{Name: "1 MB line", Message: crlf(header("Long line", "") + long + "\nshort\n")},
		{Name: "1 MB line of dots", Message: crlf(header("Dots in a row", "") + strings.Repeat(".", 1<<20) + "\n.\n")},
		{Name: "many short lines", Message: crlf(header("Short lines", "") + strings.Repeat("\n.\n", 20000))},
		{Name: "bare LF", Message: append(crlf(header("Bare LF", "")), "one\ntwo\n.\nthree\r\n"...)},
		{Name: "bare CR", Message: append(crlf(header("Bare CR", "")), "one\rtwo\r.\rthree\rfour\r\n"...)},
		{Name: "CR CR LF", Message: append(crlf(header("CR CR LF", "")), "one\r\r\ntwo\r\r\n.\r\r\n"...)},
		{Name: "NUL", Message: append(crlf(header("NUL", "")), "before\x00after\r\n\x00\r\n.\x00\r\n"...)},
		{Name: "every octet", Message: append(append(crlf(header("Every octet", "")), everyOctet()...), "\r\n"...)},
	}
}

// everyOctet returns each octet once, in order. So CR and LF are both bare.
func everyOctet() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}
