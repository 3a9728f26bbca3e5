package login_test

import (
	"crypto/tls"
	"errors"
	"testing"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// Courier takes the empty initial response for none, and asks for it by an empty challenge. Nothing
// else is answered.
func TestExternal_asked(t *testing.T) {
	for _, test := range []struct {
		name       string
		challenges []string
		answers    int
		want       login.Fault
	}{
		{"never", nil, 0, 0},
		{"once", []string{""}, 1, 0},
		{"twice", []string{"", ""}, 1, login.Cannot},
		{"something", []string{"who?"}, 0, login.Cannot},
	} {
		t.Run("R5034-1/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			answers := 0
			server.Configure(func(c *poptest.Config) {
				c.Capabilities = []string{"SASL EXTERNAL", "UIDL"}
				c.Mechanisms["EXTERNAL"] = func(_ *poptest.Session, _ []byte, ask func([]byte) ([]byte, error)) (string, error) {
					for _, challenge := range test.challenges {
						answer, err := ask([]byte(challenge))
						if err != nil {
							return "", err
						}
						if len(answer) > 0 {
							return "", errors.New("this is not the certificate's owner")
						}
						answers++
					}
					return user, nil
				}
			})
			err := logIn(t, server.Addr(), credentials(login.External))
			if test.want == 0 {
				noError(t, err)
			} else {
				checkFault(t, err, test.want)
			}
			server.Wait()
			if answers != test.answers {
				t.Errorf("%d challenges were answered, want %d", answers, test.answers)
			}
		})
	}
}

// Dovecot logs in the owner of a certificate of its authority, and nobody by another certificate.
func TestExternal_dovecot(t *testing.T) {
	t.Parallel()
	server := poptest.StartDovecot(t, nil)
	for _, test := range []struct {
		name   string
		signer *poptest.CA
		want   login.Fault
	}{
		{"its authority", server.CA(), 0},
		{"another authority", poptest.NewCA(t), login.Refused},
		{"no certificate", nil, login.Refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := server.CA().ClientTLS("localhost")
			if test.signer != nil {
				config.Certificates = []tls.Certificate{test.signer.Client(server.User).TLS}
			}
			c, err := pop3.Dial(t.Context(), server.TLSAddr(), &pop3.Options{TLSConfig: config})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if _, err := c.Capa(t.Context()); err != nil {
				t.Fatal(err)
			}
			err = endSession(t, c, credentials(login.External).Login(t.Context(), c, nil))
			if test.want == 0 {
				noError(t, err)
			} else {
				checkFault(t, err, test.want)
			}
		})
	}
}
