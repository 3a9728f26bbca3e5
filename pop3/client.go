package pop3

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"time"
)

// TLSMode says how a session is protected.
type TLSMode int

// The ways of protection. There is none that tries TLS and does without it.
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
	// ReplyTimeout limits the wait for a complete status line, and for each 256 octets of a listing or its end; zero means one
	// minute.
	ReplyTimeout time.Duration
	// StallTimeout limits silence inside a message; each octet restarts it; zero means one minute.
	StallTimeout time.Duration

	// Window is how many commands may be unanswered where the server announces PIPELINING; zero means 2000, one: never
	// pipeline. From 100 on it is no more than the server answers in a second.
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

// withDefaults returns a copy of o in which no zero value needs a meaning of its own.
func (o *Options) withDefaults() Options {
	var filled Options
	if o != nil {
		filled = *o
	}
	setDefault(&filled.DialTimeout, 30*time.Second)
	setDefault(&filled.GreetingTimeout, time.Minute)
	setDefault(&filled.ReplyTimeout, time.Minute)
	setDefault(&filled.StallTimeout, time.Minute)
	setDefault(&filled.Window, 2000)
	setDefault(&filled.WindowOctets, 8<<20)
	filled.WindowOctets = min(filled.WindowOctets, 1<<60) // so that sums of it do not overflow
	return filled
}

func setDefault[T ~int | ~int64](value *T, otherwise T) {
	if *value <= 0 {
		*value = otherwise
	}
}

// state is a state of RFC 1939 section 3. The UPDATE state needs no value: Quit reads the reply and closes.
type state int

const (
	stateClosed state = iota // the zero value, so that a Client made by hand sends nothing
	stateAuthorization
	stateTransaction
)

// Client is one POP3 session; it is not safe for concurrent use, because a server answers in the order it was asked. It is
// made by Dial or New.
type Client struct {
	opts   Options
	link   *link
	reader *reader

	state      state
	unanswered int   // commands whose replies have not been read to their ends
	replied    int   // complete replies since no command was unanswered
	lost       error // why the session is out of step; nil: it is not

	greeting     string
	timestamp    string // "" if the greeting has none that is valid, and under STLS
	capabilities Capabilities
	utf8         bool // UTF8 was accepted

	secrets []string // see Conceal
}

// Dial connects to addr, does what opts.TLS says (with TLSStart: CAPA, STLS, handshake), and reads the greeting.
//
// addr is host:port. All addresses of the host are tried in turn, each for Options.DialTimeout; the error names addr and
// wraps the cause for each. A negative greeting is a *ReplyError without a Command, one that is no POP3 a *ProtocolError,
// and in both cases nothing has been sent. With TLSStart, a server that does not announce STLS, or refuses it, is
// ErrInsecure. A certificate that does not fit is an error of crypto/tls.
func Dial(ctx context.Context, addr string, opts *Options) (*Client, error) {
	filled := opts.withDefaults()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("connecting to %q: %w: %w", addr, ErrArgument, err)
	}
	conn, err := dialAny(ctx, addr, filled.DialTimeout)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", addr, err)
	}
	if filled.TLSConfig == nil {
		filled.TLSConfig = new(tls.Config) // handshake sets the lowest version
	}
	if filled.TLSConfig.ServerName == "" {
		filled.TLSConfig = filled.TLSConfig.Clone()
		filled.TLSConfig.ServerName = host
	}
	return New(ctx, conn, &filled)
}

// New is Dial on a connection that exists, which it closes on an error. A *tls.Conn counts as protected and is not
// wrapped again. Otherwise opts.TLSConfig must have a ServerName, unless opts.TLS is TLSNone.
func New(ctx context.Context, conn net.Conn, opts *Options) (*Client, error) {
	l := newLink(conn)
	c := &Client{opts: opts.withDefaults(), link: l, reader: newReader(l), state: stateAuthorization}
	if err := c.open(ctx); err != nil {
		c.lost = err
		c.Close() //nolint:errcheck // the first error tells more
		return nil, fmt.Errorf("opening a session with %s: %w", conn.RemoteAddr(), err)
	}
	return c, nil
}

// open does everything of a session that stands before authentication.
func (c *Client) open(ctx context.Context) error {
	end := c.link.use(ctx)
	defer end()
	_, protected := c.TLSState()
	if c.opts.TLS == TLSImplicit && !protected {
		if err := c.handshake(ctx); err != nil {
			return err
		}
	}
	if err := c.readGreeting(); err != nil {
		return err
	}
	if c.opts.TLS == TLSStart && !protected {
		return c.startTLS(ctx)
	}
	return nil
}

// handshake puts TLS on the connection.
func (c *Client) handshake(ctx context.Context) error {
	config := c.opts.TLSConfig.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	c.link.wait = wait{what: "end of the TLS handshake", limit: c.opts.GreetingTimeout}
	conn := tls.Client(newBulkConn(c.link.conn), config)
	err := c.link.deadline(conn.SetDeadline, time.Now().Add(c.opts.GreetingTimeout))
	if err == nil {
		err = conn.HandshakeContext(ctx)
	}
	if err != nil {
		return c.link.explainHandshake(err)
	}
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.link.conn = conn
	return nil
}

// bulkConn reads as much as there is. Package tls by itself asks for the 16 KiB of a record, and mostly in two parts.
type bulkConn struct {
	net.Conn
	in *bufio.Reader
}

func newBulkConn(conn net.Conn) *bulkConn {
	return &bulkConn{conn, bufio.NewReaderSize(conn, bufferOctets)}
}

func (b *bulkConn) Read(p []byte) (int, error) { return b.in.Read(p) }

// readGreeting waits for the greeting; nothing is sent before it is complete (C0002).
func (c *Client) readGreeting() error {
	c.link.wait = wait{what: "complete greeting", limit: c.opts.GreetingTimeout}
	r, err := c.readReply("")
	if err != nil {
		return err
	}
	if err := r.asError(""); err != nil {
		return err
	}
	c.greeting = Escape(string(r.text))
	c.timestamp, _ = parseTimestamp(r.text)
	return nil
}

// Greeting returns the text of the greeting, fit for people as Escape makes it.
func (c *Client) Greeting() string { return c.greeting }

// TLSState returns the state of TLS; ok tells whether the session is under TLS.
func (c *Client) TLSState() (state tls.ConnectionState, ok bool) {
	if conn, ok := c.link.conn.(*tls.Conn); ok {
		return conn.ConnectionState(), true
	}
	return tls.ConnectionState{}, false
}

// LocalAddr returns the address of this end of the connection.
func (c *Client) LocalAddr() net.Addr { return c.link.conn.LocalAddr() }

// begin starts the method for keyword: it checks that the session is usable, in one of the states, and in step, and puts
// ctx on the link until end is called. An error means that nothing was sent.
func (c *Client) begin(ctx context.Context, keyword string, states ...state) (end func(), err error) {
	switch {
	case c.lost != nil:
		return nil, fmt.Errorf("%s: %w: %w", keyword, ErrClosed, c.lost)
	case c.state == stateClosed:
		return nil, fmt.Errorf("%s: %w", keyword, ErrClosed)
	case c.unanswered > 0 || !slices.Contains(states, c.state):
		return nil, fmt.Errorf("%s: %w", keyword, ErrState)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", keyword, context.Cause(ctx))
	}
	return c.link.use(ctx), nil
}

// lose marks the session as out of step because of err, which it returns.
func (c *Client) lose(err error) error {
	c.lost = err
	return err
}

// quitTimeout limits the wait for the reply to QUIT where nothing depends on it (C0012).
const quitTimeout = 5 * time.Second

// Quit sends QUIT and closes; it waits 5 seconds for the reply in AUTHORIZATION state, ReplyTimeout in TRANSACTION state.
// It returns nil only after a positive reply: only then has the server entered the UPDATE state and removed what was
// marked as deleted (RFC 1939 section 6). The connection is closed in any case, unless Quit is ErrState.
func (c *Client) Quit(ctx context.Context) error {
	end, err := c.begin(ctx, "QUIT", stateAuthorization, stateTransaction)
	if c.unanswered > 0 && c.lost == nil {
		return err
	}
	defer c.Close() //nolint:errcheck // after the reply, or the lack of one, it does not matter
	if err != nil {
		return err
	}
	defer end()
	if c.state == stateAuthorization {
		c.opts.ReplyTimeout = min(c.opts.ReplyTimeout, quitTimeout)
	}
	_, err = c.roundTrip(command{keyword: "QUIT"})
	return err
}

// Close closes the connection without QUIT, so that the server deletes nothing. Closing again does nothing.
func (c *Client) Close() error {
	if c.state == stateClosed {
		return nil
	}
	c.state = stateClosed
	conn := c.link.conn
	if secured, ok := conn.(*tls.Conn); ok && c.lost != nil {
		conn = secured.NetConn() // a farewell of TLS could wait for a peer that does not read
	}
	return conn.Close()
}
