package fetch_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// callLog has the order of calls.
type callLog struct {
	mu    sync.Mutex
	calls []string
}

func (l *callLog) add(call string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, call)
}

// taken returns the calls since the last time.
func (l *callLog) taken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	calls := l.calls
	l.calls = nil
	return calls
}

// loggedStore tells when an account is locked, and when its standing is changed by what was told.
type loggedStore struct {
	wrapped
	log *callLog
}

func newLoggedStore(store seen.Store, log *callLog) loggedStore {
	return loggedStore{wrapped{store, func(l seen.Ledger) seen.Ledger { return loggedLedger{l, log} }}, log}
}

func (s loggedStore) Lock(ctx context.Context, name string) (seen.Hold, error) {
	hold, err := s.Store.Lock(ctx, name)
	if err != nil {
		s.log.add("locked out")
		return nil, err
	}
	s.log.add("lock")
	return seen.UntilReleased(func() error {
		s.log.add("unlock")
		return hold.Release()
	}), nil
}

type loggedLedger struct {
	seen.Ledger
	log *callLog
}

func (l loggedLedger) ChangeStanding(ctx context.Context, change func(*seen.Standing)) error {
	var before, after seen.Standing
	err := l.Ledger.ChangeStanding(ctx, func(st *seen.Standing) {
		before = *st
		change(st)
		after = *st
	})
	if before.Told != after.Told {
		l.log.add(fmt.Sprintf("told %q", after.Told))
	}
	return err
}

// loggedNotices is told what was told, and has one word more told each time.
type loggedNotices struct {
	log  *callLog
	word string
}

func (n *loggedNotices) Begin(_ string, told fetch.Told) {
	n.log.add(fmt.Sprintf("begin %q", told.Lines))
}

func (n *loggedNotices) End(string, fetch.Told) fetch.Told {
	if n.log.last() != "end" { // it may come twice
		n.log.add("end")
	}
	return fetch.Told{Lines: n.word, At: time.Unix(1, 0)}
}

func (l *callLog) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.calls) == 0 {
		return ""
	}
	return l.calls[len(l.calls)-1]
}

// What a person was told is kept after the run has told how it ended, and before another run of
// the account can begin: under the account's lock.
func TestNotices_order(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	log := new(callLog)
	notices := &loggedNotices{log: log, word: "first"}
	store := newLoggedStore(r.runner.Store, log)
	r.runner.Store, r.runner.Notices = store, notices
	r.runner.Observe = func(e fetch.Event) {
		if e.Kind == fetch.Started || e.Kind == fetch.Finished {
			log.add(string(e.Kind))
		}
	}
	check := func(what string, want ...string) {
		t.Helper()
		if got := log.taken(); !slices.Equal(got, want) {
			t.Errorf("%s: the calls were\n%q, want\n%q", what, got, want)
		}
	}
	r.runs("1 listed, 1 new, 1 delivered")
	check("a run", "started", "lock", `begin ""`, "finished", "end", `told "first"`, "unlock")
	notices.word = "second"
	hook(server, on("STAT", poptest.Cut(0)))
	_ = r.fails(fetch.PhaseList, "")
	check("a run that fails", "started", "lock", `begin "first"`, "finished", "end", `told "second"`, "unlock")
	hook(server, nil)
	r.runs("1 listed")
	check("nothing new", "started", "lock", `begin "second"`, "finished", "end", "unlock")

	hold, err := store.Store.Lock(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	notices.word = "third"
	_ = r.fails(fetch.PhaseLock, "")
	check("another run has the lock", "started", "locked out", `begin "second"`, "finished", "end", `told "third"`)
	if err := hold.Release(); err != nil {
		t.Error(err)
	}
	for _, by := range seeing {
		if _, err := by.look(r.runner, t.Context(), &r.account); err != nil {
			t.Error(err)
		}
		check(by.name)
	}
}
