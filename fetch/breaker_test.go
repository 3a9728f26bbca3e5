package fetch_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
)

// guarded makes a rig whose clock stands still and whose account knows whether its password has
// changed.
func guarded(t *testing.T, server *poptest.Server, password *string) *rig {
	t.Helper()
	r := newRig(t, server.Addr())
	start := time.Now().Truncate(time.Second)
	r.runner.Now = func() time.Time {
		r.mu.Lock()
		defer r.mu.Unlock()
		return start.Add(r.clock)
	}
	credentials := &login.Credentials{User: user, Password: func(context.Context) (string, error) { return *password, nil }}
	r.account.Login, r.account.Changed, r.account.Mark = credentials.Login, credentials.Changed, credentials.Mark
	return r
}

// refused runs the account, whose log-in is refused by the server.
func (r *rig) refused(server *poptest.Server) error {
	r.t.Helper()
	return r.refusedBy(server, 1)
}

// leftAlone runs the account, which must not even connect.
func (r *rig) leftAlone(server *poptest.Server) error {
	r.t.Helper()
	return r.refusedBy(server, 0)
}

func (r *rig) refusedBy(server *poptest.Server, connections int) error {
	r.t.Helper()
	before := len(server.Sessions())
	err := r.fails(fetch.PhaseLogin, "")
	checkFault(r.t, err, login.Refused)
	if got := len(server.Sessions()) - before; got != connections {
		r.t.Errorf("%d connections were made, want %d (%v)", got, connections, err)
	}
	return err
}

func newGuardedServer(t *testing.T) *poptest.Server {
	t.Helper()
	server := newServer(t, letter("a"))
	server.Configure(without("AUTH-RESP-CODE"))
	return server
}

// After three refused log-ins in a row, over all runs, an account is left alone for a growing time,
// up to a day.
func TestBreaker(t *testing.T) {
	t.Parallel()
	server := newGuardedServer(t)
	password := "wrong"
	r := guarded(t, server, &password)
	for range 2 {
		if err := r.refused(server); strings.Contains(err.Error(), "left alone") {
			t.Errorf("Run() = %v, want nothing of leaving alone yet", err)
		}
	}
	err := r.refused(server)
	for i, rest := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, day, day} {
		for _, want := range []string{
			"left alone until " + r.runner.Now().Add(rest).Format("2006-01-02 15:04"), "a changed password, ticket or sign-in", "popfetch check work", "in a row",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("refusal %d: Run() = %v, want %q in it", i+3, err, want)
			}
		}
		var failed *login.Error
		if errors.As(err, &failed); failed == nil || failed.Until.Sub(r.runner.Now()).Round(time.Millisecond) != rest {
			t.Errorf("refusal %d: Run() = %v, want it to be until %v later", i+3, err, rest)
		}
		if again := r.leftAlone(server); again.Error() != err.Error() {
			t.Errorf("Run() = %v, want it to say the same as the refusal: %v", again, err)
		}
		r.later(rest - time.Second)
		_ = r.leftAlone(server)
		r.later(time.Second)
		err = r.refused(server)
	}
	checkCount(t, server, "AUTH", 12)
	server.CheckRules(t)
}

// A changed password counts at once, and starts a new count. So does a successful log-in.
func TestBreaker_password(t *testing.T) {
	t.Parallel()
	server := newGuardedServer(t)
	password := "wrong"
	r := guarded(t, server, &password)
	for range 3 {
		_ = r.refused(server)
	}
	_ = r.leftAlone(server)
	password = "wrong too"
	for range 3 {
		_ = r.refused(server)
	}
	_ = r.leftAlone(server)
	password = secret
	r.runs("1 listed, 1 new, 1 delivered")
	password = "wrong"
	for range 2 {
		_ = r.refused(server)
	}
	password = secret
	r.runs("1 listed")
	password = "wrong"
	for range 3 {
		_ = r.refused(server)
	}
	_ = r.leftAlone(server)
	// If the password is not available, the run says so.
	locked := errors.New("the password store is locked")
	c := credentials()
	c.Password = func(context.Context) (string, error) { return "", locked }
	r.account.Changed = c.Changed
	err := r.fails(fetch.PhaseLogin, "")
	checkFault(t, err, login.Cannot)
	if !errors.Is(err, locked) {
		t.Errorf("Run() = %v, want %v", err, locked)
	}
	r.account.Changed = nil
	_ = r.leftAlone(server)
}

// No file of the state holds the password that was refused.
func TestBreaker_secret(t *testing.T) {
	t.Parallel()
	server := newGuardedServer(t)
	password := "sesame street"
	r := guarded(t, server, &password)
	for range 4 {
		_ = r.fails(fetch.PhaseLogin, "")
	}
	if got := len(r.standing().Credential); got == 0 {
		t.Error("nothing is kept to tell a changed password by")
	}
	for _, name := range filesIn(t, r.state) {
		octets, err := os.ReadFile(filepath.Join(r.state, name))
		if err != nil || shows(octets, "sesame") {
			t.Errorf("%s holds the password, or cannot be read: %v", name, err)
		}
	}
}

// A mechanism that the server announces but cannot use is refused like a wrong password. Naming
// another mechanism ends the wait.
func TestBreaker_mechanism(t *testing.T) {
	t.Parallel()
	server := newGuardedServer(t)
	hook(server, on("AUTH PLAIN", poptest.Refuse("no such luck")))
	r := guarded(t, server, new(string))
	r.account.Login, r.account.Changed = credentials(login.Plain).Login, credentials(login.Plain).Changed
	for range 3 {
		_ = r.refused(server)
	}
	_ = r.leftAlone(server)
	r.account.Login, r.account.Changed = credentials(login.User).Login, credentials(login.User).Changed
	r.runs("1 listed, 1 new, 1 delivered")
}

// Check logs in whatever was refused before, and a success ends the wait. Servers count what they
// refuse, so the refusals of Check and Look count too, and both say so. Look waits as a run does.
func TestBreaker_check(t *testing.T) {
	t.Parallel()
	server := newGuardedServer(t)
	password := "wrong"
	r := guarded(t, server, &password)
	_ = r.refused(server)
	_, err := r.runner.Check(t.Context(), &r.account)
	checkFault(t, err, login.Refused)
	if !strings.Contains(err.Error(), "this counts: refusal 2, and after 3 in a row") {
		t.Errorf("Check() = %v, want it to say that it counts", err)
	}
	if _, err := r.runner.Look(t.Context(), &r.account); err == nil || !strings.Contains(err.Error(), "3 times in a row") {
		t.Errorf("Look() = %v, want the third refusal", err)
	}
	if _, err := r.runner.Look(t.Context(), &r.account); err == nil || server.Count("QUIT") != 3 {
		t.Errorf("Look() = %v after %d sessions, want an error and 3", err, server.Count("QUIT"))
	}
	_, err = r.runner.Check(t.Context(), &r.account)
	checkFault(t, err, login.Refused)
	if after := r.standing(); after.Refusals != 4 {
		t.Errorf("%d refusals after a refused check, want 4", after.Refusals)
	}
	_ = r.leftAlone(server)

	server.Configure(func(c *poptest.Config) { // the password was right, but the account locked
		c.Mechanisms["PLAIN"] = func(*poptest.Session, []byte, func([]byte) ([]byte, error)) (string, error) { return user, nil }
	})
	if _, err := r.runner.Check(t.Context(), &r.account); err != nil {
		t.Errorf("Check() = %v, want no error", err)
	}
	r.runs("1 listed, 1 new, 1 delivered")
	if st := r.standing(); st.Refusals != 0 || len(st.Credential) != 0 || !st.NotBefore.IsZero() || st.Reason != "" {
		t.Errorf("the standing is %+v, want a good one", st)
	}
}

// rests lets the server refuse so many log-ins in a row, and returns how long the account is left
// alone after the last one. Each time it waits until the account may log in again.
func (r *rig) rests(server *poptest.Server, refusals int) (rest time.Duration) {
	r.t.Helper()
	for range refusals {
		r.later(rest)
		var failed *login.Error
		if errors.As(r.refused(server), &failed) && !failed.Until.IsZero() {
			rest = failed.Until.Sub(r.runner.Now()).Round(time.Second)
		}
	}
	return rest
}

// A refusal without a response code may mean something else than the password, such as a maildrop
// that is locked. If the password has worked before, the account is left alone for half an hour at
// most.
func TestBreaker_workedBefore(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		now        string // the password that is refused
		prepare    func(*rig, *poptest.Server, *string)
		want       time.Duration
	}{
		{name: "without a code", text: "maildrop already locked", now: secret, want: 30 * time.Minute},
		{name: "AUTH", text: "[AUTH] wrong", now: secret, want: day},
		{name: "another password", text: "maildrop already locked", now: "wrong", want: day},
		{name: "never worked", text: "maildrop already locked", now: secret, want: day, prepare: func(r *rig, _ *poptest.Server, _ *string) { r.account.Name, r.account.Shared = "new", []string{"work"} }},
		{name: "worked again after refusals", text: "maildrop already locked", now: "new one", want: 30 * time.Minute, prepare: func(r *rig, server *poptest.Server, password *string) {
			*password = "new one"
			for range 2 {
				_ = r.fails(fetch.PhaseLogin, "")
			}
			accept(server, "new one")
			r.runs("1 listed")
		}},
		{name: "changed on both sides, and worked a day later", text: "maildrop already locked", now: "new one", want: 30 * time.Minute, prepare: func(r *rig, server *poptest.Server, password *string) {
			*password = "new one"
			accept(server, "new one")
			r.later(day)
			r.runs("1 listed")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newGuardedServer(t)
			password := secret
			r := guarded(t, server, &password)
			r.runs("1 listed, 1 new, 1 delivered")
			if test.prepare != nil {
				test.prepare(r, server, &password)
			}
			password = test.now
			hook(server, on("AUTH", poptest.Refuse(test.text)))
			if got := r.rests(server, 12); got != test.want {
				t.Errorf("after 12 refusals the account is left alone for %v, want %v", got, test.want)
			}
		})
	}
}

// accept makes the server accept no other password by PLAIN.
func accept(server *poptest.Server, password string) {
	server.Configure(func(c *poptest.Config) {
		c.Mechanisms["PLAIN"] = func(_ *poptest.Session, initial []byte, _ func([]byte) ([]byte, error)) (string, error) {
			if string(initial) != "\x00"+user+"\x00"+password {
				return "", errors.New("wrong")
			}
			return user, nil
		}
	})
}

// Some servers close the connection at a wrong password, or send a line of their own before they
// refuse it. Both count as any refusal does.
func TestBreaker_refusedOtherwise(t *testing.T) {
	t.Parallel()
	line := func(text string) poptest.Action { return poptest.Reply([]byte(text)) }
	for _, test := range []struct {
		name      string
		mechanism login.Mechanism
		command   string
		action    poptest.Action
	}{
		{"PASS, closed", login.User, "PASS", poptest.Cut(0)},
		{"PASS, reset", login.User, "PASS", poptest.Reset(0)},
		{"PASS, a line before", login.User, "PASS", line("Authentication failed.\r\n-ERR no\r\n")},
		{"PASS, an empty line before", login.User, "PASS", line("\r\n-err no\r\n")},
		{"PLAIN, closed", login.Plain, "AUTH", poptest.Cut(0)},
		{"PLAIN, lines before", login.Plain, "AUTH", line("a\r\nb\r\n-ERR no\r\n")},
		{"APOP, closed", login.Apop, "APOP", poptest.Cut(0)},
		{"APOP, a line before", login.Apop, "APOP", line("no\r\n-ERR no\r\n")},
	} {
		t.Run("C0010/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := newGuardedServer(t)
			server.Configure(func(c *poptest.Config) { c.Timestamp = "<1896.697170952@dbc.mtview.ca.us>" })
			password := "wrong"
			r := guarded(t, server, &password)
			c := credentials(test.mechanism)
			r.account.Login, r.account.Changed, r.account.Mark = c.Login, c.Changed, c.Mark
			hook(server, on(test.command, test.action))
			for range 3 {
				_ = r.refused(server)
			}
			_ = r.leftAlone(server)
			checkCount(t, server, test.command, 3)
		})
	}
}

// If the server announces AUTH-RESP-CODE, a closed connection need not be about the password. It
// counts all the same: the password may be wrong, and must not be sent without end.
func TestBreaker_closedThoughCodes(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	hook(server, on("AUTH", poptest.Cut(0)))
	password := "wrong"
	r := guarded(t, server, &password)
	for range 2 {
		checkFault(t, r.fails(fetch.PhaseLogin, ""), login.Later)
	}
	_ = r.refused(server)
	_ = r.leftAlone(server)
	password = secret
	hook(server, nil)
	r.runs("1 listed, 1 new, 1 delivered")
}
