package deliver

import (
	"bytes"
	"context"
	"errors"
	"io"
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
)

// imapRig is an IMAP server in memory, with one user. It keeps all messages as they came.
type imapRig struct {
	t      *testing.T
	user   *imapmemserver.User
	listen net.Listener
	// refuse may return an error for the message that was appended. It may be nil.
	refuse func(message string) error

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
	if s.rig.refuse != nil {
		if err := s.rig.refuse(string(octets)); err != nil {
			return nil, err
		}
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
		Caps: set, InsecureAuth: true,
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
