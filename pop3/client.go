package pop3

import (
	"context"
	"crypto/tls"
	"iter"
	"net"
	"time"
)

// TLSMode says how a session is protected.
type TLSMode int

const (
	TLSImplicit TLSMode = iota // TLS from the first octet (RFC 8314); the zero value
	TLSStart                   // STLS before anything else, required (RFC 2595)
	TLSNone                    // clear text
)

// Options are the settings of one session; they are copied at the door and nil means the zero value.
type Options struct {
	TLS       TLSMode
	TLSConfig *tls.Config // nil: system roots, server name from addr; MinVersion is raised to TLS 1.2

	// DialTimeout limits connecting to one address; zero means 30 seconds.
	DialTimeout time.Duration
	// GreetingTimeout limits the TLS handshake, and likewise the greeting; zero means one minute.
	GreetingTimeout time.Duration
	// ReplyTimeout limits the wait for a complete status line or line of a listing; zero means one minute.
	ReplyTimeout time.Duration
	// StallTimeout limits silence inside a message; each octet restarts it; zero means one minute.
	StallTimeout time.Duration

	// Window is how many commands may be unanswered where the server announces PIPELINING; zero means 100, one: never pipeline.
	Window int
	// WindowOctets bounds the announced octets of unanswered RETR commands (two commands are always allowed); zero means 8 MiB.
	WindowOctets int64

	// Trace, if set, is called with each line sent and received (no line end, octets escaped, message bodies left out),
	// secrets already masked.
	Trace func(sent bool, line string)

	// Idle, if set, is called while a method waits for a status line that has not begun after 500 ms, once a wait.
	// It must not call the Client.
	Idle func()
}

// Client is one POP3 session; it is not safe for concurrent use, because a server answers in the order it was asked.
type Client struct{}

// Message is the body of one RETR or TOP reply, read as a stream; it reports io.EOF only after the terminating line, and
// io.ErrUnexpectedEOF if the reply was cut short.
type Message struct {
	Number int
	Octets int64 // as announced by the caller of Retr (from LIST); 0: unknown
}

func (m *Message) Read(p []byte) (int, error) { panic("todo") }

// Dial connects to addr, does what opts.TLS says (with TLSStart: CAPA, STLS, handshake), and reads the greeting.
func Dial(ctx context.Context, addr string, opts *Options) (*Client, error) { panic("todo") }

// New is Dial on a connection that exists.
func New(ctx context.Context, conn net.Conn, opts *Options) (*Client, error) { panic("todo") }

func (c *Client) Greeting() string                               { panic("todo") } // text of the greeting, timestamp included
func (c *Client) TLSState() (state tls.ConnectionState, ok bool) { panic("todo") }
func (c *Client) LocalAddr() net.Addr                            { panic("todo") }

// Capa sends CAPA; -ERR is a *ReplyError. The last positive answer is kept for Capabilities and pipelining.
func (c *Client) Capa(ctx context.Context) (Capabilities, error) { panic("todo") }

// Capabilities returns what CAPA last said in this session, nil before.
func (c *Client) Capabilities() Capabilities { panic("todo") }

func (c *Client) STLS(ctx context.Context) error                        { panic("todo") }
func (c *Client) UTF8(ctx context.Context) error                        { panic("todo") } // RFC 6856
func (c *Client) User(ctx context.Context, name, password string) error { panic("todo") }
func (c *Client) Apop(ctx context.Context, name, secret string) error   { panic("todo") }
func (c *Client) Auth(ctx context.Context, mech SASLClient) error       { panic("todo") }

func (c *Client) Stat(ctx context.Context) (DropListing, error)                  { panic("todo") }
func (c *Client) List(ctx context.Context) ([]ScanListing, error)                { panic("todo") }
func (c *Client) UIDL(ctx context.Context) ([]UniqueIDListing, error)            { panic("todo") }
func (c *Client) ListNumber(ctx context.Context, n int) (ScanListing, error)     { panic("todo") }
func (c *Client) UIDLNumber(ctx context.Context, n int) (UniqueIDListing, error) { panic("todo") }

// Listings asks STAT, LIST and UIDL, in one packet where the server announces PIPELINING. A refusal of one (*ReplyError)
// stands in its own field and does not disturb the others; any other error is returned.
func (c *Client) Listings(ctx context.Context) (*Listings, error) { panic("todo") }

// Listings is the answer to STAT, LIST and UIDL.
type Listings struct {
	Drop    DropListing
	DropErr error // nil or *ReplyError
	Scan    []ScanListing
	ScanErr error
	UIDs    []UniqueIDListing
	UIDErr  error
	// Malformed counts lines of LIST or UIDL that could not be read (number 0, no number, no usable unique-id, ...).
	Malformed int
}

// Retr sends RETR for each number (with the octets that LIST announced, 0: unknown) and yields the bodies in that order. A
// refused message is yielded as *ReplyError with a Message that tells the number, and the loop goes on; any other error ends it.
// When the sequence ends no more is sent, and the loop goes on until what is unanswered is answered.
func (c *Client) Retr(ctx context.Context, messages iter.Seq2[int, int64]) iter.Seq2[*Message, error] {
	panic("todo")
}

// Top is like Retr, for the header and the first lines lines of the body.
func (c *Client) Top(ctx context.Context, numbers iter.Seq[int], lines int) iter.Seq2[*Message, error] {
	panic("todo")
}

// Dele marks messages as deleted and yields the number and nil or *ReplyError for each.
func (c *Client) Dele(ctx context.Context, numbers iter.Seq[int]) iter.Seq2[int, error] {
	panic("todo")
}
func (c *Client) Noop(ctx context.Context) error { panic("todo") }
func (c *Client) Rset(ctx context.Context) error { panic("todo") }

// Quit sends QUIT and closes; it waits 5 seconds for the reply in AUTHORIZATION state, ReplyTimeout in TRANSACTION state. nil only after a positive reply.
func (c *Client) Quit(ctx context.Context) error { panic("todo") }
func (c *Client) Close() error                   { panic("todo") }

// SASLClient is a SASL mechanism, as go-sasl's sasl.Client.
type SASLClient interface {
	Start() (mech string, ir []byte, err error)
	Next(challenge []byte) (response []byte, err error)
}

// Capabilities maps each capability in upper case to its parameters.
type Capabilities map[string][]string

func (c Capabilities) Has(name string) bool { _, ok := c[name]; return ok }

type DropListing struct {
	Messages int
	Octets   int64
}
type ScanListing struct {
	Number int
	Octets int64
}
type UniqueIDListing struct {
	Number   int
	UniqueID string
}
