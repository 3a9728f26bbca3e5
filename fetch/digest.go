package fetch

import (
	"bytes"
	"crypto/sha256"

	"github.com/popfetch/popfetch/seen"
)

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

// header collects the header of a message that is written to it, up to the first blank line, and ignores the rest.
// The line ends may be those of the wire or those of a file. It is used for one message after the other.
type header struct {
	octets []byte
	line   int // where the last, unfinished line begins
	whole  bool
}

func (h *header) reset() {
	h.octets, h.line, h.whole = h.octets[:0], 0, false
}

// Write takes the next octets of the message; it never fails.
func (h *header) Write(p []byte) (int, error) {
	n := len(p)
	for !h.whole && len(p) > 0 {
		chunk := p
		end := bytes.IndexByte(p, '\n')
		if end >= 0 {
			chunk = p[:end+1]
		}
		p = p[len(chunk):]
		chunk = bytes.ReplaceAll(chunk, []byte("\r"), nil) // the wire's line ends count as the file's
		if room := maxHeader - len(h.octets); len(chunk) > room {
			h.octets, h.whole = append(h.octets, chunk[:room]...), true
			break
		}
		h.octets = append(h.octets, chunk...)
		if end >= 0 {
			if len(bytes.TrimRight(h.octets[h.line:], "\r\n")) == 0 {
				h.octets, h.whole = h.octets[:h.line], true
			}
			h.line = len(h.octets)
		}
	}
	return n, nil
}

// digest identifies the message by its header: the first occurrence of each identifying field, unfolded, its blanks
// squeezed; where there is none of them, the whole header without the fields that servers change.
func (h *header) digest() seen.Digest {
	fields := splitFields(h.octets)
	hash := sha256.New()
	hash.Write([]byte{digestVersion})
	any := false
	for _, name := range identifying {
		for _, f := range fields {
			if f.is(name) {
				any = true
				hash.Write(squeeze(f.value()))
				break
			}
		}
		hash.Write([]byte{'\n'})
	}
	if !any {
		hash.Reset()
		hash.Write([]byte{digestVersion})
		for _, f := range fields {
			if !f.changes() {
				hash.Write(squeeze(f))
				hash.Write([]byte{'\n'})
			}
		}
	}
	return seen.Digest(hash.Sum(nil)[:len(seen.Digest{})])
}

// field is one header field with its name, its continuation lines and its line ends.
type field []byte

func (f field) is(name string) bool {
	colon := bytes.IndexByte(f, ':')
	return colon >= 0 && bytes.EqualFold(bytes.TrimRight(f[:colon], " \t"), []byte(name))
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

// splitFields cuts a header at each line that does not begin with a blank.
func splitFields(header []byte) []field {
	var fields []field
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

// squeeze makes each run of blanks and line ends one space and takes them away at both ends.
func squeeze(p []byte) []byte {
	out := make([]byte, 0, len(p))
	for _, c := range p {
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			if len(out) > 0 && out[len(out)-1] != ' ' {
				out = append(out, ' ')
			}
			continue
		}
		out = append(out, c)
	}
	return bytes.TrimRight(out, " ")
}
