package deliver

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

type sample struct {
	Text string `json:"text"`
}

func wantNotes(t *testing.T, n *Notes[sample], want map[Token]string) {
	t.Helper()
	all, err := n.All()
	if err != nil {
		t.Fatalf("All() = %v, want no error", err)
	}
	if len(all) != len(want) {
		t.Errorf("All() = %v, want %v", all, want)
	}
	for token, text := range want {
		got, found, err := n.Get(token)
		if err != nil || !found || got.Text != text {
			t.Errorf("Get(%v) = %v, %v, %v, want %q", token, got, found, err, text)
		}
	}
}

func putNotes(t *testing.T, n *Notes[sample], notes map[Token]sample) {
	t.Helper()
	if err := n.Put(notes); err != nil {
		t.Fatalf("Put() = %v, want no error", err)
	}
}

func TestNotes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "notes")
	n := NewNotes[sample](NewFileBook(path))
	wantNotes(t, n, nil)
	if _, err := os.Stat(path); err == nil {
		t.Error("All() has made the file, want none")
	}
	putNotes(t, n, map[Token]sample{token(1): {"one"}, token(2): {"two"}})
	putNotes(t, n, map[Token]sample{token(2): {"two again"}, token(3): {"three"}})
	n.Forget(token(1), token(9))
	left := map[Token]string{token(2): "two again", token(3): "three"}
	wantNotes(t, n, left)
	wantNotes(t, NewNotes[sample](NewFileBook(path)), left) // as the next process reads it
	if err := n.Close(); err != nil {
		t.Errorf("Close() = %v, want no error", err)
	}
	wantNotes(t, n, left)
	n.Forget(token(2), token(3))
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("the file after all is forgotten: %v, %v, want an empty one", info, err)
	}
}

// A crash may cut the last line anywhere. The lines before it count, and the next Put is read too.
func TestNotes_cut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	n := NewNotes[sample](NewFileBook(path))
	putNotes(t, n, map[Token]sample{token(1): {"one"}})
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	putNotes(t, n, map[Token]sample{token(2): {"two"}})
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := len(first); size < len(whole); size++ {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		cut := NewNotes[sample](NewFileBook(path))
		wantNotes(t, cut, map[Token]string{token(1): "one"})
		putNotes(t, cut, map[Token]sample{token(3): {"three"}})
		wantNotes(t, NewNotes[sample](NewFileBook(path)), map[Token]string{token(1): "one", token(3): "three"})
	}
}

func TestNotes_rewritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	n := NewNotes[sample](NewFileBook(path))
	putNotes(t, n, map[Token]sample{token(1): {"stays"}})
	long := string(make([]byte, notesOctets/8))
	for i := range 32 {
		putNotes(t, n, map[Token]sample{token(2): {long}, token(3): {"x"}})
		n.Forget(token(2))
		if info, err := os.Stat(path); err != nil || info.Size() > 4*notesOctets {
			t.Fatalf("after %d notes the file is %v, %v, want it to be written anew", i, info.Size(), err)
		}
	}
	want := map[Token]string{token(1): "stays", token(3): "x"}
	wantNotes(t, n, want)
	wantNotes(t, NewNotes[sample](NewFileBook(path)), want)
}

// Two processes use the notes in turn, and one of them stays between its runs.
func TestNotes_inTurn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	stays := NewNotes[sample](NewFileBook(path))
	putNotes(t, stays, map[Token]sample{token(1): {"one"}})
	once := NewNotes[sample](NewFileBook(path))
	putNotes(t, once, map[Token]sample{token(2): {"two"}})
	wantNotes(t, stays, map[Token]string{token(1): "one", token(2): "two"})
	once.Forget(token(1))
	putNotes(t, stays, map[Token]sample{token(3): {"three"}})
	left := map[Token]string{token(2): "two", token(3): "three"}
	wantNotes(t, once, left)
	once.Forget(token(2), token(3))
	stays.Forget(token(2))
	putNotes(t, once, map[Token]sample{token(4): {"four"}})
	stays.Forget(token(3))
	wantNotes(t, stays, map[Token]string{token(4): "four"})
	wantNotes(t, NewNotes[sample](NewFileBook(path)), map[Token]string{token(4): "four"})
}

// A line that is damaged does not hide those behind it.
func TestNotes_damaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	n := NewNotes[sample](NewFileBook(path))
	var lines [3][]byte
	for i := range lines {
		putNotes(t, n, map[Token]sample{token(i): {"text"}})
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = whole[len(bytes.Join(lines[:i], nil)):]
	}
	clear(lines[1][:len(lines[1])/2])
	if err := os.WriteFile(path, bytes.Join(lines[:], nil), 0o600); err != nil {
		t.Fatal(err)
	}
	wantNotes(t, n, map[Token]string{token(0): "text", token(2): "text"})
}

// To read notes changes nothing: another process may be writing them.
func TestNotes_readOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	const cut = `{"token":"0`
	if err := os.WriteFile(path, []byte(cut), 0o400); err != nil {
		t.Fatal(err)
	}
	wantNotes(t, NewNotes[sample](NewFileBook(path)), nil)
	if text, err := os.ReadFile(path); string(text) != cut {
		t.Errorf("the file is %q, %v after it was read, want %q", text, err, cut)
	}
}
