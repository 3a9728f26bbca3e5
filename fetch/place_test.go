package fetch_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// letters returns n messages with the unique-ids 100, 101, …
func letters(n int) []poptest.Message {
	all := make([]poptest.Message, n)
	for i := range all {
		all[i] = letter(fmt.Sprint(100 + i))
	}
	return all
}

// collects makes an MDA that does what script says, and then takes the message.
func (r *rig) collects(script string) *deliver.MDA {
	return &deliver.MDA{Command: fmt.Sprintf("%s; cat >%s/$POPFETCH_UID", script, r.collection())}
}

func (r *rig) collection() string { return filepath.Join(filepath.Dir(r.state), "collected") }

// collected checks which messages the MDA took.
func (r *rig) collected(messages ...poptest.Message) {
	r.t.Helper()
	ids := make([]string, len(messages))
	for i := range messages {
		ids[i] = messages[i].UniqueID
	}
	if got := filesIn(r.t, r.collection()); !slices.Equal(got, ids) {
		r.t.Errorf("the MDA took %q, want %q", got, ids)
	}
}

func newCollecting(t *testing.T, server *poptest.Server) *rig {
	t.Helper()
	r := newRig(t, server.Addr())
	r.account.QuarantineAfter = 2
	if err := os.Mkdir(r.collection(), 0o755); err != nil {
		t.Fatal(err)
	}
	return r
}

// If the target refuses every message, it is broken, and no message is. So nothing is set aside, and
// everything is delivered after the mend (behaviour 29).
func TestBrokenPlace_target(t *testing.T) {
	for _, test := range []struct {
		name, script string
		before       bool // another message went through earlier
	}{
		{"a fault in the command", "exit 1", false},
		{"a fault in the command, after a success", "exit 1", true},
		{"procmail on a full disk", "exit 73", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			messages := letters(3)
			server := newServer(t, messages[0])
			r := newCollecting(t, server)
			if test.before {
				r.account.Target = r.collects("true")
				r.runs("1 listed, 1 new, 1 delivered")
			}
			server.Drop("").Add(messages[1:]...)
			r.account.Target = r.collects(test.script)
			for range 6 {
				if result := r.run(); result.Err != nil || result.Quarantined > 0 || result.Failed < 2 {
					t.Errorf("Run() = %+v, want all refused, none quarantined", result)
				}
			}
			r.account.Target = r.collects("true")
			if result := r.run(); result.Err != nil || result.Failed > 0 {
				t.Errorf("Run() after the mend = %+v, want all delivered", result)
			}
			r.collected(messages...)
		})
	}
}

// downloadLimit refuses every RETR but the first ones.
func downloadLimit(most int32) func(*poptest.Session, string) poptest.Action {
	var retrieved atomic.Int32
	return func(_ *poptest.Session, cmd string) poptest.Action {
		if strings.HasPrefix(cmd, "RETR") && retrieved.Add(1) > most {
			return poptest.Refuse("download limit reached")
		}
		return poptest.Action{}
	}
}

// If the server refuses every RETR from some message on, it has reached a limit. What came before
// does not count against the others (C0022).
func TestBrokenPlace_server(t *testing.T) {
	t.Parallel()
	messages := letters(12)
	server := newServer(t, messages...)
	r := newRig(t, server.Addr())
	r.account.QuarantineAfter = 1
	hook(server, downloadLimit(4))
	r.runs("12 listed, 12 new, 4 delivered, 8 failed")
	for range 5 {
		r.runs("12 listed, 8 new, 8 failed")
	}
	hook(server, nil)
	r.runs("12 listed, 8 new, 8 delivered")
	r.holds(messages...)
}

// A refusal counts if another message went through after the first one, in the same run or in a
// later one.
func TestRefusal_counts(t *testing.T) {
	for _, test := range []struct {
		name  string
		first bool // the refused message comes before another one
		later bool // another message comes in the second run
		want  []string
	}{
		{"others came after it", true, false, []string{
			"2 listed, 2 new, 1 delivered, 1 failed", "2 listed, 1 new, 1 quarantined", "2 listed, 1 quarantined"}},
		{"others came before it", false, false, []string{
			"2 listed, 2 new, 1 delivered, 1 failed", "2 listed, 1 new, 1 failed", "2 listed, 1 new, 1 failed", "2 listed, 1 new, 1 failed"}},
		{"others came later", false, true, []string{
			"2 listed, 2 new, 1 delivered, 1 failed", "3 listed, 2 new, 1 delivered, 1 failed", "3 listed, 1 new, 1 quarantined"}},
	} {
		for place, refuses := range map[string]func(*rig, *poptest.Server){
			"target": func(r *rig, _ *poptest.Server) { r.account.Target = poison("exit 1") },
			"server": func(_ *rig, server *poptest.Server) {
				hook(server, func(s *poptest.Session, cmd string) poptest.Action {
					var n int
					if _, err := fmt.Sscanf(cmd, "RETR %d", &n); err == nil && s.Message(n).UniqueID == "b" {
						return poptest.Refuse("damaged")
					}
					return poptest.Action{}
				})
			},
		} {
			t.Run(test.name+", "+place, func(t *testing.T) {
				t.Parallel()
				messages := []poptest.Message{letter("a"), letter("b")}
				if test.first {
					slices.Reverse(messages)
				}
				server := newServer(t, messages...)
				r := newRig(t, server.Addr())
				r.account.QuarantineAfter = 2
				refuses(r, server)
				for i, want := range test.want {
					if i == 1 && test.later {
						server.Drop("").Add(letter("c"))
					}
					r.runs(want)
				}
			})
		}
	}
}

// What the operator wants to be tried again starts anew: what went through before does not count.
func TestRefusal_countsAnew(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("b"), letter("a"))
	r := newRig(t, server.Addr())
	r.account.QuarantineAfter = 1
	r.account.Target = poison("exit 1")
	r.runs("2 listed, 2 new, 1 delivered, 1 quarantined")
	ledger, err := r.runner.Store.Look(t.Context(), r.account.Name, r.account.Server, r.account.User)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := ledger.Forget(t.Context(), "b"); err != nil || n != 1 {
		t.Fatalf("Forget() = %d, %v", n, err)
	}
	for range 3 {
		r.runs("2 listed, 1 new, 1 failed")
	}
	server.Drop("").Add(letter("c"))
	r.runs("3 listed, 2 new, 1 delivered, 1 quarantined")
}

// A program that cannot be run ends the transfer at once. One error says how many messages wait,
// nothing is told of each, and what was delivered is deleted.
func TestCannotRun(t *testing.T) {
	for name, script := range map[string]string{"127": "/no/such/command", "126": "/dev/null"} {
		for _, deliveries := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d at once", name, deliveries), func(t *testing.T) {
				t.Parallel()
				messages := letters(300)
				server := newServer(t, messages...)
				r := newCollecting(t, server)
				r.account.Delete.Enabled = true
				mda := r.collects(`[ "$POPFETCH_UID" -lt 102 ] || ` + script + ` || exit $?`)
				mda.Deliveries = deliveries
				r.account.Target = mda
				err := r.fails(fetch.PhaseDeliver, "300 listed, 300 new, 2 delivered, 2 deleted")
				if !errors.Is(err, deliver.ErrCannotRun) || !strings.Contains(err.Error(), "exit status "+name) || !strings.HasSuffix(err.Error(), "messages that wait: 298") {
					t.Errorf("Run() = %v, want that the program cannot be run, and how many wait", err)
				}
				if told := r.told(fetch.Refused); len(told) > 0 {
					t.Errorf("%d refusals are told, want none", len(told))
				}
				if n := server.Count("RETR"); n > 200 {
					t.Errorf("%d messages were retrieved for a program that cannot be run", n)
				}
				r.account.Target = r.collects("true")
				r.runs("298 listed, 298 new, 298 delivered, 298 deleted")
				r.collected(messages...)
			})
		}
	}
}

// If a program cannot be run for one message alone, that message holds up no other one.
func TestCannotRun_one(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"), letter("c"))
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	r.account.Target = poison("/no/such/command")
	_ = r.fails(fetch.PhaseDeliver, "3 listed, 3 new, 1 delivered, 1 deleted")
	_ = r.fails(fetch.PhaseDeliver, "2 listed, 2 new, 1 delivered, 1 deleted")
	_ = r.fails(fetch.PhaseDeliver, "1 listed, 1 new")
	r.has("a", "c")
}

// A program that is not there is missed before the server is contacted.
func TestCannotRun_missing(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	r.account.Target = &deliver.MDA{Command: "no-such-program -d alice"}
	if err := r.fails(fetch.PhaseTarget, ""); !errors.Is(err, deliver.ErrCannotRun) {
		t.Errorf("Run() = %v, want deliver.ErrCannotRun", err)
	}
	checkCount(t, server, "CAPA", 0)
}

// After 20 refusals in a row the others wait for the next run. What was delivered is deleted, and
// the refused messages take turns, so that none of them is kept from its delivery by the others.
func TestRefusesAll(t *testing.T) {
	const inARow = 20
	t.Run("target", func(t *testing.T) {
		t.Parallel()
		messages := letters(52)
		server := newServer(t, messages...)
		r := newCollecting(t, server)
		r.account.Delete.Enabled = true
		r.account.Target = r.collects(`[ "$POPFETCH_UID" -lt 102 ] || exit 1`)
		err := r.fails(fetch.PhaseDeliver, "52 listed, 52 new, 2 delivered, 20 failed, 2 deleted")
		if !strings.Contains(err.Error(), "20 messages in a row were refused") || !strings.HasSuffix(err.Error(), "messages that wait: 50") {
			t.Errorf("Run() = %v, want how many were refused, and how many wait", err)
		}
		for range 5 {
			_ = r.fails(fetch.PhaseDeliver, "50 listed, 50 new, 20 failed")
		}
		refused := make(map[string]int)
		for _, e := range r.told(fetch.Refused) {
			refused[e.UniqueID]++
		}
		for _, m := range messages[2:] {
			if n := refused[m.UniqueID]; n < 2 || n > 3 {
				t.Errorf("%s was tried %d times in six runs, want two or three times", m.UniqueID, n)
			}
		}
		r.account.Target = r.collects("true")
		r.runs("50 listed, 50 new, 50 delivered, 50 deleted")
		r.collected(messages...)
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		messages := letters(150)
		server := newServer(t, messages...)
		server.Configure(without("PIPELINING"))
		hook(server, downloadLimit(100))
		r := newRig(t, server.Addr())
		r.account.Delete.Enabled = true
		err := r.fails(fetch.PhaseRetrieve, "150 listed, 150 new, 100 delivered, 20 failed, 100 deleted")
		if !strings.HasSuffix(err.Error(), "messages that wait: 50") {
			t.Errorf("Run() = %v, want how many wait", err)
		}
		checkCount(t, server, "RETR", 100+inARow)
		hook(server, nil)
		r.runs("50 listed, 50 new, 50 delivered, 50 deleted")
		r.holds(messages...)
	})
}
