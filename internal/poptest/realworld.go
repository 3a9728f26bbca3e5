package poptest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
)

// Sample is a message of [RealWorld].
type Sample struct {
	Name string
	// Message is the content before dots are stuffed. Lines end in CRLF, except in samples that are
	// about line ends.
	Message []byte
	// Dovecot reports whether Dovecot serves the message from a Maildir without a change. Only a
	// last line without CRLF gets one, as with [Wire]. Dovecot 2.3 changes other messages like
	// this:
	//
	//  - An empty message becomes CRLF.
	//  - A bare LF becomes CRLF, and CR CR LF becomes CRLF, because a Maildir has LF.
	//  - A dot that is the first octet is not stuffed, so the client gets out of step.
	Dovecot bool
}

// RealWorld returns messages such as mailboxes contain, usual and odd ones. All are made up. The
// slices belong to the caller.
func RealWorld() []Sample {
	var all []Sample
	for _, group := range [][]Sample{ordinary(), multipart(), oddHeaders(), oddBodies()} {
		all = append(all, group...)
	}
	for i, s := range all {
		all[i].Dovecot = servedByDovecot(s.Message)
	}
	return all
}

// servedByDovecot computes [Sample.Dovecot]. TestRealWorld_dovecot compares it with a real Dovecot.
func servedByDovecot(message []byte) bool {
	changed := len(message) == 0 || message[0] == '.' || bytes.Contains(message, []byte("\r\r\n"))
	return !changed && bytes.Equal(toCRLF(message), message)
}

// crlf makes a message from text with LF.
func crlf(text string) []byte { return []byte(strings.ReplaceAll(text, "\n", "\r\n")) }

// header returns a usual header with this subject. It inserts the lines of more and ends with the
// blank line.
func header(subject, more string) string {
	return fmt.Sprintf(`Received: from relay.example.net (relay.example.net [192.0.2.7])
	by mx.example.org with ESMTPS id 4Xk2; Thu, 1 Oct 2026 08:15:01 +0200
Message-ID: <%s@mail.example.net>
Date: Thu, 1 Oct 2026 08:15:00 +0200
From: Ada Tester <ada@example.net>
To: bob@example.org
Subject: %s
%s
`, strings.ReplaceAll(strings.ToLower(subject), " ", "."), subject, more)
}

// wrap64 returns base64 in lines of 76 octets.
func wrap64(octets []byte) string {
	encoded := base64.StdEncoding.EncodeToString(octets)
	var b strings.Builder
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\n")
		encoded = encoded[76:]
	}
	return b.String() + encoded + "\n"
}

// noise returns n octets without a pattern. They are the same for each call.
func noise(n int) []byte {
	octets := make([]byte, n)
	state := uint32(2463534242)
	for i := range octets {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		octets[i] = byte(state)
	}
	return octets
}

// ordinary returns usual mail.
func ordinary() []Sample {
	return []Sample{
		{Name: "plain", Message: crlf(header("Lunch on Friday", "") + "Hello Bob,\n\nshall we meet at noon?\n\nAda\n")},
		{Name: "signature", Message: crlf(header("Re lunch", "In-Reply-To: <lunch@example.org>\n") +
			"> shall we meet at noon?\n\nYes.\n\n-- \nBob\n+49 30 000000\n")},
		{Name: "quoted-printable", Message: crlf(header("Gruss", "MIME-Version: 1.0\n"+
			"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n") +
			"Sch=F6ne Gr=FC=DFe, und eine lange Zeile, die mit einem weichen Umbruch en=\ndet.=20\n=2E\n.=\n\n")},
		{Name: "base64", Message: crlf(header("Encoded", "MIME-Version: 1.0\n"+
			"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n") +
			wrap64([]byte(strings.Repeat("Grüße aus dem Büro. ", 40))))},
		{Name: "utf-8 body", Message: crlf(header("Coffee", "MIME-Version: 1.0\n"+
			"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n") +
			"Ein Kännchen Kaffee – 4,20 €. 你好。 Привет. 👍\n")},
		{Name: "latin-1 body", Message: crlf(header("Cafe", "MIME-Version: 1.0\n"+
			"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n") +
			"Un caf\xe9 cr\xe8me, s'il vous pla\xeet.\n")},
		{Name: "iso-2022-jp", Message: crlf(header("=?ISO-2022-JP?B?GyRCJDMkcyRLJEEkTxsoQg==?=", "MIME-Version: 1.0\n"+
			"Content-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: 7bit\n") +
			"\x1b$B$3$s$K$A$O\x1b(B\n\x1b$B!#\x1b(B.\n")},
		{Name: "format-flowed", Message: crlf(header("Flowed", "MIME-Version: 1.0\n"+
			"Content-Type: text/plain; charset=us-ascii; format=flowed; delsp=no\n") +
			"This paragraph goes on \nover several \nlines with blanks at their \nends.\n\n From here on it is stuffed.\n-- \nAda\n")},
		{Name: "encoded words", Message: crlf(header("=?utf-8?Q?R=C3=BCckfrage_zur?=\n =?utf-8?B?IFJlY2hudW5n?=", "") + "See subject.\n")},
		{Name: "html only", Message: crlf(header("Offer", "MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n") +
			"<html><head><style>\n.a { color: red }\n.b{}\n</style></head><body><p>Only today!</p></body></html>\n")},
		{Name: "bounce", Message: crlf("Return-Path: <>\n" + header("Undelivered mail", "MIME-Version: 1.0\n"+
			"Auto-Submitted: auto-replied\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"r\"\n") +
			"--r\n\nYour message could not be delivered.\n\n--r\nContent-Type: message/delivery-status\n\n" +
			"Reporting-MTA: dns; mx.example.org\n\nFinal-Recipient: rfc822; nobody@example.org\nAction: failed\nStatus: 5.1.1\n\n" +
			"--r\nContent-Type: text/rfc822-headers\n\nSubject: hello\n\n--r--\n")},
		{Name: "long references", Message: crlf(header("Re a long thread", "References:"+
			strings.Repeat("\n\t<20261001081500.0123456789abcdef@lists.example.net>", 400)+"\n") + "Me too.\n")},
	}
}

// multipart returns mail with several parts.
func multipart() []Sample {
	mixed := "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=_part\"\n"
	alternative := "MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=\"=_part\"\n"
	message := header("Inner", "") + "The message inside.\n.\n"
	return []Sample{
		{Name: "alternative", Message: crlf(header("Newsletter", alternative+"List-Unsubscribe: <https://example.net/u?id=1>\n") +
			"--=_part\nContent-Type: text/plain\n\nNews.\n--=_part\nContent-Type: text/html\n\n<p>News.</p>\n--=_part--\n")},
		{Name: "attachment", Message: crlf(header("Report", mixed) +
			"This is a multi-part message in MIME format.\n\n--=_part\nContent-Type: text/plain\n\nSee the report.\n\n" +
			"--=_part\nContent-Type: application/pdf; name=\"report.pdf\"\nContent-Transfer-Encoding: base64\n" +
			"Content-Disposition: attachment; filename=\"report.pdf\"\n\n" + wrap64(noise(60000)) + "--=_part--\n")},
		{Name: "large attachment", Message: crlf(header("Photos", mixed) +
			"--=_part\nContent-Type: image/jpeg\nContent-Transfer-Encoding: base64\n\n" + wrap64(noise(1500000)) + "--=_part--\n")},
		{Name: "8-bit binary part", Message: append(append(crlf(header("Binary", mixed)+
			"--=_part\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: binary\n\n"),
			inOneLine(noise(5000))...), "\r\n--=_part--\r\n"...)},
		{Name: "message inside", Message: crlf(header("Fwd inner", mixed) +
			"--=_part\nContent-Type: message/rfc822\n\n" + message + "--=_part--\n")},
		{Name: "s/mime", Message: crlf(header("Signed", "MIME-Version: 1.0\nContent-Type: multipart/signed; micalg=sha-256;\n"+
			"\tprotocol=\"application/pkcs7-signature\"; boundary=\"=_part\"\n") +
			"--=_part\nContent-Type: text/plain\n\nSigned text, of which each blank counts.  \n\n--=_part\n" +
			"Content-Type: application/pkcs7-signature; name=smime.p7s\nContent-Transfer-Encoding: base64\n\n" +
			wrap64(noise(3000)) + "\n--=_part--\n")},
		{Name: "pgp", Message: crlf(header("Secret", "") + "-----BEGIN PGP MESSAGE-----\n\n" + wrap64(noise(800)) +
			"=njUN\n-----END PGP MESSAGE-----\n")},
		{Name: "digest", Message: crlf(header("Talk Digest Vol 7 Issue 3", "List-Id: <talk.example.net>\nPrecedence: list\n"+
			"MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=\"=_part\"\n") +
			strings.Repeat("--=_part\n\n"+message+"\n", 12) + "--=_part--\n")},
		{Name: "calendar", Message: crlf(header("Invitation", alternative) + "--=_part\nContent-Type: text/calendar; method=REQUEST\n\n" +
			"BEGIN:VCALENDAR\nVERSION:2.0\nMETHOD:REQUEST\nBEGIN:VEVENT\nUID:1@example.net\nDTSTART:20261002T100000Z\n" +
			"SUMMARY:Meeting\nEND:VEVENT\nEND:VCALENDAR\n--=_part--\n")},
		{Name: "boundary missing at the end", Message: crlf(header("Cut by its sender", mixed) + "--=_part\n\nThe end is missi")},
	}
}

// inOneLine replaces CR, LF and NUL.
func inOneLine(octets []byte) []byte {
	for i, octet := range octets {
		if octet == '\r' || octet == '\n' || octet == 0 {
			octets[i] = 'x'
		}
	}
	return octets
}
