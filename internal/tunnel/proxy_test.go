package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// echo starts a server that greets, and then sends back what it gets. It returns the address.
func echo(t *testing.T) string {
	t.Helper()
	return peer(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "+OK ready\r\n")
		_, _ = io.Copy(conn, conn)
	})
}

// peer starts a server that serves one client. It returns the address.
func peer(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		serve(conn)
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return listener.Addr().String()
}

// readSome reads n octets.
func readSome(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	octets := make([]byte, n)
	if _, err := io.ReadFull(r, octets); err != nil {
		t.Errorf("Read() = %v", err)
	}
	return string(octets)
}

// The proxy gets the name of the server as it is. The connection is the server's.
func TestProxy_Dial(t *testing.T) {
	const server = "pop.invalid:110"
	for _, test := range []struct{ scheme, user, password string }{
		{SOCKS5, "", ""},
		{SOCKS5, "alice", "tan:staaf@é"},
		{HTTP, "", ""},
		{HTTP, "alice", "tan:staaf@é"},
	} {
		t.Run(test.scheme+test.user, func(t *testing.T) {
			credentials := ""
			if test.user != "" {
				credentials = test.user + ":" + test.password
			}
			proxy := poptest.NewProxy(t, test.scheme, credentials, map[string]string{server: echo(t)})
			conn, err := Proxy{test.scheme, proxy.Addr(), test.user, test.password}.Dial(t.Context(), server)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got := readSome(t, conn, 11); got != "+OK ready\r\n" {
				t.Errorf("the greeting is %q", got)
			}
			if _, err := io.WriteString(conn, "QUIT\r\n"); err != nil || readSome(t, conn, 6) != "QUIT\r\n" {
				t.Errorf("Write() = %v, or another echo", err)
			}
			if got := proxy.Asked(); !slices.Equal(got, []string{server}) {
				t.Errorf("the proxy was asked for %q, want %s", got, server)
			}
			addr := conn.RemoteAddr()
			if want := server + " by the proxy " + test.scheme + "://" + proxy.Addr(); addr.String() != want {
				t.Errorf("RemoteAddr() = %s, want %s", addr, want)
			}
			if addr.Network() == "tcp" {
				t.Error("RemoteAddr() is one of TCP: somebody may take the proxy for the server")
			}
			if _, ok := conn.(syscall.Conn); !ok {
				t.Error("the connection has no socket, for its options")
			}
		})
	}
}

// Who comes with a wrong password is refused. No error shows the password, even if the proxy repeats it.
func TestProxy_Dial_refused(t *testing.T) {
	for _, scheme := range []string{SOCKS5, HTTP} {
		for _, password := range []string{"", "hunter2"} {
			p := Proxy{Scheme: scheme, Password: password}
			if password != "" {
				p.User = "alice"
			}
			p.Addr = poptest.NewProxy(t, scheme, "alice:tanstaaf", nil).Addr()
			_, err := p.Dial(t.Context(), "pop.invalid:110")
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), p.Addr) {
				t.Errorf("%s with password %q: Dial() = %v, want %v", scheme, password, err, ErrRefused)
			}
			checkNoPassword(t, p, err)
		}
	}
}

// A proxy that does not find the server is no fault of the proxy.
func TestProxy_Dial_unreached(t *testing.T) {
	for _, scheme := range []string{SOCKS5, HTTP} {
		p := Proxy{Scheme: scheme, Addr: poptest.NewProxy(t, scheme, "", nil).Addr()}
		if _, err := p.Dial(t.Context(), "pop.invalid:110"); !errors.Is(err, ErrUnreached) {
			t.Errorf("%s: Dial() = %v, want %v", scheme, err, ErrUnreached)
		}
	}
}

func checkNoPassword(t *testing.T, p Proxy, err error) {
	t.Helper()
	if text := err.Error(); p.Password != "" && (strings.Contains(text, p.Password) || strings.Contains(text, p.basic())) {
		t.Errorf("the error shows the password: %s", text)
	}
}

// A proxy that is not there is a fault of the network, as without proxy.
func TestProxy_Dial_absent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	var op *net.OpError
	_, err = Proxy{Scheme: HTTP, Addr: listener.Addr().String()}.Dial(t.Context(), "h:110")
	if !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &op) {
		t.Errorf("Dial() = %v, want %v", err, syscall.ECONNREFUSED)
	}
}

// A silent proxy is not waited for longer than ctx allows. The error is that of a time limit, or what
// has ended ctx.
func TestProxy_Dial_silent(t *testing.T) {
	for _, scheme := range []string{SOCKS5, HTTP} {
		limited, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		silent := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
		if _, err := (Proxy{Scheme: scheme, Addr: peer(t, silent)}).Dial(limited, "h:110"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: Dial() = %v, want %v", scheme, err, os.ErrDeadlineExceeded)
		}

		stopped := errors.New("stopped")
		ctx, stop := context.WithCancelCause(t.Context())
		waiting := func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1)) // the client waits for an answer now
			stop(stopped)
			silent(conn)
		}
		if _, err := (Proxy{Scheme: scheme, Addr: peer(t, waiting)}).Dial(ctx, "h:110"); !errors.Is(err, stopped) {
			t.Errorf("%s: Dial() = %v, want %v", scheme, err, stopped)
		}
	}
}

// The end of ctx after Dial does not touch the connection.
func TestProxy_Dial_afterwards(t *testing.T) {
	proxy := poptest.NewProxy(t, SOCKS5, "", map[string]string{"h:110": echo(t)})
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := Proxy{Scheme: SOCKS5, Addr: proxy.Addr()}.Dial(ctx, "h:110")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	_ = readSome(t, conn, len(greeting))
	for range 50 { // whatever the end of ctx starts has time to run
		if _, err := io.WriteString(conn, "NOOP\r\n"); err != nil || readSome(t, conn, 6) != "NOOP\r\n" {
			t.Fatalf("Write() = %v, or another echo", err)
		}
	}
}

// script is a proxy that answers without looking at what it gets.
type script struct {
	io.Reader
	sent strings.Builder
}

func (s *script) Write(p []byte) (int, error) { return s.sent.Write(p) }

// answered returns what p makes of the octets of a proxy: the error, what was sent, and which octets
// are left to the server.
func answered(p Proxy, octets string) (sent, left string, err error) {
	in := strings.NewReader(octets)
	s := &script{Reader: in}
	err = p.ask(s, "pop.invalid:995")
	rest, _ := io.ReadAll(in)
	return s.sent.String(), string(rest), err
}

// answer is one answer of a proxy, and what is made of it.
type answer struct {
	name   string
	octets string
	fault  error  // nil: connected, and the octets that are left are greeting
	text   string // a part of the error
}

const greeting = "+OK ready\r\n"

func checkAnswers(t *testing.T, p Proxy, answers []answer) {
	t.Helper()
	for _, a := range answers {
		t.Run(a.name, func(t *testing.T) {
			_, left, err := answered(p, a.octets)
			if !errors.Is(err, a.fault) || a.fault == nil && left != greeting {
				t.Fatalf("ask() = %v, and leaves %q; want %v", err, left, a.fault)
			}
			if err == nil {
				return
			}
			if !strings.Contains(err.Error(), a.text) || len(err.Error()) > 400 {
				t.Errorf("ask() = %v, want %s", err, a.text)
			}
			checkNoPassword(t, p, err)
		})
	}
}
