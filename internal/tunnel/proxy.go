package tunnel

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/escape"
)

// These say what a proxy has made of a connection. The error of Dial wraps one of them if the proxy
// was reached and its answer is complete.
var (
	// ErrRefused says that the proxy wants other credentials, or that its rules forbid the
	// connection. Trying again does not help.
	ErrRefused = errors.New("the proxy refuses")
	// ErrUnreached says that the proxy has tried, or cannot try now. Trying again may help.
	ErrUnreached = errors.New("the proxy does not reach the server")
	// ErrBroken says that the proxy does not speak the protocol.
	ErrBroken = errors.New("the proxy breaks the protocol")
)

// The values of Proxy.Scheme.
const (
	SOCKS5 = "socks5" // RFC 1928
	HTTP   = "http"   // CONNECT, RFC 9110 section 9.3.6
)

// Proxy is a proxy that connects to servers.
type Proxy struct {
	Scheme   string
	Addr     string // host:port
	User     string // "" if the proxy asks for none
	Password string
}

// Dial connects to addr, host:port, by the proxy. The proxy gets the host's name as it is, and looks
// it up. The end of ctx also ends the wait for the proxy's answers. No error shows the password.
func (p Proxy) Dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := p.dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("by the proxy %s://%s: %w", p.Scheme, p.Addr, explain(ctx, err))
	}
	return conn, nil
}

func (p Proxy) dial(ctx context.Context, addr string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", p.Addr)
	if err != nil {
		return nil, err
	}
	socket, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(errors.ErrUnsupported, conn.Close())
	}
	stop := context.AfterFunc(ctx, func() {
		_ = socket.SetDeadline(past) // it fails only if the connection is closed
	})
	err = p.ask(socket, addr)
	if !stop() && err == nil { // the deadline would stay
		err = ctx.Err()
	}
	if err != nil {
		_ = socket.Close() // the first error says more
		return nil, err
	}
	return &proxied{socket, proxiedAddr{addr, p}}, nil
}

// past is a deadline that ends a read or write at once.
var past = time.Unix(1, 0)

// ask makes the proxy connect to addr. It reads no octet behind the proxy's answer, because those
// are the server's.
func (p Proxy) ask(proxy io.ReadWriter, addr string) error {
	if p.Scheme == SOCKS5 {
		return p.askSOCKS(proxy, addr)
	}
	return p.askHTTP(proxy, addr)
}

// explain returns the cause of an ended ctx, or os.ErrDeadlineExceeded after a time limit. Any other
// error stays as it is.
func explain(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	var timeout net.Error
	switch {
	case cause != nil && !errors.Is(cause, context.DeadlineExceeded):
		return cause
	case cause != nil, errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("no answer in time: %w", os.ErrDeadlineExceeded)
	}
	return err
}

// read fills p with the proxy's octets.
func read(proxy io.Reader, p []byte) error {
	_, err := io.ReadFull(proxy, p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("its answer breaks off: %w", err)
	}
	return nil
}

// maxShown limits what is shown of a proxy's answer, in octets.
const maxShown = 200

// shown returns the proxy's octets for people. Some proxies repeat what they got.
func (p Proxy) shown(octets []byte) string {
	text := string(octets)
	if p.Password != "" {
		text = strings.NewReplacer(p.basic(), "***", p.Password, "***").Replace(text)
	}
	return escape.Text([]byte(text), maxShown)
}

// basic returns the credentials as HTTP has them (RFC 7617 section 2).
func (p Proxy) basic() string {
	return base64.StdEncoding.EncodeToString([]byte(p.User + ":" + p.Password))
}

// proxied is a connection by a proxy. It is a TCP connection, but its other end is not the server.
type proxied struct {
	*net.TCPConn
	addr proxiedAddr
}

// RemoteAddr returns the address of the server. Who wants another connection to it must not take
// the proxy for the server.
func (c *proxied) RemoteAddr() net.Addr { return c.addr }

// proxiedAddr is the address of a server that a proxy connects to.
type proxiedAddr struct {
	server string
	proxy  Proxy
}

func (proxiedAddr) Network() string { return "proxy" }
func (a proxiedAddr) String() string {
	return a.server + " by the proxy " + a.proxy.Scheme + "://" + a.proxy.Addr
}
