package fetch_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// poison makes an MDA that does what script says with the message b, and takes all others.
func poison(script string) *deliver.MDA {
	return &deliver.MDA{Command: `cat >/dev/null; [ "$POPFETCH_UID" != b ] || { ` + script + `; }`}
}

// A message that is refused for good is quarantined after so many runs, reported once, and then
// left alone. Refusals for now do not count. The others go on (behaviour 29).
func TestQuarantine(t *testing.T) {
	const after = 3
	for _, test := range []struct {
		name    string
		target  *deliver.MDA
		reply   string // to RETR of the message
		refused bool   // for good
	}{
		{"behaviour 29/exit 1", poison("exit 1"), "", true},
		{"behaviour 29/exit 77", poison("exit 77"), "", true},
		{"behaviour 29/exit 71", poison("exit 71"), "", false},
		{"behaviour 29/exit 73", poison("exit 73"), "", false},
		{"behaviour 29/exit 74", poison("exit 74"), "", false},
		{"behaviour 29/exit 75", poison("exit 75"), "", false},
		{"behaviour 29/signal", poison("kill -9 $$"), "", false},
		{"C0022/refused", nil, "damaged", true},
		{"C0046/SYS-PERM", nil, "[SYS/PERM] damaged", true},
		{"C0046/SYS-TEMP", nil, "[SYS/TEMP] not now", false},
		{"C0046/IN-USE", nil, "[IN-USE] not now", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), letter("b"), letter("c"))
			r := newRig(t, server.Addr())
			r.account.QuarantineAfter, r.account.Delete.Enabled = after, true
			if test.target != nil {
				r.account.Target = test.target
			} else {
				hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
					if cmd == fmt.Sprintf("RETR %d", 1+len(server.Drop("").UniqueIDs())/3) { // 2 of 3, 1 of 1
						return poptest.Refuse(test.reply)
					}
					return poptest.Action{}
				})
			}
			r.runs("3 listed, 3 new, 2 delivered, 1 failed, 2 deleted")
			for range after - 2 {
				r.runs("1 listed, 1 new, 1 failed")
			}
			if !test.refused {
				for range 3 {
					r.runs("1 listed, 1 new, 1 failed")
				}
				if told := r.told(fetch.Quarantined); len(told) > 0 {
					t.Errorf("told as quarantined: %+v, want nothing", told)
				}
				return
			}
			r.runs("1 listed, 1 new, 1 quarantined")
			for range 3 {
				r.runs("1 listed, 1 quarantined")
			}
			if told := r.told(fetch.Quarantined); len(told) != 1 || told[0].UniqueID != "b" || told[0].Err == nil {
				t.Errorf("told as quarantined: %+v, want b, once, and why", told)
			}
			checkCount(t, server, "RETR", 2+after)
			left(t, server, 1)
		})
	}
}

// A message at which the session breaks each time holds up only itself: the next run takes the
// others first (behaviour 18).
func TestBroken_last(t *testing.T) {
	for name, action := range map[string]poptest.Action{
		"before the reply": poptest.Cut(0), "in the message": poptest.Cut(30), "reset": poptest.Reset(0), "silence": poptest.Stall(30),
	} {
		for _, pipelining := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, pipelining %t", name, pipelining), func(t *testing.T) {
				t.Parallel()
				messages := []poptest.Message{letter("a"), letter("b"), letter("c")}
				server := newServer(t, messages...)
				if !pipelining {
					server.Configure(without("PIPELINING"))
				}
				hook(server, on("RETR 1", action))
				r := newRig(t, server.Addr())
				r.hurry(time.Second)
				r.account.QuarantineAfter = 1
				for range 2 { // or one, where a run falls back from broken pipelining and so has two sessions
					checkFailure(t, r.run(), fetch.PhaseRetrieve)
				}
				r.holds(messages[1:]...)
				_ = r.fails(fetch.PhaseRetrieve, "3 listed, 1 new")
				hook(server, nil)
				r.runs("3 listed, 1 new, 1 delivered")
				r.holds(messages...)
			})
		}
	}
}

// A quarantined message is retried when the operator says so, in either way, and is delivered if it
// is then accepted.
func TestQuarantine_ends(t *testing.T) {
	forget := func(ids ...string) func(*rig) {
		return func(r *rig) {
			ledger, err := r.runner.Store.Look(r.t.Context(), r.account.Name, r.account.Server, r.account.User)
			if err != nil {
				r.t.Fatal(err)
			}
			if _, err := ledger.Forget(r.t.Context(), ids...); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name     string
		end      func(*rig)
		fails    string // what the next run comes to if the message is still refused
		delivers string // and if it is taken
	}{
		{"forgotten", forget("b"), "2 listed, 1 new, 1 failed", "2 listed, 1 new, 1 delivered"},
		{"all", func(r *rig) { r.account.All = true }, "2 listed, 2 new, 1 delivered, 1 quarantined", "2 listed, 2 new, 2 delivered"},
	} {
		for _, mended := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, mended %t", test.name, mended), func(t *testing.T) {
				t.Parallel()
				server := newServer(t, letter("b"), letter("a"))
				hook(server, on("RETR 1", poptest.Refuse("damaged")))
				r := newRig(t, server.Addr())
				r.account.QuarantineAfter = 2
				r.runs("2 listed, 2 new, 1 delivered, 1 failed")
				r.runs("2 listed, 1 new, 1 quarantined")
				r.runs("2 listed, 1 quarantined")
				test.end(r)
				want := test.fails
				if mended {
					want = test.delivers
					hook(server, nil)
				}
				r.runs(want)
				r.account.All = false
				switch {
				case mended:
					r.runs("2 listed")
				case test.name == "all": // it was refused as often as is allowed
					r.runs("2 listed, 1 quarantined")
				default: // and nothing went through since
					r.runs("2 listed, 1 new, 1 failed")
				}
			})
		}
	}
}

// A look shows what is quarantined and plans nothing for it.
func TestQuarantine_look(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("b"), letter("a"))
	hook(server, on("RETR 1", poptest.Refuse("damaged")))
	r := newRig(t, server.Addr())
	r.account.QuarantineAfter = 1
	r.runs("2 listed, 2 new, 1 delivered, 1 quarantined")
	survey, err := r.runner.Look(t.Context(), &r.account)
	if err != nil {
		t.Fatal(err)
	}
	if q := survey.Plan.Quarantined; survey.Plan.Retrieve.Len() != 0 || len(q) != 1 || q[0].UniqueID != "b" || q[0].Reason != seen.Quarantined || q[0].Text == "" {
		t.Errorf("Plan = %+v, want b quarantined, and nothing to do", survey.Plan)
	}
}

// Of two copies the refused one is quarantined alone. It is not deleted because of the other's
// record (C0041).
func TestQuarantine_copies(t *testing.T) {
	t.Parallel()
	first, second := sized("x", "one", "1"), sized("x", "one", "2")
	server := newServer(t, first, second)
	hook(server, on("RETR 1", poptest.Refuse("damaged")))
	r := newRig(t, server.Addr())
	r.account.QuarantineAfter = 2
	r.runs("2 listed, 2 new, 1 delivered, 1 failed")
	r.account.Delete.Enabled = true
	for range 2 {
		if result := r.run(); result.Err != nil || result.Quarantined != 1 {
			t.Errorf("Run() = %v, %d quarantined, want 1", result.Err, result.Quarantined)
		}
	}
	server.Wait()
	for _, m := range server.Drop("").Messages() {
		if string(m.Content) == string(first.Content) {
			return
		}
	}
	t.Error("the quarantined copy was deleted")
}

// The same refusal is reported once a day and another one at once, whatever else an MDA prints
// (peers.md item 61).
func TestRefused_toldOnce(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("b"))
	r := newRig(t, server.Addr())
	exits := func(status int) { r.account.Target = poison(fmt.Sprintf("echo process $$ >&2; exit %d", status)) }
	for _, step := range []struct {
		name string
		do   func()
		told bool
	}{
		{"new", func() { exits(7) }, true},
		{"again", func() {}, false},
		{"an hour later", func() { r.later(time.Hour) }, false},
		{"another status that begins alike", func() { exits(77) }, true},
		{"back to the first", func() { exits(7) }, true},
		{"a day later", func() { r.later(24 * time.Hour) }, true},
		{"at once after that", func() {}, false},
		{"refused by the server", func() { hook(server, on("RETR", poptest.Refuse("damaged"))) }, true},
		{"again by the server", func() {}, false},
		{"by the server with another text", func() { hook(server, on("RETR", poptest.Refuse("no such message"))) }, true},
	} {
		step.do()
		r.runs("1 listed, 1 new, 1 failed")
		told := r.told(fetch.Refused)
		if got := !told[len(told)-1].Repeated; got != step.told {
			t.Errorf("%s: told %t, want %t: %v", step.name, got, step.told, told[len(told)-1].Err)
		}
	}
}
