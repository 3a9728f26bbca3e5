package fetch_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
)

// plainLine is AUTH PLAIN with user and secret.
var plainLine = "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+secret))

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
		t.Errorf("Run() = %v, want a *login.Error of fault %d", err, want)
	}
}

// A log-in that fails ends the run in the phase of that name, with QUIT and without a second
// connection (C0010, C0012).
func TestLogin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		lacks       []string // what the server does not announce
		credentials *login.Credentials
		want        login.Fault
	}{
		{"C0010/refused", []string{"AUTH-RESP-CODE"}, credentialsOf("wrong"), login.Refused},
		{"C0009/nothing in common", []string{"SASL", "USER"}, credentials(), login.Cannot},
		{"C0003/cannot be sent", nil, credentialsOf("a\r\nDELE 1", login.User), login.Cannot},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"))
			server.Configure(without(test.lacks...))
			r := newRig(t, server.Addr())
			r.account.Login = test.credentials.Login
			checkFault(t, r.fails(fetch.PhaseLogin, ""), test.want)
			if got := commands(t, server, 1); got[len(got)-1] != "QUIT" {
				t.Errorf("the client sent %q, want QUIT at the end", got)
			}
			if n := len(server.Sessions()); n != 1 {
				t.Errorf("%d connections, want 1: a refused log-in is not tried again in the run", n)
			}
			server.CheckRules(t)
		})
	}
}

// Before a successful log-in no command of the TRANSACTION state is sent, and QUIT ends the session
// (C0008).
func TestLogin_nothing_before(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	server.Configure(func(c *poptest.Config) {
		c.Greeting = "already logged in, go ahead"
		c.Hook = on("AUTH", poptest.Refuse("[AUTH] wrong"))
	})
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	_ = r.fails(fetch.PhaseLogin, "")
	for _, test := range []struct{ clause, command string }{
		{"C0008", "RSET"}, {"C0016", "STAT"}, {"C0018", "LIST"}, {"V0005", "RETR"}, {"C0025", "DELE"},
		{"C0028", "NOOP"}, {"C0033", "TOP"}, {"C0035", "UIDL"},
	} {
		t.Run(test.clause+"/"+test.command, func(t *testing.T) { checkCount(t, server, test.command, 0) })
	}
	server.CheckRules(t)
}

// The password goes out as configured and is in no trace, no event and no error.
func TestLogin_secret(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		mechanism login.Mechanism
		secret    string
		refuse    bool
	}{
		{"C0046/blanks", login.User, " a b  c ", false},
		{"C0046/plain", login.Plain, "se cr=et", false},
		{"C0046/login", login.Login, "\"%s#'", false},
		{"C0046/apop", login.Apop, secret, false},
		{"C0046/refused", login.User, "wr ong", true},
		{"C0046/plain refused", login.Plain, "wr ong", true},
		{"C0046/8-bit", login.Plain, "pässwörd", false},
		{"R5034-1/too long for the command", login.Plain, strings.Repeat("0123456789", 40), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := poptest.NewServer(t, poptest.Maildrop{User: user, Password: test.secret, Messages: []poptest.Message{letter("a")}})
			server.Configure(func(c *poptest.Config) {
				c.Timestamp = "<1896.697170952@dbc.mtview.ca.us>"
				if test.refuse { // and the text of the reply repeats the password
					c.Hook = on("PASS", poptest.Refuse("your password is not known"))
					c.Mechanisms["PLAIN"] = func(*poptest.Session, []byte, func([]byte) ([]byte, error)) (string, error) {
						return "", errors.New("not known")
					}
				}
			})
			r := newRig(t, server.Addr())
			r.account.Login = credentialsOf(test.secret, test.mechanism).Login
			result := r.run()
			if (result.Err != nil) != test.refuse {
				t.Errorf("Run() = %v, want an error: %v", result.Err, test.refuse)
			}
			log := fmt.Sprintf("%v %v %q", result.Err, r.events, r.traced)
			if shows([]byte(log), test.secret) || strings.Contains(log, base64.StdEncoding.EncodeToString([]byte(test.secret))) {
				t.Errorf("events, trace or error show the password: %s", log)
			}
			if len(r.traced) < 3 {
				t.Errorf("the trace has %d lines, want the whole session", len(r.traced))
			}
			server.Wait()
			if sent := shows(server.Received(), test.secret); !sent && test.mechanism != login.Apop {
				t.Errorf("the password %q was not sent as it is: %q", test.secret, server.Received())
			}
			server.CheckRules(t)
		})
	}
}
