package poptest

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

// IMAP is an IMAP server in memory, on loopback and in clear text, with one user. It keeps what is
// appended as it comes. The methods may be called at the same time.
type IMAP struct {
	User, Password string

	t      TB
	user   *imapmemserver.User
	listen net.Listener

	mu   sync.Mutex
	came map[string][]Appended
}

// Appended is a message that was appended whole.
type Appended struct {
	Octets string
	Date   time.Time // the internal date; zero if none was given
	Flags  []imap.Flag
}

// StartIMAP starts a server that knows the given extensions besides IMAP4rev1. It has the mailbox
// INBOX, and makes others by CREATE alone.
func StartIMAP(t TB, extensions ...imap.Cap) *IMAP {
	t.Helper()
	s := &IMAP{User: "mrose", Password: "tanstaaf", t: t, came: make(map[string][]Appended)}
	s.user = imapmemserver.NewUser(s.User, s.Password)
	if err := s.user.Create("INBOX", nil); err != nil {
		t.Fatalf("making INBOX: %v", err)
	}
	users := imapmemserver.New()
	users.AddUser(s.user)
	caps := imap.CapSet{imap.CapIMAP4rev1: {}}
	for _, extension := range extensions {
		caps[extension] = struct{}{}
	}
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return &imapSession{users.NewSession(), s}, nil, nil
		},
		Caps: caps, InsecureAuth: true, Logger: log.New(io.Discard, "", 0),
	})
	s.listen = listen(t)
	go server.Serve(s.listen) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { _ = server.Close() })
	return s
}

// Addr returns host and port.
func (s *IMAP) Addr() string { return s.listen.Addr().String() }

// Stop makes the server take no more connections.
func (s *IMAP) Stop() { _ = s.listen.Close() }

// Appended returns what was appended to a mailbox, in this order.
func (s *IMAP) Appended(mailbox string) []Appended {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Appended(nil), s.came[mailbox]...)
}

// Put appends messages, as another program does.
func (s *IMAP) Put(mailbox string, messages ...string) {
	s.t.Helper()
	for _, message := range messages {
		if _, err := s.append(s.user, mailbox, message, &imap.AppendOptions{}); err != nil {
			s.t.Fatalf("appending to %s: %v", mailbox, err)
		}
	}
}

// Reset removes a mailbox, and makes it anew with these messages.
func (s *IMAP) Reset(mailbox string, messages ...string) {
	s.t.Helper()
	s.mu.Lock()
	delete(s.came, mailbox)
	s.mu.Unlock()
	_ = s.user.Delete(mailbox) // it may be missing
	if err := s.user.Create(mailbox, nil); err != nil {
		s.t.Fatalf("making %s: %v", mailbox, err)
	}
	s.Put(mailbox, messages...)
}

// UIDValidity returns that of a mailbox.
func (s *IMAP) UIDValidity(mailbox string) uint32 {
	s.t.Helper()
	data, err := s.user.Status(mailbox, &imap.StatusOptions{UIDValidity: true})
	if err != nil {
		s.t.Fatalf("looking at %s: %v", mailbox, err)
	}
	return data.UIDValidity
}

// appender is a session or a user of the library.
type appender interface {
	Append(mailbox string, r imap.LiteralReader, options *imap.AppendOptions) (*imap.AppendData, error)
}

func (s *IMAP) append(to appender, mailbox, message string, options *imap.AppendOptions) (*imap.AppendData, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := to.Append(mailbox, bytes.NewReader([]byte(message)), options)
	if err == nil {
		if strings.EqualFold(mailbox, "INBOX") {
			mailbox = "INBOX"
		}
		s.came[mailbox] = append(s.came[mailbox], Appended{message, options.Time, options.Flags})
	}
	return data, err
}

// imapSession is a session that looks at what is appended. The library's own takes a message that
// broke off for a whole one.
type imapSession struct {
	imapserver.Session
	server *IMAP
}

func (s *imapSession) Append(mailbox string, r imap.LiteralReader, options *imap.AppendOptions) (*imap.AppendData, error) {
	octets, err := io.ReadAll(r)
	if err != nil || int64(len(octets)) != r.Size() {
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	return s.server.append(s.Session, mailbox, string(octets), options)
}
