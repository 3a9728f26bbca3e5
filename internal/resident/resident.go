// Package resident polls accounts for ever, each at its interval. It knows nothing of mail: what a
// poll does is a function of the account. It waits by the monotonic clock, and polls at once when the
// machine has slept or the clock was set.
//
//	r := resident.New(accounts, 4)
//	go func() { <-signals; r.Wake() }()
//	r.Run(ctx) // until ctx ends, and then the polls at work
package resident

import (
	"context"
	"sync"
	"time"
)

// Account is what is polled.
type Account struct {
	Name     string        // unique
	Interval time.Duration // from the end of a poll to the next one; zero: it is never polled
	// Poll makes one pass. When its context ends, it finishes what must be finished and returns. An
	// account has one poll at a time.
	Poll func(context.Context) Outcome
}

// Outcome is what a poll means for the next one.
type Outcome struct {
	// Fruitless says that the poll has troubled the server for nothing. Further ones come later and
	// later.
	Fruitless bool
	// Announced is the earliest time at which the server wants the next poll. Wake overrides it.
	Announced time.Time
	// Refused is the time before which the server would refuse a log-in, because it has refused one as
	// too early. Nothing overrides it.
	Refused time.Time
}

// longestTick bounds the time after which a jump of the clock is noticed.
const longestTick = 30 * time.Second

// Resident polls accounts. Its fields may be set before Run is called. Its methods may be called at
// the same time.
type Resident struct {
	// Planned, if set, is told when an account will be polled next. The zero time says that it will
	// not: it is gone, or polling has ended. It is called in a goroutine of its own, and is not told
	// times that have changed before it could be called.
	Planned func(account string, next time.Time)
	// Alive, if set, is called by the loop itself: when it begins, and then again and again as long as
	// it makes progress. It must return at once.
	Alive func()
	// AliveEvery is the longest time between two calls of Alive, at most 30 s. Zero: 30 s.
	AliveEvery time.Duration
	// Crash, if set, is called with the panic of a goroutine that Run starts, in that goroutine. It
	// must end the program. Nil: the panic takes its usual way.
	Crash func(panicked any)
	// Clocks reads the clocks. Nil: those of the system.
	Clocks func() Clocks

	schedule schedule
	calls    chan func(now time.Time) // what the loop does for other goroutines
	results  chan result
	over     chan struct{} // closed when the loop has ended
	plans    plans
}

// result is the end of a poll.
type result struct {
	*entry
	outcome Outcome
}

// New returns a Resident for accounts, of which at most jobs are at work at once.
func New(accounts []Account, jobs int) *Resident {
	r := &Resident{calls: make(chan func(time.Time)), results: make(chan result), over: make(chan struct{})}
	r.plans.next, r.plans.changed = make(map[string]time.Time), make(chan struct{}, 1)
	r.schedule.planned = r.plans.set
	r.schedule.replace(accounts, jobs, time.Now())
	return r
}

// Wake has each account polled at once, also after fruitless polls and before an announced time. An
// account at work is polled once more right after. If the server would refuse a log-in, nothing
// changes for that account. Before Run, Wake waits for it; after Run it has no effect.
func (r *Resident) Wake() { r.call(r.schedule.wake) }

// Replace polls these accounts from now on, at most jobs at once. A poll at work goes on, also if its
// account is gone. A changed interval counts from the last poll. An account that is new is polled
// within 10 s. Before Run, Replace waits for it; after Run it has no effect.
func (r *Resident) Replace(accounts []Account, jobs int) {
	r.call(func(now time.Time) { r.schedule.replace(accounts, jobs, now) })
}

// call has the loop do something, and waits until it has taken that up.
func (r *Resident) call(do func(now time.Time)) {
	select {
	case r.calls <- do:
	case <-r.over:
	}
}

// Run polls until ctx ends, and returns when the last poll has returned. It may be called once.
func (r *Resident) Run(ctx context.Context) {
	var told sync.WaitGroup
	told.Add(1)
	go func() {
		defer told.Done()
		defer r.guard()
		r.plans.tell(r.Planned, r.over)
	}()
	r.loop(ctx)
	r.schedule.stop()
	close(r.over)
	told.Wait()
}

// loop is the only goroutine that uses the schedule while Run runs.
func (r *Resident) loop(ctx context.Context) {
	clocks := r.Clocks
	if clocks == nil {
		clocks = systemClocks
	}
	ticker := time.NewTicker(r.tick())
	defer ticker.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	before := clocks()
	r.alive()
	done := ctx.Done()
	for {
		if done != nil {
			r.start(ctx)
		} else if r.schedule.working == 0 {
			return
		}
		if wait, ok := r.schedule.wait(time.Now()); ok && done != nil {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-done:
			done = nil
		case <-timer.C:
		case do := <-r.calls:
			do(time.Now())
		case one := <-r.results:
			r.schedule.end(one.entry, one.outcome, time.Now())
		case <-ticker.C:
			now := clocks()
			if passed, yes := jumped(before, now); yes {
				r.schedule.jump(passed, time.Now())
			}
			before = now
			r.alive()
		}
	}
}

// tick returns how often the loop looks at the clocks.
func (r *Resident) tick() time.Duration {
	if r.AliveEvery > 0 {
		return min(r.AliveEvery, longestTick)
	}
	return longestTick
}

func (r *Resident) alive() {
	if r.Alive != nil {
		r.Alive()
	}
}

// start begins the polls that are due.
func (r *Resident) start(ctx context.Context) {
	for {
		e := r.schedule.take(time.Now())
		if e == nil {
			return
		}
		poll := e.account.Poll // the loop may replace the account meanwhile
		go func() {
			defer r.guard()
			r.results <- result{e, poll(ctx)}
		}()
	}
}

func (r *Resident) guard() {
	if r.Crash == nil {
		return
	}
	if panicked := recover(); panicked != nil {
		r.Crash(panicked)
	}
}

// plans hands times from the loop to Planned, which may be slow.
type plans struct {
	mu      sync.Mutex
	next    map[string]time.Time // by account, what Planned was not told yet
	changed chan struct{}
}

func (p *plans) set(account string, next time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next[account] = next
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// tell calls planned for each time, until over is closed and all is told.
func (p *plans) tell(planned func(string, time.Time), over <-chan struct{}) {
	for ended := false; !ended; {
		select {
		case <-p.changed:
		case <-over:
			ended = true
		}
		p.mu.Lock()
		next := p.next
		p.next = make(map[string]time.Time)
		p.mu.Unlock()
		if planned == nil {
			continue
		}
		for account, at := range next {
			planned(account, at)
		}
	}
}
