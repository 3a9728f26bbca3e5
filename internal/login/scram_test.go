package login_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// scramServer is the server's side of SCRAM. It has the password secret. bend may change what the
// server says; an error of it is a refusal.
func scramServer(t *testing.T, hash scram.HashGeneratorFcn, iterations int, binding *scram.ChannelBinding, bend func(n int, text string) (string, error)) poptest.Mechanism {
	t.Helper()
	client, err := hash.NewClient(user, secret, "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: iterations})
	if err != nil {
		t.Fatal(err)
	}
	server, err := hash.NewServer(func(name string) (scram.StoredCredentials, error) {
		if name != user {
			return scram.StoredCredentials{}, errors.New("unknown")
		}
		return stored, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(_ *poptest.Session, message []byte, ask func([]byte) ([]byte, error)) (string, error) {
		conversation := server.NewConversation()
		if binding != nil {
			conversation = server.NewConversationWithChannelBinding(*binding)
		}
		for n := 1; ; n++ {
			answer, err := conversation.Step(string(message))
			if err != nil && answer == "" {
				return "", errors.New("[AUTH] " + err.Error())
			}
			if bend != nil {
				if answer, err = bend(n, answer); err != nil {
					return "", err
				}
			}
			if answer == "" {
				return user, nil
			}
			if message, err = ask([]byte(answer)); err != nil {
				return "", err
			}
			if conversation.Done() {
				return user, nil
			}
		}
	}
}

// SCRAM proves the password to the server without showing it, and the server proves that it knows
// the password.
func TestScram(t *testing.T) {
	for _, test := range []struct {
		name       string
		iterations int
		password   string
		bend       func(n int, text string) (string, error)
		want       login.Fault
		text       string // of the error
	}{
		{"right", 4096, secret, nil, 0, ""},
		{"many iterations", 100_000, secret, nil, 0, ""},
		{"wrong password", 4096, "wrong", nil, login.Refused, ""},
		{"named as wrong", 4096, "wrong", func(n int, text string) (string, error) { return at(n, 2, text, "e=invalid-proof"), nil }, login.Refused, "invalid-proof"},
		{"bound to another session", 4096, secret, func(n int, text string) (string, error) { return at(n, 2, text, "e=channel-bindings-dont-match"), nil },
			login.Untrue, "somebody may stand between"},
		{"too few iterations", 1000, secret, nil, login.Untrue, "asks for 1000 iterations"},
		{"too many iterations", 4096, secret, func(n int, text string) (string, error) {
			return at(n, 1, text, strings.Replace(text, "i=4096", "i=2000000000", 1)), nil
		}, login.Untrue, "2000000000 iterations"},
		{"another nonce", 4096, secret, func(n int, text string) (string, error) {
			return at(n, 1, text, strings.Replace(text, "r=", "r=x", 1)), nil
		},
			login.Untrue, "nonce"},
		{"the client's nonce", 4096, secret, func(n int, text string) (string, error) {
			r, rest, _ := strings.Cut(text, ",")
			return at(n, 1, text, r[:34]+","+rest), nil
		}, login.Untrue, "nonce"},
		{"no challenge", 4096, secret, func(n int, text string) (string, error) {
			return at(n, 1, text, "\x1b[2Jhello"+strings.Repeat("x", 5000)), nil
		}, 0, ""},
		{"a wrong proof", 4096, secret, func(n int, text string) (string, error) {
			return at(n, 2, text, "v="+base64.StdEncoding.EncodeToString(make([]byte, 32))), nil
		}, login.Untrue, "server validation failed"},
		{"no proof", 4096, secret, func(n int, text string) (string, error) { return at(n, 2, text, ""), nil }, login.Untrue, "has not proved that it knows the password"},
	} {
		t.Run("R5034-2/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Configure(func(c *poptest.Config) {
				c.Capabilities = []string{"SASL SCRAM-SHA-256 PLAIN", "UIDL", "USER"}
				c.Mechanisms["SCRAM-SHA-256"] = scramServer(t, scram.SHA256, test.iterations, nil, test.bend)
			})
			err := logIn(t, server.Addr(), credentialsOf(test.password))
			if test.want == 0 {
				noError(t, err)
			} else {
				checkFault(t, err, test.want)
				checkCount(t, server, "AUTH PLAIN", 0)
			}
			if err != nil && !strings.Contains(err.Error(), test.text) {
				t.Errorf("Login() = %v, want %q in it", err, test.text)
			}
			if got := server.Received(); shows(got, test.password) != (test.name == "no challenge") { // then PLAIN is next
				t.Errorf("the client sent the password: %s", got)
			}
		})
	}
}

// at returns the replacement for the n-th message, and text for all others.
func at(n, which int, text, replacement string) string {
	if n == which {
		return replacement
	}
	return text
}

// If the server fails before it has the proof, the next mechanism is tried; afterwards none is.
func TestScram_thenAnother(t *testing.T) {
	for name, bend := range map[string]func(n int, text string) (string, error){
		"before the proof": func(int, string) (string, error) { return "", errors.New("no database") },
		"refused by code":  func(int, string) (string, error) { return "", errors.New("[AUTH] no such hash") },
		"malformed":        func(int, string) (string, error) { return "what?", nil },
		"after the proof": func(n int, text string) (string, error) {
			if n == 2 {
				return "", errors.New("no database")
			}
			return text, nil
		},
	} {
		t.Run("C0010/"+name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Configure(func(c *poptest.Config) {
				c.Capabilities = []string{"SASL SCRAM-SHA-256 SCRAM-SHA-1 PLAIN", "UIDL"}
				c.Mechanisms["SCRAM-SHA-256"] = scramServer(t, scram.SHA256, 4096, nil, bend)
			})
			err := logIn(t, server.Addr(), credentials())
			if name != "malformed" {
				checkCount(t, server, "AUTH SCRAM-SHA-1", 0) // it would be refused likewise
			}
			if name == "after the proof" {
				checkFault(t, err, login.Refused)
				checkCount(t, server, "AUTH PLAIN", 0)
				return
			}
			noError(t, err)
			checkCount(t, server, "AUTH PLAIN", 1)
		})
	}
}

// If the server's announcement is only expected, SCRAM waits for the present one: what is sent depends
// on it. A proof is never sent twice.
func TestScram_expecting(t *testing.T) {
	for name, test := range map[string]struct {
		password string
		want     login.Fault
	}{"right": {secret, 0}, "wrong": {"wrong", login.Refused}} {
		t.Run("R2449-3/"+name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Configure(func(c *poptest.Config) {
				c.Capabilities = []string{"SASL SCRAM-SHA-256", "PIPELINING", "UIDL"}
				c.Mechanisms["SCRAM-SHA-256"] = scramServer(t, scram.SHA256, 4096, nil,
					func(n int, text string) (string, error) {
						if test.want != 0 {
							return at(n, 2, text, "e=invalid-proof"), nil
						}
						return text, nil
					})
			})
			c := dial(t, server.Addr())
			expected := pop3.Capabilities{"PIPELINING": nil, "SASL": {"scram-sha-256", "plain"}}
			err := endSession(t, c, credentialsOf(test.password).Login(t.Context(), c, expected))
			if test.want == 0 {
				noError(t, err)
			} else {
				checkFault(t, err, test.want)
			}
			checkCount(t, server, "AUTH", 1)
			if sent := commands(t, server, 1); sent[0] != "CAPA" {
				t.Errorf("the client sent %q, want CAPA first", sent)
			}
		})
	}
}

// The trace shows no challenge: with the client's messages, which are masked, it would help to guess
// the password.
func TestScram_trace(t *testing.T) {
	server := newServer(t)
	server.Configure(func(c *poptest.Config) {
		c.Capabilities = []string{"SASL SCRAM-SHA-256", "UIDL"}
		c.Mechanisms["SCRAM-SHA-256"] = scramServer(t, scram.SHA256, 4096, nil, nil)
	})
	var lines []string
	c, err := pop3.Dial(t.Context(), poptest.InClear(server.Addr(), true), &pop3.Options{TLS: pop3.TLSNone, Trace: func(_ bool, line string) { lines = append(lines, line) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Capa(t.Context()); err != nil {
		t.Fatal(err)
	}
	noError(t, endSession(t, c, credentials().Login(t.Context(), c, nil)))
	masked := 0
	for _, line := range lines {
		switch {
		case line == "+ ***":
			masked++
		case strings.HasPrefix(line, "+ "):
			t.Errorf("the trace shows %q", line)
		}
	}
	if masked != 2 {
		t.Errorf("the trace has %d masked challenges, want 2: %q", masked, lines)
	}
}

// CRAM-MD5 shows a digest of the password (RFC 2195 section 2 has this example).
func TestCramMD5(t *testing.T) {
	server := poptest.NewServer(t, poptest.Maildrop{User: "tim", Password: "x"})
	var got string
	server.Configure(func(c *poptest.Config) {
		c.Capabilities = []string{"SASL CRAM-MD5", "UIDL"}
		c.Mechanisms["CRAM-MD5"] = func(_ *poptest.Session, _ []byte, ask func([]byte) ([]byte, error)) (string, error) {
			response, err := ask([]byte("<1896.697170952@postoffice.reston.mci.net>"))
			got = string(response)
			return "tim", err
		}
	})
	cr := credentialsOf("tanstaaftanstaaf", login.CramMD5)
	cr.User = "tim"
	noError(t, logIn(t, server.Addr(), cr))
	if want := "tim b913a602c7eda7a495b4e6e7334d3890"; got != want {
		t.Errorf("the response is %q, want %q", got, want)
	}
	server.Configure(func(c *poptest.Config) {
		c.Mechanisms["CRAM-MD5"] = func(_ *poptest.Session, _ []byte, ask func([]byte) ([]byte, error)) (string, error) {
			_, err := ask(nil)
			return "tim", err
		}
	})
	checkFault(t, logIn(t, server.Addr(), cr), login.Cannot)
}
