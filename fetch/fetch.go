// Package fetch brings the new messages of accounts to their targets.
//
// One run of one account is a session in five phases, each in its own file: open and list (session.go), identify what
// the seen-table and the target already hold (identify.go, recognise.go), retrieve (retrieve.go), delete and quit (remove.go).
// What a run will do is a Plan, a value that is computed without input or output (plan.go).
//
// The order of deliver, record, delete is what the program exists for: a message is recorded only when its target says
// that it is safe there, and DELE is sent only for what is recorded.
package fetch

import (
	"context"
	"sync"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

const (
	// stopGrace is how long a stopped run may take to finish what it has asked for before its session is cut.
	stopGrace = 6 * time.Second
	// recordTimeout limits the transaction that records what is already delivered, also when the run is being cut.
	recordTimeout = 30 * time.Second
	// finishTimeout is what each listed message adds to it at the end of a run: all of them may have been deleted.
	finishTimeout = time.Millisecond
	defaultJobs   = 4
)

// Account is one maildrop and what to do with its messages.
type Account struct {
	Name   string
	State  string // the name that its lock and records are kept under; empty: Name
	Server string // host:port
	User   string

	POP3  pop3.Options
	Login func(context.Context, *pop3.Client) error // see Credentials.Login
	// Changed tells whether what Login logs in with is not what was refused (see Credentials.Changed); nil: it never changes.
	Changed func(ctx context.Context, credential []byte) (bool, error)

	Shared []string // the other accounts in use that are of the same maildrop; a run warns of them

	Target  deliver.Target
	Delete  DeletePolicy
	All     bool  // retrieve what is seen too
	MaxSize int64 // octets; larger messages are skipped; zero: no limit
	Newest  bool  // retrieve the newest message first

	Initial      InitialPolicy // what the first run leaves out
	NewUIDs      NewUIDs       // what to do when all unique-ids have changed
	UIDLFallback bool          // tell messages apart by their headers where the server refuses UIDL

	QuarantineAfter int // refusals of one message before it is left alone; zero: it never is

	Deadline time.Duration // the longest time a run may take; zero: no limit
	Interval time.Duration // between two runs of Poll; zero: Poll leaves the account alone
}

func (a *Account) stateName() string {
	if a.State != "" {
		return a.State
	}
	return a.Name
}

// DeletePolicy says when a delivered message is deleted on the server; the zero value never deletes.
type DeletePolicy struct {
	Enabled bool
	After   time.Duration // since its delivery
}

// Result is the outcome of one account.
type Result struct {
	Account     string
	Listed      int
	New         int   // listed and to be retrieved
	Delivered   int   // durable at the target and recorded
	Recognised  int   // found at the target already, recorded without delivering again
	Marked      int   // left out of a first run, as Account.Initial says
	Skipped     int   // larger than MaxSize
	Quarantined int   // listed, and left alone until the operator says so
	Failed      int   // refused by server or target; tried again in the next run
	Unusable    int   // listed without a usable number or unique-id
	Deleted     int   // confirmed by the reply to QUIT
	Octets      int64 // delivered
	Err         error // what ended the run early; a *Error

	NotBefore time.Time // when the server wants the next log-in at the earliest; zero: at any time, as far as is known
}

// Runner runs accounts, a bounded number at a time. Its methods may be called again and concurrently.
type Runner struct {
	Store     seen.Store
	Jobs      int              // accounts at work at once, over all calls; zero means 4
	Observe   func(Event)      // if set, is told each event, one at a time
	Quiet     bool             // nobody sees the warnings, so that they do not count as told (see Event.Repeated)
	Now       func() time.Time // nil: time.Now
	KeepAlive time.Duration    // how long a session may lie idle before NOOP is sent; zero means one minute
	// Crash, if set, is told a panic of one of the goroutines that a Runner starts, in that goroutine. It ends the program: whatever the
	// goroutine held stays locked. Nil: the panic goes its way.
	Crash func(panicked any)

	once  sync.Once
	slots chan struct{}
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

func (r *Runner) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

func (r *Runner) keepAlive() time.Duration {
	if r.KeepAlive > 0 {
		return r.KeepAlive
	}
	return time.Minute
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

// Run runs each account once and returns their results in the order of accounts; one account's trouble is never
// another's. When ctx is cancelled, each session retrieves no more, commits and records what it has, and quits; after 6
// seconds it is cut.
func (r *Runner) Run(ctx context.Context, accounts []Account) []Result {
	results := make([]Result, len(accounts))
	var wg sync.WaitGroup
	for i := range accounts {
		wg.Go(func() {
			defer r.guard()
			results[i] = r.runOne(ctx, &accounts[i])
		})
	}
	wg.Wait()
	return results
}

// runOne waits for a free slot and runs the account.
func (r *Runner) runOne(ctx context.Context, account *Account) Result {
	leave, err := r.enter(ctx)
	if err != nil {
		return Result{Account: account.Name, Err: &Error{Account: account.Name, Phase: PhaseOpen, Err: err}}
	}
	defer leave()
	s := newSession(ctx, r, account)
	defer s.release()
	s.result.Err = s.run()
	s.finished()
	s.result.NotBefore = s.notBefore()
	return s.result
}
