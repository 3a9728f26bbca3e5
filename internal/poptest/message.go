package poptest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Message is a message in a maildrop. Its octets are Content, or what Write writes where Write is set.
type Message struct {
	UniqueID string
	Content  []byte

	// Write writes the message, the same octets each time it is called, so that a message need not lie in memory; it may be
	// called from several goroutines. Octets is how many that are; LIST announces it.
	Write  func(w io.Writer) error
	Octets int64

	// Listed, if not empty, is what LIST says instead of the octets; it need not be a number.
	Listed string
}

// Numbered makes n small messages of about the given octets each (at least their header), with the unique-ids id-1 to id-n.
// They hold no memory but their descriptions. The message-number is in Subject and Message-ID.
func Numbered(n int, octets int64) []Message {
	messages := make([]Message, n)
	for i := range messages {
		header := fmt.Sprintf("Message-ID: <%d@example.org>\r\nDate: Thu, 1 Oct 2026 12:00:00 +0000\r\n"+
			"From: a@example.org\r\nTo: b@example.org\r\nSubject: message %d\r\n\r\n", i+1, i+1)
		body := max(0, octets-int64(len(header)))
		messages[i] = Message{
			UniqueID: fmt.Sprintf("id-%d", i+1),
			Octets:   int64(len(header)) + bodyOctets(body),
			Write: func(w io.Writer) error {
				if _, err := io.WriteString(w, header); err != nil {
					return err
				}
				return writeBody(w, body)
			},
		}
	}
	return messages
}

const bodyLine = "All work and no play makes a dull maildrop, so this line is sent again.\r\n"

// bodyOctets is what writeBody writes when asked for n: no part of a CRLF alone.
func bodyOctets(n int64) int64 {
	if n > 0 && n < 2 {
		return 2
	}
	return n
}

// writeBody writes n octets of lines; the last is shortened to fit.
func writeBody(w io.Writer, n int64) error {
	n = bodyOctets(n)
	block := []byte(strings.Repeat(bodyLine, 400))
	for n > int64(len(block))+int64(len(bodyLine)) {
		if _, err := w.Write(block); err != nil {
			return err
		}
		n -= int64(len(block))
	}
	if n == 0 {
		return nil
	}
	tail := bytes.Repeat([]byte(bodyLine), int(n)/len(bodyLine)+1)[:n]
	copy(tail[n-2:], "\r\n")
	if n > 2 && tail[n-3] == '\r' {
		tail[n-3] = '.'
	}
	_, err := w.Write(tail)
	return err
}

// write writes the message's octets.
func (m *Message) write(w io.Writer) error {
	if m.Write != nil {
		return m.Write(w)
	}
	_, err := w.Write(m.Content)
	return err
}

// octets is the size of the message as a client gets it.
func (m *Message) octets() int64 {
	if m.Write != nil {
		return m.Octets
	}
	return int64(len(Wire(m.Content)))
}

// Wire returns content as a client gets it from RETR: a last line without CRLF has one. Nothing else changes.
func Wire(content []byte) []byte {
	if len(content) == 0 || bytes.HasSuffix(content, []byte("\r\n")) {
		return content
	}
	return append(bytes.Clone(content), "\r\n"...)
}

// Stuff returns content as the body of a multi-line reply, the final CRLF and the terminating line included
// (RFC 1939 section 3).
func Stuff(content []byte) []byte {
	var body bytes.Buffer
	d := &dotWriter{w: &body}
	_, _ = d.Write(content) // A bytes.Buffer takes everything.
	_ = d.Close()
	return body.Bytes()
}

// dotWriter byte-stuffs what is written to it; Close writes the terminating line. A line begins after CRLF only: a dot
// after a bare LF is content like any other.
type dotWriter struct {
	w      io.Writer
	inLine bool // something was written since the last CRLF
	cr     bool // the last octet was CR
}

func (d *dotWriter) Write(p []byte) (int, error) {
	from := 0
	for i, octet := range p {
		if octet == '.' && !d.inLine {
			if _, err := d.w.Write(p[from:i]); err != nil {
				return from, err
			}
			if _, err := d.w.Write([]byte{'.'}); err != nil {
				return i, err
			}
			from = i
		}
		d.inLine = octet != '\n' || !d.cr
		d.cr = octet == '\r'
	}
	if _, err := d.w.Write(p[from:]); err != nil {
		return from, err
	}
	return len(p), nil
}

func (d *dotWriter) Close() error {
	end := ".\r\n"
	if d.inLine {
		end = "\r\n.\r\n"
	}
	_, err := io.WriteString(d.w, end)
	return err
}

// errTopDone ends the writing of a message of which TOP wants no more.
var errTopDone = errors.New("the lines that TOP wants are written")

// topWriter lets the header, the blank line and the given number of body lines through, and then returns errTopDone.
type topWriter struct {
	w         io.Writer
	lines     int64 // of the body, still to come
	body      bool
	blankLine bool // nothing but a CR since the last LF, in the header
}

func (t *topWriter) Write(p []byte) (int, error) {
	for i, octet := range p {
		if t.body && t.lines == 0 {
			if _, err := t.w.Write(p[:i]); err != nil {
				return 0, err
			}
			return i, errTopDone
		}
		switch {
		case octet == '\n' && t.body:
			t.lines--
		case octet == '\n':
			t.body, t.blankLine = t.blankLine, true
		case octet != '\r':
			t.blankLine = false
		}
	}
	return t.w.Write(p)
}
