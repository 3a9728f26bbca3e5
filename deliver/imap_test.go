package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"github.com/popfetch/popfetch/internal/imapbox"
)

// imapRig is an IMAP server in memory, with one user. It keeps all messages as they came.
type imapRig struct {
	t      *testing.T
	user   *imapmemserver.User
	listen net.Listener

	mu   sync.Mutex
	came []imapCame
}

// imapCame is what came by one command.
type imapCame struct {
	mailbox string
	octets  string
	at      time.Time
	flags   []imap.Flag
}

// imapSession is a session that looks at what is appended.
type imapSession struct {
	imapserver.Session
	rig *imapRig
}

func (s *imapSession) Append(mailbox string, r imap.LiteralReader, options *imap.AppendOptions) (*imap.AppendData, error) {
	octets, err := io.ReadAll(r)
	if err != nil || int64(len(octets)) != r.Size() {
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	data, err := s.Session.Append(mailbox, literal{bytes.NewReader(octets)}, options)
	if err == nil {
		s.rig.mu.Lock()
		defer s.rig.mu.Unlock()
		s.rig.came = append(s.rig.came, imapCame{mailbox, string(octets), options.Time, options.Flags})
	}
	return data, err
}

// literal is a message that is read from memory.
type literal struct{ *bytes.Reader }

// newIMAPRig starts a server that knows the given extensions besides IMAP4rev1.
func newIMAPRig(t *testing.T, caps ...imap.Cap) *imapRig {
	t.Helper()
	r := &imapRig{t: t, user: imapmemserver.NewUser("alice", "secret")}
	if err := r.user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	users := imapmemserver.New()
	users.AddUser(r.user)
	set := imap.CapSet{imap.CapIMAP4rev1: {}}
	for _, c := range caps {
		set[c] = struct{}{}
	}
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return &imapSession{users.NewSession(), r}, nil, nil
		},
		Caps: set, InsecureAuth: true, Logger: log.New(io.Discard, "", 0),
	})
	var err error
	if r.listen, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	go server.Serve(r.listen) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { _ = server.Close() })
	return r
}

// target returns a target for the mailbox, whose notes are in dir.
func (r *imapRig) target(dir, mailbox string) *IMAP {
	m := &IMAP{
		Address: r.listen.Addr().String(), StartTLS: true, User: "alice", Mailbox: mailbox,
		Password: func(context.Context) (string, error) { return "secret", nil },
		Timeout:  10 * time.Second, Deliveries: 2, Notes: filepath.Join(dir, "notes"),
	}
	m.begin()
	r.t.Cleanup(func() {
		m.endSessions()
		_ = m.notes.Close()
	})
	return m
}

// messages returns what was appended, as it stands in a Maildir, sorted.
func (r *imapRig) messages() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]string, len(r.came))
	for i, came := range r.came {
		all[i] = strings.ReplaceAll(came.octets, "\r\n", "\n")
	}
	slices.Sort(all)
	return all
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
		r := newIMAPRig(t, imap.CapLiteralPlus, imap.CapBinary, imap.CapUIDPlus)
		return fixture{
			Target:    r.target(dir, "INBOX"),
			delivered: func(*testing.T) []string { return r.messages() },
			leftovers: func(t *testing.T) []string { return files(t, spools) },
			spares:    true,
		}
	})
}

// put appends a message behind the target's back, as another program does.
func (r *imapRig) put(mailbox, message string) {
	r.t.Helper()
	if _, err := r.user.Append(mailbox, literal{bytes.NewReader([]byte(message))}, &imap.AppendOptions{}); err != nil {
		r.t.Fatal(err)
	}
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
		"not noted":                  {there: []string{namedMail}, wanted: []int{0}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newIMAPRig(t, imap.CapLiteralPlus)
			for _, message := range c.there {
				r.put("INBOX", message)
			}
			m := r.target(t.TempDir(), "INBOX")
			validity := r.validity()
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
				place := fmt.Sprintf("%d:%s", r.validity(), uid)
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

// validity returns the UIDVALIDITY of INBOX.
func (r *imapRig) validity() uint32 {
	r.t.Helper()
	data, err := r.user.Status("INBOX", &imap.StatusOptions{UIDValidity: true})
	if err != nil {
		r.t.Fatal(err)
	}
	return data.UIDValidity
}

// Notes about another mailbox say nothing, and without notes nobody is asked.
func TestIMAP_findElsewhere(t *testing.T) {
	r := newIMAPRig(t)
	r.put("INBOX", namedMail)
	dir := t.TempDir()
	m := r.target(dir, "INBOX")
	noteOf(t, m, token(0), imapbox.Mark{UIDValidity: r.validity(), UIDNext: 1}, namedMail)
	elsewhere := r.target(dir, "Elsewhere")
	_ = r.listen.Close()
	found, err := elsewhere.Find(t.Context(), slices.Values([]Token{token(0), token(1)}), time.Time{})
	if err != nil || len(found) > 0 {
		t.Errorf("Find() = %v, %v, want nothing", found, err)
	}
}

// The mailbox is looked into as a whole for rebuild.
func TestIMAP_places(t *testing.T) {
	r := newIMAPRig(t)
	m := r.target(t.TempDir(), "INBOX")
	want := []string{namedMail, nameless}
	for _, message := range want {
		r.put("INBOX", message)
	}
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
	for _, gone := range []string{fmt.Sprintf("%d:9", r.validity()), fmt.Sprintf("%d:1", r.validity()+1)} {
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
	r := newIMAPRig(t, imap.CapLiteralPlus)
	m := r.target(t.TempDir(), "INBOX")
	for i, c := range []struct{ header, want string }{
		{received + date, "2026-06-02T08:00:00Z"},
		{date, "2026-05-31T09:00:00Z"},
		{"Received: from b\r\n" + received + date, "2026-06-02T08:00:00Z"},
		{"Received: from b; once\r\n" + date, "2026-05-31T09:00:00Z"},
		{"Date: Fri, 1 Jan 0001 00:00:00 +0000\r\n", ""},
		{"Subject: none\r\n", ""},
	} {
		deliverOne(t, m, token(i), []byte(c.header+"\r\n"))
		came := r.came[i]
		got := came.at.UTC().Format(time.RFC3339)
		if came.at.IsZero() {
			got = ""
		}
		if got != c.want || len(came.flags) > 0 {
			t.Errorf("%q has the date %q and the flags %v, want %q and none", c.header, got, came.flags, c.want)
		}
	}
}
