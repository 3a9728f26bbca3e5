package fetch_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// pipelined reports whether the client has sent a command before the reply to the one before had
// arrived. It forgets the commands so far.
func (r *rig) pipelined() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := false
	for _, line := range r.traced {
		before := sent
		sent = strings.HasPrefix(line, "true")
		if sent && before {
			r.traced = nil
			return true
		}
	}
	r.traced = nil
	return false
}

// mixing sends, as WildDuck does now and then, the reply to the next of two pipelined commands
// before the end of the last.
func mixing(messages []poptest.Message, from, to int) func(*poptest.Session, string) poptest.Action {
	return func(s *poptest.Session, cmd string) poptest.Action {
		number, err := strconv.Atoi(strings.TrimPrefix(cmd, "RETR "))
		if err != nil || s.Number() != 1 || number < from || number > to {
			return poptest.Action{}
		}
		body := string(poptest.Stuff(messages[number-1].Content))
		if number == from {
			body = "+OK 77 octets\r\n" + body
		}
		if number < to {
			body = strings.TrimSuffix(body, ".\r\n") + "+OK 77 octets\r\n.\r\n"
		}
		return poptest.Reply([]byte(body))
	}
}

// A server that announces PIPELINING and mixes the replies up gets one command at a time, in the
// same run, for four weeks (behaviour 39, R2449-3). No message is delivered with a reply in it.
func TestLockstep_mixed(t *testing.T) {
	t.Parallel()
	messages := many("a", 10, func(_, octets int) string { return strconv.Itoa(octets) })
	for _, test := range []struct {
		name string
		hook func(*poptest.Session, string) poptest.Action
	}{
		{"WildDuck", mixing(messages, 3, 6)},
		{"from the first on", mixing(messages, 1, 10)},
		{"a piece of the next message", func(s *poptest.Session, cmd string) poptest.Action {
			body := string(poptest.Stuff(messages[3].Content))
			switch {
			case s.Number() == 1 && cmd == "RETR 3":
				return poptest.Reply([]byte("+OK\r\n" + strings.TrimSuffix(string(poptest.Stuff(messages[2].Content)), ".\r\n") + "+OK\r\n" + body[:40] + "\r\n.\r\n"))
			case s.Number() == 1 && cmd == "RETR 4":
				return poptest.Reply([]byte(body[40:]))
			}
			return poptest.Action{}
		}},
		{"a piece of the next message, and silence", func(s *poptest.Session, cmd string) poptest.Action {
			body := string(poptest.Stuff(messages[3].Content))
			switch {
			case s.Number() == 1 && cmd == "RETR 3":
				return poptest.Reply([]byte("+OK\r\n" + strings.TrimSuffix(string(poptest.Stuff(messages[2].Content)), ".\r\n") + "+OK\r\n" + body[:40] + "\r\n.\r\n"))
			case s.Number() == 1 && cmd == "RETR 4":
				return poptest.Action{Reply: []byte(body[40:]), Delay: 700 * time.Millisecond} // batches are committed meanwhile
			}
			return poptest.Action{}
		}},
		{"no reply at all", func(s *poptest.Session, cmd string) poptest.Action {
			if s.Number() == 1 && cmd == "RETR 4" {
				return poptest.Reply([]byte("what?\r\n"))
			}
			return poptest.Action{}
		}},
		{"listings", func(s *poptest.Session, cmd string) poptest.Action {
			if s.Number() == 1 && cmd == "LIST" {
				return poptest.Reply([]byte("1 100\r\n"))
			}
			return poptest.Action{}
		}},
	} {
		t.Run("behaviour 39/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, messages...)
			hook(server, test.hook)
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			r.account.Delete.After = 30 * day
			r.runs("10 listed, 10 new, 10 delivered")
			r.holds(messages...)
			r.warned("announces PIPELINING and breaks it")
			if got := server.Logins(); got != 2 {
				t.Errorf("%d log-ins, want 2", got)
			}
			r.lockstepUntil(28 * day)
			server.CheckRules(t)
		})
	}
}

// lockstepUntil checks that the account's server gets one command at a time for so long from now,
// and no longer.
func (r *rig) lockstepUntil(d time.Duration) {
	r.t.Helper()
	for _, step := range []struct {
		later     time.Duration
		pipelined bool
	}{{0, false}, {d - time.Hour, false}, {2 * time.Hour, true}} {
		r.later(step.later)
		r.pipelined()
		if result := r.run(); result.Err != nil {
			r.t.Errorf("Run() = %v", result.Err)
		}
		if got := r.pipelined(); got != step.pipelined {
			r.t.Errorf("after %v: pipelined %v, want %v", step.later, got, step.pipelined)
		}
	}
}

// droppingInput answers, in the first session, only the first command of a burst.
func droppingInput(command string, action poptest.Action, sessions ...int) func(*poptest.Session, string) poptest.Action {
	return func(s *poptest.Session, cmd string) poptest.Action {
		for _, n := range sessions {
			if s.Number() == n {
				return on(command, action)(s, cmd)
			}
		}
		return poptest.Action{}
	}
}

// If a session ends between two replies, the server may drop commands sent after another one, but
// the cause may also be the network. So this is remembered for a day, and for four weeks only when
// it happens again (behaviour 8, R2449-3).
func TestLockstep_dropped(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, command string
		action        poptest.Action
	}{
		{"silent", "RETR 2", poptest.Stall(0)},
		{"closed", "RETR 2", poptest.Cut(0)},
		{"closed at once", "RETR 1", poptest.Cut(0)},
		{"reset", "RETR 2", poptest.Reset(0)},
		{"silent, listings", "LIST", poptest.Stall(0)},
		{"closed, listings", "LIST", poptest.Cut(0)},
	} {
		t.Run("behaviour 8/"+test.name, func(t *testing.T) {
			t.Parallel()
			messages := many("a", 5, func(_, octets int) string { return strconv.Itoa(octets) })
			server := newServer(t, messages...)
			hook(server, droppingInput(test.command, test.action, 1))
			r := newRig(t, server.Addr())
			r.hurry(silence)
			r.runs("5 listed, 5 new, 5 delivered")
			r.holds(messages...)
			r.warned("one command at a time")
			r.lockstepUntil(day)
			if got := server.Logins(); got != 5 {
				t.Errorf("%d log-ins, want 5", got)
			}
			server.CheckRules(t)
		})
	}
	t.Run("R2449-3/again", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"), letter("b"), letter("c"))
		hook(server, droppingInput("RETR 2", poptest.Cut(0), 1))
		r := newRig(t, server.Addr())
		r.runs("3 listed, 3 new, 3 delivered")
		r.later(day + time.Hour)
		r.runs("3 listed") // which shows nothing of pipelined RETR
		server.Drop(user).Add(letter("d"), letter("e"))
		hook(server, droppingInput("RETR 5", poptest.Cut(0), 4))
		r.runs("5 listed, 2 new, 2 delivered")
		r.lockstepUntil(28 * day)
	})
	t.Run("R2449-3/not again", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"), letter("b"), letter("c"))
		hook(server, droppingInput("RETR 2", poptest.Cut(0), 1))
		r := newRig(t, server.Addr())
		r.runs("3 listed, 3 new, 3 delivered")
		r.later(day + time.Hour)
		server.Drop(user).Add(letter("d"), letter("e"))
		r.runs("5 listed, 2 new, 2 delivered")
		if got := r.standing().LockstepSince; !got.IsZero() {
			t.Errorf("LockstepSince = %v after a session that went well, want zero", got)
		}
	})
}

// A plain network failure is not taken for broken pipelining: nothing is tried again in the run,
// nothing remembered.
func TestLockstep_network(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, command string
		action        poptest.Action
		phase         fetch.Phase
	}{
		{"C0006/cut in a message", "RETR 2", poptest.Cut(20), fetch.PhaseRetrieve},
		{"C0006/cut in a status line", "RETR 2", poptest.Cut(2), fetch.PhaseRetrieve},
		{"C0014/silent in a message", "RETR 2", poptest.Stall(20), fetch.PhaseRetrieve},
		{"C0014/silent after the second reply", "RETR 3", poptest.Stall(0), fetch.PhaseRetrieve},
		{"C0014/cut after the second reply", "RETR 3", poptest.Cut(0), fetch.PhaseRetrieve},
		{"C0014/silent before the first reply", "RETR 1", poptest.Stall(0), fetch.PhaseRetrieve},
		{"C0014/cut before the last reply", "RETR 5", poptest.Cut(0), fetch.PhaseRetrieve},
		{"C0020/cut in a listing", "UIDL", poptest.Cut(9), fetch.PhaseList},
		{"C0011/a listing that lies", "UIDL", poptest.Reply([]byte("+OK\r\n1 a\r\n1 b\r\n.\r\n")), fetch.PhaseList},
		{"C0011/a scan listing that lies", "LIST", poptest.Reply([]byte("+OK\r\n1 1\r\n1 1\r\n.\r\n")), fetch.PhaseList},
		{"C0020/cut before the last listing", "UIDL", poptest.Cut(0), fetch.PhaseList},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, many("a", 5, func(_, octets int) string { return strconv.Itoa(octets) })...)
			hook(server, droppingInput(test.command, test.action, 1))
			r := newRig(t, server.Addr())
			r.hurry(silence)
			result := r.run()
			checkFailure(t, result, test.phase)
			if got := len(server.Sessions()); got != 1 {
				t.Errorf("%d sessions, want 1", got)
			}
			if got := r.standing().LockstepSince; !got.IsZero() {
				t.Errorf("LockstepSince = %v, want zero", got)
			}
			if result := r.run(); result.Err != nil {
				t.Errorf("the next Run() = %v", result.Err)
			}
		})
	}
}

// A server that logs an idle client out, while a slow program takes the messages, has not broken
// pipelining. A further session goes on.
func TestLockstep_idle(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]struct {
		at     string
		action poptest.Action
	}{
		"silently":    {"RETR 3", poptest.Action{End: poptest.EndByCut, At: poptest.Whole}},
		"with a word": {"NOOP", poptest.Action{Refuse: "idle for too long", End: poptest.EndByCut, At: poptest.Whole}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), letter("b"), letter("c"))
			hook(server, on(ends.at, ends.action))
			r := newRig(t, server.Addr())
			r.runner.KeepAlive = time.Second
			r.account.Target = &deliver.MDA{Command: "cat >/dev/null; sleep 0.2"}
			r.account.Delete = fetch.DeletePolicy{Enabled: true}
			r.runs("3 listed, 3 new, 3 delivered, 3 deleted")
			if got := fmt.Sprint(r.standing().LockstepSince.IsZero(), len(server.Sessions())); got != "true 2" {
				t.Errorf("remembered nothing and sessions: %s, want true 2", got)
			}
		})
	}
}

// A finding of a time when the clock was wrong does not last until it is right.
func TestLockstep_wrongClock(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"), letter("c"))
	hook(server, droppingInput("RETR 2", poptest.Reply([]byte("what?\r\n")), 1))
	r := newRig(t, server.Addr())
	r.later(3000 * day)
	r.runs("3 listed, 3 new, 3 delivered")
	r.later(-3000 * day)
	r.pipelined()
	r.runs("3 listed")
	if !r.pipelined() {
		t.Error("one command at a time, want pipelining")
	}
}

// If an error also comes with one command at a time, pipelining is not the cause. A run falls back
// only once.
func TestLockstep_inVain(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"), letter("c"))
	hook(server, on("RETR 2", poptest.Reply([]byte("what?\r\n"))))
	r := newRig(t, server.Addr())
	_ = r.fails(fetch.PhaseRetrieve, "3 listed, 3 new, 1 delivered")
	if got := len(server.Sessions()); got != 2 {
		t.Errorf("%d sessions, want 2", got)
	}
	if got := r.standing().LockstepSince; !got.IsZero() {
		t.Errorf("LockstepSince = %v, want zero", got)
	}
	r.has("a")
}

// An account that never pipelines has nothing to fall back from.
func TestLockstep_never(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"), letter("c"))
	hook(server, droppingInput("RETR 2", poptest.Cut(0), 1))
	r := newRig(t, server.Addr())
	r.account.POP3.Window = 1
	_ = r.fails(fetch.PhaseRetrieve, "3 listed, 3 new, 1 delivered")
	if got := fmt.Sprint(r.standing().LockstepSince.IsZero(), len(server.Sessions())); got != "true 1" {
		t.Errorf("remembered nothing and sessions: %s, want true 1", got)
	}
}

// A look falls back as a run does, and remembers nothing. A person who checks an account sees what
// a run would find.
func TestLook_brokenPipelining(t *testing.T) {
	t.Parallel()
	server := newServer(t, poptest.Numbered(3, 100)...)
	hook(server, func(s *poptest.Session, cmd string) poptest.Action {
		if s.Number() == 1 && cmd == "UIDL" { // sent together with STAT and LIST
			return poptest.Reply([]byte("3 messages\r\n"))
		}
		return poptest.Action{}
	})
	r := newRig(t, server.Addr())
	survey, err := r.runner.Look(t.Context(), &r.account)
	if err != nil || survey.Plan.Retrieve.Len() != 3 {
		t.Fatalf("Look() = %+v, %v, want three messages to retrieve", survey, err)
	}
	checkCount(t, server, "UIDL", 2)
	r.pipelined()
	if _, err := r.runner.Look(t.Context(), &r.account); err != nil || !r.pipelined() {
		t.Errorf("the next Look(): error %v, want it to pipeline again", err)
	}
}

// Where a server breaks pipelining and refuses the next log-in as too early, the run waits for the
// further session. If it cannot wait so long, the next run begins with one command at a time.
func TestLockstep_loginDelay(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, announced string
		want            []string // the outcomes of the runs
	}{
		{"R2449-4/waits", "LOGIN-DELAY 1", []string{"3 listed, 3 new, 3 delivered"}},
		{"R2449-4/too long", "LOGIN-DELAY 900", []string{"", "3 listed, 3 new, 3 delivered"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			messages := []poptest.Message{letter("a"), letter("b"), letter("c")}
			server := newServer(t, messages...)
			server.Configure(announcing(test.announced))
			logins := 0
			hook(server, func(s *poptest.Session, cmd string) poptest.Action {
				switch {
				case strings.HasPrefix(cmd, "AUTH"):
					if logins++; logins == 2 {
						return poptest.Refuse("[LOGIN-DELAY] not yet")
					}
				case cmd == "LIST" && s.Number() == 1: // the one that pipelines
					return poptest.Reply([]byte("1 100\r\n"))
				}
				return poptest.Action{}
			})
			r := newRig(t, server.Addr())
			for _, want := range test.want {
				checkOutcome(t, r.run(), want)
				r.later(16 * time.Minute)
			}
			r.holds(messages...)
		})
	}
}
