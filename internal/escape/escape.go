// Package escape makes foreign text harmless for people, logs and terminals.
package escape

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// Text returns octets as one line of UTF-8. Characters that are not printable and octets that are
// not UTF-8 are written as in a Go string: control characters as \x1b, others as \u202e. The line
// has at most limit octets. An ellipsis marks a cut. Neither a character nor an escape is cut in
// two.
func Text(octets []byte, limit int) string { return text(octets, limit, false) }

// Lines is like Text, for a text of several lines: a line feed is written as \n, and a tab as \t.
func Lines(octets []byte, limit int) string { return text(octets, limit, true) }

func text(octets []byte, limit int, lines bool) string {
	const ellipsis = "…"
	var out []byte
	whole := 0 // length of the part of out that leaves room for the ellipsis
	for len(octets) > 0 {
		r, size := utf8.DecodeRune(octets)
		switch {
		case lines && r == '\n':
			out = append(out, `\n`...)
		case lines && r == '\t':
			out = append(out, `\t`...)
		case r == utf8.RuneError && size == 1, r < utf8.RuneSelf && !unicode.IsPrint(r):
			out = append(out, `\x`...)
			out = append(out, "0123456789abcdef"[octets[0]>>4], "0123456789abcdef"[octets[0]&15])
		case unicode.IsPrint(r):
			out = append(out, octets[:size]...)
		default:
			quoted := strconv.AppendQuoteRune(nil, r)
			out = append(out, quoted[1:len(quoted)-1]...)
		}
		if len(out) > limit {
			return string(out[:whole]) + ellipsis
		}
		if len(out) <= limit-len(ellipsis) {
			whole = len(out)
		}
		octets = octets[size:]
	}
	return string(out)
}
