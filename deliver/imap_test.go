package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/popfetch/popfetch/internal/imapbox"
	"github.com/popfetch/popfetch/internal/poptest"
)

// imapAt returns a target for a mailbox of a server, whose notes are in dir.
func imapAt(t *testing.T, s *poptest.IMAP, dir, mailbox string) *IMAP {
	t.Helper()
	m := &IMAP{
		Address: s.Addr(), StartTLS: true, User: s.User, Mailbox: mailbox,
		Password: func(context.Context) (string, error) { return s.Password, nil },
		Timeout:  10 * time.Second, Deliveries: 2, Notes: NewFileBook(filepath.Join(dir, "notes")),
	}
	m.begin()
	t.Cleanup(func() {
		m.endSessions()
		_ = m.notes.Close()
	})
	return m
}

func readPlace(t *testing.T, f Finder, place string) string {
	t.Helper()
	from, err := f.Open(t.Context(), place)
	if err != nil {
		t.Fatalf("Open(%q) = %v, want no error", place, err)
	}
	defer from.Close()
	octets, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return string(octets)
}

func TestIMAP(t *testing.T) {
	testTarget(t, func(t *testing.T, dir string) fixture {
		spools := filepath.Join(dir, "spools")
		if err := os.Mkdir(spools, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TMPDIR", spools)
		s := poptest.StartIMAP(t, imap.CapLiteralPlus, imap.CapBinary, imap.CapUIDPlus)
		return fixture{
			Target: imapAt(t, s, dir, "INBOX"),
			delivered: func(*testing.T) []string {
				var all []string
				for _, came := range s.Appended("INBOX") {
					all = append(all, strings.ReplaceAll(came.Octets, "\r\n", "\n"))
				}
				slices.Sort(all)
				return all
			},
			leftovers: func(t *testing.T) []string { return files(t, spools) },
			spares:    true,
		}
	})
}

// noteOf notes a message as Commit does before it sends it.
func noteOf(t *testing.T, m *IMAP, token Token, mark imapbox.Mark, message string) {
	t.Helper()
	d := &imapDelivery{token: token, facts: newIMAPFacts()}
	_, _ = d.facts.Write([]byte(message))
	_, d.note, _ = d.facts.finish()
	if err := m.putNotes([]*imapDelivery{d}, mark); err != nil {
		t.Fatal(err)
	}
	m.settled(nil)
}

const (
	namedMail = "Message-ID: <a@example.org>\r\nSubject: a\r\n\r\nbody\r\n"
	namelike  = "Message-ID: <b@example.org>\r\nSubject: a\r\n\r\nbody\r\n"
	bodylike  = "Message-ID: <a@example.org>\r\nSubject: a\r\n\r\nBODY\r\n"
	longer    = "Message-ID: <a@example.org>\r\nSubject: aa\r\n\r\nbody\r\n"
	longlike  = "Message-ID: <b@example.org>\r\nSubject: aa\r\n\r\nbody\r\n"
	nameless  = "Subject: no message-id\r\n\r\nbody\r\n"
	nameless2 = "Subject: NO message-id\r\n\r\nbody\r\n"
)

// After a crash, a noted message is there if Message-ID, size and body agree; one without Message-ID,
// if all octets do. No copy in the mailbox counts for two messages.
func TestIMAP_find(t *testing.T) {
	type noted struct {
		uidNext uint32
		message string
	}
	for name, c := range map[string]struct {
		there  []string // from UID 1 on
		other  bool     // the notes are of a mailbox with another UIDVALIDITY
		notes  []noted
		wanted []int
		want   map[int]string
	}{
		"it":                         {there: []string{namedMail}, notes: []noted{{1, namedMail}}, wanted: []int{0}, want: map[int]string{0: "1"}},
		"nothing":                    {notes: []noted{{1, namedMail}}, wanted: []int{0}},
		"another Message-ID":         {there: []string{namelike}, notes: []noted{{1, namedMail}}, wanted: []int{0}},
		"another body":               {there: []string{bodylike}, notes: []noted{{1, namedMail}}, wanted: []int{0}},
		"another size":               {there: []string{longer}, notes: []noted{{1, namedMail}}, wanted: []int{0}},
		"no name":                    {there: []string{nameless2, nameless}, notes: []noted{{1, nameless}}, wanted: []int{0}, want: map[int]string{0: "2"}},
		"no name, mailbox made anew": {there: []string{nameless}, other: true, notes: []noted{{1, nameless}}, wanted: []int{0}},
		"mailbox made anew":          {there: []string{namedMail}, other: true, notes: []noted{{9, namedMail}}, wanted: []int{0}, want: map[int]string{0: "1"}},
		"there before":               {there: []string{namedMail}, notes: []noted{{2, namedMail}}, wanted: []int{0}},
		"there before, and again":    {there: []string{namedMail, namedMail}, notes: []noted{{2, namedMail}}, wanted: []int{0}, want: map[int]string{0: "2"}},
		"two of it, one there":       {there: []string{namedMail}, notes: []noted{{1, namedMail}, {1, namedMail}}, wanted: []int{0, 1}, want: map[int]string{-1: "1"}},
		"two of it, both there":      {there: []string{namedMail, namedMail}, notes: []noted{{1, namedMail}, {2, namedMail}}, wanted: []int{0, 1}, want: map[int]string{0: "1", 1: "2"}},
		"one recorded, one there":    {there: []string{namedMail}, notes: []noted{{1, namedMail}, {1, namedMail}}, wanted: []int{1}},
		"one recorded, both there":   {there: []string{namedMail, namedMail}, notes: []noted{{1, namedMail}, {1, namedMail}}, wanted: []int{0}, want: map[int]string{0: "2"}},
		"there before another":       {there: []string{namedMail, namelike}, notes: []noted{{1, namelike}, {2, namedMail}}, wanted: []int{1}},
		"of the size of another":     {there: []string{longer}, notes: []noted{{1, namedMail}, {1, longlike}}, wanted: []int{0}},
		"not noted":                  {there: []string{namedMail}, wanted: []int{0}},
	} {
		t.Run(name, func(t *testing.T) {
			s := poptest.StartIMAP(t)
			s.Put("INBOX", c.there...)
			m := imapAt(t, s, t.TempDir(), "INBOX")
			validity := s.UIDValidity("INBOX")
			if c.other {
				validity++
			}
			for i, n := range c.notes {
				noteOf(t, m, token(i), imapbox.Mark{UIDValidity: validity, UIDNext: n.uidNext}, n.message)
			}
			var tokens []Token
			for _, i := range c.wanted {
				tokens = append(tokens, token(i))
			}
			found, err := m.Find(t.Context(), slices.Values(tokens), time.Time{})
			if err != nil || len(found) != len(c.want) {
				t.Fatalf("Find() = %v, %v, want %v", found, err, c.want)
			}
			for i, uid := range c.want {
				place := fmt.Sprintf("%d:%s", s.UIDValidity("INBOX"), uid)
				if i < 0 { // any of them
					for _, places := range found {
						if !slices.Equal(places, []string{place}) {
							t.Errorf("Find() = %v, want %s", found, place)
						}
					}
				} else if !slices.Equal(found[token(i)], []string{place}) {
					t.Errorf("Find() = %v, want message %d at %s", found, i, place)
				}
			}
		})
	}
}

// Notes about another mailbox say nothing, and without notes nobody is asked.
func TestIMAP_findElsewhere(t *testing.T) {
	s := poptest.StartIMAP(t)
	s.Put("INBOX", namedMail)
	dir := t.TempDir()
	m := imapAt(t, s, dir, "INBOX")
	noteOf(t, m, token(0), imapbox.Mark{UIDValidity: s.UIDValidity("INBOX"), UIDNext: 1}, namedMail)
	elsewhere := imapAt(t, s, dir, "Elsewhere")
	s.Stop()
	found, err := elsewhere.Find(t.Context(), slices.Values([]Token{token(0), token(1)}), time.Time{})
	if err != nil || len(found) > 0 {
		t.Errorf("Find() = %v, %v, want nothing", found, err)
	}
}

// The mailbox is looked into as a whole for rebuild.
func TestIMAP_places(t *testing.T) {
	s := poptest.StartIMAP(t)
	m := imapAt(t, s, t.TempDir(), "INBOX")
	want := []string{namedMail, nameless}
	s.Put("INBOX", want...)
	var got []string
	for place, err := range m.Places(t.Context()) {
		if err != nil {
			t.Fatalf("Places() = %v, want no error", err)
		}
		got = append(got, strings.ReplaceAll(readPlace(t, m, place), "\n", "\r\n"))
		if known := m.PlaceOf(place); known.Name != place || known.Target != "" {
			t.Errorf("PlaceOf(%q) = %+v, want that name", place, known)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("Places() and Open() show %q, want %q", got, want)
	}
	if own, others, err := m.Holds(t.Context()); own != 0 || others != 2 || err != nil {
		t.Errorf("Holds() = %d, %d, %v, want 2 others", own, others, err)
	}
	for _, gone := range []string{fmt.Sprintf("%d:9", s.UIDValidity("INBOX")), fmt.Sprintf("%d:1", s.UIDValidity("INBOX")+1)} {
		if _, err := m.Open(t.Context(), gone); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%q) = %v, want fs.ErrNotExist", gone, err)
		}
	}
	if _, err := m.Open(t.Context(), "no place"); err == nil {
		t.Error("Open() of no place succeeded, want an error")
	}
}

// A message has no flags, and the date of its arrival.
func TestIMAP_date(t *testing.T) {
	const received = "Received: from b; Tue, 2 Jun 2026 10:00:00 +0200\r\nReceived: from a; Mon, 1 Jun 2026 10:00:00 +0000\r\n"
	const date = "Date: Sun, 31 May 2026 09:00:00 +0000\r\n"
	s := poptest.StartIMAP(t)
	m := imapAt(t, s, t.TempDir(), "INBOX")
	for i, c := range []struct{ header, want string }{
		{received + date, "2026-06-02T08:00:00Z"},
		{date, "2026-05-31T09:00:00Z"},
		{"Received: from b\r\n" + received + date, "2026-06-02T08:00:00Z"},
		{"Received: from b; once\r\n" + date, "2026-05-31T09:00:00Z"},
		{"Date: Fri, 1 Jan 0001 00:00:00 +0000\r\n", ""},
		{"Subject: none\r\n", ""},
	} {
		deliverOne(t, m, token(i), []byte(c.header+"\r\n"))
		came := s.Appended("INBOX")[i]
		got := came.Date.UTC().Format(time.RFC3339)
		if came.Date.IsZero() {
			got = ""
		}
		if got != c.want || len(came.Flags) > 0 {
			t.Errorf("%q has the date %q and the flags %v, want %q and none", c.header, got, came.Flags, c.want)
		}
	}
}
