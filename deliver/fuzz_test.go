package deliver

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzSender lets a message name any sender. The result is an address of the Return-Path field, or
// nothing.
func FuzzSender(f *testing.F) {
	for _, head := range []string{"Return-Path: <a@example.org>\r\n\r\n", "return-path:a@example.org\n", "Return-Path: <>\r\n", "Return-Path:\r\n <a@\r\n\texample.org>\r\n",
		"Subject: x\r\nReturn-Path: <$(id)>\r\nReturn-Path: b\r\n", "\r\nReturn-Path: <a>\r\n", "Return-Path: <a\x00b>", "Return-Path: \"a b\"@example.org\r\n"} {
		f.Add([]byte(head))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		got := sender(head)
		if len(got) > maxSender || strings.ContainsFunc(got, func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Errorf("sender(%q) = %q", head, got)
		}
		if got != "" && !bytes.Contains(bytes.ToLower(head), []byte("return-path:")) {
			t.Errorf("sender(%q) = %q, though there is no Return-Path", head, got)
		}
		body := append(bytes.Clone(head), "\r\n\r\nReturn-Path: <body@example.org>\r\n"...)
		if again := sender(body); again != got {
			t.Errorf("sender(%q) = %q, and with a body %q", head, got, again)
		}
	})
}

// FuzzFileName puts a file of any name into a Maildir. Reading the name does no harm, whatever a
// mail program has added. Find returns the file if token and octets in its name are right.
func FuzzFileName(f *testing.F) {
	token := NewToken("user", "server", "a", 0, 3)
	name := withOctets(newName(token), 3)
	for _, seed := range []string{name, name + ":2,S", name + ",W=4:2,FRS", name + ",S=9", "1." + token.String() + "Q", "1." + token.String() + "Q,S=-3", "x", ".", name + ",", ":2,S", "1." + token.String() + "QP,S=+3",
		"1." + strings.ToUpper(token.String()) + "Q,S=3"} {
		f.Add(seed)
	}
	m := NewMaildir(filepath.Join(f.TempDir(), "Maildir"))
	if err := m.Prepare(f.Context(), true); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		parsed, ok := parseName(name)
		if ok {
			if parsed.octets < 0 || !strings.HasPrefix(name, parsed.stem) || !strings.Contains(strings.ToLower(parsed.stem), parsed.token.String()) {
				t.Errorf("parseName(%q) = %+v", name, parsed)
			}
			for _, changed := range []string{parsed.stem, parsed.stem + ":2,S", parsed.stem + ",W=9:2,"} {
				if again, ok := parseName(changed); !ok || again != parsed {
					t.Errorf("parseName(%q) = %+v, and of %q %+v", name, parsed, changed, again)
				}
			}
		}
		if name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\x00") {
			return
		}
		path := filepath.Join(m.path, "cur", name)
		if err := os.WriteFile(path, []byte("abc"), 0o600); err != nil {
			t.Skip(err) // not every file system takes any name
		}
		defer os.Remove(path) //nolint:errcheck // it goes with the folder when the test ends
		found, err := m.Find(t.Context(), slices.Values([]Token{token}), time.Time{})
		want := ok && parsed.token == token && parsed.octets == 3
		if err != nil || (len(found[token]) == 1) != want || len(found) > 1 {
			t.Errorf("Find() with a file %q = %q, %v, want it found: %v", name, found, err, want)
		}
	})
}
