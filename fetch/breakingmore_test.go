package fetch_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
)

// newBreaking makes an account that deletes, at a server without pipelining.
func newBreaking(t *testing.T, messages ...poptest.Message) (*rig, *poptest.Server) {
	t.Helper()
	server := newServer(t, messages...)
	server.Configure(without("PIPELINING"))
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	return r, server
}

// visits does some runs, each with another new message. Whatever ends them, the new ones are
// delivered and deleted.
func (r *rig) visits(server *poptest.Server, runs int) {
	r.t.Helper()
	for i := range runs {
		server.Drop("").Add(letter(fmt.Sprint("visit-", i)))
		_ = r.run()
	}
	server.Wait()
	for _, id := range server.Drop("").UniqueIDs() {
		if strings.HasPrefix(id, "visit-") {
			r.t.Errorf("%s is still listed", id)
		}
	}
}

// forget forgets a message that was delivered, so that it is retrieved again.
func (r *rig) forget(id string) {
	r.t.Helper()
	ledger, err := r.runner.Store.Enter(r.t.Context(), r.account.Name, r.account.Server, r.account.User)
	if err != nil {
		r.t.Fatal(err)
	}
	if n, err := ledger.Forget(r.t.Context(), id); err != nil || n != 1 {
		r.t.Fatalf("Forget() = %d, %v, want 1", n, err)
	}
}

// A message that the operator wants again holds up the others no more than any other one.
func TestBreaking_wanted(t *testing.T) {
	t.Parallel()
	r, server := newBreaking(t, letter("b"))
	r.account.Delete.Enabled = false
	r.runs("1 listed, 1 new, 1 delivered")
	r.account.Delete.Enabled = true
	r.forget("b")
	hook(server, atMessage("RETR", poptest.Cut(30), "b"))
	_ = r.run() // it is met
	r.visits(server, 3)
	left(t, server, 1)
}

// If a server ends the session when it shows the header of a message that is due, the message is
// identified by its octets, in a further session. The others come all the same.
func TestBreaking_atTOP(t *testing.T) {
	for name, action := range map[string]poptest.Action{"before the reply": poptest.Cut(0), "in the reply": poptest.Cut(20)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, server := newBreaking(t, letter("a"))
			r.account.Delete.Enabled = false
			r.runs("1 listed, 1 new, 1 delivered")
			r.account.Delete.Enabled = true
			hook(server, atMessage("TOP", action, "a"))
			server.Drop("").Add(letter("b"))
			if result := r.run(); result.Err == nil || result.Delivered != 1 || result.Deleted != 2 {
				t.Errorf("Run() = %s, %v, want b delivered, both deleted, and what ended the session", outcome(result), result.Err)
			}
			left(t, server, 0)
			r.holds(letter("a"), letter("b"))
		})
	}
}

// If a server without UIDL ends the session when it shows a header, of which the id is to be made,
// the whole message is asked for instead. If that ends it too, the message has no id, and the others
// come without it. That is told once.
func TestBreaking_fallback(t *testing.T) {
	for name, action := range map[string]poptest.Action{"before the reply": poptest.Cut(0), "in the reply": poptest.Cut(20)} {
		for _, whole := range []bool{false, true} {
			for _, pipelining := range []bool{false, true} {
				t.Run(fmt.Sprintf("C0037/%s, RETR too %t, pipelining %t", name, whole, pipelining), func(t *testing.T) {
					t.Parallel()
					r, server := newBreaking(t, letter("a"), letter("b"), letter("c"))
					server.Configure(without("UIDL"))
					if pipelining {
						server.Configure(func(c *poptest.Config) { c.Capabilities = append(c.Capabilities, "PIPELINING") })
					}
					r.account.UIDLFallback = true
					hook(server, func(s *poptest.Session, cmd string) poptest.Action {
						keyword, _, _ := strings.Cut(cmd, " ")
						if keyword == "TOP" || whole && keyword == "RETR" {
							return atMessage(keyword, action, "b")(s, cmd)
						}
						return refusing("UIDL")(s, cmd)
					})
					want, left := "3 listed, 3 new, 3 delivered, 3 deleted", 0
					if whole {
						want, left = "2 listed, 2 new, 2 delivered, 1 failed, 2 deleted", 1
						survey, err := r.runner.Look(t.Context(), &r.account)
						if err != nil || survey.Failed != 1 || survey.Plan.Retrieve.Len() != 2 {
							t.Errorf("Look() = %+v, %v, want one failed and two to be retrieved", survey, err)
						}
					}
					if result := r.run(); outcome(result) != want || result.Err != nil {
						t.Errorf("Run() = %s, %v, want %s", outcome(result), result.Err, want)
					}
					if told := len(r.told(fetch.Refused)); told != 2*left { // by the look, and by the run
						t.Errorf("%d told as refused, want %d", told, 2*left)
					}
				})
			}
		}
	}
}

// It is told once even if another message was put off, for which there is a session of its own.
func TestBreaking_fallbackPutOff(t *testing.T) {
	t.Parallel()
	r, server := newBreaking(t, letter("a"), letter("b"), letter("x"))
	server.Configure(without("UIDL"))
	r.account.UIDLFallback = true
	var broken []string
	hook(server, func(s *poptest.Session, cmd string) poptest.Action {
		keyword, _, _ := strings.Cut(cmd, " ")
		switch keyword {
		case "TOP":
			return atMessage("TOP", poptest.Cut(0), broken...)(s, cmd)
		case "RETR":
			return atMessage("RETR", poptest.Cut(20), append(broken, "x")...)(s, cmd)
		}
		return refusing("UIDL")(s, cmd)
	})
	_ = r.run() // it meets x
	broken = []string{"b"}
	for _, id := range []string{"b", "c"} { // a and b were deleted
		server.Drop("").Add(letter(id))
	}
	before := len(r.told(fetch.Refused))
	if result := r.run(); result.Delivered != 1 || result.Failed != 2 {
		t.Errorf("Run() = %s, %v, want one delivered, and b and x failed", outcome(result), result.Err)
	}
	if told := len(r.told(fetch.Refused)) - before; told != 2 {
		t.Errorf("%d told as refused, want 2", told)
	}
}

// The second look at a message may end the session, too.
func TestBreaking_suspect(t *testing.T) {
	t.Parallel()
	r, server := newBreaking(t, letter("a"), letter("b"))
	var mu sync.Mutex
	shown := make(map[int]bool) // the session has shown b last
	short := atMessage("RETR", poptest.Reply([]byte("+OK\r\nSubject: b\r\n\r\nx\r\n.\r\n")), "b")
	hook(server, func(s *poptest.Session, cmd string) poptest.Action {
		mu.Lock()
		defer mu.Unlock()
		if cmd == "NOOP" && shown[s.Number()] {
			return poptest.Cut(0)
		}
		action := short(s, cmd)
		shown[s.Number()] = action.Reply != nil
		return action
	})
	_, _ = r.run(), r.run() // it is met, and looked at once more
	for range 3 {
		r.visits(server, 1)
	}
	left(t, server, 1)
	hook(server, nil)
	r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
}

// Messages that are refused do not keep one from its turn that was put off once.
func TestBreaking_besideRefusals(t *testing.T) {
	t.Parallel()
	r, server := newBreaking(t, letters(30)...)
	hook(server, atMessage("RETR", poptest.Cut(30), "101"))
	_ = r.run()
	var refused []string
	for id := 102; id < 125; id++ {
		refused = append(refused, fmt.Sprint(id))
	}
	hook(server, atMessage("RETR", poptest.Refuse("damaged"), refused...))
	r.visits(server, 3)
	if !slices.Contains(r.recorded(), "101") {
		t.Error("101 never came")
	}
}

// once lets the server allow a log-in every ten minutes.
func (r *rig) once(server *poptest.Server) {
	server.Configure(func(c *poptest.Config) { c.Capabilities = append(c.Capabilities, "LOGIN-DELAY 600") })
	var mu sync.Mutex
	var last time.Time
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		mu.Lock()
		defer mu.Unlock()
		if !strings.HasPrefix(cmd, "AUTH") {
			return poptest.Action{}
		}
		now := r.now()
		if now.Sub(last) < 10*time.Minute {
			return poptest.Refuse("[LOGIN-DELAY] too early")
		}
		last = now
		return poptest.Action{}
	})
}

// If the server does not allow a further log-in, what was put off comes in the next run. So does
// what the operator wants again.
func TestBreaking_loginDelay(t *testing.T) {
	for name, wanted := range map[string]bool{"new": false, "wanted": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, server := newBreaking(t, letter("x"), letter("y"))
			if wanted {
				r.account.Delete.Enabled = false
				r.runs("2 listed, 2 new, 2 delivered")
				r.account.Delete.Enabled = true
				r.forget("x")
			}
			hook(server, atMessage("RETR", poptest.Cut(30), "x"))
			_ = r.run()
			r.once(server)
			for i := range 3 {
				r.later(20 * time.Minute)
				server.Drop("").Add(letter(fmt.Sprint("visit-", i)))
				_ = r.run()
			}
			if !slices.Contains(r.recorded(), "x") {
				t.Error("x never came")
			}
		})
	}
}

// What was put off in vain has not been refused before: a refusal counts only if others came since.
func TestBreaking_loginDelay_refused(t *testing.T) {
	t.Parallel()
	r, server := newBreaking(t, letter("x"), letter("y"))
	r.account.QuarantineAfter = 1
	hook(server, atMessage("RETR", poptest.Cut(30), "x"))
	_ = r.run()
	r.once(server)
	r.later(20 * time.Minute)
	server.Drop("").Add(letter("z"))
	_ = r.run() // it is put off in vain
	hook(server, atMessage("RETR", poptest.Refuse("damaged"), "x"))
	r.later(20 * time.Minute)
	if result := r.run(); result.Failed != 1 || result.Quarantined != 0 {
		t.Errorf("Run() = %s, %v, want one refused, which does not count yet", outcome(result), result.Err)
	}
}

// Several messages may end the session at their DELE.
func TestBreaking_severalDELE(t *testing.T) {
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprintf("all %t", all), func(t *testing.T) {
			t.Parallel()
			r, server := newBreaking(t, letters(10)...)
			r.account.All = all
			hook(server, atMessage("DELE", poptest.Cut(0), "101", "102", "104", "106"))
			if result := r.run(); result.Deleted != 6 || result.Err == nil {
				t.Errorf("Run() = %s, %v, want 6 deleted, and what ended the sessions", outcome(result), result.Err)
			}
			left(t, server, 4)
			r.holds(letters(10)...)
		})
	}
}

// A look shows what a run would retrieve in a further session.
func TestBreaking_look(t *testing.T) {
	t.Parallel()
	r, server := newBreaking(t, letter("a"), letter("b"))
	hook(server, atMessage("RETR", poptest.Cut(30), "b"))
	_ = r.run()
	hook(server, nil)
	survey, err := r.runner.Look(t.Context(), &r.account)
	if err != nil {
		t.Fatal(err)
	}
	if survey.Plan.Retrieve.Len() != 1 || survey.Plan.Delete.Len() != 2 {
		t.Errorf("the look plans to retrieve %d and to delete %d, want 1 and 2", survey.Plan.Retrieve.Len(), survey.Plan.Delete.Len())
	}
	r.runs("2 listed, 1 new, 1 delivered, 2 deleted")
}

// The error of a run is the one that a person must act on, not that of the first break.
func TestBreaking_otherError(t *testing.T) {
	t.Parallel()
	r, server := newBreaking(t, letters(5)...)
	breaks := atMessage("DELE", poptest.Cut(0), "102")
	hook(server, func(s *poptest.Session, cmd string) poptest.Action {
		if s.Number() > 1 && strings.HasPrefix(cmd, "AUTH") {
			return poptest.Refuse("[AUTH] wrong")
		}
		return breaks(s, cmd)
	})
	var refused *login.Error
	if result := r.run(); !errors.As(result.Err, &refused) {
		t.Errorf("Run() = %v, want the refused log-in", result.Err)
	}
}

// Of several messages with one unique-id, one at which sessions end holds up no other one.
func TestBreaking_copies(t *testing.T) {
	t.Parallel()
	one, two, three := letterOf("u", "one"), letterOf("u", "two"), letterOf("u", "three")
	r, server := newBreaking(t, one, two, three)
	hook(server, func(s *poptest.Session, cmd string) poptest.Action {
		var n int
		if _, err := fmt.Sscanf(cmd, "RETR %d", &n); err == nil && string(s.Message(n).Content) == string(two.Content) {
			return poptest.Cut(30)
		}
		return poptest.Action{}
	})
	for range 4 {
		_ = r.run()
	}
	r.holds(one, three)
	hook(server, nil)
	for range 2 {
		_ = r.run()
	}
	r.holds(one, two, three)
}

// A message that is wanted again is first refused when it is refused, not when it was forgotten.
func TestRefusal_wanted(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("b"))
	r := newRig(t, server.Addr())
	r.account.QuarantineAfter = 1
	r.account.Target = poison("true")
	r.runs("1 listed, 1 new, 1 delivered")
	r.forget("b")
	server.Drop("").Add(letter("y"))
	r.account.Target = poison("exit 1")
	if result := r.run(); result.Quarantined > 0 {
		t.Errorf("Run() = %s, want no quarantine: y went through before", outcome(result))
	}
}
