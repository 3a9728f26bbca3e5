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
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// newJob makes the contexts of a run. soft ends with ctx, or a grace before the deadline. hard ends
// a grace after soft, or at the deadline.
func newJob(ctx context.Context, account *Account, at *hosts.Hosts) *job {
	j := &job{
		account: account,
		host:    at.Of(account.Server),
		bounds:  bounds{soft: ctx},
		result:  Result{Account: account.Name},
		warned:  make(map[string]bool),
	}
	j.finder, _ = deliver.AsFinder(account.Target)
	d := account.Deadline
	if d > 0 {
		j.soft = j.until(context.WithTimeoutCause(j.soft, d-min(stopGrace, d/4), errDeadline))
	}
	j.hard = j.until(outlasting(j.soft, stopGrace))
	if d > 0 {
		j.hard = j.until(context.WithTimeoutCause(j.hard, d, errDeadline))
	}
	return j
}

// until keeps cancel for end.
func (j *job) until(ctx context.Context, cancel context.CancelFunc) context.Context {
	j.cancel = append(j.cancel, cancel)
	return ctx
}

// keepTo ends the run at once when it has lost its hold (see seen.Hold): the connection is cut.
func (j *job) keepTo(h seen.Hold) {
	j.hold = h
	if h.Lost() == nil {
		return
	}
	var soft, hard context.CancelCauseFunc
	j.soft, soft = context.WithCancelCause(j.soft)
	j.hard, hard = context.WithCancelCause(j.hard)
	j.lose = func(cause error) {
		soft(cause)
		hard(cause)
	}
	ended := j.hard
	j.cancel = append(j.cancel, func() { j.lose(nil) })
	go func() {
		defer j.guard()
		select {
		case <-h.Lost():
			j.lose(seen.ErrLost)
		case <-ended.Done():
		}
	}()
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
	if errors.Is(r.Err, seen.ErrLost) || !errors.As(r.Err, &run) || r.Delivered+r.Filtered.Dropped > 0 {
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

// takeOver gives a new account the records that it had under its former name.
func (r *run) takeOver() error {
	former, err := r.job.formerName(r.store)
	if former == "" || err != nil {
		return err
	}
	hold, err := r.store.Lock(r.job.soft, former)
	if err != nil {
		return r.job.fail(PhaseLock, fmt.Errorf("taking over the records of account %s: %w", former, err))
	}
	err = r.store.Rename(r.job.soft, former, r.job.account.Name)
	if err := cmp.Or(err, hold.Release()); err != nil {
		return r.job.fail(PhaseState, fmt.Errorf("taking over the records of account %s: %w", former, err))
	}
	if err := r.enter(); err != nil {
		return err
	}
	r.job.warn(CodeRenamedAccount, "account %q stands in no configuration any more, and has the same server and user: "+
		"its records are now those of this account, and nothing is fetched again", former)
	return nil
}

// formerName returns the name that a new account had before it was renamed, or "". Such an account
// has the same server and user, and stands in no configuration any more. An account that still
// stands in one, but is not in use, is ErrRenamed, unless Policy.Initial says what a first run
// fetches.
func (j *job) formerName(store seen.Store) (string, error) {
	a, known := j.account, j.ledger.Account()
	if known.Twin == "" || a.State != "" {
		return "", nil
	}
	all, err := store.Accounts(j.soft)
	if err != nil {
		return "", j.fail(PhaseState, err)
	}
	var former, standing []string
	for i := range all {
		other := &all[i]
		if other.Name == a.Name || other.Records == 0 || other.Server != a.Server || other.User != a.User ||
			isOneShot(other.Name) || slices.Contains(a.Shared, other.Name) {
			continue
		}
		origin, err := j.originOf(store, other)
		if err != nil {
			return "", err
		}
		if a.Origin.Has == nil || a.Origin.Has(origin, other.Name) {
			standing = append(standing, other.Name)
		} else {
			former = append(former, other.Name)
		}
	}
	switch alike := slices.Concat(former, standing); {
	case len(former) == 1:
		return former[0], nil
	case len(alike) == 0 || a.Initial.Chosen:
		return "", nil
	default:
		return "", j.fail(PhaseState, fmt.Errorf("%w: %s. If this is that account renamed, run: %s. "+
			"If not, write into this account what its first run fetches, for example initial = \"all\"",
			ErrRenamed, strings.Join(alike, ", "), a.command("seen", "rename", alike[0], a.Name)))
	}
}

// originOf returns the configuration that another account was last fetched from.
func (j *job) originOf(store seen.Store, other *seen.Account) (string, error) {
	ledger, err := store.Look(j.soft, other.Name, other.Server, other.User)
	if err != nil {
		return "", j.fail(PhaseState, err)
	}
	st, err := ledger.Standing(j.soft)
	if err != nil {
		return "", j.fail(PhaseState, err)
	}
	return st.Origin, nil
}

// lookUp opens the ledger of the account, or the one that a run would take over.
func (j *job) lookUp(store seen.Store) error {
	a := j.account
	look := func(name string) error {
		ledger, err := store.Look(j.soft, name, a.Server, a.User)
		if err != nil {
			return j.fail(PhaseState, err)
		}
		j.ledger = seen.ReadOnly(ledger)
		return nil
	}
	if err := look(a.stateName()); err != nil {
		return err
	}
	former, err := j.formerName(store)
	switch {
	case errors.Is(err, ErrRenamed):
		j.warn(CodeRenamedAccount, "%w", errors.Unwrap(err))
		return nil
	case err != nil || former == "":
		return err
	}
	return look(former)
}

// isOneShot reports whether the name of an account's records is made of options. Only such names
// have a colon, that of host:port.
func isOneShot(name string) bool { return strings.Contains(name, ":") }

// records reads the records of the unique-ids, and groups them by unique-id.
func (j *job) records(ids []string) (map[string][]seen.Record, error) {
	all, err := j.ledger.Records(j.soft, ids)
	if err != nil {
		return nil, j.fail(PhaseState, err)
	}
	records := make(map[string][]seen.Record, len(ids))
	for _, r := range all {
		records[r.UniqueID] = append(records[r.UniqueID], r)
	}
	return records, nil
}

func uniqueIDs(items []item) []string {
	ids := make([]string, len(items))
	for n, it := range items {
		ids[n] = it.UniqueID
	}
	return ids
}
