package poptest

import (
	"bytes"
	"slices"
	"testing"
)

var rose = Maildrop{User: "mrose", Password: "tan staaf", Messages: []Message{
	{UniqueID: "a", Content: []byte("Subject: a\r\n\r\nbody\r\n")},
	{UniqueID: "b", Content: []byte(".dot\r\n..\r\n.\r\nno end")},
	{UniqueID: "c", Content: nil},
}}

func TestServer_session(t *testing.T) {
	s := NewServer(t, rose)
	c := dial(t, s.Addr())
	c.login("mrose", "tan staaf")
	c.want("+OK 3 41", "STAT")
	c.want("+OK", "LIST")
	if got, want := string(c.body()), "1 20\r\n2 21\r\n3 0\r\n"; got != want {
		t.Errorf("LIST: got %q, want %q", got, want)
	}
	c.want("+OK", "UIDL")
	if got, want := string(c.body()), "1 a\r\n2 b\r\n3 c\r\n"; got != want {
		t.Errorf("UIDL: got %q, want %q", got, want)
	}
	c.want("+OK 2 b", "UIDL 2")
	for n, m := range rose.Messages {
		c.want("+OK", "RETR %d", n+1)
		if got, want := c.body(), Wire(m.Content); !bytes.Equal(got, want) {
			t.Errorf("RETR %d: got %q, want %q", n+1, got, want)
		}
	}
	c.want("+OK", "DELE 2")
	c.want("-ERR", "RETR 2")
	c.want("-ERR", "RETR 4")
	c.want("+OK", "QUIT")
	s.Wait()
	if got, want := s.Drop("").UniqueIDs(), []string{"a", "c"}; !slices.Equal(got, want) {
		t.Errorf("left in the maildrop: %v, want %v", got, want)
	}
	if got, want := s.DeletedIDs(), []string{"b"}; !slices.Equal(got, want) {
		t.Errorf("DeletedIDs() = %v, want %v", got, want)
	}
	if got := s.RetrievedIDs(); got["a"] != 1 || got["b"] != 1 || got["c"] != 1 {
		t.Errorf("RetrievedIDs() = %v, want each once", got)
	}
	if got, want := s.Count("RETR"), 5; got != want {
		t.Errorf("Count(RETR) = %d, want %d", got, want)
	}
	if got, want := s.Count("RETR 2"), 2; got != want {
		t.Errorf("Count(RETR 2) = %d, want %d", got, want)
	}
}

// Deletion needs QUIT.
func TestServer_noQuit(t *testing.T) {
	s := NewServer(t, rose)
	c := dial(t, s.Addr())
	c.login("mrose", "tan staaf")
	c.want("+OK", "DELE 1")
	_ = c.c.Close()
	s.Wait()
	if got := len(s.Drop("").Messages()); got != 3 {
		t.Errorf("%d messages left, want 3", got)
	}
}

// A cut after n octets leaves the client with exactly those, wherever it falls.
func TestServer_CutAfter(t *testing.T) {
	session := "USER mrose\r\nPASS tan staaf\r\nRETR 2\r\nDELE 2\r\nQUIT\r\n"
	s := NewServer(t, rose)
	c := dial(t, s.Addr())
	c.send(session)
	whole, _ := c.rest()
	s.Drop("").Add(rose.Messages[1])
	s.Drop("").SetUIDs(func(i int, _ string) string { return "abc"[i : i+1] })
	for n := range len(whole) {
		s := NewServer(t, rose)
		s.CutAfter(int64(n))
		c := dial(t, s.Addr())
		c.send(session)
		got, err := c.rest()
		if got != whole[:n] || err != nil {
			t.Errorf("cut after %d: got %q and %v, want %q", n, got, err, whole[:n])
		}
		_ = c.c.Close()
	}
}
