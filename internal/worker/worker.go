// Package worker polls accounts that many machines share, for ever. A Worker claims accounts that
// are due, polls them, and says when each is due again. It knows nothing of mail or of where the
// schedule is kept: both are functions.
//
//	w := worker.New(claim, poll, 4)
//	w.Run(ctx) // until ctx ends, and then the polls at work
//
// A Worker never compares clocks. Times are durations from now on, which whoever keeps the schedule
// counts by its own clock.
package worker

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrLost says that a claimed account may be another worker's by now.
var ErrLost = errors.New("worker: the account was lost")

// ErrRefused says that an account cannot be given back, and that time does not mend that.
var ErrRefused = errors.New("worker: the account cannot be given back")

// Turn is an account that was claimed. Exactly one of End and GiveUp is called until it succeeds or
// returns ErrLost or ErrRefused, or for about a minute while the store answers others. Neither ends
// when its context is cancelled, but at its deadline.
type Turn struct {
	Account   string
	Fruitless int // polls in a row, before this one
	// Lost is closed if the account may be another worker's; nil: that never happens.
	Lost <-chan struct{}
	// End gives the account back, and says when it is due again.
	End func(context.Context, Next) error
	// GiveUp gives the account back as it was claimed: it is due, and the next worker takes it.
	GiveUp func(context.Context) error
}

// Next is what a turn means for the next one.
type Next struct {
	In        time.Duration // from now on
	Fruitless int           // polls in a row
	Refused   time.Duration // from now on: for so long the server would refuse a log-in
	Delivered int           // messages
}

// Outcome is what a poll means for the next one.
type Outcome struct {
	Interval time.Duration // from the start of a poll to the next one
	// Fruitless says that the poll has troubled the server for nothing. Further ones come later and
	// later.
	Fruitless bool
	// Announced and Refused are for how long the server wants no log-in, or would refuse one.
	Announced, Refused time.Duration
	Delivered          int // messages
	// Undone says that the account is still due, because the poll could not be made, or was cut
	// short.
	Undone bool
}

// Worker polls accounts. Its fields may be set before Run is called. Its methods may be called at
// the same time.
type Worker struct {
	// Away, if set, is told the error when the store begins not to answer, and nil when it answers
	// again.
	Away func(error)
	// Unsettled, if set, is told that an account could not be given back. errors.Is(err, ErrLost):
	// it was lost.
	Unsettled func(account string, err error)
	// Alive, if set, is called by the loop itself: when it begins, and then again and again as long
	// as it makes progress. It must return at once.
	Alive func()
	// AliveEvery is the longest time between two calls of Alive, at most 30 s. Zero: 30 s.
	AliveEvery time.Duration
	// Crash, if set, is called with the panic of a goroutine that Run starts, in that goroutine. It
	// must end the program. Nil: the panic takes its usual way.
	Crash func(panicked any)

	claim  func(ctx context.Context, free int) ([]*Turn, error)
	poll   func(ctx context.Context, account string) Outcome
	calls  chan func()
	ended  chan bool // whether the account of a turn that has ended is still due
	claims chan claimed
	over   chan struct{} // closed when the loop has ended
	loop   loop
	reach  reach

	mu     sync.Mutex
	counts Counts
}

// Counts are what a worker has done.
type Counts struct {
	Working int // accounts at work now
	Polls   int // turns that have ended
	Lost    int // turns whose account was lost
}

// claimed is the end of a claim.
type claimed struct {
	turns []*Turn
	asked int
	err   error
}

// New returns a Worker of which at most jobs accounts are at work at once.
//
// claim takes accounts that are due, free of them at most, those first that have waited longest. It
// is called by one goroutine at a time. Its context ends some time after that of Run. poll makes
// one pass over an account. When its context ends, it finishes what must be finished and returns.
func New(
	claim func(ctx context.Context, free int) ([]*Turn, error),
	poll func(ctx context.Context, account string) Outcome, jobs int,
) *Worker {
	return &Worker{
		claim: claim, poll: poll, calls: make(chan func()), ended: make(chan bool),
		claims: make(chan claimed), over: make(chan struct{}), loop: loop{jobs: max(1, jobs), ready: true},
	}
}

// Wake has the worker look at once for accounts that are due. Before Run, Wake waits for it; after
// Run it has no effect.
func (w *Worker) Wake() { w.call(func() { w.loop.ready, w.loop.woken = true, w.loop.claiming }) }

// SetJobs lets at most so many accounts be at work at once from now on. Polls at work go on. Before
// Run, it waits; after Run it has no effect.
func (w *Worker) SetJobs(jobs int) { w.call(func() { w.loop.jobs = max(1, jobs) }) }

func (w *Worker) call(do func()) {
	select {
	case w.calls <- do:
	case <-w.over:
	}
}

// Counts returns what the worker has done so far.
func (w *Worker) Counts() Counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts
}

func (w *Worker) count(change func(*Counts)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.counts)
}
