package content

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Digest identifies a message by its header. The zero Digest means unknown.
type Digest = [16]byte

const (
	// digestVersion is hashed first. After a change of the rules below, old and new digests then
	// never match.
	digestVersion = 1
	// maxHeader limits how much of a header is read, in octets.
	maxHeader = 1 << 20
)

// identifying has the header fields that differ between messages and that servers do not change.
var identifying = [...]string{"message-id", "date", "from", "to", "subject"}

// changing has the header fields that servers add or rewrite.
var changing = [...]string{"x-uidl", "status", "x-status", "x-imapbase"}

// Header collects the header of a message that is written to it. It ignores everything after the
// first blank line. Line ends may be CRLF, as from the server, or LF, as in a file. It keeps at
// most 1 MiB. It is reused for one message after the other.
type Header struct {
	octets []byte
	line   int // where the last line begins, which has no end yet
	whole  bool

	fields []field // fields and text are scratch memory of the methods, kept for reuse
	text   []byte
}

// Reset prepares h for the next message.
func (h *Header) Reset() {
	h.octets, h.line, h.whole = h.octets[:0], 0, false
}

// Whole reports whether the header has ended, so that further octets change nothing.
func (h *Header) Whole() bool { return h.whole }

// Write takes the next octets of the message. It never fails.
func (h *Header) Write(p []byte) (int, error) {
	n := len(p)
	for !h.whole && len(p) > 0 {
		chunk := p
		end := bytes.IndexByte(p, '\n')
		if end >= 0 {
			chunk = p[:end+1]
		}
		p = p[len(chunk):]
		h.octets = appendWithoutCR(h.octets, chunk) // CRLF and LF give the same digest
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

// Digest returns a digest of the identifying fields. It takes the first field of each name,
// unfolded and with its spaces squeezed. If the header has none of them, it takes the whole header
// without the fields that servers change.
func (h *Header) Digest() Digest {
	h.fields = appendFields(h.fields[:0], h.octets)
	h.text = append(h.text[:0], digestVersion)
	identified := false
	for _, name := range identifying {
		for _, f := range h.fields {
			if f.is(name) {
				identified = true
				h.text = appendSqueezed(h.text, f.value())
				break
			}
		}
		h.text = append(h.text, '\n')
	}
	if !identified {
		return Digest(h.Sum()[:len(Digest{})])
	}
	sum := sha256.Sum256(h.text)
	return Digest(sum[:len(Digest{})])
}

// Sum returns SHA-256 over the whole header without the fields that servers change. Spaces are
// squeezed.
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

// Value returns the value of the first field of that name, on one line. The result ok reports
// whether there is one.
func (h *Header) Value(name string) (value string, ok bool) {
	h.fields = appendFields(h.fields[:0], h.octets)
	for _, f := range h.fields {
		if f.is(name) {
			return string(appendSqueezed(nil, f.value())), true
		}
	}
	return "", false
}

// Cut returns the beginning of a text, at most so many octets of it. It does not cut a character of
// UTF-8 in two.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most
	for end > 0 && end > most-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// field is one header field: its name, its value, its continuation lines and its line ends.
type field []byte

func (f field) is(name string) bool {
	// The comparison of the first letter is cheap and rules out most fields.
	return len(f) > len(name) && f[0]|0x20 == name[0] && f.named(name)
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

// appendFields cuts a header at each line that does not begin with a space or tab.
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

// appendSqueezed appends p with each run of spaces, tabs and line ends replaced by one space. It
// leaves out those at both ends.
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

// UniqueID returns a unique-id made from the header, for a server that has none (C0037). It begins
// with a space, so it never equals a server's (C0039).
func (h *Header) UniqueID() string {
	return " header:" + base64.RawURLEncoding.EncodeToString(h.Sum())
}
