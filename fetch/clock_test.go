package fetch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// newAged makes an account whose messages are deleted so long after their delivery.
func newAged(t *testing.T, after time.Duration, messages ...poptest.Message) (*rig, *poptest.Server) {
	t.Helper()
	t.Parallel()
	server := newServer(t, messages...)
	t.Cleanup(func() { server.CheckRules(t) })
	r := newRig(t, server.Addr())
	r.account.Delete = fetch.DeletePolicy{Enabled: true, After: after}
	return r, server
}

// warnings counts the warnings of a code.
func (r *rig) warnings(code fetch.Code) int {
	n := 0
	for _, e := range r.told(fetch.Warning) {
		if e.Code == code {
			n++
		}
	}
	return n
}

// timed checks which records have a time of delivery.
func (r *rig) timed(want ...string) {
	r.t.Helper()
	var timed []string
	for _, record := range r.records() {
		if !record.DeliveredAt.IsZero() {
			timed = append(timed, record.UniqueID)
		}
	}
	if got := strings.Join(timed, " "); got != strings.Join(want, " ") {
		r.t.Errorf("the records of %q have a time of delivery, want %q", got, want)
	}
}

// The machine was off for a long time, or its clock has jumped ahead. Nobody had the time in which
// the messages were to stay on the server.
func TestDelete_afterAGap(t *testing.T) {
	r, _ := newAged(t, 30*day, letter("a"))
	r.runs("1 listed, 1 new, 1 delivered")
	r.later(3000 * day)
	survey, err := r.runner.Look(t.Context(), &r.account)
	if err != nil || survey.Plan.Delete.Len() != 0 {
		t.Errorf("Look() = %+v, %v, want no deletion", survey, err)
	}
	for range 3 {
		r.runs("1 listed")
		r.later(19 * time.Minute)
	}
	r.warned("1 messages are old enough to be deleted, but no run took place")
	r.later(4 * time.Minute)
	r.runs("1 listed, 1 deleted")
	r.holds(letter("a"))
}

// A clock that has jumped ahead is set right again: the message stays for as long as it should.
func TestDelete_clockAheadForAWhile(t *testing.T) {
	r, _ := newAged(t, 30*day, letter("a"))
	r.runs("1 listed, 1 new, 1 delivered")
	r.later(3000 * day)
	r.runs("1 listed")
	r.later(-3000 * day)
	for range 29 {
		r.later(day)
		r.runs("1 listed")
	}
	r.later(day + time.Minute)
	r.runs("1 listed, 1 deleted")
}

// If runs always come more rarely than messages are to stay, each run deletes what was due when the
// one before took place.
func TestDelete_gapInEachInterval(t *testing.T) {
	r, server := newAged(t, 7*day, letter("a"))
	r.runs("1 listed, 1 new, 1 delivered")
	r.later(30 * day)
	server.Drop("").Add(letter("b"))
	r.runs("2 listed, 1 new, 1 delivered")
	r.later(30 * day)
	r.runs("2 listed, 1 deleted")
	r.later(30 * day)
	r.runs("1 listed, 1 deleted")
	r.holds(letter("a"), letter("b"))
}

// While nothing changes on the server, a run leaves no trace in the ledger but the time, now and
// then.
func TestDelete_idleRunsAreNoGap(t *testing.T) {
	r, _ := newAged(t, 30*day, letter("a"))
	r.runs("1 listed, 1 new, 1 delivered")
	ranAt := func() time.Time {
		ledger, err := r.runner.Store.Look(t.Context(), r.account.Name, r.account.Server, r.account.User)
		if err != nil {
			t.Fatal(err)
		}
		st, err := ledger.Standing(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.RanAt
	}
	before := ranAt()
	r.later(5 * time.Minute)
	r.runs("1 listed")
	if after := ranAt(); before.IsZero() || !after.Equal(before) {
		t.Errorf("the time of a run was noted as %v, and 5 minutes later as %v, want it written rarely", before, after)
	}
	for range 10 {
		r.later(3*day - 5*time.Minute)
		r.runs("1 listed")
	}
	r.later(time.Hour)
	r.runs("1 listed, 1 deleted")
	if n := r.warnings(fetch.CodeDeletionsWait); n != 0 {
		t.Errorf("%d warnings that deletions wait, want none", n)
	}
}

// The clock stands years before the newest record.
func TestDeliver_clockBehind(t *testing.T) {
	r, server := newAged(t, 30*day, letter("a"))
	r.runs("1 listed, 1 new, 1 delivered")
	r.later(-800 * day)
	server.Drop("").Add(letter("b"))
	r.runs("2 listed, 1 new, 1 delivered")
	r.warned("but the newest record is of")
	r.timed("a")
	r.later(829 * day)
	r.runs("2 listed")
	r.later(2 * day)
	r.runs("2 listed, 1 deleted")
	r.later(300 * day)
	r.runs("1 listed")
	r.later(2 * time.Hour)
	r.runs("1 listed")
	r.account.Delete.After = 0 // --delete
	r.runs("1 listed, 1 deleted")
	r.holds(letter("a"), letter("b"))
}

func TestDeliver_clockBeforeTheRelease(t *testing.T) {
	r, server := newAged(t, 30*day, letter("a"))
	r.runner.Made = time.Now().Add(50 * day)
	r.runs("1 listed, 1 new, 1 delivered")
	r.warned("but this version of popfetch is of")
	r.timed()
	r.later(51 * day)
	server.Drop("").Add(letter("b"))
	r.runs("2 listed, 1 new, 1 delivered")
	r.timed("b")
	r.runs("2 listed")
	if n := r.warnings(fetch.CodeClock); n != 1 {
		t.Errorf("%d warnings of the clock, want one", n)
	}
}

// A small difference is usual, for example after the clock was set.
func TestDeliver_clockSetBack(t *testing.T) {
	r, server := newAged(t, 30*day, letter("a"))
	r.runs("1 listed, 1 new, 1 delivered")
	r.later(-20 * time.Hour)
	server.Drop("").Add(letter("b"))
	r.runs("2 listed, 1 new, 1 delivered")
	r.timed("a", "b")
}

// A message that is found at the target gets its record now, so it gets no better time.
func TestRecognise_clockBehind(t *testing.T) {
	r, _ := newAged(t, 30*day, letter("a"))
	whole := r.runner.Store
	r.runner.Store = wrapped{whole, func(l seen.Ledger) seen.Ledger { return brokenApply{l} }}
	_ = r.fails(fetch.PhaseRecord, "1 listed, 1 new")
	r.runner.Store, r.runner.Made = whole, time.Now().Add(50*day)
	r.runs("1 listed, 1 recognised")
	r.timed()
}
