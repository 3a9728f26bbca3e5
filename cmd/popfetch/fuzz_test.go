package main

import (
	"strings"
	"testing"
)

// FuzzUniqueID writes unique-ids for people and reads them back (C0039). The text is visible ASCII,
// and the result is the same unique-id.
func FuzzUniqueID(f *testing.F) {
	for _, id := range []string{"", "a", "%", "%25", "%zz", "a%2", "é", "\x1b[2J", "\xff\x00", "%E9%e9"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shown := writeID(text)
		if strings.ContainsFunc(shown, func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Errorf("writeID(%q) = %q", text, shown)
		}
		if back, err := readID(shown); err != nil || back != text {
			t.Errorf("readID(%q) = %q, %v, want %q", shown, back, err, text)
		}
		id, err := readID(text) // a person may type this
		if err != nil {
			return
		}
		if back, err := readID(writeID(id)); err != nil || back != id {
			t.Errorf("readID(writeID(%q)) = %q, %v", id, back, err)
		}
	})
}
