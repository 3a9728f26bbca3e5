package fetch_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
)

// refusal is how a server answers a log-in, and what the answer means with and without
// AUTH-RESP-CODE (R3206-1); zero: it says nothing about the credentials.
type refusal struct {
	name              string
	action            poptest.Action
	announced, silent login.Fault
	final             bool // no other mechanism may be tried
}

// TestLogin_once is C0010, C0045 and behaviour 19 over all mechanisms, replies and their moments:
// one wrong password is one attempt, whatever the server says to it.
func TestLogin_once(t *testing.T) {
	t.Parallel()
	refusals := []refusal{
		{"bare", poptest.Refuse("no"), login.Later, login.Refused, false},
		{"AUTH", poptest.Refuse("[AUTH] no"), login.Refused, login.Refused, true},
		{"SYS TEMP", poptest.Refuse("[SYS/TEMP] no"), login.Later, login.Later, true},
		{"SYS PERM", poptest.Refuse("[SYS/PERM] no"), login.Broken, login.Broken, true},
		{"IN-USE", poptest.Refuse("[IN-USE] no"), login.Later, login.Later, true},
		{"LOGIN-DELAY", poptest.Refuse("[LOGIN-DELAY] no"), login.Later, login.Later, true},
		{"unknown code", poptest.Refuse("[X-NEW/THING] no"), login.Later, login.Refused, true},
		{"bare, and closed", poptest.Action{Refuse: "no", End: poptest.EndByCut, At: poptest.Whole}, login.Later, login.Refused, false},
		{"closed", poptest.Cut(0), 0, 0, true},
		{"reset", poptest.Reset(0), 0, 0, true},
	}
	for _, mechanisms := range [][]login.Mechanism{
		nil, {login.Plain}, {login.Login}, {login.User}, {login.Apop}, {login.External},
		{login.Login, login.User, login.Plain}, {login.User, login.Login, login.Plain}, {login.Apop, login.User}, {login.External, login.Login, login.User},
	} {
		t.Run(fmt.Sprint(mechanisms), func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"))
			r := newRig(t, server.Addr())
			r.account.Login = credentials(mechanisms...).Login
			for _, how := range refusals {
				for _, announced := range []bool{true, false} {
					for _, atOnce := range []bool{true, false} {
						r.account.Name = fmt.Sprintf("%s, AUTH-RESP-CODE %v, at once %v", how.name, announced, atOnce) // each with a good standing
						server.Configure(func(c *poptest.Config) { how.configure(c, announced, atOnce) })
						before := len(server.Sessions())
						result := r.run()
						server.Wait()
						if n := len(server.Sessions()) - before; n != 1 {
							t.Fatalf("%s: %d connections, want 1", r.account.Name, n)
						}
						if problem := how.judge(server.Sessions()[before].Commands(), atOnce); problem != "" {
							t.Errorf("%s: %s", r.account.Name, problem)
						}
						want := how.silent
						if announced {
							want = how.announced
						}
						checkFailure(t, result, fetch.PhaseLogin)
						ends := how.name == "closed" || how.name == "reset"
						if ends && showedSecret(server.Sessions()[before].Commands()) {
							want = login.Refused // some servers refuse a password so
							if announced {
								want = login.Later
							}
						}
						if ends && !atOnce && slices.Index(mechanisms, login.Login) == 0 {
							continue // the session ends when the password is on its way
						}
						var failed *login.Error
						if errors.As(result.Err, &failed); failed == nil && want != 0 || failed != nil && failed.Fault != want {
							t.Errorf("%s: Run() = %v, want fault %d", r.account.Name, result.Err, want)
						}
					}
				}
			}
			r.holds()
			server.CheckRules(t)
		})
	}
}

// configure lets the server refuse each log-in, at its first command or at its last.
func (how refusal) configure(c *poptest.Config, announced, atOnce bool) {
	*c = poptest.Config{Greeting: "ready", Timestamp: "<1896.697170952@dbc.mtview.ca.us>", Capabilities: poptest.DefaultCapabilities(), Mechanisms: c.Mechanisms}
	if !announced {
		without("AUTH-RESP-CODE")(c)
	}
	c.Mechanisms["LOGIN"] = func(_ *poptest.Session, _ []byte, ask func([]byte) ([]byte, error)) (string, error) {
		for _, question := range questions {
			if _, err := ask([]byte(question)); err != nil {
				return "", err
			}
		}
		return "", errors.New(how.action.Refuse)
	}
	c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
		switch keyword, _, _ := strings.Cut(cmd, " "); {
		case keyword == "USER" && !atOnce:
		case cmd == "AUTH LOGIN" && !atOnce && how.action.End != poptest.GoOn:
			at := how.action
			at.Refuse, at.At = "", 0
			for _, question := range questions {
				at.At += int64(len("+ " + base64.StdEncoding.EncodeToString([]byte(question)) + "\r\n"))
			}
			if how.action.Refuse != "" {
				at.At += int64(len("-ERR " + how.action.Refuse + "\r\n"))
			}
			return at
		case cmd == "AUTH LOGIN" && !atOnce: // the mechanism refuses
		case slices.Contains([]string{"AUTH", "USER", "PASS", "APOP"}, keyword):
			return how.action
		}
		return poptest.Action{}
	}
}

// showedSecret reports whether one of the commands, or an answer of AUTH, shows the password.
func showedSecret(commands []string) bool {
	return slices.ContainsFunc(commands, func(line string) bool { return strings.HasPrefix(line, "APOP ") || shows([]byte(line), secret) })
}

var questions = []string{"Username:", "Password:"}

// judge returns what is wrong with the commands of a session, empty if nothing is.
func (how refusal) judge(commands []string, atOnce bool) string {
	var attempts []string
	shown := 0
	for i, line := range commands {
		keyword, arguments, _ := strings.Cut(line, " ")
		name, _, _ := strings.Cut(arguments, " ")
		switch keyword {
		case "AUTH":
			attempts = append(attempts, name)
		case "USER", "APOP":
			attempts = append(attempts, keyword)
		case "PASS":
			if atOnce || !strings.HasPrefix(commands[i-1], "USER ") {
				return fmt.Sprintf("PASS without an accepted USER: %q", commands)
			}
		case "STAT", "UIDL", "LIST":
			return fmt.Sprintf("%s without a log-in: %q", keyword, commands)
		}
		if showedSecret([]string{line}) {
			shown++
		}
	}
	slices.Sort(attempts)
	switch {
	case len(attempts) == 0 || len(attempts) > 2 || how.final && len(attempts) > 1:
		return fmt.Sprintf("%d attempts: %q", len(attempts), commands)
	case len(slices.Compact(attempts)) < len(attempts):
		return fmt.Sprintf("one mechanism twice: %q", commands)
	case shown > 1:
		return fmt.Sprintf("the password was shown %d times: %q", shown, commands)
	case how.action.End == poptest.GoOn && commands[len(commands)-1] != "QUIT":
		return fmt.Sprintf("no QUIT at the end: %q", commands)
	}
	return ""
}
