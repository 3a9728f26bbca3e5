package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	"github.com/popfetch/popfetch/internal/imapbox"
)

// These errors say why a server that takes messages cannot be used.
var (
	// ErrUnreachable means that the server was not reached, said nothing in time, or broke off.
	ErrUnreachable = errors.New("the server cannot be reached")
	// ErrLogin means that the server refused the log-in.
	ErrLogin = errors.New("the log-in was refused")
	// ErrUntrusted means that the certificate was refused, or that the server has no TLS.
	ErrUntrusted = errors.New("the server cannot be trusted")
	// ErrProtocol means that the server said what its protocol does not allow.
	ErrProtocol = errors.New("the server broke the protocol")
)

// IMAP appends messages to a mailbox of an IMAP server. They are unseen and have no flags. Their
// internal date is that of the newest Received field, or the Date, or now. The octets go as they
// came; an empty message goes as an empty line where MULTIAPPEND gives no octets another meaning.
//
// A mailbox that is missing is made. A message is Safe when the server says that it has it.
//
// Before messages are sent, the target notes durably what it needs to recognise them. After a crash,
// Find looks in the mailbox for those that are noted. A message counts as there if its size, its
// Message-ID and its body agree. Without a Message-ID, all its octets must agree, and the mailbox
// must be the same. A message that somebody has moved out of the mailbox meanwhile comes again.
//
// An IMAP must not be copied after first use. Its methods may be called at the same time.
type IMAP struct {
	Address string // host:port
	// StartTLS says that TLS begins by STARTTLS. On loopback, everything is then sent in clear.
	// Otherwise TLS begins with the first octet.
	StartTLS  bool
	TLSConfig *tls.Config // nil: the authorities of the system
	User      string
	Mailbox   string // in UTF-8
	// Password returns the password. It is not used if there is a Token.
	Password func(ctx context.Context) (string, error)
	// Token returns an access token of OAuth 2. nil: log in by password.
	Token func(ctx context.Context) (string, error)
	// Renew returns another token after the server has refused this one. nil: there is none.
	Renew func(ctx context.Context, refused string) (string, error)
	// Timeout bounds how long a message may take to be sent, and how long the server may be silent.
	// Zero means five minutes.
	Timeout    time.Duration
	Deliveries int  // how many batches may be on their way at once; zero means one
	Notes      Book // for notes about messages that have no record yet

	once    sync.Once
	account imapbox.Account
	notes   *Notes[imapNote]
	slots   chan struct{} // holds one element for each session that appends

	mu       sync.Mutex
	idle     []*imapbox.Appender // sessions that append nothing now
	rest     *time.Timer         // ends them
	sending  int                 // batches that are noted and not settled
	recorded []Token             // messages whose notes go when no batch is being sent

	looking  sync.Mutex // held while the session that looks is in use
	box      *imapbox.Box
	validity uint32 // of the mailbox that box has open; 0: none
}

const (
	imapMessages = 500 // of a batch; one command takes all of them
	imapOctets   = 4 << 20
	// imapRest is when a session that nobody uses is ended.
	imapRest = 15 * time.Second
)

func (m *IMAP) begin() {
	m.once.Do(func() {
		m.account = imapbox.Account{
			Address: m.Address, StartTLS: m.StartTLS, TLSConfig: m.TLSConfig, User: m.User, Mailbox: m.Mailbox,
			Password: m.Password, Token: m.Token, Renew: m.Renew, Timeout: m.Timeout,
		}
		if m.Timeout == 0 {
			m.account.Timeout = 5 * time.Minute
		}
		m.notes = NewNotes[imapNote](m.Notes)
		m.slots = make(chan struct{}, max(m.Deliveries, 1))
	})
}

// Limit returns what one command may append. There are Deliveries batches at once.
func (m *IMAP) Limit() Limit {
	return Limit{Messages: imapMessages, Octets: imapOctets, Batches: max(m.Deliveries, 1)}
}

// Room returns the room for the spool, at least that in memory; see MDA. Nobody knows how much room
// the server has.
func (m *IMAP) Room(context.Context) (octets int64, err error) {
	octets, err = roomIn(os.TempDir())
	if err != nil {
		return math.MaxInt64, nil //nolint:nilerr // each message shows whether it fits
	}
	return max(octets, spareOctets), nil
}

// Prepare logs in, and makes the mailbox if it is missing. It does so whether or not something was
// delivered before: a missing mailbox is no disk that is not mounted. The session is kept.
func (m *IMAP) Prepare(ctx context.Context, _ bool) error {
	m.begin()
	release, err := m.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	session, err := m.session(ctx)
	if err != nil {
		return err
	}
	m.keep(session)
	return nil
}

// Probe logs in. A missing mailbox is no error.
func (m *IMAP) Probe(ctx context.Context, _ bool) error {
	return m.look(ctx, func(box *imapbox.Box) error {
		_, _, _, err := box.Status(ctx)
		return err
	})
}

// Begin opens an empty batch.
func (m *IMAP) Begin(ctx context.Context) (Batch, error) {
	m.begin()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("beginning a batch: %w", err)
	}
	return &imapBatch{imap: m}, nil
}

// name names the mailbox in errors and notes.
func (m *IMAP) name() string {
	return "IMAP mailbox " + m.Mailbox + " of " + m.User + " at " + m.Address
}

// acquire waits until fewer than Deliveries batches are being sent.
func (m *IMAP) acquire(ctx context.Context) (release func(), err error) {
	select {
	case m.slots <- struct{}{}:
		return func() { <-m.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another batch: %w", context.Cause(ctx))
	}
}

// session returns a session that appends: an idle one that the server has not ended, or a new one.
func (m *IMAP) session(ctx context.Context) (*imapbox.Appender, error) {
	for {
		m.mu.Lock()
		var session *imapbox.Appender
		if last := len(m.idle) - 1; last >= 0 {
			session, m.idle = m.idle[last], m.idle[:last]
		}
		m.mu.Unlock()
		if session == nil {
			break
		}
		if session.Alive() {
			return session, nil
		}
		session.Close()
	}
	session, err := imapbox.OpenAppender(ctx, &m.account)
	return session, m.failed(ctx, err)
}

// keep keeps a session for the next batch.
func (m *IMAP) keep(session *imapbox.Appender) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.idle = append(m.idle, session)
	m.restLater()
}

// restLater ends the sessions when nobody has used them for a while. The caller holds m.mu.
func (m *IMAP) restLater() {
	if m.rest == nil {
		m.rest = time.AfterFunc(imapRest, m.endSessions)
	} else {
		m.rest.Reset(imapRest)
	}
}

// endSessions ends the sessions that are not in use.
func (m *IMAP) endSessions() {
	m.mu.Lock()
	idle := m.idle
	m.idle = nil
	m.mu.Unlock()
	for _, session := range idle {
		session.Close()
	}
	if m.looking.TryLock() {
		defer m.looking.Unlock()
		m.closeBox()
	}
}

// imapErrors are the errors of a session, and what they mean for whoever uses the target.
var imapErrors = []struct{ is, means error }{
	{imapbox.ErrUnreachable, ErrUnreachable},
	{imapbox.ErrLogin, ErrLogin},
	{imapbox.ErrUntrusted, ErrUntrusted},
	{imapbox.ErrProtocol, ErrProtocol},
	{imapbox.ErrMailbox, ErrUnfit},
}

// imapError is an error of a session.
type imapError struct {
	target       string
	means, cause error
}

func (e *imapError) Error() string   { return "delivering to " + e.target + ": " + e.cause.Error() }
func (e *imapError) Unwrap() []error { return []error{e.means, e.cause} }

// failed returns the error of a session as one of the target.
func (m *IMAP) failed(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	for _, e := range imapErrors {
		if errors.Is(err, e.is) {
			return &imapError{m.name(), e.means, err}
		}
	}
	return fmt.Errorf("delivering to %s: %w", m.name(), err)
}
