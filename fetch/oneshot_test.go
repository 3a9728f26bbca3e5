package fetch

import "testing"

// An account of a configuration may have blanks in its name, but no colon.
func TestIsOneShot(t *testing.T) {
	for name, want := range map[string]bool{
		"work": false, "Old Mail at home": false, "alice@example.org": false,
		"alice at pop.example.org:995 to maildir /home/alice/backup": true,
	} {
		if got := isOneShot(name); got != want {
			t.Errorf("isOneShot(%q) = %v, want %v", name, got, want)
		}
	}
}
