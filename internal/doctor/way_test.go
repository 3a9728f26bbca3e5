package doctor_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/doctor"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// way returns the way to a server whose name has these addresses.
func way(server *poptest.Server, addr string, mode pop3.TLSMode, ips ...string) (w *doctor.Way, port string) {
	_, port, _ = net.SplitHostPort(addr)
	return &doctor.Way{
		Server:  net.JoinHostPort("pop.example.org", port),
		Options: pop3.Options{TLS: mode, TLSConfig: server.CA().ClientTLS("localhost"), GreetingTimeout: 20 * time.Second},
		Lookup: func(context.Context, string) ([]net.IPAddr, error) {
			var found []net.IPAddr
			for _, ip := range ips {
				found = append(found, net.IPAddr{IP: net.ParseIP(ip)})
			}
			return found, nil
		},
	}, port
}

// loggedIn returns a session that went well.
func loggedIn(addr string) *doctor.Session {
	return &doctor.Session{Reached: pop3.StepLogin, Address: addr, GreetedAt: time.Now(), TLS: new(tls.ConnectionState)}
}

// Each address is examined, and gets nothing but the words before a log-in.
func TestWay(t *testing.T) {
	for _, test := range []struct {
		name string
		mode pop3.TLSMode
		want []string // the commands
	}{
		{"implicit", pop3.TLSImplicit, []string{"QUIT"}},
		{"starttls", pop3.TLSStart, []string{"CAPA", "STLS", "QUIT"}},
		{"none", pop3.TLSNone, []string{"QUIT"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"})
			addr := server.Addr()
			if test.mode == pop3.TLSImplicit {
				addr = server.TLSAddr()
			}
			w, port := way(server, addr, test.mode, "127.0.0.9", "127.0.0.1", "127.0.0.2")
			s := loggedIn("127.0.0.9:" + port)
			w.Visits = doctor.NewVisits(4)
			findings := w.Examine(t.Context(), s, nil)
			if len(findings) != 4 {
				t.Fatalf("Examine() = %+v, want 4 findings", findings)
			}
			is(t, findings[0], doctor.OK, "pop.example.org is 127.0.0.9, 127.0.0.1, 127.0.0.2")
			is(t, findings[1], doctor.OK, "127.0.0.9:"+port+" answers") // the session has shown it
			is(t, findings[2], doctor.OK, "127.0.0.1:"+port+" answers")
			is(t, findings[3], doctor.Warning, "127.0.0.2:"+port+": connection refused")
			server.Wait()
			server.CheckRules(t)
			sessions := server.Sessions()
			if again := w.Examine(t.Context(), s, nil); !slices.Equal(again, findings) || len(server.Sessions()) != len(sessions) {
				t.Errorf("Examine() of another account = %+v, want %+v and no session", again, findings)
			}
			if len(sessions) != 1 || !slices.Equal(sessions[0].Commands(), test.want) {
				t.Errorf("the server got %d sessions, the first with %q, want %q", len(sessions), sessions[0].Commands(), test.want)
			}
		})
	}
}

// One address of several has another certificate.
func TestWay_certificate(t *testing.T) {
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"})
	server.Configure(func(c *poptest.Config) { c.TLS = server.CA().ServerTLS(poptest.Expired) })
	w, port := way(server, server.TLSAddr(), pop3.TLSImplicit, "127.0.0.9", "127.0.0.1")
	findings := w.Examine(t.Context(), loggedIn("127.0.0.9:"+port), nil)
	is(t, findings[2], doctor.Warning, ": TLS handshake: tls: failed to verify certificate: x509: certificate has expired")
}

// If the session did not get past its greeting, the other addresses would show the same fault.
func TestWay_sameFault(t *testing.T) {
	for name, s := range map[string]*doctor.Session{
		"greeting": {Reached: pop3.StepTLS, TLS: new(tls.ConnectionState)},
		"starttls": {Reached: pop3.StepGreeting, GreetedAt: time.Now()},
	} {
		t.Run(name, func(t *testing.T) {
			server := poptest.NewServer(t)
			w, port := way(server, server.Addr(), pop3.TLSStart, "127.0.0.9", "127.0.0.1")
			s.Address = "127.0.0.9:" + port
			findings := w.Examine(t.Context(), s, errors.New("refused"))
			server.Wait()
			if n := len(server.Sessions()); len(findings) != 2 || n != 0 {
				t.Errorf("Examine() = %+v with %d visits, want the name, one address and no visit", findings, n)
			}
		})
	}
}

// Accounts share the visits, unless they trust others.
func TestVisits(t *testing.T) {
	server := poptest.NewServer(t)
	w, port := way(server, server.TLSAddr(), pop3.TLSImplicit, "127.0.0.9", "127.0.0.1")
	w.Visits = doctor.NewVisits(1)
	early := *w
	early.Via = "proxy" // this account examines no address, and so takes none from the others
	early.Examine(t.Context(), new(doctor.Session), nil)
	w.Examine(t.Context(), new(doctor.Session), errors.New("ended early"))
	for range 3 {
		is(t, w.Examine(t.Context(), loggedIn("127.0.0.9:"+port), nil)[2], doctor.OK, "127.0.0.1:"+port+" answers")
	}
	w.Trust = "another"
	w.Options.TLSConfig = server.CA().ClientTLS("other.example")
	is(t, w.Examine(t.Context(), loggedIn("127.0.0.9:"+port), nil)[2], doctor.Warning, "127.0.0.1:"+port+": TLS handshake")
	server.Wait()
	if n := len(server.Sessions()); n != 2 {
		t.Errorf("the server got %d sessions, want one for each trust", n)
	}
}

// No more addresses are visited at once than accounts are worked on, and no dialogue is told.
func TestVisits_atOnce(t *testing.T) {
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var open, most atomic.Int32
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			most.Store(max(most.Load(), open.Add(1)))
			time.AfterFunc(30*time.Millisecond, func() { // a second one would come meanwhile
				_, _ = io.WriteString(conn, "+OK\r\n")
				_, _ = conn.Read(make([]byte, 100))
				open.Add(-1)
				_ = conn.Close()
			})
		}
	}()
	server := poptest.NewServer(t)
	w, port := way(server, listener.Addr().String(), pop3.TLSNone, "127.0.0.9", "127.0.0.1", "127.0.0.2", "127.0.0.3")
	w.Visits = doctor.NewVisits(1)
	w.Options.Trace = func(_ bool, line string) { t.Errorf("the line %q of a visit is told", line) }
	for _, f := range w.Examine(t.Context(), loggedIn("127.0.0.9:"+port), nil) {
		is(t, f, doctor.OK, "127.0.0.")
	}
	if n := most.Load(); n != 1 {
		t.Errorf("%d addresses were visited at once, want 1", n)
	}
}

// A silent address costs no more than the account's time limit.
func TestWay_silent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	server := poptest.NewServer(t)
	w, port := way(server, listener.Addr().String(), pop3.TLSNone, "127.0.0.9", "127.0.0.1")
	w.Options.GreetingTimeout = 50 * time.Millisecond
	findings := w.Examine(t.Context(), loggedIn("127.0.0.9:"+port), nil)
	is(t, findings[2], doctor.Warning, "127.0.0.1:"+port+": no answer in time")
}

// A server with many addresses gets few connections.
func TestWay_many(t *testing.T) {
	var ips []string
	for i := range 50 {
		ips = append(ips, fmt.Sprintf("127.0.1.%d", i+1))
	}
	server := poptest.NewServer(t)
	w, _ := way(server, server.Addr(), pop3.TLSNone, ips...)
	findings := w.Examine(t.Context(), loggedIn(""), nil)
	if len(findings) != 1+8 {
		t.Errorf("Examine() = %d findings, want 9", len(findings))
	}
	is(t, findings[0], doctor.OK, "127.0.1.8, and 42 more")
}

// Where no connection was made, the addresses that were tried are not tried again.
func TestWay_unreached(t *testing.T) {
	server := poptest.NewServer(t)
	w, port := way(server, server.Addr(), pop3.TLSNone, "127.0.0.1", "127.0.0.2")
	refused := func(ip string) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP(ip), Port: atoi(port)}, Err: syscall.ECONNREFUSED}
	}
	err := fmt.Errorf("connecting: %w; %w", refused("127.0.0.1"), refused("127.0.0.2"))
	findings := w.Examine(t.Context(), new(doctor.Session), err)
	is(t, findings[1], doctor.Fault, "127.0.0.1:"+port+": connection refused")
	is(t, findings[2], doctor.Fault, "127.0.0.2:"+port+": connection refused")
	server.Wait()
	if n := len(server.Sessions()); n != 0 {
		t.Errorf("the server got %d sessions, want none", n)
	}
	if got := doctor.ReachMend(err); got == "" {
		t.Error("ReachMend() is empty")
	}
}

func atoi(port string) (n int) {
	_, _ = fmt.Sscan(port, &n)
	return n
}

func TestWay_odd(t *testing.T) {
	server := poptest.NewServer(t)
	w, _ := way(server, server.Addr(), pop3.TLSNone)
	is(t, w.Examine(t.Context(), loggedIn(""), nil)[0], doctor.Warning, "is not found now: no address")
	unknown := fmt.Errorf("connecting: %w", &net.DNSError{Err: "no such host", Name: "pop.example.org\x1b", IsNotFound: true})
	if findings := w.Examine(t.Context(), new(doctor.Session), unknown); len(findings) != 0 {
		t.Errorf("Examine() = %+v, want nothing besides the fault", findings)
	}
	if got, want := doctor.ReachMend(unknown), `look at the spelling in server; getent hosts pop.example.org\x1b asks the same resolver`; got != want {
		t.Errorf("ReachMend() = %q, want %q", got, want)
	}
	if got := doctor.ReachMend(errors.New("other")); got != "" {
		t.Errorf("ReachMend() = %q, want nothing", got)
	}
	w.Via = "connect_command"
	is(t, w.Examine(t.Context(), new(doctor.Session), nil)[0], doctor.OK, "connect_command leads to pop.example.org:")
	if findings := (&doctor.Way{Server: "no port"}).Examine(t.Context(), new(doctor.Session), nil); findings != nil {
		t.Errorf("Examine() = %+v, want nothing", findings)
	}
}
