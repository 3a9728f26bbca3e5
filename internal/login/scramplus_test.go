package login_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// Under TLS the log-in is bound to the session, if the server can do it. If it only seems to be
// unable, because somebody has changed its announcement, the log-in fails.
func TestScram_plus(t *testing.T) {
	for _, test := range []struct {
		name   string
		named  bool
		offers string
		bound  bool   // the server knows that the log-in can be bound
		other  bool   // the server's session is another one
		newest uint16 // version of TLS
		want   string
	}{
		{"bound", true, "SASL SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", true, false, tls.VersionTLS13, "AUTH SCRAM-SHA-256-PLUS"},
		{"TLS 1.2", true, "SASL SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", true, false, tls.VersionTLS12, "AUTH SCRAM-SHA-256-PLUS"},
		{"not named", false, "SASL SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", true, false, tls.VersionTLS13, "AUTH SCRAM-SHA-256"},
		{"another session", true, "SASL SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", true, true, tls.VersionTLS13, ""},
		{"announcement changed", false, "SASL SCRAM-SHA-256 PLAIN", true, false, tls.VersionTLS13, ""},
		{"not offered", true, "SASL SCRAM-SHA-256 PLAIN", false, false, tls.VersionTLS13, "AUTH SCRAM-SHA-256"},
	} {
		t.Run("R5034-2/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			var binding scram.ChannelBinding // of the client's session: both sides have the same
			server.Configure(func(c *poptest.Config) {
				c.Capabilities = []string{test.offers, "UIDL"}
				mechanism := func(s *poptest.Session, initial []byte, ask func([]byte) ([]byte, error)) (string, error) {
					var known *scram.ChannelBinding
					if test.bound {
						known = &binding
					}
					return scramServer(t, scram.SHA256, 4096, known, nil)(s, initial, ask)
				}
				c.Mechanisms["SCRAM-SHA-256"], c.Mechanisms["SCRAM-SHA-256-PLUS"] = mechanism, mechanism
			})
			config := server.CA().ClientTLS("127.0.0.1")
			config.MaxVersion = test.newest
			c, err := pop3.Dial(t.Context(), server.TLSAddr(), &pop3.Options{TLSConfig: config})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			binding = bindingOf(t, c)
			if test.other {
				binding.Data = make([]byte, len(binding.Data))
			}
			if _, err := c.Capa(t.Context()); err != nil {
				t.Fatal(err)
			}
			cr := credentials()
			if test.named {
				cr.Mechanisms = []login.Mechanism{login.Plain, login.ScramSHA256}
			}
			err = endSession(t, c, cr.Login(t.Context(), c, nil))
			if test.want == "" {
				if err == nil {
					t.Error("Login() = nil, want an error")
				}
				checkCount(t, server, "AUTH PLAIN", 0)
				return
			}
			noError(t, err)
			checkCount(t, server, "AUTH", 1)
			if got := fmt.Sprint(commands(t, server, 1)); !strings.Contains(got, test.want+" ") {
				t.Errorf("the client sent %s, want %s", got, test.want)
			}
		})
	}
}

// bindingOf returns what Dovecot binds a session with, and Cyrus with TLS 1.2.
func bindingOf(t *testing.T, c *pop3.Client) scram.ChannelBinding {
	t.Helper()
	state, _ := c.TLSState()
	if state.Version == tls.VersionTLS12 {
		return scram.NewTLSUniqueBinding(state.TLSUnique)
	}
	binding, err := scram.NewTLSExporterBinding(&state)
	if err != nil {
		t.Fatal(err)
	}
	return binding
}

// A server that binds otherwise refuses the right password like a wrong one. The error says so, but
// only if a proof was sent that was bound.
func TestScram_boundOtherwise(t *testing.T) {
	for _, test := range []struct {
		name   string
		offers string
		stage  int // of the refusal: 2 comes after the proof
		want   bool
	}{
		{"after the proof", "SASL SCRAM-SHA-256 SCRAM-SHA-256-PLUS", 2, true},
		{"before the proof", "SASL SCRAM-SHA-256-PLUS", 1, false},
		{"not bound", "SASL SCRAM-SHA-256", 2, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			refuse := func(n int, text string) (string, error) {
				if n == test.stage {
					return "", errors.New("[AUTH] bad protocol / cancel")
				}
				return text, nil
			}
			var binding scram.ChannelBinding
			server.Configure(func(c *poptest.Config) {
				c.Capabilities = []string{test.offers, "UIDL"}
				c.Mechanisms["SCRAM-SHA-256"] = scramServer(t, scram.SHA256, 4096, nil, refuse)
				c.Mechanisms["SCRAM-SHA-256-PLUS"] = func(s *poptest.Session, initial []byte, ask func([]byte) ([]byte, error)) (string, error) {
					return scramServer(t, scram.SHA256, 4096, &binding, refuse)(s, initial, ask)
				}
			})
			c, err := pop3.Dial(t.Context(), server.TLSAddr(), &pop3.Options{TLSConfig: server.CA().ClientTLS("127.0.0.1")})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			binding = bindingOf(t, c)
			if _, err := c.Capa(t.Context()); err != nil {
				t.Fatal(err)
			}
			err = endSession(t, c, credentials(login.ScramSHA256).Login(t.Context(), c, nil))
			checkFault(t, err, login.Refused)
			if got := strings.Contains(fmt.Sprint(err), `write auth = "auto"`); got != test.want {
				t.Errorf("Login() = %v; it says what to write: %v, want %v", err, got, test.want)
			}
			checkCount(t, server, "AUTH", 1)
		})
	}
}
