// Package fetch brings the new messages of accounts to their targets.
//
// One run of one account is a session in these phases: open, list, examine, plan, transfer, remove,
// quit. run.go has them in their order. What a session learns of a message is noted in its item
// (maildrop.go); what is to be done is decided without input or output (plan.go, and the package
// policy).
//
// The order of deliver, record, delete is what the program exists for. A message is recorded only
// when its target says that it is safe there, and DELE is sent only for what is recorded.
package fetch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/hosts"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/seen"
)

const defaultJobs = 4

// Runner runs accounts, a bounded number at a time. Its methods may be called again and
// concurrently.
type Runner struct {
	Store   seen.Store
	Jobs    int              // accounts at work at once, over all calls; zero means 4
	Observe func(Event)      // if set, is told each event, one at a time
	Notices Notices          // if set, remembers from run to run what a person was told
	Now     func() time.Time // nil: time.Now
	// Made is when the program was made: no clock that stands before it can be right. Zero: unknown.
	Made      time.Time
	KeepAlive time.Duration // idle time before NOOP is sent; zero means one minute
	// Done, if set, is called after each run, when the account's lock is given back. Calls for several
	// accounts may overlap.
	Done func(Result)
	// Crash, if set, is called with the panic of a goroutine that a Runner starts, in that
	// goroutine. It must end the program, because whatever the goroutine held stays locked. Nil:
	// the panic takes its usual way.
	Crash func(panicked any)

	once  sync.Once
	slots chan struct{}
	hosts hosts.Hosts
	mu    sync.Mutex // makes events come one at a time
}

// enter waits until fewer than Jobs accounts are at work; leave must be called.
func (r *Runner) enter(ctx context.Context) (leave func(), err error) {
	r.once.Do(func() {
		jobs := r.Jobs
		if jobs <= 0 {
			jobs = defaultJobs
		}
		r.slots = make(chan struct{}, jobs)
	})
	select {
	case r.slots <- struct{}{}:
		return func() { <-r.slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// newJob makes the job of a run or look, with what the runner has for all of them.
func (r *Runner) newJob(ctx context.Context, account *Account) *job {
	j := newJob(ctx, account, &r.hosts)
	j.clock.made = r.Made
	j.now, j.keepAlive, j.guard, j.observe = r.Now, r.KeepAlive, r.guard, r.report
	if j.now == nil {
		j.now = time.Now
	}
	if j.keepAlive <= 0 {
		j.keepAlive = time.Minute
	}
	return j
}

// report hands an event to Observe.
func (r *Runner) report(e Event) {
	if r.Observe == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Time = time.Now()
	if r.Now != nil {
		e.Time = r.Now()
	}
	r.Observe(e)
}

// guard is deferred by each goroutine.
func (r *Runner) guard() {
	if r.Crash == nil {
		return
	}
	if panicked := recover(); panicked != nil {
		r.Crash(panicked)
	}
}

// Run runs each account once and returns their results in the order of accounts. A failure of one
// account does not affect the others. When ctx is cancelled, a session that has not begun
// to retrieve ends. Any other receives what it has asked for, commits and records it, and quits;
// after 6 seconds it is cut.
func (r *Runner) Run(ctx context.Context, accounts []Account) []Result {
	results := make([]Result, len(accounts))
	var wg sync.WaitGroup
	for i := range accounts {
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer r.guard()
			results[i] = r.runOne(ctx, &accounts[i])
		}()
	}
	wg.Wait()
	return results
}

// runOne runs the account, and then calls Done.
func (r *Runner) runOne(ctx context.Context, account *Account) Result {
	result := r.runInTurn(ctx, account)
	if r.Done != nil {
		r.Done(result)
	}
	return result
}

// runInTurn waits for a free slot and runs the account.
func (r *Runner) runInTurn(ctx context.Context, account *Account) Result {
	leave, err := r.enter(ctx)
	if err != nil {
		return Result{Account: account.Name, Err: &Error{Account: account.Name, Phase: PhaseOpen, Err: err}}
	}
	defer leave()
	one := run{job: r.newJob(ctx, account), store: r.Store, notices: r.Notices, history: newHistory()}
	defer one.job.end()
	return one.do()
}

// Fruitless reports whether the run troubled the server for nothing: it is down, in use, needs repair,
// or refuses the log-in.
func (r *Result) Fruitless() bool {
	var run *Error
	if !errors.As(r.Err, &run) || r.Delivered+r.Filtered.Dropped > 0 {
		return false
	}
	var refused *login.Error
	if errors.As(run, &refused) && (refused.Fault == login.Held || !refused.Until.IsZero()) {
		return false // the server was not asked; and a changed password is to count soon
	}
	return run.Phase != PhaseLock && run.Phase != PhaseState && run.Phase != PhaseTarget &&
		run.Phase != PhaseBefore && run.Phase != PhaseAfter && run.Phase != PhaseFilter
}

// readOnlyFinder is a target that can be asked what it holds, but syncs nothing.
type readOnlyFinder struct{ deliver.Finder }

// Sync does nothing.
func (readOnlyFinder) Sync(context.Context, []string) error { return nil }
