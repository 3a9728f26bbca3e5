package content

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// Digest identifies a message by its header; the zero Digest is unknown.
type Digest = [16]byte

const (
	// digestVersion is hashed first, so that a change of the rules below never makes two messages look alike.
	digestVersion = 1
	// maxHeader bounds what of a header is looked at, in octets.
	maxHeader = 1 << 20
)

// identifying are the header fields that tell one message from another and that servers leave alone.
var identifying = [...]string{"message-id", "date", "from", "to", "subject"}

// changing are the header fields that servers add or rewrite.
var changing = [...]string{"x-uidl", "status", "x-status", "x-imapbase"}

// Header collects the header of a message that is written to it, and ignores what follows the first
// blank line. The line ends may be those of the wire (CRLF) or those of a file (LF). At most 1 MiB is
// kept. It is used for one message after the other.
type Header struct {
	octets []byte
	line   int // where the last, unfinished line begins
	whole  bool

	fields []field // of digest, like the next: kept for their memory
	text   []byte
}

// Reset makes h ready for the next message.
func (h *Header) Reset() {
	h.octets, h.line, h.whole = h.octets[:0], 0, false
}

// Write takes the next octets of the message; it never fails.
func (h *Header) Write(p []byte) (int, error) {
	n := len(p)
	for !h.whole && len(p) > 0 {
		chunk := p
		end := bytes.IndexByte(p, '\n')
		if end >= 0 {
			chunk = p[:end+1]
		}
		p = p[len(chunk):]
		h.octets = appendWithoutCR(h.octets, chunk) // the wire's line ends count as the file's
		if len(h.octets) > maxHeader {
			h.octets, h.whole = h.octets[:maxHeader], true
			break
		}
		if end >= 0 {
			if len(bytes.TrimRight(h.octets[h.line:], "\r\n")) == 0 {
				h.octets, h.whole = h.octets[:h.line], true
			}
			h.line = len(h.octets)
		}
	}
	return n, nil
}

// Digest identifies the message by its header: the first occurrence of each identifying field, unfolded, its blanks
// squeezed; where there is none of them, the whole header without the fields that servers change.
func (h *Header) Digest() Digest {
	h.fields = appendFields(h.fields[:0], h.octets)
	h.text = append(h.text[:0], digestVersion)
	found := false
	for _, name := range identifying {
		for _, f := range h.fields {
			if f.is(name) {
				found = true
				h.text = appendSqueezed(h.text, f.value())
				break
			}
		}
		h.text = append(h.text, '\n')
	}
	if !found {
		return Digest(h.Sum()[:len(Digest{})])
	}
	sum := sha256.Sum256(h.text)
	return Digest(sum[:len(Digest{})])
}

// Sum is SHA-256 over the whole header, its blanks squeezed, without the fields that servers change.
func (h *Header) Sum() []byte {
	h.fields = appendFields(h.fields[:0], h.octets)
	h.text = append(h.text[:0], digestVersion)
	for _, f := range h.fields {
		if !f.changes() {
			h.text = append(appendSqueezed(h.text, f), '\n')
		}
	}
	sum := sha256.Sum256(h.text)
	return sum[:]
}

// Value returns what the first field of that name holds, on one line, and whether there is one.
func (h *Header) Value(name string) (value string, ok bool) {
	h.fields = appendFields(h.fields[:0], h.octets)
	for _, f := range h.fields {
		if f.is(name) {
			return string(appendSqueezed(nil, f.value())), true
		}
	}
	return "", false
}

// field is one header field with its name, its continuation lines and its line ends.
type field []byte

func (f field) is(name string) bool {
	return len(f) > len(name) && f[0]|0x20 == name[0] && f.named(name) // hardly any passes the look at its first letter
}

func (f field) named(name string) bool {
	colon := bytes.IndexByte(f, ':')
	return colon >= 0 && strings.EqualFold(string(bytes.TrimRight(f[:colon], " \t")), name)
}

func (f field) value() []byte { return f[bytes.IndexByte(f, ':')+1:] }

func (f field) changes() bool {
	for _, name := range changing {
		if f.is(name) {
			return true
		}
	}
	return false
}

// appendFields cuts a header at each line that does not begin with a blank.
func appendFields(fields []field, header []byte) []field {
	begin := 0
	for at := 0; at < len(header); {
		next := len(header)
		if end := bytes.IndexByte(header[at:], '\n'); end >= 0 {
			next = at + end + 1
		}
		if at > begin && header[at] != ' ' && header[at] != '\t' {
			fields = append(fields, field(header[begin:at]))
			begin = at
		}
		at = next
	}
	if begin < len(header) {
		fields = append(fields, field(header[begin:]))
	}
	return fields
}

// appendSqueezed appends p with each run of blanks and line ends made one space, and none at both ends.
func appendSqueezed(text, p []byte) []byte {
	begin := len(text)
	for _, c := range p {
		switch {
		case c != ' ' && c != '\t' && c != '\r' && c != '\n':
			text = append(text, c)
		case len(text) > begin && text[len(text)-1] != ' ':
			text = append(text, ' ')
		}
	}
	if len(text) > begin && text[len(text)-1] == ' ' {
		text = text[:len(text)-1]
	}
	return text
}

func appendWithoutCR(text, p []byte) []byte {
	for {
		cr := bytes.IndexByte(p, '\r')
		if cr < 0 {
			return append(text, p...)
		}
		text = append(text, p[:cr]...)
		p = p[cr+1:]
	}
}

// UniqueID makes a unique-id of the header, for a server that has none (C0037). It begins with a
// blank, as no server's does (C0039).
func (h *Header) UniqueID() string {
	return " header:" + base64.RawURLEncoding.EncodeToString(h.Sum())
}
