package poptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// client is a minimal POP3 client. It fails the test on errors of the connection.
type client struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	return dialUntold(t, InClear(addr, true))
}

func dialUntold(t testing.TB, addr string) *client {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatalf("dialling %s: %v", addr, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{t: t, c: c, r: bufio.NewReader(c)}
}

// send sends octets as they are.
func (c *client) send(octets string) {
	c.t.Helper()
	if _, err := io.WriteString(c.c, octets); err != nil {
		c.t.Fatalf("sending %q: %v", octets, err)
	}
}

// line reads a line without its end.
func (c *client) line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("reading a line: got %q and %v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// cmd sends a command and returns its status line.
func (c *client) cmd(format string, args ...any) string {
	c.t.Helper()
	c.send(fmt.Sprintf(format, args...) + "\r\n")
	return c.line()
}

// want sends a command. It fails the test if the status line does not begin with prefix.
func (c *client) want(prefix, format string, args ...any) string {
	c.t.Helper()
	got := c.cmd(format, args...)
	if !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("%s: got %q, want %q", fmt.Sprintf(format, args...), got, prefix)
	}
	return got
}

// body reads the rest of a multi-line reply, unstuffed.
func (c *client) body() []byte {
	c.t.Helper()
	var body bytes.Buffer
	afterCRLF := true
	for {
		line, err := c.r.ReadBytes('\n')
		if err != nil {
			c.t.Fatalf("reading a body: %v after %d octets", err, body.Len())
		}
		if afterCRLF && line[0] == '.' {
			if string(line) == ".\r\n" {
				return body.Bytes()
			}
			line = line[1:]
		}
		afterCRLF = bytes.HasSuffix(line, []byte("\r\n"))
		body.Write(line)
	}
}

// rest reads until the end of the stream.
func (c *client) rest() (string, error) {
	rest, err := io.ReadAll(c.r)
	return string(rest), err
}

func (c *client) startTLS(config *tls.Config) {
	c.t.Helper()
	secure := tls.Client(c.c, config)
	if err := secure.HandshakeContext(c.t.Context()); err != nil {
		c.t.Fatalf("TLS handshake: %v", err)
	}
	c.c, c.r = secure, bufio.NewReader(secure)
}

// login greets and logs in by USER and PASS.
func (c *client) login(user, password string) {
	c.t.Helper()
	if got := c.line(); !strings.HasPrefix(got, "+OK") {
		c.t.Fatalf("greeting: got %q, want +OK", got)
	}
	c.want("+OK", "USER %s", user)
	c.want("+OK", "PASS %s", password)
}

// trial is a TB that keeps failures instead of failing the test. finish runs its cleanups and
// returns the failures.
type trial struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func newTrial(t testing.TB) *trial {
	tr := &trial{TB: t}
	t.Cleanup(func() { tr.finish() })
	return tr
}

func (t *trial) Helper() {}

func (t *trial) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

func (t *trial) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *trial) finish() []string {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
	t.cleanups = nil
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failures
}
