package fetch_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
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
	var failed *login.Error
	if !errors.As(err, &failed) || failed.Fault != login.Held || !strings.HasSuffix(err.Error(), want) {
		r.t.Errorf("Run() = %v, want a login.Error of fault login.Held that ends in %q", err, want)
	}
	if got := len(server.Sessions()) - before; got != 0 {
		r.t.Errorf("%d connections were made, want none", got)
	}
}

// If LOGIN-DELAY is only announced, no run is refused, but the result says it (R2449-4). If the server
// refuses a log-in by it, it is remembered and obeyed across runs.
func TestLoginDelay(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, before, after string        // LOGIN-DELAY before and after the log-in
		poll                time.Duration // from the log-in until the next poll
		held                string        // the text after a refusal
		then                time.Duration
	}{
		{"announced", "LOGIN-DELAY 120", "LOGIN-DELAY 120", 120 * time.Second, "login delay: 120 s left", 120 * time.Second},
		{"the user's own", "LOGIN-DELAY 400 USER", "LOGIN-DELAY 60", 60 * time.Second, "login delay: 400 s left", 400 * time.Second},
		{"the user's own, in lower case", "login-delay 400 user", "login-delay 60", 60 * time.Second, "login delay: 400 s left", 400 * time.Second},
		{"after the log-in alone", "X-NONE", "LOGIN-DELAY 60", 60 * time.Second, "login delay: 300 s left", 300 * time.Second},
		{"not for this user", "LOGIN-DELAY 400 USER", "LOGIN-DELAY 0", 0, "login delay: 400 s left", 400 * time.Second},
		{"a year", "LOGIN-DELAY 31536000", "X-NONE", 24 * time.Hour, "login delay: 24 h left", 24 * time.Hour},
		{"a number too large", "LOGIN-DELAY 99999999999999999999", "X-NONE", 0, "login delay: 300 s left", 300 * time.Second},
		{"negative", "LOGIN-DELAY -5", "X-NONE", 0, "login delay: 300 s left", 300 * time.Second},
		{"without a number", "LOGIN-DELAY", "X-NONE", 0, "login delay: 300 s left", 300 * time.Second},
	} {
		t.Run("R2449-4/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"))
			server.Configure(announcing(test.before))
			if test.after != test.before {
				server.Configure(without("PIPELINING")) // so that CAPA is asked again in any case
			}
			capabilities := func(s *poptest.Session, cmd string) poptest.Action {
				if cmd == "CAPA" && s.User() != "" {
					return poptest.Reply(capaReply("TOP", "UIDL", test.after))
				}
				return poptest.Action{}
			}
			hook(server, capabilities)
			r := newRig(t, server.Addr())
			r.stopClock()
			for range 2 { // announced, and not enforced
				result := r.run()
				if result.Err != nil {
					t.Fatalf("Run() = %v, want no error", result.Err)
				}
				var poll time.Duration
				if !result.NotBefore.IsZero() {
					poll = result.NotBefore.Sub(r.runner.Now())
				}
				if poll != test.poll {
					t.Errorf("the next poll is in %v, want %v", poll, test.poll)
				}
				if !result.RefusedUntil.IsZero() {
					t.Errorf("refused until %v, want that it is only announced", result.RefusedUntil)
				}
			}
			hook(server, on("AUTH", poptest.Refuse("[LOGIN-DELAY] not yet")))
			refused := r.run()
			checkFailure(t, refused, fetch.PhaseLogin)
			if want := r.runner.Now().Add(test.then); refused.RefusedUntil.Sub(want).Abs() > time.Second || refused.NotBefore.Before(refused.RefusedUntil) {
				t.Errorf("refused until %v, next poll at %v, want both at %v", refused.RefusedUntil, refused.NotBefore, want)
			}
			hook(server, capabilities)
			r.held(server, test.held)
			r.later(test.then - time.Second)
			r.held(server, "login delay: 1 s left")
			r.later(time.Second)
			r.runs("1 listed")
		})
	}
}

// stopClock stops the runner's clock, so that only later lets time pass.
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

// A look at the account obeys a delay that was refused, and its own refusal counts for runs.
func TestLoginDelay_look(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	server.Configure(announcing("LOGIN-DELAY 60"))
	r := newRig(t, server.Addr())
	r.stopClock()
	r.runs("1 listed, 1 new, 1 delivered")
	if _, err := r.runner.Look(t.Context(), &r.account); err != nil {
		t.Errorf("Look() = %v, want no error: the delay is only announced", err)
	}
	hook(server, on("AUTH", poptest.Refuse("[LOGIN-DELAY] not yet")))
	_, err := r.runner.Look(t.Context(), &r.account)
	checkFault(t, err, login.Later)
	hook(server, nil)
	_, err = r.runner.Look(t.Context(), &r.account)
	checkFault(t, err, login.Held)
	r.held(server, "login delay: 60 s left")
	r.later(61 * time.Second)
	r.runs("1 listed")
}

// A time that was noted by a wrong clock delays nothing.
func TestStanding_wrongClock(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	server.Configure(announcing("LOGIN-DELAY 60"))
	r := newRig(t, server.Addr())
	r.later(10 * 365 * 24 * time.Hour)
	r.runs("1 listed, 1 new, 1 delivered")
	refuse := on("AUTH", poptest.Refuse("[LOGIN-DELAY] not yet"))
	hook(server, refuse)
	_ = r.fails(fetch.PhaseLogin, "")
	r.later(-10 * 365 * 24 * time.Hour)
	_ = r.fails(fetch.PhaseLogin, "") // it is tried
	hook(server, nil)
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
