package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/seen"
)

// noter is a fetch.Notices that notes what it is called for, between the events.
type noter struct {
	t     *testing.T
	store seen.Store
	mu    sync.Mutex
	met   []string
}

func (n *noter) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.met = append(n.met, fmt.Sprintf(format, args...))
}

func (n *noter) Begin(account string, told fetch.Told) { n.note("begin %s %q", account, told.Lines) }

func (n *noter) End(account string, before fetch.Told) fetch.Told {
	hold, err := n.store.Lock(context.Background(), account)
	if err == nil {
		n.t.Error("End() was called without the account's lock")
		_ = hold.Release()
	} else if !errors.Is(err, seen.ErrLocked) {
		n.t.Error(err)
	}
	if end := fmt.Sprintf("end %s %q", account, before.Lines); !slices.Contains(n.met, end) { // it may be called twice
		n.note("%s", end)
	}
	return fetch.Told{Lines: before.Lines + "+", At: time.Now()}
}

// checkOrder compares what was noted.
func (n *noter) checkOrder(want ...string) {
	n.t.Helper()
	if !slices.Equal(n.met, want) {
		n.t.Errorf("events and notices came as %q, want %q", n.met, want)
	}
	n.met = nil
}

// Begin is called before anything that may be a repetition, and the result of End is written under
// the account's lock. A run that does not get the lock writes it all the same, and a look does not.
func TestNotices(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	r.account.Shared = []string{"home"}
	n := &noter{t: t, store: r.runner.Store}
	r.runner.Notices = n
	r.runner.Observe = func(e fetch.Event) { n.note("%s %s", e.Kind, e.Code) }

	r.runs("1 listed, 1 new, 1 delivered")
	n.checkOrder("started ", `begin work ""`, "warning shared", "listed ", "delivered ", "finished ", `end work ""`)
	r.runs("1 listed")
	n.checkOrder("started ", `begin work "+"`, "warning shared", "listed ", "finished ", `end work "+"`)

	hold, err := r.runner.Store.Lock(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.fails(fetch.PhaseLock, "")
	n.checkOrder("started ", `begin work "++"`, "finished lock/in-use", `end work "++"`)
	if err := hold.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.runner.Look(t.Context(), &r.account); err != nil {
		t.Fatal(err)
	}
	n.checkOrder()
	if told := r.standing().Told; told != "+++" {
		t.Errorf("kept = %q, want what the three runs have left", told)
	}
}
