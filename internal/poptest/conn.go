package poptest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"sync"
	"time"
)

// maxCommand is the length of the longest command, including the line end (RFC 2449 section 4).
const maxCommand = 255

var commandPattern = regexp.MustCompile(`^[\x20-\x7e]*\r\n$`)

// checkCommand returns an error if a client must not send these octets as a command. A continuation
// is a line inside a SASL exchange. It may be long (RFC 5034 section 4).
func checkCommand(line []byte, continuation bool) error {
	if !commandPattern.Match(line) {
		return fmt.Errorf("C0003: command %q, want only 0x20 to 0x7e and CRLF", clip(line))
	}
	if len(line) > maxCommand && !continuation {
		return fmt.Errorf("R2449-7: a command of %d octets, want at most %d", len(line), maxCommand)
	}
	return nil
}

// clip shortens octets for a message.
func clip(octets []byte) []byte {
	if len(octets) > 300 {
		return append(append([]byte{}, octets[:300]...), "..."...)
	}
	return octets
}

// conn is the server's side of a connection, with TLS or without.
type conn struct {
	tcp    *net.TCPConn
	wire   *wire    // over tcp
	stream net.Conn // wire, or the TLS connection over it
	r      *bufio.Reader

	mu       sync.Mutex
	received []byte // every octet from the client, decrypted
}

func newConn(tcp *net.TCPConn) *conn {
	w := newWire(tcp)
	c := &conn{tcp: tcp, wire: w, stream: w}
	c.r = bufio.NewReader(recorder{c})
	return c
}

// recorder reads the stream and keeps a copy of all octets.
type recorder struct{ c *conn }

func (r recorder) Read(p []byte) (int, error) {
	n, err := r.c.stream.Read(p)
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.received = append(r.c.received, p[:n]...)
	return n, err
}

func (c *conn) recorded() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte{}, c.received...)
}

// startTLS makes the handshake. Octets that were received but not yet read are part of the
// handshake.
func (c *conn) startTLS(config *tls.Config) error {
	early, _ := c.r.Peek(c.r.Buffered())
	c.mu.Lock()
	c.received = c.received[:len(c.received)-len(early)]
	c.mu.Unlock()
	secure := tls.Server(&earlyConn{Conn: c.wire, early: append([]byte{}, early...)}, config)
	if err := secure.HandshakeContext(context.Background()); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.stream = secure
	c.r.Reset(recorder{c})
	return nil
}

// earlyConn is a connection. Read returns the octets in early first, because they were received
// before.
type earlyConn struct {
	net.Conn
	early []byte
}

func (c *earlyConn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	c.early = c.early[n:]
	return n, nil
}

// cut ends the connection as a dying server does, and returns what the client sent since. The
// client reads what was sent before, and then the end of the stream. Under TLS there is no
// close_notify. Cut reads and records the client's octets until the client closes. If it closed the
// connection with commands unread, the kernel would send RST, and the client could lose octets that
// were sent before.
func (c *conn) cut() []byte {
	_ = c.tcp.CloseWrite()
	return c.drain()
}

// close ends the connection politely, under TLS with a close_notify. Then it does the same as cut.
func (c *conn) close() []byte {
	if secure, ok := c.stream.(*tls.Conn); ok {
		_ = secure.CloseWrite()
	}
	return c.cut()
}

// drain reads until the client closes or the connection is closed here.
func (c *conn) drain() []byte {
	rest, _ := io.ReadAll(c.r) // Every kind of end is fine, even an RST.
	return rest
}

// reset ends the connection by RST.
func (c *conn) reset() {
	_ = c.tcp.SetLinger(0)
	_ = c.tcp.Close()
}

// isTimeout reports whether the deadline of the cleanup ended a read. Otherwise the client did.
func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

// listen opens a free port on loopback.
func listen(t TB) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatalf("listening on loopback: %v", err)
	}
	listened(l)
	return l
}

// lingering is the time that a connection gets at cleanup. The client's last octets may still be on
// their way.
const lingering = 200 * time.Millisecond
