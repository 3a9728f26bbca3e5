package fetch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch/custody"
	"github.com/popfetch/popfetch/fetch/policy"
	"github.com/popfetch/popfetch/internal/faultwords"
	"github.com/popfetch/popfetch/internal/headerfilter"
	"github.com/popfetch/popfetch/internal/hosts"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// Account is one maildrop, the way to it, and the target of its messages.
type Account struct {
	Name   string
	State  string // the name that its lock and records are kept under; empty: Name
	Server string // host:port
	User   string

	POP3 pop3.Options
	// Login logs a session in. expected holds the capabilities that an earlier run saw, if the
	// server has not been asked for them in this session; see login.Credentials.Login.
	Login func(ctx context.Context, c *pop3.Client, expected pop3.Capabilities) error
	// Changed reports whether Login uses other credentials than those that were refused, which
	// credential stands for (see login.Credentials.Changed). nil: they never change.
	Changed func(ctx context.Context, credential []byte) (bool, error)
	// Mark returns a mark of the credentials that Login last used, or known if that is one of them
	// (see login.Credentials.Mark). nil: nothing is known of them.
	Mark func(known []byte) []byte

	// Lacks is set if the account lacks something that its caller must give, such as a password.
	// Then a run or look ends with this error, and neither server nor target is touched.
	Lacks error

	Origin Origin
	Shared []string // the other accounts in use that have the same maildrop; a run warns of them

	Target deliver.Target
	Policy

	Around Around
	Times
}

// Around is what a run does besides its sessions. A look does nothing of it. Each part may be nil.
type Around struct {
	// Before is called under the account's lock, before the server is contacted. An error ends the
	// run, and then After is not called.
	Before func(context.Context) error
	// After is called when the last session has ended, with all that the run has come to. Its error
	// undoes nothing. If nothing else has ended the run early, it becomes Result.Err.
	After func(context.Context, Result) error
}

// Times are the limits of a run that are no limits of one session.
type Times struct {
	Deadline  time.Duration // the longest time a run may take; zero: no limit
	TellAfter time.Duration // how long a target may defer a message before it is told; see Event.Early
}

// Origin is the configuration that an account comes from. It tells an account that was renamed from
// a second one of the same maildrop.
type Origin struct {
	// File names the configuration, in the caller's own form. It is kept with the records.
	File string
	// Has reports whether an account of that name still stands in that configuration, which may be
	// another one than File. An empty file is unknown. nil: every account still stands somewhere.
	Has func(file, name string) bool
	// Command returns a command line that is proposed to a person, from its words behind the
	// program's name. nil: the words are joined.
	Command func(words ...string) string
}

func (a *Account) command(words ...string) string {
	if a.Origin.Command == nil {
		return "popfetch " + strings.Join(words, " ")
	}
	return a.Origin.Command(words...)
}

func (a *Account) stateName() string {
	if a.State != "" {
		return a.State
	}
	return a.Name
}

// Policy says which messages of an account are retrieved and deleted, and what is told of them. The
// zero value retrieves all new messages and deletes none.
type Policy struct {
	Delete       DeletePolicy
	All          bool          // retrieve what is seen too
	MaxSize      int64         // octets; larger messages are skipped; zero: no limit
	Newest       bool          // retrieve the newest message first
	Headers      bool          // events of delivered messages have their Header
	Initial      InitialPolicy // what the first run leaves out
	NewUIDs      NewUIDs       // what to do when all unique-ids have changed
	UIDLFallback bool          // tell messages apart by their headers where the server refuses UIDL
	Select       SelectPolicy  // which of these a pass takes
	// Only these messages are retrieved, although they are recorded; nil: those that are not. Nothing
	// else is then to be deleted, left out, or asked about.
	Missing *custody.Missing
	// FilterHeaders is asked about each message before it is retrieved, once; nil: there is none.
	FilterHeaders *headerfilter.Filter

	QuarantineAfter int // refusals of one message before it is left alone; zero: it never is
}

// tooLarge reports whether the policy allows no message of so many octets.
func (p *Policy) tooLarge(octets int64) bool { return p.MaxSize > 0 && octets > p.MaxSize }

// DeletePolicy says when a message is deleted on the server. The zero value deletes only what a
// filter of headers has discarded.
type DeletePolicy = policy.Delete

// InitialPolicy says what the first run of an account leaves out. The zero value leaves out nothing.
type InitialPolicy = policy.Initial

// SelectPolicy says which messages a pass takes. The zero value takes all that are to be retrieved.
type SelectPolicy = policy.Select

// NewUIDs says what a run does when a known maildrop suddenly shows only new unique-ids, as after a
// move to another server (C0040).
type NewUIDs int

// The zero value recognises messages.
const (
	// Known messages are recognised by their headers, and their records move to the new ids.
	NewUIDsMatch NewUIDs = iota
	NewUIDsFetch         // all are new
	NewUIDsStop          // the run ends with ErrNewUIDs
)

const (
	// stopGrace is how long a stopped run may take to receive what it has asked for. After that its
	// session is cut.
	stopGrace = 6 * time.Second
	// recordTimeout is how long the seen-table may take, after the end of a session that is cut, to
	// record delivered messages. A session that is not cut waits as long as recording takes.
	recordTimeout = 30 * time.Second
	// chunk is how many messages outside of the transfer are looked up in the seen-table, synced, or
	// deleted in one step. What is recorded all at once, the store writes in parts of its own.
	chunk = 500
)

// job is what every part of one run needs: the account, its ledger, the clock, the times at which
// the run must end, and a way to report events.
type job struct {
	account *Account
	ledger  seen.Ledger
	finder  deliver.Finder // nil: the target cannot be asked what it holds
	now     func() time.Time
	clock   clock

	bounds

	host      *hosts.Host
	keepAlive time.Duration // how long a session may lie idle before NOOP is sent
	guard     func()        // deferred by each goroutine
	observe   func(Event)

	mu     sync.Mutex // guards result, which committers change too
	result Result
	warned map[string]bool
}

// bounds are what ends a run.
type bounds struct {
	// When soft ends, no further message is retrieved, and no further chunk of messages is deleted.
	// When hard ends, the session is cut.
	soft, hard context.Context
	cancel     []func()

	hold seen.Hold   // nil: this is a look, or the account is not locked yet
	lose func(error) // ends soft and hard; nil: the hold lasts
}

var errDeadline = faultwords.New("deadline", "the account's deadline has passed")

// end releases the contexts.
func (j *job) end() {
	for _, cancel := range j.cancel {
		cancel()
	}
}

// outlasting returns a context that ends a grace after ctx, with the same cause.
func outlasting(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, func() { end(context.Cause(ctx)) })
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() {
		stop()
		end(nil)
	}
}

// held returns an error if another process may have the account by now. It is called before each step
// that must not be made twice. A process that stood still may come here before the watchdog runs.
func (j *job) held(phase Phase) error {
	if j.lose == nil || j.hold.Err() == nil {
		return nil
	}
	j.lose(seen.ErrLost)
	return j.fail(phase, seen.ErrLost)
}

// prepareTarget prepares the target. It then keeps out earlier runs that have lost the account without
// knowing it, if the store counts its holds.
func (j *job) prepareTarget(create bool) error {
	if err := j.account.Target.Prepare(j.soft, create); err != nil {
		return err
	}
	if fenced, ok := j.account.Target.(deliver.Fenced); ok && j.hold.Epoch() > 0 {
		return fenced.Fence(j.soft, j.account.stateName(), j.hold.Epoch())
	}
	return nil
}

// clock is what is known of the machine's clock.
type clock struct {
	made     time.Time // when the program was made; zero: unknown
	checked  bool
	doubtful bool // it is clearly wrong
}

// checkClock is called before messages are recorded as delivered. It asks the ledger once a run
// whether the clock can be right.
func (j *job) checkClock() error {
	if j.clock.checked {
		return nil
	}
	newest, err := j.ledger.Newest(j.soft)
	if err != nil {
		return j.fail(PhaseState, err)
	}
	j.clock.checked, j.clock.doubtful = true, policy.IsDoubtful(j.now(), newest, j.clock.made)
	if j.clock.doubtful {
		since, what := newest, "the newest record"
		if newest.Before(j.clock.made) {
			since, what = j.clock.made, "this version of popfetch"
		}
		j.warn(CodeClock, "the clock says %s, but %s is of %s: what is delivered now is recorded without a time, "+
			"and never deleted because of its age; set the clock",
			j.now().Local().Format(time.DateOnly), what, since.Local().Format(time.DateOnly))
	}
	return nil
}

// deliveredAt returns the time at which a message counts as delivered now; zero: nobody knows.
func (j *job) deliveredAt() time.Time {
	if j.clock.doubtful {
		return time.Time{}
	}
	return j.now()
}

// lacks returns the error of an account that lacks something for its log-in.
func (j *job) lacks() error {
	if j.account.Lacks == nil {
		return nil
	}
	return j.fail(PhaseLogin, &login.Error{Fault: login.Cannot, Err: j.account.Lacks})
}

// fail makes the error that ends a run. A store says only that it was stopped, and not why. Once the
// hold is lost, that is the reason, whatever came of it.
func (j *job) fail(phase Phase, err error) error {
	if cause := context.Cause(j.soft); errors.Is(err, context.Canceled) && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	overtaken := errors.Is(err, deliver.ErrOvertaken) || j.lose != nil && j.hold.Err() != nil
	if overtaken && !errors.Is(err, seen.ErrLost) {
		err = fmt.Errorf("%w: %w", seen.ErrLost, err)
	}
	return &Error{Account: j.account.Name, Phase: phase, Err: err}
}

// event completes e and reports it.
func (j *job) event(e Event) {
	e.Account = j.account.Name
	if e.Code == "" {
		e.Code = CodeOf(e.Err)
	}
	if e.Kind == Listed || e.Kind == Finished {
		j.count(func(r *Result) {
			so := *r
			e.Result = &so
		})
	}
	j.observe(e)
}

// warn reports a warning, once in a run.
func (j *job) warn(code Code, format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if !j.warned[err.Error()] {
		j.warned[err.Error()] = true
		j.event(Event{Kind: Warning, Code: code, Err: err})
	}
}

// count changes the result.
func (j *job) count(change func(*Result)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.result)
}

// record makes changes durable, even while the run is being stopped, because delivered messages
// must get their records. So it is tried even if the hold may be lost: the store knows, and refuses.
func (j *job) record(changes seen.Changes) error {
	ctx, cancel := outlasting(j.hard, recordTimeout)
	defer cancel()
	if err := j.ledger.Apply(ctx, changes); err != nil {
		return j.fail(PhaseRecord, err)
	}
	return nil
}

// tellRecorded tells the target that messages have their records, if it wants to know that.
func (j *job) tellRecorded(items ...item) {
	recorder, ok := j.account.Target.(deliver.Recorder)
	if !ok {
		return
	}
	tokens := make([]deliver.Token, len(items))
	for i, it := range items {
		tokens[i] = j.token(it.Entry)
	}
	recorder.Recorded(tokens...)
}

func (j *job) token(e *seen.Entry) deliver.Token { return j.tokenAt(j.account.Server, e) }

// tokenAt returns the token that the message would have if the server was written so.
func (j *job) tokenAt(server string, e *seen.Entry) deliver.Token {
	return deliver.NewToken(j.account.User, server, e.UniqueID, e.Copy, e.Octets)
}
