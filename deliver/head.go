package deliver

import (
	"bytes"
	"iter"
)

// mostHead is how many octets of a header are held. What stands behind them is not looked at.
const mostHead = 1 << 20

// headHolder holds the beginning of a message, as it comes from the wire, until its header has
// ended.
type headHolder struct {
	held    []byte
	scanned int // held has no empty line before here
}

// add takes the next octets of a message. When the header is whole, or too long, it returns all
// octets so far. They are valid until p changes.
func (h *headHolder) add(p []byte) (octets []byte, whole bool) {
	if len(h.held) == 0 && endsHead(p, 0) {
		return p, true
	}
	h.held = append(h.held, p...)
	if endsHead(h.held, h.scanned) || len(h.held) >= mostHead {
		return h.held, true
	}
	h.scanned = max(0, len(h.held)-2) // an empty line may have begun
	return nil, false
}

// endsHead reports whether a message has an empty line at or behind an offset. There, a line ends.
func endsHead(octets []byte, from int) bool {
	if isEmptyLine(octets) {
		return true
	}
	for from < len(octets) {
		n := bytes.IndexByte(octets[from:], '\n')
		if n < 0 {
			return false
		}
		from += n + 1
		if isEmptyLine(octets[from:]) {
			return true
		}
	}
	return false
}

// isEmptyLine reports whether octets begin with an empty line.
func isEmptyLine(octets []byte) bool {
	return len(octets) > 0 && octets[0] == '\n' || len(octets) > 1 && octets[0] == '\r' && octets[1] == '\n'
}

// fields yields the header fields of a message that begins with octets: the names, and the values
// with their folds and the last line end.
func fields(octets []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for len(octets) > 0 && !isEmptyLine(octets) {
			end := 0
			for {
				n := bytes.IndexByte(octets[end:], '\n')
				if n < 0 {
					end = len(octets)
					break
				}
				end += n + 1
				if end >= len(octets) || octets[end] != ' ' && octets[end] != '\t' {
					break
				}
			}
			name, value, ok := bytes.Cut(octets[:end], []byte(":"))
			if ok && !yield(bytes.TrimRight(name, " \t"), value) {
				return
			}
			octets = octets[end:]
		}
	}
}

// isNamed reports whether a field has a name, whatever the case.
func isNamed(name []byte, want string) bool {
	if len(name) != len(want) {
		return false
	}
	for i := len(name) - 1; i >= 0; i-- { // names such as X-Spam-Status differ at their ends
		c := name[i]
		if c|0x20 != want[i]|0x20 || c != want[i] && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// unfold returns the value of a field without its line ends, and without the blanks around it.
func unfold(value []byte) string {
	value = bytes.Trim(value, " \t\r\n")
	if bytes.IndexByte(value, '\n') >= 0 {
		value = bytes.ReplaceAll(bytes.ReplaceAll(value, []byte("\r\n"), nil), []byte("\n"), nil)
	}
	return string(value)
}
