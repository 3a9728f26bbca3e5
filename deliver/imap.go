package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"time"
)

// These errors say why a server that takes messages cannot be used now.
var (
	// ErrUnreachable means that the server was not reached, said nothing, or broke off.
	ErrUnreachable = errors.New("the server cannot be reached")
	// ErrLogin means that the server refused the log-in.
	ErrLogin = errors.New("the log-in was refused")
	// ErrUntrusted means that there is no TLS to trust: the certificate was refused, or the server
	// has no TLS.
	ErrUntrusted = errors.New("there is no TLS to trust")
)

// IMAP appends messages to a mailbox of an IMAP server.
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
	// Timeout bounds the silence of the server, and so the time of one message. Zero: five minutes.
	Timeout    time.Duration
	Deliveries int    // how many batches may be on their way at once; zero means one
	Notes      string // the file of notes about messages that have no record yet
}

// Limit returns what one batch may hold.
func (m *IMAP) Limit() Limit {
	return Limit{Messages: 100, Octets: 4 << 20, Batches: max(m.Deliveries, 1)}
}

// Room is not known.
func (m *IMAP) Room(context.Context) (int64, error) { return math.MaxInt64, nil }

// Prepare logs in.
func (m *IMAP) Prepare(context.Context, bool) error { return ErrUnreachable }

// Begin opens an empty batch.
func (m *IMAP) Begin(context.Context) (Batch, error) { return nil, ErrUnreachable }
