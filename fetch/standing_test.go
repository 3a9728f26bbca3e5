package fetch_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// announcing makes a server announce the capabilities too.
func announcing(capabilities ...string) func(*poptest.Config) {
	return func(c *poptest.Config) { c.Capabilities = append(c.Capabilities, capabilities...) }
}

// held runs the account, which must not even connect.
func (r *rig) held(server *poptest.Server, want string) {
	r.t.Helper()
	before := len(server.Sessions())
	err := r.fails(fetch.PhaseLogin, "")
	var login *fetch.LoginError
	if !errors.As(err, &login) || login.Fault != fetch.LoginHeld || !strings.HasSuffix(err.Error(), want) {
		r.t.Errorf("Run() = %v, want a LoginError of fault LoginHeld that ends in %q", err, want)
	}
	if got := len(server.Sessions()) - before; got != 0 {
		r.t.Errorf("%d connections were made, want none", got)
	}
}

// A server's LOGIN-DELAY is remembered and obeyed across runs (R2449-4).
func TestLoginDelay(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, before, after string // LOGIN-DELAY before and after the log-in
		held                string // the text, empty: not at all
		then                time.Duration
	}{
		{"announced", "LOGIN-DELAY 120", "LOGIN-DELAY 120", "login delay: 120 s left", 120 * time.Second},
		{"the user's own", "LOGIN-DELAY 900 USER", "LOGIN-DELAY 60", "login delay: 60 s left", 60 * time.Second},
		{"the user's own, in lower case", "login-delay 900 user", "login-delay 60", "login delay: 60 s left", 60 * time.Second},
		{"after the log-in alone", "X-NONE", "LOGIN-DELAY 60", "login delay: 60 s left", 60 * time.Second},
		{"not for this user", "LOGIN-DELAY 900 USER", "LOGIN-DELAY 0", "", 0},
		{"a year", "LOGIN-DELAY 31536000", "X-NONE", "login delay: 24 h left", 24 * time.Hour},
		{"a number too large", "LOGIN-DELAY 99999999999999999999", "X-NONE", "", 0},
		{"negative", "LOGIN-DELAY -5", "X-NONE", "", 0},
		{"without a number", "LOGIN-DELAY", "X-NONE", "", 0},
	} {
		t.Run("R2449-4/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"))
			server.Configure(announcing(test.before))
			if test.after != test.before {
				server.Configure(without("PIPELINING")) // so that CAPA is asked again in any case
			}
			hook(server, func(s *poptest.Session, cmd string) poptest.Action {
				if cmd == "CAPA" && s.User() != "" {
					return poptest.Reply(capaReply("TOP", "UIDL", test.after))
				}
				return poptest.Action{}
			})
			r := newRig(t, server.Addr())
			r.stopClock()
			r.runs("1 listed, 1 new, 1 delivered")
			if test.held != "" {
				r.held(server, test.held)
				r.later(test.then - time.Second)
				r.held(server, "login delay: 1 s left")
				r.later(time.Second)
			}
			r.runs("1 listed")
		})
	}
}

// stopClock lets time pass for the runner by later alone.
func (r *rig) stopClock() {
	start := time.Now()
	r.runner.Now = func() time.Time {
		r.mu.Lock()
		defer r.mu.Unlock()
		return start.Add(r.clock)
	}
}

// capaReply is a positive reply to CAPA.
func capaReply(lines ...string) []byte {
	return append([]byte("+OK\r\n"), poptest.Stuff([]byte(strings.Join(lines, "\r\n")+"\r\n"))...)
}

// A look at the account obeys the delay, and is a log-in of its own.
func TestLoginDelay_look(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	server.Configure(announcing("LOGIN-DELAY 60"))
	r := newRig(t, server.Addr())
	r.stopClock()
	r.runs("1 listed, 1 new, 1 delivered")
	var login *fetch.LoginError
	if _, err := r.runner.Look(t.Context(), &r.account); !errors.As(err, &login) || login.Fault != fetch.LoginHeld {
		t.Errorf("Look() = %v, want fault LoginHeld", err)
	}
	r.later(61 * time.Second)
	if _, err := r.runner.Look(t.Context(), &r.account); err != nil {
		t.Errorf("Look() = %v, want no error", err)
	}
	r.held(server, "login delay: 60 s left")
}

// A time that was noted by a wrong clock holds nothing up.
func TestStanding_wrongClock(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	server.Configure(announcing("LOGIN-DELAY 60"))
	r := newRig(t, server.Addr())
	r.later(10 * 365 * 24 * time.Hour)
	r.runs("1 listed, 1 new, 1 delivered")
	r.later(-10 * 365 * 24 * time.Hour)
	r.runs("1 listed")
	r.held(server, "login delay: 60 s left")
}

// standing returns what is known of the account's server.
func (r *rig) standing() seen.Standing {
	r.t.Helper()
	ledger, err := r.runner.Store.Look(r.t.Context(), r.account.Name, r.account.Server, r.account.User)
	if err != nil {
		r.t.Fatal(err)
	}
	st, err := ledger.Standing(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return st
}
