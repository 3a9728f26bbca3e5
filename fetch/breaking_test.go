package fetch_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// atMessage does action at a command for one of the messages, whatever its number is.
func atMessage(keyword string, action poptest.Action, ids ...string) func(*poptest.Session, string) poptest.Action {
	return func(s *poptest.Session, cmd string) poptest.Action {
		var n int
		if _, err := fmt.Sscanf(cmd, keyword+" %d", &n); err == nil && slices.Contains(ids, s.Message(n).UniqueID) {
			return action
		}
		return poptest.Action{}
	}
}

// A message at which every session ends costs no other message its delivery or its deletion: DELE
// and QUIT come before it is tried again, in a session of its own (behaviour 18).
func TestBreaking_deletion(t *testing.T) {
	for name, action := range map[string]poptest.Action{"cut": poptest.Cut(30), "no reply": poptest.Cut(0), "reset": poptest.Reset(30), "silence": poptest.Stall(30)} {
		for _, pipelining := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, pipelining %t", name, pipelining), func(t *testing.T) {
				t.Parallel()
				messages := []poptest.Message{letter("a"), letter("b"), letter("c")}
				server := newServer(t, messages...)
				if !pipelining {
					server.Configure(without("PIPELINING"))
				}
				hook(server, atMessage("RETR", action, "b"))
				r := newRig(t, server.Addr())
				r.hurry(time.Second)
				r.account.Delete.Enabled = true
				for range 3 { // what is found out about pipelining may take two
					checkFailure(t, r.run(), fetch.PhaseRetrieve)
				}
				left(t, server, 1)
				r.holds(messages[0], messages[2])
				r.holds(messages[0], messages[2])
				hook(server, nil)
				r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
				r.holds(messages...)
				server.CheckRules(t)
			})
		}
	}
}

// Of several such messages each has its turn, in a session of its own. They are tried at once if
// there is nothing to delete before.
func TestBreaking_several(t *testing.T) {
	t.Parallel()
	messages := letters(8)
	server := newServer(t, messages...)
	server.Configure(without("PIPELINING"))
	bad := []string{"101", "102", "104", "105", "106"}
	var mu sync.Mutex
	tried := make(map[string]bool)
	breaks := atMessage("RETR", poptest.Cut(30), bad...)
	hook(server, func(s *poptest.Session, cmd string) poptest.Action {
		action := breaks(s, cmd)
		if action.End != poptest.GoOn {
			var n int
			_, _ = fmt.Sscanf(cmd, "RETR %d", &n)
			mu.Lock()
			defer mu.Unlock()
			tried[s.Message(n).UniqueID] = true
		}
		return action
	})
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	for range len(bad) + 1 { // each is met in a run of its own, since nothing shows that the network is well
		checkFailure(t, r.run(), fetch.PhaseRetrieve)
	}
	left(t, server, 5)
	clear(tried)
	for range 2 {
		checkFailure(t, r.run(), fetch.PhaseRetrieve)
	}
	server.Wait()
	if len(tried) != len(bad) {
		t.Errorf("%v were tried in two runs, want all of %v to take turns", tried, bad)
	}
	hook(server, atMessage("RETR", poptest.Cut(30), bad[0]))
	checkFailure(t, r.run(), fetch.PhaseRetrieve)
	left(t, server, 1)
}

// A server that ends the session at one DELE keeps that message alone.
func TestBreaking_atDELE(t *testing.T) {
	for name, action := range map[string]poptest.Action{"cut": poptest.Cut(0), "reset": poptest.Reset(0), "silence": poptest.Stall(0)} {
		for _, pipelining := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, pipelining %t", name, pipelining), func(t *testing.T) {
				t.Parallel()
				messages := letters(5)
				server := newServer(t, messages...)
				if !pipelining {
					server.Configure(without("PIPELINING"))
				}
				hook(server, atMessage("DELE", action, "102"))
				r := newRig(t, server.Addr())
				r.hurry(time.Second)
				r.account.Delete.Enabled = true
				_ = r.fails(fetch.PhaseDelete, "5 listed, 5 new, 5 delivered, 4 deleted")
				left(t, server, 1)
				server.Drop("").Add(letter("new"))
				_ = r.fails(fetch.PhaseDelete, "2 listed, 1 new, 1 delivered, 1 deleted")
				left(t, server, 1)
				r.holds(append(messages, letter("new"))...)
				for _, w := range r.told(fetch.Warning) {
					t.Errorf("warned: %v, want no word about pipelining", w.Err)
				}
				hook(server, nil)
				r.runs("1 listed, 1 deleted")
				server.CheckRules(t)
			})
		}
	}
}

// A message that takes longer than a run may last goes last, whatever ends the run. What follows it
// comes, and is deleted.
func TestBreaking_outlasts(t *testing.T) {
	drip := poptest.Action{Pieces: 1, Pause: 20 * time.Millisecond}
	for _, deletes := range []bool{true, false} {
		t.Run(fmt.Sprintf("delete %t", deletes), func(t *testing.T) {
			t.Parallel()
			long := poptest.Message{UniqueID: "long", Content: []byte("Subject: long\r\n\r\n" + strings.Repeat("octets\r\n", 10000))}
			messages := []poptest.Message{long, letter("b"), letter("c")}
			server := newServer(t, messages...)
			server.Configure(without("PIPELINING"))
			hook(server, atMessage("RETR", drip, "long"))
			r := newRig(t, server.Addr())
			r.account.Deadline = 2 * time.Second
			r.account.Delete.Enabled = deletes
			_ = r.fails(fetch.PhaseRetrieve, "3 listed, 3 new")
			result := r.run()
			checkFailure(t, result, fetch.PhaseRetrieve)
			if want := map[bool]int{true: 2, false: 0}[deletes]; result.Delivered != 2 || result.Deleted != want {
				t.Errorf("Run() = %+v, want 2 delivered, and %d deleted", result, want)
			}
			r.holds(messages[1:]...)
			hook(server, nil)
			r.account.Deadline = 0
			if result := r.run(); result.Err != nil || result.Delivered != 1 {
				t.Errorf("Run() = %+v, want the long one delivered", result)
			}
			r.holds(messages...)
			if n := server.RetrievedIDs()["b"]; n != 1 {
				t.Errorf("b was retrieved %d times, want once", n)
			}
		})
	}
}

// The same holds for a message that keeps the MDA busy.
func TestBreaking_outlastsMDA(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("b"), letter("a"), letter("c"))
	r := newRig(t, server.Addr())
	r.account.Target = poison("sleep 60")
	r.account.Deadline = 2 * time.Second
	if result := r.run(); result.Err == nil || result.Delivered > 0 {
		t.Errorf("Run() = %+v, want that the MDA takes all the time", result)
	}
	if result := r.run(); result.Err == nil && result.Failed == 0 || result.Delivered != 2 {
		t.Errorf("Run() = %+v, want the others delivered before it", result)
	}
	r.has("a", "c")
	r.account.Target = poison("true")
	if result := r.run(); result.Err != nil || result.Delivered != 1 {
		t.Errorf("Run() = %+v, want it delivered", result)
	}
}

// Where nothing was to be deleted, nothing depends on the reply to QUIT.
func TestQuit_unanswered(t *testing.T) {
	for name, action := range map[string]poptest.Action{
		"cut": poptest.Cut(0), "reset": poptest.Reset(0), "half a reply": poptest.Cut(2), "silence": poptest.Stall(0),
		"refused": poptest.Refuse("not closed cleanly"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"))
			action.Effect = poptest.EffectNone
			hook(server, on("QUIT", action))
			r := newRig(t, server.Addr())
			r.hurry(time.Second)
			r.runs("1 listed, 1 new, 1 delivered")
			if told := r.told(fetch.Noted); len(told) != 1 || told[0].Code != fetch.CodeNoGoodbye || told[0].Err == nil {
				t.Errorf("noted: %+v, want that QUIT was not answered", told)
			}
			if _, err := r.runner.Look(t.Context(), &r.account); err != nil {
				t.Errorf("Look() = %v, want no error", err)
			}
			r.account.Delete.Enabled = true
			_ = r.fails(fetch.PhaseQuit, "1 listed")
			hook(server, nil)
			r.runs("1 listed, 1 deleted")
		})
	}
}
