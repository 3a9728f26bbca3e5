package poptest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Message is a message in a maildrop. If Write is set, it writes the message. Otherwise the message
// is Content.
type Message struct {
	UniqueID string
	Content  []byte

	// Write writes the message, so that it need not be in memory. Each call must write the same
	// octets. It may be called from several goroutines. Octets is the number of octets. LIST
	// announces it.
	Write  func(w io.Writer) error
	Octets int64

	// Listed replaces the size that LIST returns, unless it is empty. It need not be a number.
	Listed string
}

// Numbered makes n small messages of about the given octets each, but at least their header. Their
// unique-ids are id-1 to id-n. The message-number is in Subject and Message-ID. The contents are
// made when they are sent, so they need no memory.
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

// bodyOctets returns how many octets writeBody writes if asked for n. A body of one octet is not
// possible, because it ends with CRLF.
func bodyOctets(n int64) int64 {
	if n > 0 && n < 2 {
		return 2
	}
	return n
}

// writeBody writes n octets of lines. It shortens the last line to fit.
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

// octets returns the size of the message as a client receives it.
func (m *Message) octets() int64 {
	if m.Write != nil {
		return m.Octets
	}
	return int64(len(Wire(m.Content)))
}

// Wire returns content as a client receives it from RETR. If the last line has no CRLF, Wire adds
// it. Nothing else changes.
func Wire(content []byte) []byte {
	if len(content) == 0 || bytes.HasSuffix(content, []byte("\r\n")) {
		return content
	}
	return append(bytes.Clone(content), "\r\n"...)
}

// Stuff returns content as the body of a multi-line reply. This includes the final CRLF and the
// terminating line (RFC 1939 section 3).
func Stuff(content []byte) []byte {
	var body bytes.Buffer
	d := &dotWriter{w: &body}
	_, _ = d.Write(content) // Writing to a bytes.Buffer cannot fail.
	_ = d.Close()
	return body.Bytes()
}

// dotWriter byte-stuffs everything that is written to it. Close writes the terminating line. Only
// CRLF ends a line, so a dot after a bare LF is not stuffed.
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

// errTopDone ends the writing of a message when TOP has all its lines.
var errTopDone = errors.New("the lines that TOP wants are written")

// topWriter passes on the header, the blank line and the given number of body lines. Then it
// returns errTopDone.
type topWriter struct {
	w         io.Writer
	lines     int64 // lines of the body still to write
	body      bool
	blankLine bool // in the header: only CRs since the last LF
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
