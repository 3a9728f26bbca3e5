package escape

import (
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// behaviour 26
func TestLines(t *testing.T) {
	for s, want := range map[string]string{
		"plain é":        "plain é",
		"a\nb\tc\r":      `a\nb\tc\x0d`,
		"\x1b[2J\x7f":    `\x1b[2J\x7f`,
		"\xff\xc3":       `\xff\xc3`,
		"\u009b\u202e":   `\u009b\u202e`,
		"\u2028":         `\u2028`,
		"\U000e0001":     `\U000e0001`,
		"back\\slash \"": `back\slash "`,
	} {
		if got := Lines([]byte(s), math.MaxInt); got != want {
			t.Errorf("Lines(%q) = %q, want %q", s, got, want)
		}
	}
}

// Text is for one line, so it treats a line end like any other control character.
func TestText(t *testing.T) {
	if got, want := Text([]byte("a\nb\tc\r"), math.MaxInt), `a\x0ab\x09c\x0d`; got != want {
		t.Errorf("Text() = %q, want %q", got, want)
	}
}

func TestText_cut(t *testing.T) {
	for _, c := range []struct {
		s     string
		limit int
		want  string
	}{{"abcdef", 6, "abcdef"}, {"abcdefg", 6, "abc…"}, {"ééé", 5, "é…"}, {"abc", 3, "abc"}, {"1234\x00\x00", 8, "1234…"}} {
		if got := Text([]byte(c.s), c.limit); got != c.want || len(got) > c.limit {
			t.Errorf("Text(%q, %d) = %q, want %q", c.s, c.limit, got, c.want)
		}
	}
}

// For any octets, Text and Lines return one line of printable UTF-8 within the limit. Escaping it
// again changes nothing.
func FuzzText(f *testing.F) {
	f.Add([]byte("a\x1b\n\t\xff\u202e\U000e0001é"), 12)
	f.Fuzz(func(t *testing.T, octets []byte, limit int) {
		limit = max(3, limit)
		for _, got := range []string{Text(octets, limit), Lines(octets, limit)} {
			unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
			if len(got) > limit || !utf8.ValidString(got) || strings.ContainsFunc(got, unprintable) {
				t.Errorf("%q within %d octets = %q", octets, limit, got)
			}
			if again := Text([]byte(got), limit); again != got {
				t.Errorf("%q is escaped to %q, and that to %q", octets, got, again)
			}
		}
	})
}
