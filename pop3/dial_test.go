package pop3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// hurry shortens the time limits if script ends in silence. Other scripts keep them, because a busy
// machine could reach short ones.
func hurry(opts *Options, script string) {
	if strings.HasSuffix(script, "stall") {
		opts.GreetingTimeout, opts.ReplyTimeout, opts.StallTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	}
}

// closedPort returns an address on loopback where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// silentAddress returns an address at which nobody answers: its queue of connections is full.
func silentAddress(t *testing.T, port string) net.IPAddr {
	t.Helper()
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, "Close()", syscall.Close(fd)) })
	ip := net.IPv4(127, 9, 9, 8)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Port: number, Addr: [4]byte(ip.To4())}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(ip.String(), port), 200*time.Millisecond)
		if err != nil {
			return net.IPAddr{IP: ip}
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Skip("the queue of connections is never full here")
	return net.IPAddr{}
}

func TestDial_connecting(t *testing.T) {
	t.Run("C0001/refused", func(t *testing.T) {
		addr := closedPort(t)
		_, err := Dial(t.Context(), addr, plain())
		if !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), addr) {
			t.Errorf("Dial() = %v, want %v and the address %s", err, syscall.ECONNREFUSED, addr)
		}
	})
	t.Run("C0001/first-address-dead", func(t *testing.T) {
		server := poptest.Dialogue(t, "S: +OK ready")
		_, port, _ := net.SplitHostPort(server.Addr())
		addresses := []net.IPAddr{{IP: net.IPv4(127, 9, 9, 9)}, {IP: net.IPv4(127, 0, 0, 1)}}
		conn, err := dialEach(t.Context(), addresses, port, time.Second)
		if err != nil {
			t.Fatalf("dialEach() = %v, want a connection to the second address", err)
		}
		noError(t, "Close()", conn.Close())
	})
	t.Run("C0001/first-address-silent", func(t *testing.T) {
		server := poptest.Dialogue(t, "S: +OK ready")
		_, port, _ := net.SplitHostPort(server.Addr())
		silent := silentAddress(t, port)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		conn, err := dialEach(ctx, []net.IPAddr{silent, silent, {IP: net.IPv4(127, 0, 0, 1)}}, port, time.Hour)
		if err != nil {
			t.Fatalf("dialEach() = %v, want a connection to the address that answers", err)
		}
		noError(t, "Close()", conn.Close())
	})
	t.Run("alternating", func(t *testing.T) {
		var all []net.IPAddr
		for _, ip := range []string{"::1", "::2", "::3", "127.0.0.1", "127.0.0.2"} {
			all = append(all, net.IPAddr{IP: net.ParseIP(ip)})
		}
		if got := fmt.Sprint(alternating(all)); got != "[{::1 } {127.0.0.1 } {::2 } {127.0.0.2 } {::3 }]" {
			t.Errorf("alternating() = %s", got)
		}
		if got := fmt.Sprint(alternating(all[3:])); got != "[{127.0.0.1 } {127.0.0.2 }]" {
			t.Errorf("alternating() of one family = %s", got)
		}
	})
	t.Run("C0001/each-cause", func(t *testing.T) {
		_, port, _ := net.SplitHostPort(closedPort(t))
		addresses := []net.IPAddr{{IP: net.IPv4(127, 9, 9, 9)}, {IP: net.IPv4(127, 0, 0, 1)}}
		_, err := dialEach(t.Context(), addresses, port, time.Second)
		for _, want := range []string{"127.9.9.9:" + port, "127.0.0.1:" + port} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("dialEach() = %v, want %s in it", err, want)
			}
		}
	})
	t.Run("C0001/no-port", func(t *testing.T) {
		if _, err := Dial(t.Context(), "localhost", plain()); !errors.Is(err, ErrArgument) {
			t.Errorf("Dial() = %v, want %v", err, ErrArgument)
		}
	})
	t.Run("C0001/context-ended", func(t *testing.T) {
		cause := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if _, err := Dial(ctx, "127.0.0.1:1", plain()); !errors.Is(err, cause) {
			t.Errorf("Dial() = %v, want %v", err, cause)
		}
	})
}

// Nothing is sent before the greeting is complete, and nothing after a greeting that is not
// positive. The dialogues expect no command.
func TestDial_greeting(t *testing.T) {
	tests := []struct {
		name, script string
		check        func(error) bool
	}{
		{"C0002/silent", "stall", isTimeout},
		{"C0002/half", "S- +OK rea\nstall", isTimeout},
		{"C0002/dripping", "chunk 1\nS- +OK\npause 30ms\nS- r\npause 30ms\nS- e\nstall", isTimeout},
		{"C0002/closed", "cut", isCut},
		{"C0002/closed-inside", "S- +OK rea\ncut", isCut},
		{"C0002/reset", "S- +OK\npause 30ms\nreset", isCut},
		{"C0002/negative", "S: -ERR [IN-USE] busy", func(err error) bool {
			var refused *ReplyError
			return errors.As(err, &refused) && *refused == ReplyError{"", CodeInUse, "busy"}
		}},
		{"C0002/foreign", "S: 220 smtp.example.org ready", isProtocolError},
		{"C0002/empty", "S:", isProtocolError},
		{"C0002/endless", "S- " + strings.Repeat("x", maxStatusLine), isProtocolError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := plain()
			hurry(opts, tt.script)
			_, err := Dial(t.Context(), poptest.Dialogue(t, tt.script).Addr(), opts)
			if err == nil || !tt.check(err) {
				t.Errorf("Dial() = %v, want another error", err)
			}
		})
	}
	t.Run("C0002/late", func(t *testing.T) {
		c := dial(t, "pause 100ms\nS- +OK rea\npause 100ms\nS: dy")
		equal(t, "Greeting()", c.Greeting(), "ready")
	})
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
func isCut(err error) bool     { return errors.Is(err, io.ErrUnexpectedEOF) }

func isProtocolError(err error) bool {
	var mistake *ProtocolError
	return errors.As(err, &mistake)
}

func isInsecure(err error) bool { return errors.Is(err, ErrInsecure) }

// secured returns options for a server whose certificates come from its own authority.
func secured(server *poptest.Script, mode TLSMode) *Options {
	opts := plain()
	opts.TLS = mode
	opts.TLSConfig = server.CA().ClientTLS("localhost")
	return opts
}

func TestDial_TLS(t *testing.T) {
	const session = "S: +OK ready\nC: USER alice\nS: +OK\nC: PASS secret\nS: +OK\nC: QUIT\nS: +OK\nclose"
	tests := []struct {
		name, script string
		mode         TLSMode
	}{
		{"R8314-1/implicit", "tls\n" + session, TLSImplicit},
		{"R2595-1/stls", "S: +OK clear\nC: CAPA\nS: +OK\nS: STLS\nS: .\nC: STLS\nS: +OK\ntls\n" +
			strings.TrimPrefix(session, "S: +OK ready\n"), TLSStart},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := poptest.Dialogue(t, tt.script)
			c := open(t, server.Addr(), secured(server, tt.mode))
			if state, ok := c.TLSState(); !ok || state.Version < tls.VersionTLS12 {
				t.Errorf("TLSState() = %x, %v, want TLS 1.2 or later", state.Version, ok)
			}
			logIn(t, c)
			noError(t, "Quit()", c.Quit(t.Context()))
		})
	}
}

func TestDial_TLS_refused(t *testing.T) {
	const capa = "S: +OK ready\nC: CAPA\nS: +OK\nS: STLS\nS: .\nC: STLS\n"
	isCertificateError := func(err error) bool {
		var verification *tls.CertificateVerificationError
		return errors.As(err, &verification) && !isCut(err)
	}
	tests := []struct {
		name, script string
		mode         TLSMode
		check        func(error) bool
	}{
		{"C0007/no-stls", "S: +OK ready\nC: CAPA\nS: +OK\nS: UIDL\nS: .", TLSStart, isInsecure},
		{"R2595-1/no-capa", "S: +OK ready\nC: CAPA\nS: -ERR unknown", TLSStart, isInsecure},
		{"R2595-1/refused", capa + "S: -ERR not now", TLSStart, isInsecure},
		{"R2595-1/garbage", capa + "S: what?", TLSStart, isProtocolError},
		{"R2595-1/clear-text-goes-on", capa + "S: +OK\nS- +OK go on in clear text, trust me\\r\\n\nstall", TLSStart, func(err error) bool { return err != nil }},
		{"R2595-2/injected", capa + `S- +OK begin\r\n+OK injected\r\n`, TLSStart, isProtocolError},
		{"R2595-2/injected, then TLS", capa + "S- +OK begin\\r\\n-ERR injected\\r\\n\ntls", TLSStart, isProtocolError},
		{"R8314-1/greeting-in-clear", "S: +OK ready\nstall", TLSImplicit, func(err error) bool { return err != nil }},
		{"R2595-3/wrong-name", "tls wrong-name", TLSImplicit, isCertificateError},
		{"R2595-3/expired", "tls expired", TLSImplicit, isCertificateError},
		{"R2595-3/self-signed", "tls self-signed", TLSImplicit, isCertificateError},
		{"R2595-3/stls-wrong-name", capa + "S: +OK\ntls wrong-name", TLSStart, isCertificateError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := poptest.Dialogue(t, "lax\n"+tt.script)
			_, err := Dial(t.Context(), server.Addr(), secured(server, tt.mode))
			if !tt.check(err) {
				t.Errorf("Dial() = %v, want another error", err)
			}
		})
	}
}

func TestDial_TLS_silent_handshake(t *testing.T) {
	server := poptest.Dialogue(t, "lax\nstall")
	opts := secured(server, TLSImplicit)
	opts.GreetingTimeout = 50 * time.Millisecond
	if _, err := Dial(t.Context(), server.Addr(), opts); !isTimeout(err) {
		t.Errorf("R8314-1: Dial() = %v, want %v", err, os.ErrDeadlineExceeded)
	}
}

func TestDial_TLS_version(t *testing.T) {
	config := poptest.NewCA(t).ServerTLS("")
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	opts := plain()
	opts.TLS, opts.TLSConfig = TLSImplicit, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}
	opts.GreetingTimeout = 2 * time.Second
	if _, err := Dial(t.Context(), listener.Addr().String(), opts); err == nil || !strings.Contains(err.Error(), "TLS handshake: ") || isTimeout(err) {
		t.Errorf("R2595-3: Dial() = %v, want TLS 1.1 refused", err)
	}
	equal(t, "the caller's MinVersion", opts.TLSConfig.MinVersion, uint16(tls.VersionTLS10))
}

// The capabilities and the timestamp from before TLS are dropped.
func TestSTLS(t *testing.T) {
	server := poptest.Dialogue(t, `
		S: +OK ready <1@a>
		C: CAPA
		S: +OK
		S: STLS
		S: PIPELINING
		S: .
		C: STLS
		S: +OK
		tls
		C: CAPA
		S: +OK
		S: UIDL
		S: .`)
	c := open(t, server.Addr(), secured(server, TLSStart))
	equal(t, "R2595-2: Capabilities()", c.Capabilities(), nil)
	if err := c.Apop(t.Context(), "a", "b"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("R2595-2: Apop() = %v, want %v", err, errors.ErrUnsupported)
	}
	if err := c.STLS(t.Context()); !errors.Is(err, ErrState) {
		t.Errorf("R2595-1: STLS() under TLS = %v, want %v", err, ErrState)
	}
	capabilities, err := c.Capa(t.Context())
	noError(t, "Capa()", err)
	equal(t, "R2449-1: Has(PIPELINING)", capabilities.Has("PIPELINING"), false)
}

func TestSTLS_after_UTF8(t *testing.T) {
	c := dial(t, "S: +OK ready\nC: UTF8\nS: +OK")
	noError(t, "UTF8()", c.UTF8(t.Context()))
	if err := c.STLS(t.Context()); !errors.Is(err, ErrState) {
		t.Errorf("R6856-1: STLS() after UTF8 = %v, want %v", err, ErrState)
	}
}

// New uses a connection that is already under TLS as it is.
func TestNew_TLS(t *testing.T) {
	server := poptest.Dialogue(t, "tls\nS: +OK ready\nC: QUIT\nS: +OK\nclose")
	conn, err := tls.Dial("tcp", server.Addr(), server.CA().ClientTLS("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(t.Context(), conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "LocalAddr()", c.LocalAddr(), conn.LocalAddr())
	equal(t, "RemoteAddr()", c.RemoteAddr(), conn.RemoteAddr())
	noError(t, "Quit()", c.Quit(t.Context()))
}

// For such a name the resolver returns neither an address nor an error.
func TestDial_noAddress(t *testing.T) {
	_, err := Dial(t.Context(), "x.onion:995", nil)
	var dns *net.DNSError
	if !errors.As(err, &dns) || !dns.IsNotFound {
		t.Errorf("Dial() = %v, want a net.DNSError of a name that is not found", err)
	}
}
