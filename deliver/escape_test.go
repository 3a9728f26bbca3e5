package deliver

import "testing"

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
