//go:build go1.25

package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("the store is away")

// entry is an account of the fake store.
type entry struct {
	name      string
	due       time.Time
	fruitless int
	held      bool
	lost      chan struct{}
	polls     []time.Duration // when polls began, since the start
	late      []time.Duration // how long after their time
	ends      []Next
	givenUp   int
}

// rig is a Worker with a fake store and a fake time.
type rig struct {
	t *testing.T
	*Worker
	begun time.Time
	stop  context.CancelFunc
	ended chan struct{}

	mu        sync.Mutex
	entries   []*entry
	order     []string
	claims    []time.Duration // when they were made
	working   int
	most      int
	away      error
	told      []error
	unsettled []error
	takes     time.Duration // of a poll
	answers   time.Duration // of a claim
	outcome   func(name string) Outcome
	ignores   bool // polls do not end with their context
	// stuck, if set, is why no account can be given back, though claims succeed.
	stuck    error
	attempts int // to give an account back
}

// inBubble runs a test with a fake time. Account i is due after i times spread.
func inBubble(t *testing.T, jobs, accounts int, spread time.Duration, set func(*rig), test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, begun: time.Now(), ended: make(chan struct{})}
		r.outcome = func(string) Outcome { return Outcome{Interval: 5 * time.Minute} }
		for i := range accounts {
			r.entries = append(r.entries, &entry{name: fmt.Sprintf("a%02d", i), due: r.begun.Add(time.Duration(i) * spread)})
		}
		r.Worker = New(r.claim, r.poll, jobs)
		r.Away = func(err error) { r.set(func() { r.told = append(r.told, err) }) }
		r.Unsettled = func(_ string, err error) { r.set(func() { r.unsettled = append(r.unsettled, err) }) }
		if set != nil {
			set(r)
		}
		ctx, stop := context.WithCancel(t.Context())
		r.stop = stop
		go func() { defer close(r.ended); r.Run(ctx) }()
		synctest.Wait()
		test(r)
		stop()
		<-r.ended
		if r.working != 0 {
			t.Errorf("%d polls are at work after the end", r.working)
		}
		for _, e := range r.entries {
			if e.held && r.away == nil && r.stuck == nil {
				t.Errorf("%s is held after the end", e.name)
			}
		}
	})
}

// set changes the rig while nothing moves.
func (r *rig) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// after lets time pass. What the test has read without the mutex comes before what is set meanwhile.
func (r *rig) after(d time.Duration) {
	r.set(func() {})
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) claim(ctx context.Context, free int) ([]*Turn, error) {
	r.mu.Lock()
	r.claims = append(r.claims, time.Since(r.begun))
	answers := r.answers
	r.mu.Unlock()
	if !passes(ctx, answers) {
		return nil, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away != nil {
		return nil, r.away
	}
	slices.SortStableFunc(r.entries, func(a, b *entry) int { return a.due.Compare(b.due) })
	var turns []*Turn
	for _, e := range r.entries {
		if e.held || e.due.After(time.Now()) || len(turns) == free {
			continue
		}
		e.held, e.lost = true, make(chan struct{})
		e.late = append(e.late, time.Since(e.due))
		turns = append(turns, &Turn{Account: e.name, Fruitless: e.fruitless, Lost: e.lost,
			End: func(_ context.Context, next Next) error {
				return r.release(e, func() {
					e.ends = append(e.ends, next)
					e.due, e.fruitless = time.Now().Add(next.In), next.Fruitless
				})
			},
			GiveUp: func(context.Context) error { return r.release(e, func() { e.givenUp++ }) },
		})
	}
	return turns, nil
}

func (r *rig) release(e *entry, change func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-e.lost:
		e.held = false
		return fmt.Errorf("as a test wants it: %w", ErrLost)
	default:
	}
	r.attempts++
	if err := cmp.Or(r.away, r.stuck); err != nil {
		return err
	}
	e.held = false
	change()
	return nil
}

func (r *rig) poll(ctx context.Context, name string) Outcome {
	r.mu.Lock()
	e := r.entry(name)
	e.polls = append(e.polls, time.Since(r.begun))
	r.order = append(r.order, name)
	r.working++
	r.most = max(r.most, r.working)
	takes, ignores := r.takes, r.ignores
	r.mu.Unlock()
	cut := false
	if !passes(ctx, takes) {
		cut = !ignores
		time.Sleep(time.Second) // it finishes what is being committed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.working--
	outcome := r.outcome(name)
	outcome.Undone = outcome.Undone || cut
	return outcome
}

// passes lets time pass, which may be none, and reports whether ctx did not end meanwhile. Go 1.26
// with its race detector crashes at times when a bubble waits for a timer that has passed already.
func passes(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// entry returns an account. The caller holds r.mu.
func (r *rig) entry(name string) *entry {
	return r.entries[slices.IndexFunc(r.entries, func(e *entry) bool { return e.name == name })]
}

// look reads what only the lock guards.
func look[T any](r *rig, read func() T) T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return read()
}

// gaps returns the times between the polls of an account.
func (r *rig) gaps(name string) (gaps []time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	polls := r.entry(name).polls
	for i := range polls[1:] {
		gaps = append(gaps, polls[i+1]-polls[i])
	}
	return gaps
}

// about reports whether a gap is what is wanted, with the jitter of due times and the wait of the
// loop.
func about(got, want time.Duration) bool {
	return got >= want*9/10 && got <= want*11/10+idle*3/2
}

const minute = time.Minute
