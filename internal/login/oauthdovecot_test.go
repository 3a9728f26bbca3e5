package login_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// Dovecot asks a real OpenID provider about each token. It refuses one with a challenge that says
// why, and then with [AUTH].
func TestBearer_dovecot(t *testing.T) {
	t.Parallel()
	provider := poptest.StartProvider(t, nil)
	server := poptest.StartDovecot(t, provider.Dovecot())
	expired := provider.SignIn("alice").Access
	provider.Expire()
	alice, bob := provider.SignIn("alice").Access, provider.SignIn("bob").Access
	narrow := provider.SignIn("alice", "offline_access").Access
	for _, test := range []struct {
		name, user  string
		first, next string
		want        login.Fault
	}{
		{"good", "alice", alice, "", 0},
		{"client credentials", provider.Service, provider.ServiceToken().Access, "", 0},
		{"expired, renewed", "alice", expired, alice, 0},
		{"expired", "alice", expired, expired, login.Refused},
		{"expired, and the next one is no better", "alice", expired, narrow, login.Refused},
		{"of another person", "alice", bob, bob, login.Refused},
		{"without the scope", "alice", narrow, narrow, login.Refused},
		{"the password", "alice", provider.Users["alice"], "no token either", login.Refused},
	} {
		for _, m := range []login.Mechanism{login.OAuthBearer, login.XOAuth2} {
			t.Run(string(m)+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				cr := credentialsOf(test.first, m)
				cr.User, cr.Bearer, cr.Addr = test.user, true, server.TLSAddr()
				cr.Renew = func(context.Context, string) (string, error) { return test.next, nil }
				err := logInDovecot(t, server, cr)
				if test.want == 0 {
					noError(t, err)
					return
				}
				checkFault(t, err, test.want)
				checkCode(t, err, pop3.CodeAuth)
				says := map[login.Mechanism]string{login.OAuthBearer: "(status invalid_token)", login.XOAuth2: "(status 401)"}[m]
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("Login() = %v, want %q in it", err, says)
				}
			})
		}
	}
}

// If the provider is down, Dovecot cannot check a token. That is no fault of the token.
func TestBearer_dovecotProviderDown(t *testing.T) {
	t.Parallel()
	provider := poptest.StartProvider(t, nil)
	server := poptest.StartDovecot(t, provider.Dovecot())
	token := provider.SignIn("alice").Access
	provider.Stop()
	for _, m := range []login.Mechanism{login.OAuthBearer, login.XOAuth2} {
		cr := credentialsOf(token, m)
		cr.User, cr.Bearer, cr.Addr = "alice", true, server.TLSAddr()
		cr.Renew = func(context.Context, string) (string, error) {
			t.Errorf("%s: Renew was called, though the server did not refuse the token", m)
			return "another", nil
		}
		err := logInDovecot(t, server, cr)
		checkFault(t, err, login.Later)
		checkCode(t, err, pop3.CodeSysTemp)
	}
}

func checkCode(t *testing.T, err error, want pop3.ResponseCode) {
	t.Helper()
	var refused *pop3.ReplyError
	if !errors.As(err, &refused) || refused.Code != want {
		t.Errorf("Login() = %v, want a reply with [%s]", err, want)
	}
}

// logInDovecot plays a session under TLS.
func logInDovecot(t *testing.T, server *poptest.Dovecot, cr *login.Credentials) error {
	t.Helper()
	options := &pop3.Options{TLS: pop3.TLSImplicit, TLSConfig: server.CA().ClientTLS("localhost")}
	c, err := pop3.Dial(t.Context(), server.TLSAddr(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Capa(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = cr.Login(t.Context(), c, nil)
	return endSession(t, c, err)
}
