package fetch_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// A failure of one account does not affect the others (behaviour 35). Between two failing ones, the
// third is fetched completely, even if they take turns.
func TestRunner_independent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		trouble func(t *testing.T, r *rig, a *fetch.Account)
		phase   fetch.Phase
	}{
		{"silent", func(t *testing.T, _ *rig, a *fetch.Account) {
			a.Server = poptest.Dialogue(t, "stall").Addr()
			a.POP3.GreetingTimeout = silence
		}, fetch.PhaseOpen},
		{"refuses the log-in", func(t *testing.T, _ *rig, a *fetch.Account) {
			server := newServer(t)
			hook(server, on("AUTH", poptest.Refuse("[AUTH] wrong")))
			a.Server = poptest.InClear(server.Addr(), true)
		}, fetch.PhaseLogin},
		{"garbled", func(t *testing.T, _ *rig, a *fetch.Account) {
			server := newServer(t, letter("x"))
			hook(server, on("UIDL", poptest.Reply([]byte("\x00\xff\r\n"))))
			a.Server = poptest.InClear(server.Addr(), true)
		}, fetch.PhaseList},
		{"breaks off", func(t *testing.T, _ *rig, a *fetch.Account) {
			server := newServer(t, letter("x"))
			hook(server, on("RETR", poptest.Reset(10)))
			a.Server = poptest.InClear(server.Addr(), true)
		}, fetch.PhaseRetrieve},
		{"locked", func(t *testing.T, r *rig, a *fetch.Account) {
			a.State = "taken"
			hold, err := r.runner.Store.Lock(t.Context(), "taken")
			if err != nil && !errors.Is(err, seen.ErrLocked) { // by the other one in the same trouble
				t.Fatal(err)
			}
			if err == nil {
				t.Cleanup(func() { _ = hold.Release() })
			}
		}, fetch.PhaseLock},
		{"no target", func(_ *testing.T, _ *rig, a *fetch.Account) {
			a.Target = deliver.NewMaildir("/proc/no/such/folder")
			a.Shared = []string{"healthy"} // otherwise it might be that one, renamed
		}, fetch.PhaseTarget},
	} {
		for _, jobs := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d jobs", test.name, jobs), func(t *testing.T) {
				t.Parallel()
				server := newServer(t, letter("a"), letter("b"))
				r := newRig(t, server.Addr())
				r.runner.Jobs = jobs
				accounts := []fetch.Account{r.account, r.account, r.account}
				for i, name := range []string{"first", "healthy", "last"} {
					accounts[i].Name = name
					if name != "healthy" {
						accounts[i].Target = deliver.NewMaildir(filepath.Join(r.state, name))
						test.trouble(t, r, &accounts[i])
					}
				}
				results := r.runner.Run(t.Context(), accounts)
				for i, result := range results {
					if result.Account != accounts[i].Name {
						t.Errorf("result %d is of %q, want %q", i, result.Account, accounts[i].Name)
					}
				}
				if results[1].Err != nil {
					t.Errorf("the healthy account: %v, want no error", results[1].Err)
				}
				checkOutcome(t, results[1], "2 listed, 2 new, 2 delivered")
				checkFailure(t, results[0], test.phase)
				checkFailure(t, results[2], test.phase)
				r.holds(letter("a"), letter("b"))
			})
		}
	}
}

// If two runs of one account overlap, the second reports that and does nothing; no message comes
// twice (behaviour 34).
func TestRunner_locked(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"))
	r := newRig(t, server.Addr())
	entered, goOn := make(chan struct{}), make(chan struct{})
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == "RETR 1" {
			close(entered)
			<-goOn
		}
		return poptest.Action{}
	})
	done := make(chan fetch.Result)
	go func() { done <- r.run() }()
	<-entered
	err := r.fails(fetch.PhaseLock, "")
	if !errors.Is(err, seen.ErrLocked) {
		t.Errorf("the second Run() = %v, want ErrLocked", err)
	}
	close(goOn)
	checkOutcome(t, <-done, "2 listed, 2 new, 2 delivered")
	hook(server, nil)
	r.runs("2 listed")
	r.holds(letter("a"), letter("b"))
	if n := len(server.Sessions()); n != 2 {
		t.Errorf("%d sessions, want 2: who finds an account locked troubles no server", n)
	}
}

// Run may be called concurrently; events still come one at a time.
func TestRunner_concurrent(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	var at atomic.Int32
	r.runner.Observe = func(fetch.Event) {
		if at.Add(1) != 1 {
			t.Error("two events at a time")
		}
		at.Add(-1)
	}
	var calls sync.WaitGroup
	for i := range 6 {
		server := newServer(t, poptest.Numbered(20, 200)...)
		account := r.newAccount(fmt.Sprint("account-", i), server.Addr(), deliver.NewMaildir(filepath.Join(r.state, fmt.Sprint("mail-", i))))
		calls.Add(1)
		go func() {
			defer calls.Done()
			for range 2 {
				if result := r.runner.Run(t.Context(), []fetch.Account{account})[0]; result.Err != nil {
					t.Errorf("%s: %v, want no error", result.Account, result.Err)
				}
			}
			if got := len(filesIn(t, filepath.Join(r.state, fmt.Sprint("mail-", i), "new"))); got != 20 {
				t.Errorf("account-%d has %d messages, want 20", i, got)
			}
		}()
	}
	calls.Wait()
}

// An account that was renamed takes its records along. One that may be another one renamed is not
// fetched until somebody says what it is.
func TestRenamed(t *testing.T) {
	t.Parallel()
	stands := func(names ...string) fetch.Origin {
		return fetch.Origin{File: "file", Has: func(file, name string) bool {
			return file == "other" || slices.Contains(names, name)
		}}
	}
	start := func(t *testing.T) (*rig, *poptest.Server) {
		t.Helper()
		t.Parallel()
		server := newServer(t, letter("a"), letter("b"))
		r := newRig(t, server.Addr())
		r.account.Origin = stands("work")
		r.runs("2 listed, 2 new, 2 delivered")
		return r, server
	}
	t.Run("the old name is gone", func(t *testing.T) {
		r, server := start(t)
		r.account.Name, r.account.Origin = "home", stands("home")
		survey, err := r.runner.Look(t.Context(), &r.account)
		if err != nil || survey.Plan.Seen != 2 || survey.Plan.Retrieve.Len() > 0 {
			t.Errorf("Look() = %+v, %v, want both seen", survey, err)
		}
		r.runs("2 listed")
		r.warned(`account "work" stands in no configuration any more`)
		r.has("a", "b")
		r.runs("2 listed")
		if n := r.warnings(fetch.CodeRenamedAccount); n != 1 {
			t.Errorf("%d warnings, want one", n)
		}
		r.holds(letter("a"), letter("b"))
		checkCount(t, server, "RETR", 2)
		checkCount(t, server, "TOP", 0)
	})
	t.Run("the old name is gone, and a run of it is at work", func(t *testing.T) {
		r, _ := start(t)
		hold, err := r.runner.Store.Lock(t.Context(), "work")
		if err != nil {
			t.Fatal(err)
		}
		r.account.Name, r.account.Origin = "home", stands("home")
		if err := r.fails(fetch.PhaseLock, ""); !errors.Is(err, seen.ErrLocked) {
			t.Errorf("Run() = %v, want ErrLocked", err)
		}
		if err := hold.Release(); err != nil {
			t.Fatal(err)
		}
		r.runs("2 listed")
	})
	for name, origin := range map[string]fetch.Origin{"still stands": stands("home", "work"), "may stand": {}} {
		t.Run("the old name "+name, func(t *testing.T) {
			r, server := start(t)
			r.account.Name, r.account.Origin = "home", origin
			err := r.fails(fetch.PhaseState, "")
			if !errors.Is(err, fetch.ErrRenamed) || fetch.CodeOf(err) != "state/renamed" || !strings.Contains(err.Error(), "popfetch seen rename work home") {
				t.Errorf("Run() = %v, code %q, want ErrRenamed and the mend", err, fetch.CodeOf(err))
			}
			checkCount(t, server, "AUTH", 1)
			r.account.Initial = fetch.InitialPolicy{Limited: true, Chosen: true}
			server.Drop("").Add(letter("c"))
			r.account.Target = deliver.NewMaildir(filepath.Join(t.TempDir(), "other"))
			r.runs("3 listed, 3 marked")
		})
	}
	t.Run("the old name stands in another file", func(t *testing.T) {
		r, _ := start(t)
		r.account.Origin.File = "other"
		r.runs("2 listed")
		r.account.Name, r.account.Origin = "home", stands("home")
		if err := r.fails(fetch.PhaseState, ""); !errors.Is(err, fetch.ErrRenamed) {
			t.Errorf("Run() = %v, want ErrRenamed", err)
		}
	})
	t.Run("two old names are gone", func(t *testing.T) {
		r, _ := start(t)
		second := r.account
		second.Name, second.Shared = "second", []string{"work"}
		if result := r.runner.Run(t.Context(), []fetch.Account{second})[0]; result.Err != nil {
			t.Fatal(result.Err)
		}
		r.account.Name, r.account.Origin = "home", stands("home")
		if err := r.fails(fetch.PhaseState, ""); !strings.Contains(err.Error(), "second, work") {
			t.Errorf("Run() = %v, want both names", err)
		}
	})
}

// With a Maildir the seen-table may be lost: the messages in the Maildir are recognised, and not
// retrieved again.
func TestRecognised(t *testing.T) {
	t.Parallel()
	for _, top := range []bool{true, false} {
		t.Run(fmt.Sprintf("TOP %v", top), func(t *testing.T) {
			t.Parallel()
			messages := poptest.Numbered(80, 300)
			server := newServer(t, messages...)
			if !top {
				server.Configure(without("TOP"))
			}
			r := newRig(t, server.Addr())
			r.runs("80 listed, 80 new, 80 delivered")
			r.runner.Store = openStore(t, t.TempDir())
			if top {
				r.runs("80 listed, 80 recognised")
			} else {
				r.runs("80 listed, 80 new, 80 recognised")
			}
			if got := len(r.told(fetch.Recognised)); got != 80 {
				t.Errorf("%d told as recognised, want 80", got)
			}
			if got := len(r.mail()); got != 80 {
				t.Errorf("new/ holds %d messages, want 80", got)
			}
			r.account.Delete.Enabled = true
			result := r.run()
			if result.Err != nil || result.Deleted != 80 {
				t.Errorf("the next run: %s, error %v, want 80 deleted", outcome(result), result.Err)
			}
			server.CheckRules(t)
		})
	}
}

// With All a run also retrieves seen messages.
func TestAll(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"))
	r := newRig(t, server.Addr())
	r.runs("2 listed, 2 new, 2 delivered")
	r.account.All = true
	r.runs("2 listed, 2 new, 2 delivered")
	r.holds(letter("a"), letter("a"), letter("b"), letter("b"))
	r.account.All = false
	r.runs("2 listed")
	r.has("a", "b")
}

// The order in which messages are retrieved.
func TestOrder(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"), letter("c"))
	r := newRig(t, server.Addr())
	r.account.Newest = true
	r.runs("3 listed, 3 new, 3 delivered")
	var order []string
	for _, e := range r.told(fetch.Delivered) {
		order = append(order, e.UniqueID)
	}
	if want := []string{"c", "b", "a"}; !slices.Equal(order, want) {
		t.Errorf("delivered in the order %q, want %q", order, want)
	}
}

// Each run reports its events in their order, with its results.
func TestEvents(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"))
	hook(server, on("RETR 2", poptest.Refuse("damaged")))
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	r.run()
	var kinds []fetch.Kind
	for _, e := range r.events {
		if e.Time.IsZero() || e.Account != "work" {
			t.Errorf("%+v lacks time or account", e)
		}
		if e.Kind != fetch.Refused {
			kinds = append(kinds, e.Kind)
		}
	}
	if want := []fetch.Kind{fetch.Started, fetch.Listed, fetch.Delivered, fetch.Deleted, fetch.Finished}; !slices.Equal(kinds, want) {
		t.Errorf("events %q, want %q", kinds, want)
	}
	last := r.events[len(r.events)-1]
	if last.Messages != 1 || last.Octets != int64(len(delivered(letter("a").Content))) || last.Err != nil {
		t.Errorf("the last event is %+v, want 1 message, its octets and no error", last)
	}
}

// Look reports what a run would do, and changes nothing.
func TestLook(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"), letter("c"))
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	hook(server, on("RETR 2", poptest.Refuse("damaged")))
	r.runs("3 listed, 3 new, 2 delivered, 1 failed, 2 deleted")
	hook(server, nil)
	server.Drop("").Add(letter("d"))
	before := r.recorded()
	survey, err := r.runner.Look(t.Context(), &r.account)
	if err != nil {
		t.Fatal(err)
	}
	if len(survey.Listing) != 2 || survey.Plan.Retrieve.Len() != 2 || survey.Plan.Delete.Len() != 2 || survey.TLS != nil || !survey.Capabilities.Has("UIDL") {
		t.Errorf("Look() = %+v, want two listed, to be retrieved and to be deleted, and the capabilities", survey)
	}
	r.has(before...)
	r.holds(letter("a"), letter("c"))
	checkCount(t, server, "RETR", 3)
	if got := server.Drop("").UniqueIDs(); len(got) != 2 {
		t.Errorf("the maildrop holds %q, want two", got)
	}
	server.CheckRules(t)
}

// Each run warns of what an operator should know, and goes on.
func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, expire string
		policy       fetch.DeletePolicy
		warning      string
	}{
		{"R2449-5/EXPIRE 0", "EXPIRE 0", fetch.DeletePolicy{}, ""},
		{"R2449-5/before 30 days", "EXPIRE 5", fetch.DeletePolicy{Enabled: true, After: 30 * day}, "after 5 days"},
		{"R2449-5/after 30 days", "EXPIRE 60", fetch.DeletePolicy{Enabled: true, After: 30 * day}, ""},
		{"R2449-5/never", "EXPIRE NEVER", fetch.DeletePolicy{}, ""},
		{"R2449-5/deleted anyway", "EXPIRE 0", fetch.DeletePolicy{Enabled: true}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Configure(func(c *poptest.Config) { c.Capabilities = append(poptest.DefaultCapabilities(), test.expire) })
			r := newRig(t, server.Addr())
			r.account.Delete = test.policy
			r.runs("")
			if test.warning != "" {
				r.warned(test.warning)
			} else if told := r.told(fetch.Warning); len(told) > 0 {
				t.Errorf("warned of %v, want no warning", told[0].Err)
			}
		})
	}
	t.Run("R8314-1/clear text off loopback", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		r := newRig(t, strings.Replace(server.Addr(), "127.0.0.1", "0.0.0.0", 1)) // which is this machine, and not called loopback
		r.runs("")
		r.warned("in clear")
		r = newRig(t, server.Addr())
		r.runs("")
		if told := r.told(fetch.Warning); len(told) > 0 {
			t.Errorf("warned of %v on loopback, want no warning", told[0].Err)
		}
	})
}

// If the server is silent between two messages, the messages so far are made durable meanwhile, not
// only when a batch is full.
func TestIdle(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"), letter("c"))
	r := newRig(t, server.Addr())
	two := make(chan struct{})
	count := 0
	r.runner.Observe = func(e fetch.Event) { // one event at a time
		if e.Kind == fetch.Delivered {
			if count++; count == 2 {
				close(two)
			}
		}
	}
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == "RETR 3" {
			select {
			case <-two:
			case <-time.After(patience):
				t.Error("two messages have arrived, and are not delivered while the server is silent")
			}
		}
		return poptest.Action{}
	})
	server.Configure(without("PIPELINING"))
	r.runs("3 listed, 3 new, 3 delivered")
}
