package deliver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

// File names in a Maildir carry the token, and outlive every version. So its value must never
// change.
func TestNewToken(t *testing.T) {
	sum := sha256.Sum256([]byte("alice\x00pop.example.org\x00uid-1\x002\x001234"))
	want := hex.EncodeToString(sum[:16])
	if got := NewToken("alice", "pop.example.org", "uid-1", 2, 1234).String(); got != want {
		t.Errorf("NewToken() = %s, want %s", got, want)
	}
}

func TestNewToken_differs(t *testing.T) {
	tokens := make(map[Token]string)
	for _, c := range []struct {
		user, server, uniqueID string
		copy                   int
		octets                 int64
	}{
		{"u", "s", "i", 0, 1}, {"v", "s", "i", 0, 1}, {"u", "t", "i", 0, 1}, {"u", "s", "I", 0, 1},
		{"u", "s", "i", 1, 1}, {"u", "s", "i", 0, 2}, {"us", "", "i", 0, 1}, {"", "us", "i", 0, 1},
	} {
		text := fmt.Sprint(c)
		token := NewToken(c.user, c.server, c.uniqueID, c.copy, c.octets)
		if other, taken := tokens[token]; taken {
			t.Errorf("NewToken() of %s = that of %s, want another", text, other)
		}
		tokens[token] = text
	}
}

func TestError(t *testing.T) {
	err := fmt.Errorf("committing: %w", &Error{Target: "MDA cat", Status: 3, Err: fs.ErrPermission})
	if want := "committing: delivering to MDA cat: permission denied"; err.Error() != want {
		t.Errorf("Error() = %q, want %q", err, want)
	}
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("errors.Is(%v, its cause) = false, want true", err)
	}
}
