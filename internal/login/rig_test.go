package login_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

const (
	user   = "mrose"
	secret = "tanstaaf"
)

// plainLine is the command of AUTH PLAIN with user and secret. The others are the lines of LOGIN
// and of USER.
var (
	plainLine  = "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+secret))
	loginStart = "AUTH LOGIN"
	loginLines = loginStart + "|" + base64.StdEncoding.EncodeToString([]byte(user)) + "|" + base64.StdEncoding.EncodeToString([]byte(secret))
	userLines  = "USER " + user + "|PASS " + secret
)

// shows reports whether the octets hold the secret, as it is or in base64.
func shows(octets []byte, secret string) bool {
	if bytes.Contains(octets, []byte(secret)) {
		return true
	}
	for _, word := range bytes.Fields(octets) {
		decoded, err := base64.StdEncoding.DecodeString(string(word))
		if err == nil && bytes.Contains(decoded, []byte(secret)) {
			return true
		}
	}
	return false
}

func checkFault(t *testing.T, err error, want login.Fault) {
	t.Helper()
	var failed *login.Error
	if !errors.As(err, &failed) || failed.Fault != want {
		t.Errorf("Login() = %v, want a *login.Error of fault %d", err, want)
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("Login() = %v, want no error", err)
	}
}

func credentials(mechanisms ...login.Mechanism) *login.Credentials {
	return credentialsOf(secret, mechanisms...)
}

func credentialsOf(password string, mechanisms ...login.Mechanism) *login.Credentials {
	return &login.Credentials{User: user, Mechanisms: mechanisms,
		Password: func(context.Context) (string, error) { return password, nil }}
}

// dial opens a session in clear text.
func dial(t *testing.T, addr string) *pop3.Client {
	t.Helper()
	c, err := pop3.Dial(t.Context(), poptest.InClear(addr, true), &pop3.Options{TLS: pop3.TLSNone})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// logIn plays a session of a client that expects nothing. It sends CAPA, UTF8 if announced, the
// log-in, STAT after a success, and QUIT.
func logIn(t *testing.T, addr string, cr *login.Credentials) error {
	t.Helper()
	c := dial(t, addr)
	if caps, _ := c.Capa(t.Context()); caps.Has("UTF8") {
		_ = c.UTF8(t.Context())
	}
	return endSession(t, c, cr.Login(t.Context(), c, nil))
}

// endSession ends a session after the log-in. The argument err is the error of the log-in.
func endSession(t *testing.T, c *pop3.Client, err error) error {
	t.Helper()
	if err == nil {
		_, err = c.Stat(t.Context())
	}
	_ = c.Quit(t.Context())
	return err
}

func newServer(t *testing.T) *poptest.Server {
	t.Helper()
	return poptest.NewServer(t, poptest.Maildrop{User: user, Password: secret})
}

// hook makes the server misbehave as f says.
func hook(server *poptest.Server, f func(s *poptest.Session, cmd string) poptest.Action) {
	server.Configure(func(c *poptest.Config) { c.Hook = f })
}

// on returns a hook that does action if the command equals words, or begins with words and a space.
func on(words string, action poptest.Action) func(*poptest.Session, string) poptest.Action {
	return func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == words || words != "" && strings.HasPrefix(cmd, words+" ") {
			return action
		}
		return poptest.Action{}
	}
}

// without makes a server announce all capabilities except those named.
func without(names ...string) func(*poptest.Config) {
	return func(c *poptest.Config) {
		c.Capabilities = slices.DeleteFunc(slices.Clone(c.Capabilities), func(line string) bool {
			name, _, _ := strings.Cut(line, " ")
			return slices.Contains(names, name)
		})
	}
}

// commands returns the commands that the client sent in the server's nth session. The first session
// is 1.
func commands(t *testing.T, server *poptest.Server, n int) []string {
	t.Helper()
	server.Wait()
	sessions := server.Sessions()
	if len(sessions) < n {
		t.Fatalf("%d sessions, want %d", len(sessions), n)
	}
	return sessions[n-1].Commands()
}

// checkCount checks how often a command was sent, over all sessions.
func checkCount(t *testing.T, server *poptest.Server, command string, want int) {
	t.Helper()
	server.Wait()
	if got := server.Count(command); got != want {
		t.Errorf("%s was sent %d times, want %d", command, got, want)
	}
}
