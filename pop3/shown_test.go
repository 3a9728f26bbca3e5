package pop3

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// Some servers repeat the octets that the client sent. Even then no secret appears in trace and
// errors.
func TestConceal(t *testing.T) {
	const password = "top secret"
	inBase64 := base64.StdEncoding.EncodeToString([]byte("\x00alice\x00" + password))
	logIns := map[string]func(*testing.T, *Client) error{
		"PASS": func(t *testing.T, c *Client) error { return c.User(t.Context(), "alice", password) },
		"APOP": func(t *testing.T, c *Client) error { return c.Apop(t.Context(), "alice", password) },
		"AUTH": func(t *testing.T, c *Client) error {
			c.Conceal(password)
			return c.Auth(t.Context(), &mechanism{name: "PLAIN", initial: []byte("\x00alice\x00" + password)})
		},
		"line": func(t *testing.T, c *Client) error {
			return c.Auth(t.Context(), &mechanism{name: "LOGIN", responses: []string{password}})
		},
	}
	digest := apopDigest("<1@a>", password)
	for _, tt := range []struct{ name, logIn, script, secret string }{
		{"C0046/PASS repeated", "PASS", "C: USER alice\nS: +OK\nC: PASS " + password + "\nS: -ERR what is PASS " + password + "?", password},
		{"C0046/PASS repeated, no status line", "PASS", "C: USER alice\nS: +OK\nC: PASS " + password + "\nS: PASS " + password, password},
		{"C0046/PASS repeated and granted", "PASS", "C: USER alice\nS: +OK\nC: PASS " + password + "\nS: +OK " + password, password},
		{"C0046/USER answered with the password", "PASS", "C: USER alice\nS: -ERR " + password, password},
		{"V0008/digest repeated", "APOP", "C: APOP alice " + digest + "\nS: -ERR no " + digest, digest},
		{"R5034-1/initial response repeated", "AUTH", "C: AUTH PLAIN " + inBase64 + "\nS: -ERR unknown AUTH PLAIN " + inBase64, inBase64},
		{"R5034-1/password in clear", "AUTH", "C: AUTH PLAIN " + inBase64 + "\nS: -ERR '" + password + "' is wrong", password},
		{"R5034-1/no status line", "AUTH", "C: AUTH PLAIN " + inBase64 + "\nS: " + inBase64, inBase64},
		{"R5034-1/line repeated", "line", "C: AUTH LOGIN\nS: + VXNlcg==\nC: dG9wIHNlY3JldA==\nS: -ERR what is dG9wIHNlY3JldA==?", "dG9wIHNlY3JldA=="},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var trace strings.Builder
			opts := plain()
			opts.Trace = func(_ bool, line string) { trace.WriteString(line + "\n") }
			c := open(t, poptest.Dialogue(t, "S: +OK <1@a>\n"+tt.script).Addr(), opts)
			shown := fmt.Sprint(logIns[tt.logIn](t, c), "\n", trace.String())
			if strings.Contains(shown, tt.secret) || !strings.Contains(shown, "***") {
				t.Errorf("the server repeats %q, and error and trace are\n%s", tt.secret, shown)
			}
		})
	}
}

// A concealed secret does not change how a reply is read.
func TestConceal_readsOn(t *testing.T) {
	for _, password := range []string{"+", "OK", "-", "2", " ", "[AUTH]"} {
		t.Run(password, func(t *testing.T) {
			c := dial(t, "S: +OK\nC: USER a\nS: +OK\nC: PASS "+password+"\nS: +OK [AUTH] 2\nC: STAT\nS: +OK 2 22")
			noError(t, "User()", c.User(t.Context(), "a", password))
			got, err := c.Stat(t.Context())
			noError(t, "Stat()", err)
			equal(t, "Stat()", got, DropListing{2, 22})
		})
	}
}

// A secret is also masked after the log-in, and where it looks like a response code. A code with a
// meaning stays.
func TestConceal_refusals(t *testing.T) {
	for _, test := range []struct {
		password, reply string
		code            ResponseCode
		text            string
	}{
		{"hunter2", "-ERR no such message for alice/hunter2", "", "no such message for alice/***"},
		{"hunter2", "-ERR [HUNTER2] wrong", "", "wrong"},
		{"e", "-ERR [IN-USE] wait", CodeInUse, "wait"},
	} {
		t.Run(test.reply, func(t *testing.T) {
			c := dial(t, "S: +OK\nC: USER a\nS: +OK\nC: PASS "+test.password+"\nS: +OK\nC: NOOP\nS: "+test.reply)
			noError(t, "User()", c.User(t.Context(), "a", test.password))
			var refused *ReplyError
			if err := c.Noop(t.Context()); !errors.As(err, &refused) || refused.Code != test.code || refused.Text != test.text {
				t.Errorf("Noop() = %#v, want code %q and text %q", err, test.code, test.text)
			}
		})
	}
}

// Only a short part of a server's line is shown, however long it is.
func TestShown_bounded(t *testing.T) {
	var trace []string
	opts := plain()
	opts.Trace = func(_ bool, line string) { trace = append(trace, line) }
	long := strings.Repeat("y", 3000)
	c := open(t, poptest.Dialogue(t, "S: +OK "+long+"\nC: USER a\nS: -ERR ["+long+"] "+long).Addr(), opts)
	if got := c.Greeting(); len(got) != 256 || !strings.HasSuffix(got, "…") {
		t.Errorf("Greeting() has %d octets, want 256 with a mark that it is cut", len(got))
	}
	err := c.User(t.Context(), "a", "b")
	if got := strings.Count(strings.ToLower(err.Error()), "y"); got > 256 {
		t.Errorf("the error repeats %d octets of the server, want 256 at most", got)
	}
	for _, line := range trace {
		if strings.Count(line, "y") > 256 {
			t.Errorf("a line of the trace has %d octets of the server, want 256 at most", strings.Count(line, "y"))
		}
	}
	if got := trace[0]; !strings.HasSuffix(got, "… (3004 octets)") {
		t.Errorf("the trace of a line that is cut ends with %q, want how long the line is", got[len(got)-30:])
	}
}

// A certificate is text of a server too. crypto/tls repeats it in errors, where it is cut and kept
// on one line.
func TestHandshake_certificateText(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, "GenerateKey()", err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	for i := range 60 {
		template.DNSNames = append(template.DNSNames, fmt.Sprintf("%d\x1b[2J\npopfetch: all is well.example", i))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	noError(t, "CreateCertificate()", err)
	server := listenTLS(t, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	parsed, err := x509.ParseCertificate(der)
	noError(t, "ParseCertificate()", err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	opts := plain()
	opts.TLS, opts.TLSConfig = TLSImplicit, &tls.Config{ServerName: "localhost", RootCAs: roots}
	_, err = Dial(t.Context(), server, opts)
	var name x509.HostnameError
	if !errors.As(err, &name) || !errors.Is(err, ErrHandshake) {
		t.Fatalf("Dial() = %v, want %v because of the name", err, ErrHandshake)
	}
	if text := err.Error(); strings.ContainsAny(text, "\n\x1b") || len(text) > 256+len("opening a session with 127.0.0.1:65535: TLS handshake: ") {
		t.Errorf("Dial() = %q (%d octets), want it on one line, 256 octets of the server at most", text, len(text))
	}
}

// listenTLS starts a server that only does handshakes, and returns its address.
func listenTLS(t *testing.T, config *tls.Config) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	noError(t, "Listen()", err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := listener.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return listener.Addr().String()
}

// ErrHandshake means that both sides do not agree on TLS. A lost connection or a time limit in the
// handshake has its usual error.
func TestHandshake_errors(t *testing.T) {
	const capa = "S: +OK ready\nC: CAPA\nS: +OK\nS: STLS\nS: .\nC: STLS\nS: +OK\n"
	drip := "chunk 1\n" + strings.Repeat("S- \\x16\\x03\\x03\\x40\\x00\npause 20ms\n", 3) + "stall"
	for _, tt := range []struct {
		name, script string
		mode         TLSMode
		check        func(error) bool
	}{
		{"R2595-3/self-signed", "tls self-signed", TLSImplicit, isHandshake},
		{"R2595-3/no TLS", "S: +OK ready\nstall", TLSImplicit, isHandshake},
		{"R2595-3/closed", "cut", TLSImplicit, isCut},
		{"R2595-3/reset", "pause 20ms\nreset", TLSImplicit, func(err error) bool { return !isHandshake(err) }},
		{"R8314-1/silent", "stall", TLSImplicit, isTimeout},
		{"R8314-1/dripping", drip, TLSImplicit, isTimeout},
		{"R2595-1/silent behind STLS", capa + "stall", TLSStart, isTimeout},
		{"R2595-1/dripping behind STLS", capa + "pause 20ms\n" + drip, TLSStart, isTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := poptest.Dialogue(t, "lax\n"+tt.script)
			opts := secured(server, tt.mode)
			if strings.Contains(tt.name, "silent") || strings.Contains(tt.name, "dripping") {
				opts.GreetingTimeout = 100 * time.Millisecond
			}
			began := time.Now()
			_, err := Dial(t.Context(), server.Addr(), opts)
			if err == nil || !tt.check(err) || isHandshake(err) && (isCut(err) || isTimeout(err)) {
				t.Errorf("Dial() = %v, want another error", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("Dial() took %v, want the limit of %v to hold", took, opts.GreetingTimeout)
			}
		})
	}
}

func isHandshake(err error) bool { return errors.Is(err, ErrHandshake) }
