package login_test

import (
	"testing"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// Dovecot takes the right password by each mechanism, and refuses a wrong one, which counts.
func TestLogin_dovecot(t *testing.T) {
	t.Parallel()
	server := poptest.StartDovecot(t, nil)
	for _, m := range []login.Mechanism{login.ScramSHA256, login.ScramSHA1, login.Plain, login.Login, login.User, login.CramMD5, login.Apop} {
		for _, mode := range []pop3.TLSMode{pop3.TLSImplicit, pop3.TLSNone} {
			dial := func() *pop3.Client {
				addr := server.TLSAddr()
				if mode == pop3.TLSNone {
					addr = poptest.InClear(server.Addr(), true)
				}
				c, err := pop3.Dial(t.Context(), addr, &pop3.Options{TLS: mode, TLSConfig: server.CA().ClientTLS("localhost")})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				if _, err := c.Capa(t.Context()); err != nil {
					t.Fatal(err)
				}
				return c
			}
			c := dial()
			right := credentialsOf(server.Password, m)
			right.User = server.User
			if err := endSession(t, c, right.Login(t.Context(), c, nil)); err != nil {
				t.Errorf("%s: Login() = %v, want nil", m, err)
			}
			c = dial()
			wrong := credentialsOf("wrong", m)
			wrong.User = server.User
			err := endSession(t, c, wrong.Login(t.Context(), c, nil))
			checkFault(t, err, login.Refused)
		}
	}
}
