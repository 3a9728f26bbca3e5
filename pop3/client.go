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

// TLSMode says how TLS protects a session.
type TLSMode int

// The modes of TLS. No mode tries TLS and falls back to clear text.
const (
	TLSImplicit TLSMode = iota // TLS from the first octet (RFC 8314); the zero value
	TLSStart                   // STLS before anything else, required (RFC 2595)
	TLSNone                    // clear text
)

// Options are the settings of one session. They are copied, so later changes have no effect. Nil
// means the zero value.
type Options struct {
	TLS       TLSMode
	TLSConfig *tls.Config // nil: system roots, server name from addr
	// OldTLS allows all versions of TLS that TLSConfig allows. Otherwise its MinVersion is raised to
	// TLS 1.2 (RFC 8996).
	OldTLS bool

	// Dial, if set, connects to host:port in place of TCP, within DialTimeout.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// DialTimeout limits the time to connect to one address. Zero means 30 seconds.
	DialTimeout time.Duration
	// GreetingTimeout limits the TLS handshake. It also limits the wait for the greeting. Zero
	// means one minute.
	GreetingTimeout time.Duration
	// ReplyTimeout limits the wait for a complete status line. It also limits the wait for each 256
	// octets of a listing, or for its end. Zero means one minute.
	ReplyTimeout time.Duration
	// StallTimeout limits silence inside a message. Each octet restarts it. Zero means one minute.
	StallTimeout time.Duration

	// Window is how many commands may be unanswered if the server announces PIPELINING. Zero means
	// 2000. One means no pipelining. Above 100, the server's speed limits it too: no more commands
	// are unanswered than it answers in a second.
	Window int
	// WindowOctets limits the announced octets of unanswered RETR commands. Two commands are always
	// allowed. Zero means 8 MiB.
	WindowOctets int64

	// Octets, if set, gives the octets of a name or password beyond ASCII in a session without UTF8
	// USER, for USER, PASS and APOP. RFC 1939 has no way to send them, but many servers accept the
	// octets of some charset (C0003). Nil: the error is ErrNonASCII.
	Octets func(text string) (string, error)

	// Trace, if set, is called with each line sent and received. Secrets are masked and octets are
	// escaped. The line has no line end. Message bodies are left out.
	Trace func(sent bool, line string)

	// Step, if set, is called when the session has got a step further. It may ask the Client what it
	// knows, and must not send anything by it.
	Step func(c *Client, step Step)

	// Idle, if set, is called while a method waits for a status line that has not begun after 500
	// ms. It is called once a wait. It must not call the Client.
	Idle func()

	silentAfter time.Duration // see checkSilence; zero means five seconds
}

// withDefaults returns a copy of o with each zero value replaced by its default.
func (o *Options) withDefaults() Options {
	var filled Options
	if o != nil {
		filled = *o
	}
	setDefault(&filled.DialTimeout, 30*time.Second)
	setDefault(&filled.GreetingTimeout, time.Minute)
	setDefault(&filled.ReplyTimeout, time.Minute)
	setDefault(&filled.StallTimeout, time.Minute)
	setDefault(&filled.silentAfter, silentAfter)
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

// state is a state of RFC 1939 section 3. The UPDATE state has no value, because Quit reads the
// reply and closes.
type state int

const (
	stateClosed state = iota // the zero value, so that a Client made by hand sends nothing
	stateAuthorization
	stateTransaction
)

// Client is one POP3 session. It is not safe for concurrent use, because a server answers commands
// in their order. Dial and New make one.
type Client struct {
	opts   Options
	link   *link
	reader *reader

	state      state
	unanswered int   // commands whose replies have not been read to their ends
	replied    int   // complete replies since no command was unanswered
	lost       error // why the session is out of step; nil if it is in step

	// Lines that may stand before the next status line and say nothing; see passesOver.
	dotDue, blankDue bool

	greeting     string
	timestamp    string // "" after STLS, and if the greeting has no valid one
	capabilities Capabilities
	utf8         bool // the server accepted UTF8

	secrets []string // see Conceal
}

// Dial connects to addr, starts TLS as opts.TLS says, and reads the greeting. With TLSStart it
// sends CAPA and STLS.
//
// The form of addr is host:port. Dial takes the address of the host that answers first. It tries each
// for at most Options.DialTimeout, and begins with the next one after a quarter of a second (RFC 8305).
// If all fail, the error names addr and wraps each cause.
//
// A negative greeting is a *ReplyError without a Command. A greeting that is not POP3 is a
// *ProtocolError. In both cases nothing has been sent. With TLSStart, the error is ErrInsecure if
// the server does not announce STLS or refuses it. If the certificate is not valid, the error is
// one of crypto/tls.
func Dial(ctx context.Context, addr string, opts *Options) (*Client, error) {
	filled := opts.withDefaults()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("connecting to %q: %w: %w", addr, ErrArgument, err)
	}
	conn, err := filled.connect(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", addr, err)
	}
	if filled.TLSConfig == nil {
		filled.TLSConfig = new(tls.Config) // handshake sets the minimum version
	}
	if filled.TLSConfig.ServerName == "" {
		filled.TLSConfig = filled.TLSConfig.Clone()
		filled.TLSConfig.ServerName = host
	}
	return New(ctx, conn, &filled)
}

// connect makes the connection, without TLS.
func (o *Options) connect(ctx context.Context, addr string) (net.Conn, error) {
	if o.Dial == nil {
		return dialAny(ctx, addr, o.DialTimeout)
	}
	ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
	defer cancel()
	return o.Dial(ctx, addr)
}

// New does the same as Dial on an existing connection. It closes the connection on an error. A
// *tls.Conn counts as protected and is not wrapped again. For any other connection, opts.TLSConfig
// must have a ServerName, unless opts.TLS is TLSNone.
func New(ctx context.Context, conn net.Conn, opts *Options) (*Client, error) {
	l := newLink(conn)
	c := &Client{opts: opts.withDefaults(), link: l, reader: newReader(l), state: stateAuthorization}
	if err := c.open(ctx); err != nil {
		c.lost = err
		c.Close() //nolint:errcheck // the first error says more
		return nil, fmt.Errorf("opening a session with %s: %w", conn.RemoteAddr(), err)
	}
	return c, nil
}

// open does all steps of a session before authentication.
func (c *Client) open(ctx context.Context) error {
	end := c.link.use(ctx)
	defer end()
	c.reached(StepConnected)
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

// handshake starts TLS on the connection.
func (c *Client) handshake(ctx context.Context) error {
	config := c.opts.TLSConfig.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	if !c.opts.OldTLS {
		config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	}
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
	c.link.conn = conn
	c.link.mu.Unlock()
	c.reached(StepTLS)
	return nil
}

// bulkConn reads as many octets as are available. By itself, crypto/tls reads at most one record of
// 16 KiB, usually in two parts.
type bulkConn struct {
	net.Conn
	in *bufio.Reader
}

func newBulkConn(conn net.Conn) *bulkConn {
	return &bulkConn{conn, bufio.NewReaderSize(conn, bufferOctets)}
}

func (b *bulkConn) Read(p []byte) (int, error) { return b.in.Read(p) }

// readGreeting waits for the greeting. Nothing is sent before the greeting is complete (C0002).
func (c *Client) readGreeting() error {
	c.link.wait = wait{what: "complete greeting", limit: c.opts.GreetingTimeout}
	if _, protected := c.TLSState(); !protected {
		c.link.wait.idle, c.link.wait.idleAfter = c.checkSilence, c.opts.silentAfter
	}
	r, err := c.readReply("")
	if err != nil {
		return err
	}
	if err := r.asError(""); err != nil {
		return err
	}
	c.greeting = Escape(string(r.text))
	c.timestamp, _ = parseTimestamp(r.text)
	c.reached(StepGreeting)
	return nil
}

// Greeting returns the text of the greeting, escaped by Escape.
func (c *Client) Greeting() string { return c.greeting }

// Timestamp returns the greeting's timestamp, with its angle brackets. It is empty if the greeting has
// no valid one, and after STLS. Without it there is no APOP.
func (c *Client) Timestamp() string { return c.timestamp }

// TLSState returns the state of TLS. The result ok reports whether the session is under TLS.
func (c *Client) TLSState() (state tls.ConnectionState, ok bool) {
	if conn, ok := c.link.conn.(*tls.Conn); ok {
		return conn.ConnectionState(), true
	}
	return tls.ConnectionState{}, false
}

// LocalAddr returns the address of this end of the connection.
func (c *Client) LocalAddr() net.Addr { return c.link.conn.LocalAddr() }

// RemoteAddr returns the server's address of the connection.
func (c *Client) RemoteAddr() net.Addr { return c.link.conn.RemoteAddr() }

// begin starts the method for keyword. It checks that the session is usable, in step, and in one of
// the states. Then it puts ctx on the link until end is called. An error means that nothing was
// sent.
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

// lose marks the session as out of step because of err, and returns err.
func (c *Client) lose(err error) error {
	c.lost = err
	return err
}

// quitTimeout limits the wait for the reply to QUIT before the log-in, when nothing depends on the
// reply (C0012).
const quitTimeout = 5 * time.Second

// Quit sends QUIT and closes the connection. It waits for the reply: 5 seconds in AUTHORIZATION
// state, and ReplyTimeout in TRANSACTION state. It returns nil only after a positive reply. Only
// then has the server entered the UPDATE state and removed the messages marked as deleted (RFC 1939
// section 6). The connection is closed in any case, unless the error is ErrState because replies
// are outstanding.
func (c *Client) Quit(ctx context.Context) error {
	end, err := c.begin(ctx, "QUIT", stateAuthorization, stateTransaction)
	if c.unanswered > 0 && c.lost == nil {
		return err
	}
	defer c.Close() //nolint:errcheck // the outcome is already decided
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

// Close closes the connection without QUIT, so the server deletes nothing. A second call does
// nothing.
func (c *Client) Close() error {
	if c.state == stateClosed {
		return nil
	}
	c.state = stateClosed
	c.secrets = nil
	conn := c.link.conn
	if secured, ok := conn.(*tls.Conn); ok && c.lost != nil {
		// Closing TLS sends an alert, which could wait for a peer that does not read.
		conn = secured.NetConn()
	}
	return conn.Close()
}
