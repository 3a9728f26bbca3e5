package main

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen/sqlite"
)

const day = 24 * time.Hour

// toldRig is one account, and the lines that the journal gets.
type toldRig struct {
	t       *testing.T
	runner  *fetch.Runner
	notices *notices
	account fetch.Account
	state   string // the state folder
	said    bytes.Buffer

	mu    sync.Mutex
	clock time.Duration // how far the clock is ahead
}

func newToldRig(t *testing.T, server *poptest.Server) *toldRig {
	t.Helper()
	r := &toldRig{t: t, state: t.TempDir(), notices: newNotices(false)}
	r.notices.now = r.now
	r.runner = &fetch.Runner{Store: openedStore(t, r.state), Notices: r.notices, Now: r.now, Observe: r.reporter(r.notices).observe}
	r.account = fetch.Account{
		Name: "work", Server: poptest.InClear(server.Addr(), true), User: "mrose", Target: deliver.NewMaildir(filepath.Join(t.TempDir(), "mail")),
		POP3: pop3.Options{TLS: pop3.TLSNone, DialTimeout: patience, GreetingTimeout: patience, ReplyTimeout: patience, StallTimeout: patience},
	}
	r.password(func() string { return "tanstaaf" })
	return r
}

// reporter returns a reporter that writes to the rig.
func (r *toldRig) reporter(n *notices) *reporter {
	term := &terminal{out: &r.said, err: &r.said, journal: true} // the end of trouble is told there
	return &reporter{term: term, view: view{quiet: n != nil && n.quiet}, setting: &setting{}, notices: n}
}

// password makes the account log in with the password that is returns.
func (r *toldRig) password(is func() string) {
	credentials := &login.Credentials{User: "mrose", Password: func(context.Context) (string, error) { return is(), nil }}
	r.account.Login, r.account.Changed = credentials.Login, credentials.Changed
}

func openedStore(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return store
}

func (r *toldRig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.clock)
}

func (r *toldRig) later(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock += d
}

// tells runs the account and checks its lines. Each of the words must be in one line, in this
// order.
func (r *toldRig) tells(want ...string) {
	r.t.Helper()
	r.runner.Run(r.t.Context(), []fetch.Account{r.account})
	r.check(want...)
}

// check compares the lines since the last check.
func (r *toldRig) check(want ...string) {
	r.t.Helper()
	got := strings.FieldsFunc(r.said.String(), func(c rune) bool { return c == '\n' })
	r.said.Reset()
	if !slices.EqualFunc(got, want, strings.Contains) {
		r.t.Errorf("said %q, want %q", got, want)
	}
}

// letter returns a message.
func letter(id string) poptest.Message { return newMail(id) }

func newServer(t *testing.T, messages ...poptest.Message) *poptest.Server {
	t.Helper()
	return poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf", Messages: messages})
}

// hook sets the misdeeds of the server.
func hook(server *poptest.Server, f func(s *poptest.Session, cmd string) poptest.Action) {
	server.Configure(func(c *poptest.Config) { c.Hook = f })
}

// on makes a hook that takes action at a command.
func on(word string, action poptest.Action) func(*poptest.Session, string) poptest.Action {
	return func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == word || strings.HasPrefix(cmd, word+" ") {
			return action
		}
		return poptest.Action{}
	}
}
