// Package seentest is the test suite that every seen.Store passes.
package seentest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// Harness is what the suite needs of a store.
type Harness struct {
	// Open opens the store in a folder, which is empty at first, and closes it when the test ends.
	// Several stores may be open at once.
	Open func(t testing.TB, folder string, tuning seen.Tuning) seen.Store
	// Inspect returns, as text, all that the store in a folder holds of an account. It returns
	// Finished.Oldest separately.
	Inspect func(t testing.TB, folder, account string) (known string, oldest int64)
	// Many is a number of rows that is too large for one transaction of the store.
	Many int
}

// Run runs the suite.
func Run(t *testing.T, harness Harness) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("model/seed ", seed), func(t *testing.T) {
			runModel(t, harness, rand.New(rand.NewPCG(seed, 1)), 120, seed%2 == 1)
		})
	}
	for _, n := range []int{2, harness.Many} {
		t.Run(fmt.Sprint("apply/", n), func(t *testing.T) { runApply(t, harness, n) })
		t.Run(fmt.Sprint("apply refused/", n), func(t *testing.T) { runApplyRefused(t, harness, n) })
	}
	t.Run("apply cancelled", func(t *testing.T) { runApplyCancelled(t, harness) })
	t.Run("account", func(t *testing.T) { runAccount(t, harness) })
	t.Run("twin", func(t *testing.T) { runTwin(t, harness) })
	t.Run("unchanged", func(t *testing.T) { runUnchanged(t, harness) })
	t.Run("standing", func(t *testing.T) { runStanding(t, harness) })
	t.Run("try again", func(t *testing.T) { runTryAgain(t, harness) })
	t.Run("old", func(t *testing.T) { runOld(t, harness) })
	t.Run("chosen", func(t *testing.T) { runChosen(t, harness) })
	t.Run("imported", func(t *testing.T) { runImported(t, harness) })
	t.Run("history", func(t *testing.T) { runHistory(t, harness) })
	t.Run("history of many days", func(t *testing.T) { runHistoryBound(t, harness) })
	t.Run("history and clock", func(t *testing.T) { runHistoryClock(t, harness) })
	t.Run("history renamed", func(t *testing.T) { runHistoryRenamed(t, harness) })
	t.Run("history together", func(t *testing.T) { runHistoryTogether(t, harness) })
	t.Run("holder", func(t *testing.T) { runHolder(t, harness) })
	t.Run("places", func(t *testing.T) { runPlaces(t, harness) })
}

// now is the time at which the tests happen.
var now = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

// account is the account that the suite uses.
const account = "work"

// lock takes an account until the test ends.
func lock(t testing.TB, s seen.Store, name string) {
	t.Helper()
	hold, err := s.Lock(t.Context(), name)
	if err != nil {
		t.Fatalf("Lock() = %v", err)
	}
	t.Cleanup(func() {
		if err := hold.Release(); err != nil {
			t.Errorf("Release() = %v", err)
		}
	})
}

// enter locks and enters the account.
func enter(t testing.TB, s seen.Store) seen.Ledger {
	t.Helper()
	lock(t, s, account)
	l, err := s.Enter(t.Context(), account, "pop.example.org:995", "alice")
	if err != nil {
		t.Fatalf("Enter() = %v", err)
	}
	return l
}

// recordOf returns what a run records for a delivered message.
func recordOf(e seen.Entry) seen.Record {
	came := seen.Sum{Octets: e.Octets - 10, SHA256: [32]byte{3, 4, byte(e.Number)}}
	return seen.Record{Key: e.Key, Kind: seen.Delivered, Listed: e.Octets, Digest: seen.Digest{1, 2, byte(e.Number)}, Came: came,
		Places: []seen.Place{{Name: fmt.Sprintf("new/%d", e.Number), Sum: came}}, DeliveredAt: now}
}

// summary returns a Diff as one line, for comparison.
func summary(d seen.Diff) string {
	var aside []int
	for _, m := range d.Aside {
		aside = append(aside, m.Index)
	}
	return fmt.Sprintf("new %v, check %v, seen %d, aside %v", d.New, d.Check, d.Seen, aside)
}
