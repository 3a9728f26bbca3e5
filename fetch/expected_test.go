package fetch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// If an earlier run has seen PIPELINING and the mechanism announced, CAPA and the log-in are sent
// together, which saves a round trip. If the server has changed since, at most this one run may
// fail.
func TestExpected(t *testing.T) {
	t.Parallel()
	announces := func(lines ...string) func(*poptest.Session, string) poptest.Action {
		return on("CAPA", poptest.Reply(capaReply(lines...)))
	}
	for _, test := range []struct {
		name     string
		before   func(*rig, *poptest.Server) // what is so in all runs
		between  func(*rig, *poptest.Server) // what happens after the first
		together string                      // of the runs after that, whether CAPA and the log-in go together
		fails    string                      // and whether it fails
	}{
		{"as before", nil, nil, "yes yes", "no no"},
		{"LOGIN", func(r *rig, _ *poptest.Server) { r.account.Login = credentials(login.Login).Login }, nil, "yes yes", "no no"},
		{"USER", func(r *rig, _ *poptest.Server) { r.account.Login = credentials(login.User).Login }, nil, "no no", "no no"},
		{"APOP", func(r *rig, s *poptest.Server) {
			s.Configure(func(c *poptest.Config) { c.Timestamp = "<1.2@example.org>" })
			r.account.Login = credentials(login.Apop).Login
		}, nil, "no no", "no no"},
		{"another mechanism is wanted", nil, func(r *rig, _ *poptest.Server) { r.account.Login = credentials(login.User).Login }, "no no", "no no"},
		{"no PIPELINING", func(_ *rig, s *poptest.Server) { hook(s, announces("SASL PLAIN", "UIDL", "TOP")) }, nil, "no no", "no no"},
		{"no CAPA", func(_ *rig, s *poptest.Server) { hook(s, on("CAPA", poptest.Refuse("no such command"))) }, nil, "no no", "no no"},
		{"no UTF8", func(_ *rig, s *poptest.Server) { hook(s, announces("SASL PLAIN", "UIDL", "TOP", "PIPELINING")) }, nil, "yes yes", "no no"},
		{"one command at a time", func(r *rig, _ *poptest.Server) { r.account.POP3.Window = 1 }, nil, "no no", "no no"},
		{"another protection", nil, func(r *rig, s *poptest.Server) {
			r.under(pop3.TLSStart, s.CA().ClientTLS("localhost"))
		}, "no yes", "no no"},
		{"CAPA is refused now", nil, func(_ *rig, s *poptest.Server) { hook(s, on("CAPA", poptest.Refuse("no such command"))) }, "yes no", "no no"},
		{"UTF8 is refused now", nil, func(_ *rig, s *poptest.Server) { hook(s, on("UTF8", poptest.Refuse("no such command"))) }, "yes yes", "no no"},
		{"only USER is left", nil, func(_ *rig, s *poptest.Server) {
			s.Configure(func(c *poptest.Config) {
				c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
					switch {
					case cmd == "CAPA":
						return poptest.Reply(capaReply("USER", "UIDL", "TOP", "PIPELINING"))
					case strings.HasPrefix(cmd, "AUTH"):
						return poptest.Refuse("no such command")
					}
					return poptest.Action{}
				}
			})
		}, "yes no", "no no"},
		{"USER was refused LOGIN", func(r *rig, s *poptest.Server) {
			r.account.Login = credentials(login.Login, login.User).Login
			hook(s, on("AUTH LOGIN", poptest.Refuse("not here")))
		}, nil, "yes yes", "no no"},
		{"the password is wrong now", nil, func(r *rig, _ *poptest.Server) { r.account.Login = credentialsOf("wrong").Login }, "yes yes", "yes yes"},
		{"closes behind CAPA", nil, func(_ *rig, s *poptest.Server) {
			hook(s, inSessions(2, 2, on("CAPA", poptest.Action{End: poptest.EndByCut, At: poptest.Whole})))
		}, "yes yes", "no no"},
		{"closes at CAPA", nil, func(_ *rig, s *poptest.Server) { hook(s, inSessions(2, 2, on("CAPA", poptest.Cut(0)))) }, "yes yes", "no no"},
		{"closes inside CAPA", nil, func(_ *rig, s *poptest.Server) { hook(s, inSessions(2, 2, on("CAPA", poptest.Cut(20)))) }, "yes yes", "no no"},
		{"closes at UTF8", nil, func(_ *rig, s *poptest.Server) { hook(s, inSessions(2, 2, on("UTF8", poptest.Cut(0)))) }, "yes yes", "no no"},
		{"closes at AUTH", nil, func(_ *rig, s *poptest.Server) { hook(s, inSessions(2, 2, on("AUTH", poptest.Cut(0)))) }, "yes yes", "no no"},
		{"AUTH is not answered", func(r *rig, _ *poptest.Server) { r.account.POP3.ReplyTimeout = 300 * time.Millisecond }, func(_ *rig, s *poptest.Server) {
			hook(s, inSessions(2, 2, on("AUTH", poptest.Stall(0))))
		}, "yes yes", "no no"},
	} {
		t.Run("R2449-3/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"))
			r := newRig(t, server.Addr())
			if test.before != nil {
				test.before(r, server)
			}
			r.runs("1 listed, 1 new, 1 delivered")
			if r.loggedInAtOnce() {
				t.Error("the first run expected something")
			}
			if test.between != nil {
				test.between(r, server)
			}
			var together, fails []string
			for range 2 {
				fails = append(fails, yesNo(r.run().Err != nil))
				together = append(together, yesNo(r.loggedInAtOnce()))
			}
			if got := strings.Join(together, " "); got != test.together {
				t.Errorf("CAPA and the log-in went together: %s, want %s", got, test.together)
			}
			if got := strings.Join(fails, " "); got != test.fails {
				t.Errorf("the runs failed: %s, want %s", got, test.fails)
			}
			for _, w := range r.told(fetch.Warning) {
				t.Errorf("warned: %v", w.Err)
			}
			if st := r.standing(); st.Refusals > 0 != (test.fails == "yes yes") || !st.LockstepSince.IsZero() {
				t.Errorf("the standing is %+v", st)
			}
			server.CheckRules(t)
		})
	}
}

// inSessions does what a hook does, but only in some sessions.
func inSessions(from, to int, do func(*poptest.Session, string) poptest.Action) func(*poptest.Session, string) poptest.Action {
	return func(s *poptest.Session, cmd string) poptest.Action {
		if s.Number() < from || s.Number() > to {
			return poptest.Action{}
		}
		return do(s, cmd)
	}
}

// If a server now has UTF8, popfetch sends UTF8 before it retrieves anything. Without it some
// servers deliver a notice instead of the mail.
func TestExpected_newUTF8(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	hook(server, inSessions(1, 1, on("CAPA", poptest.Reply(capaReply("SASL PLAIN", "UIDL", "TOP", "PIPELINING")))))
	r := newRig(t, server.Addr())
	r.runs("1 listed, 1 new, 1 delivered")
	server.Drop("").Add(letter("b"))
	r.runs("2 listed, 1 new, 1 delivered")
	if got := strings.Join(commands(t, server, 2), " "); strings.Contains(got, "LIST") || !strings.HasSuffix(got, "QUIT") {
		t.Errorf("the session without UTF8 did %s, want nothing but QUIT", got)
	}
	if got := strings.Join(commands(t, server, 3), " "); !strings.Contains(got, "UTF8") {
		t.Errorf("the session after it did %s, want UTF8", got)
	}
	server.CheckRules(t)
}

// A look shows the present state, and changes nothing.
func TestExpected_look(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	r.runs("1 listed, 1 new, 1 delivered")
	for range 2 {
		r.loggedInAtOnce()
		if _, err := r.runner.Look(t.Context(), &r.account); err != nil {
			t.Fatal(err)
		}
		if r.loggedInAtOnce() {
			t.Error("a look expected something")
		}
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// loggedInAtOnce reports whether CAPA and a log-in were sent before a reply was read, since its
// last call.
func (r *rig) loggedInAtOnce() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := strings.Join(r.traced, "\n")
	r.traced = nil
	return strings.Contains(all, "true CAPA\ntrue AUTH") || strings.Contains(all, "true CAPA\ntrue UTF8\ntrue AUTH")
}
