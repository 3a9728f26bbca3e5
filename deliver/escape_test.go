package deliver

import "testing"

// behaviour 26
func TestEscape(t *testing.T) {
	for s, want := range map[string]string{
		"plain é":        "plain é",
		"a\nb\tc\r":      `a\nb\tc\x0d`,
		"\x1b[2J\x7f":    `\x1b[2J\x7f`,
		"\xff\xc3":       `\xff\xc3`,
		"\u009b\u202e":   `\u009b\u202e`,
		"\u2028":         `\u2028`,
		"back\\slash \"": `back\slash "`,
	} {
		if got := escape(s); got != want {
			t.Errorf("escape(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		s     string
		limit int
		want  string
	}{{"abcdef", 6, "abcdef"}, {"abcdefg", 6, "abc…"}, {"ééé", 5, "é…"}, {"abc", 3, "abc"}} {
		if got := cut(c.s, c.limit); got != c.want || len(got) > c.limit {
			t.Errorf("cut(%q, %d) = %q, want %q", c.s, c.limit, got, c.want)
		}
	}
}

func TestEscapeUniqueID(t *testing.T) {
	for uniqueID, want := range map[string]string{
		"":                  "",
		"!~abc/../$(x)`'\"": "!~abc/../$(x)`'\"",
		"a b%c\x7f\xff\x00": "a%20b%25c%7F%FF%00",
	} {
		if got := EscapeUniqueID(uniqueID); got != want {
			t.Errorf("EscapeUniqueID(%q) = %q, want %q", uniqueID, got, want)
		}
	}
}
