package content

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func digestOf(t *testing.T, message string) Digest {
	t.Helper()
	var h Header
	if _, err := io.Copy(&h, strings.NewReader(message)); err != nil {
		t.Fatal(err)
	}
	return h.Digest()
}

const sample = "Return-Path: <a@example.org>\r\nMessage-ID: <1@example.org>\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n" +
	"From: A <a@example.org>\r\nTo: b@example.org,\r\n c@example.org\r\nSubject: hello\r\n\r\nbody\r\n"

func TestDigest(t *testing.T) {
	swap := func(old, new string) string { return strings.Replace(sample, old, new, 1) }
	for _, test := range []struct {
		name string
		a, b string
		same bool
	}{
		{"line ends of a file", sample, strings.ReplaceAll(sample, "\r\n", "\n"), true},
		{"another body", sample, swap("body", "BODY"), true},
		{"header alone, as from TOP", sample, swap("body\r\n", ""), true},
		{"no blank line", sample, swap("\r\nbody\r\n", ""), true},
		{"folded elsewhere", sample, swap(",\r\n c@", ", c@"), true},
		{"more blanks", sample, swap("Subject: hello", "Subject:   hello  "), true},
		{"another case of the name", sample, swap("Message-ID", "message-id"), true},
		{"a server's field", sample, "X-UIDL: 1\r\nStatus: RO\r\n" + sample, true},
		{"a second Subject", sample, swap("\r\n\r\n", "\r\nSubject: other\r\n\r\n"), true},
		{"another Message-ID", sample, swap("<1@", "<2@"), false},
		{"another Date", sample, swap("10:00:00", "10:00:01"), false},
		{"no Subject", sample, swap("Subject: hello\r\n", ""), false},
		{"Subject moved to To", "To: x\r\n\r\n", "Subject: x\r\n\r\n", false},
		{"none of the fields", "X-A: 1\r\n\r\n", "X-A: 2\r\n\r\n", false},
		{"none of the fields, a server's field", "X-A: 1\r\n\r\n", "X-UIDL: 9\r\nX-A: 1\r\nX-Status: \r\n\r\n", true},
		{"none of the fields, line ends", "X-A: 1\r\nX-B: 2\r\n\r\n", "X-A: 1\nX-B: 2\n\n", true},
		{"CR CR LF becomes CR LF in a file", "Subject: a\r\r\nTo: b\r\n\r\nx", "Subject: a\r\nTo: b\n\nx", true},
		{"a line of one CR", "Subject: a\r\n\r\r\nTo: b\r\n", "Subject: a\n\r\nTo: b\n", true},
		{"empty, and blank line", "", "\r\n", true},
		{"no header, and text", "\r\nabc\r\n", "\r\ndef\r\n", true},
		{"8-bit", "Subject: \xe9\r\n\r\n", "Subject: \xe8\r\n\r\n", false},
		{"NUL", "Subject: a\x00b\r\n\r\n", "Subject: ab\r\n\r\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := digestOf(t, test.a) == digestOf(t, test.b); got != test.same {
				t.Errorf("digests equal = %v, want %v", got, test.same)
			}
		})
	}
}

func TestDigestSplitWrites(t *testing.T) {
	want := digestOf(t, sample)
	var h Header
	if _, err := io.Copy(&h, iotest.OneByteReader(strings.NewReader(sample))); err != nil {
		t.Fatal(err)
	}
	if got := h.Digest(); got != want {
		t.Errorf("digest octet by octet = %x, want %x", got, want)
	}
	h.Reset()
	if _, err := io.WriteString(&h, sample); err != nil {
		t.Fatal(err)
	}
	if got := h.Digest(); got != want {
		t.Errorf("digest after reset = %x, want %x", got, want)
	}
}

// A header without an end must not fill the memory.
func TestDigestBounded(t *testing.T) {
	var h Header
	line := strings.Repeat("x", 1<<16) + "\r\n"
	for range 64 {
		if _, err := io.WriteString(&h, line); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.octets) > maxHeader {
		t.Errorf("%d octets are kept, want at most %d", len(h.octets), maxHeader)
	}
}

// An overlong header has one digest, for all line ends and however its octets arrive.
func TestDigest_overlong(t *testing.T) {
	content := strings.Repeat("yyyy\r\n", maxHeader/4)
	sum := func(content string, size int) Digest {
		var h Header
		for len(content) > 0 {
			n := min(size, len(content))
			_, _ = io.WriteString(&h, content[:n])
			content = content[n:]
		}
		return h.Digest()
	}
	want := sum(content, 64<<10)
	if got := sum(content, 1460); got != want {
		t.Errorf("digest in small pieces = %x, want %x", got, want)
	}
	if got := sum(strings.ReplaceAll(content, "\r\n", "\n"), 64<<10); got != want {
		t.Errorf("digest of the file = %x, want %x", got, want)
	}
}

// TestHeader_ArrivedAfter: a message that may be older does not count as younger.
func TestHeader_ArrivedAfter(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name, header string
		want         bool
	}{
		{"nothing tells", "Subject: x\r\n", false},
		{"an old date", "Date: Thu, 19 Nov 2026 12:00:00 +0000\r\n", false},
		{"a new date", "Date: Fri, 20 Nov 2026 12:00:01 +0000\r\n", true},
		{"unreadable", "Date: tomorrow\r\n", false},
		{"the topmost counts", "Received: from a by b; Fri, 20 Nov 2026 13:00:00 +0000\r\n" +
			"Received: from c by a; Thu, 19 Nov 2026 12:00:00 +0000\r\n", true},
		{"received long ago", "Received: from a by b; Thu, 19 Nov 2026 12:00:00 +0000\r\n" +
			"Date: Fri, 20 Nov 2099 13:00:00 +0000\r\n", false},
		{"received without a date", "Received: from a by b\r\n" +
			"Date: Fri, 20 Nov 2026 13:00:00 +0000\r\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var h Header
			_, _ = h.Write([]byte(test.header + "\r\n")) // it never fails
			if got := h.ArrivedAfter(at); got != test.want {
				t.Errorf("ArrivedAfter() = %v, want %v of %q", got, test.want, test.header)
			}
		})
	}
}

// TestHeader_ArrivedBefore: a message that may be newer does not count as older (initial).
func TestHeader_ArrivedBefore(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name, header string
		want         bool
	}{
		{"nothing tells", "Subject: x\r\n", false},
		{"an old date", "Date: Thu, 19 Nov 2026 12:00:00 +0000\r\n", true},
		{"with a comment", "Date: Thu, 19 Nov 2026 12:00:00 +0000 (UTC)\r\n", true},
		{"without a day of the week", "Date: 19 Nov 2026 12:00 +0000\r\n", true},
		{"a new date", "Date: Fri, 20 Nov 2026 12:00:00 +0000\r\n", false},
		{"new by its zone", "Date: Fri, 20 Nov 2026 09:00:00 -0400\r\n", false},
		{"old by its zone", "Date: Fri, 20 Nov 2026 13:00:00 +0400\r\n", true},
		{"the name of a zone may mean anything", "Date: Fri, 20 Nov 2026 09:00:00 EST\r\n", false},
		{"GMT is known", "Date: Fri, 20 Nov 2026 09:00:00 GMT\r\n", true},
		{"from the future", "Date: Fri, 20 Nov 2099 12:00:00 +0000\r\n", false},
		{"unreadable", "Date: yesterday\r\n", false},
		{"empty", "Date:\r\n", false},
		{"of a clock that was never set", "Date: Thu, 01 Jan 1970 00:00:10 +0000\r\n", false},
		{"received long ago", "Received: from a by b; Thu, 19 Nov 2026 12:00:00 +0000\r\n", true},
		{"the topmost counts", "Received: from a by b;\r\n Fri, 20 Nov 2026 13:00:00 +0000\r\nReceived: from c by a; Thu, 19 Nov 2026 12:00:00 +0000\r\n", false},
		{"folded, with semicolons", "Received: from a (x; y)\r\n\tby b (z); Thu, 19 Nov 2026\r\n\t12:00:00 +0000\r\n", true},
		{"received without a date", "Received: from a by b\r\nDate: Thu, 19 Nov 2026 12:00:00 +0000\r\n", false},
		{"written long ago, received now", "Received: from a by b; Fri, 20 Nov 2026 13:00:00 +0000\r\nDate: Thu, 19 Nov 2020 12:00:00 +0000\r\n", false},
		{"received long ago, by its date new", "Received: from a by b; Thu, 19 Nov 2026 12:00:00 +0000\r\nDate: Fri, 20 Nov 2026 13:00:00 +0000\r\n", false},
		{"received long ago, its date unreadable", "Received: from a by b; Thu, 19 Nov 2026 12:00:00 +0000\r\nDate: x\r\n", false},
		{"both long ago", "Received: from a by b; Thu, 19 Nov 2026 12:00:00 +0000\r\nDate: Wed, 18 Nov 2026 12:00:00 +0000\r\n", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var h Header
			_, _ = h.Write([]byte(test.header + "\r\n")) // it never fails
			if got := h.ArrivedBefore(at); got != test.want {
				t.Errorf("ArrivedBefore() = %v, want %v of %q", got, test.want, test.header)
			}
		})
	}
}

// The unique-id from a header is the same for all forms in which servers send that header. It
// differs if any other field differs.
func TestHeader_UniqueID(t *testing.T) {
	id := func(text string) string {
		var h Header
		_, _ = h.Write([]byte(text)) // it never fails
		return h.UniqueID()
	}
	want := id("Received: by a\r\nSubject: x\r\n y\r\n\r\nbody")
	for _, same := range []string{
		"Received: by a\nSubject: x\n y\n\n", "Received: by a\r\nSubject:  x  y \r\n", "Status: RO\r\nReceived: by a\r\nX-UIDL: 1\r\nSubject: x y\r\n\r\nother",
	} {
		if got := id(same); got != want {
			t.Errorf("UniqueID() of %q = %q, want %q", same, got, want)
		}
	}
	for _, other := range []string{"Received: by b\r\nSubject: x\r\n y\r\n\r\n", "Subject: x\r\n y\r\nReceived: by a\r\n\r\n", "Received: by a\r\nSubject: xy\r\n\r\n", ""} {
		if got := id(other); got == want {
			t.Errorf("UniqueID() of %q is that of another header", other)
		}
	}
	if len(want) > 70 || strings.ContainsAny(want[1:], " \t\r\n\x00") || want[0] != ' ' {
		t.Errorf("UniqueID() = %q, want one word behind a blank", want)
	}
}
