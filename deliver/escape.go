package deliver

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escape puts what a program printed on one line that is harmless on a terminal: control characters, invisible ones
// and octets that are not UTF-8 become escapes in Go's notation.
func escape(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		s = s[size:]
	}
	return b.String()
}

// cut shortens s to at most limit octets, the mark of the cut included, and leaves characters whole.
func cut(s string, limit int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}

// EscapeUniqueID is the form of a unique-id in POPFETCH_UID: it percent-encodes "%" and everything outside of 0x21 to 0x7E, so that a unique-id is one printable word.
func EscapeUniqueID(uniqueID string) string {
	var b strings.Builder
	for _, c := range []byte(uniqueID) {
		if c == '%' || c < 0x21 || c > 0x7e {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
