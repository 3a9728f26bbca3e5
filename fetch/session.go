package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// session is one run of one account. Its fields are filled phase by phase, and only the goroutine of the run uses them,
// except what retrieval guards by its own lock.
type session struct {
	runner  *Runner
	account *Account
	result  Result

	// soft ends the asking: no further message is retrieved or deleted. hard cuts the session.
	soft, hard context.Context
	cancel     []func()

	client   *pop3.Client
	ledger   seen.Ledger
	known    seen.Account
	listing  []seen.Entry // ascending message-numbers; whole before anything is deleted
	diff     seen.Diff
	asides   map[seen.Key]seen.Aside // what earlier runs have set aside, listed or not
	copies   map[string][]int        // the indexes of unique-ids that are listed more than once
	digests  map[int]seen.Digest     // by message-number, what TOP has shown in this session
	verdicts map[int]*verdict        // by index; what identify found
	looking  bool                    // nothing is to be changed, in the store either
	checking bool                    // for somebody who wants to know whether the log-in works
	found    bool                    // the target holds messages of this maildrop that have no record
	twins    map[int][]*twin         // by message-number, what a message may turn out to be
	idle     func()                  // what Options.Idle does in this phase

	short error // what the target has no room for; what it has taken may be deleted all the same

	oldDigests []seen.Digest // by index, of the messages that a first run leaves out

	retrieved map[int]bool // message-numbers that this session delivered or recognised, and recorded

	passes    int                     // sessions of this run
	counted   bool                    // Result.New is
	suspects  map[seen.Key]*suspicion // messages that need a second look
	tried     map[seen.Key]bool       // messages that this run has delivered, refused or quarantined: further sessions leave them alone
	apart     map[seen.Key]bool       // those that are quarantined
	silent    map[int]int             // by message-number, how often a look at it showed nothing
	warned    map[string]bool         // what was told in this run
	shortfall int                     // see seen.Standing

	standingRead *seen.Standing // what standing has read last, unless it was changed since

	announced string // see announcement; what an earlier run has left

	lockstep     bool  // one command at a time
	fellBack     error // why, if that was found out in this run and is not remembered yet
	brokenBefore bool  // the server broke pipelining some time ago

	telling telling
}

// newSession makes the contexts of a run: soft ends with ctx, or a grace before the deadline; hard a grace after soft,
// or at the deadline.
func newSession(ctx context.Context, r *Runner, account *Account) *session {
	s := &session{
		runner:   r,
		account:  account,
		result:   Result{Account: account.Name},
		suspects: make(map[seen.Key]*suspicion),
		tried:    make(map[seen.Key]bool),
		apart:    make(map[seen.Key]bool),
		warned:   make(map[string]bool),
		telling:  telling{met: make(map[string]bool)},
		silent:   make(map[int]int),
	}
	s.soft = ctx
	d := account.Deadline
	if d > 0 {
		s.soft = s.until(context.WithTimeoutCause(s.soft, d-min(stopGrace, d/4), errDeadline))
	}
	s.hard = s.until(outlasting(s.soft, stopGrace))
	if d > 0 {
		s.hard = s.until(context.WithTimeoutCause(s.hard, d, errDeadline))
	}
	return s
}

// until keeps cancel for release.
func (s *session) until(ctx context.Context, cancel context.CancelFunc) context.Context {
	s.cancel = append(s.cancel, cancel)
	return ctx
}

var errDeadline = errors.New("the account's deadline has passed")

// release lets go of what a session holds, however it ended.
func (s *session) release() {
	if s.client != nil {
		_ = s.client.Close() // after Quit it is closed already; else there is nothing left to save
	}
	for _, cancel := range s.cancel {
		cancel()
	}
}

func (s *session) fail(phase Phase, err error) error {
	return &Error{Account: s.account.Name, Phase: phase, Err: err}
}

// warn tells what is odd, once in a run. As long as it lasts a person is told once a day, whatever the arguments.
func (s *session) warn(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if !s.warned[err.Error()] {
		s.warned[err.Error()] = true
		s.event(Event{Kind: Warning, Err: err, Repeated: s.repeated(warningLine + format)})
	}
}

// run is the way of one account under its lock. One session does it, unless what the server says cannot be believed any
// more, because a message is suspect or because pipelining has got it out of step: then a further session goes on.
func (s *session) run() (err error) {
	s.event(Event{Kind: Started})
	unlock, err := s.runner.Store.Lock(s.account.stateName())
	if err != nil {
		s.recall()
		return s.fail(PhaseLock, err)
	}
	defer func() {
		if unlockErr := unlock(); err == nil && unlockErr != nil {
			err = s.fail(PhaseLock, unlockErr)
		}
	}()
	st, err := s.enter()
	if err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return err
	}
	if err := s.begin(st); err != nil {
		return err
	}
	for {
		s.passes++
		if err := s.pass(); !s.goesOn(err) {
			return err
		}
		if err := s.pause(); err != nil {
			return err
		}
	}
}

// goesOn tells whether a further session can do what this one has left.
func (s *session) goesOn(err error) bool {
	if err == nil || s.soft.Err() != nil || s.passes > maxFurther {
		return false
	}
	if errors.Is(err, errUnexpected) {
		s.expectNothing()
		return true
	}
	var suspect *suspectError
	return s.fallBack(err) || errors.As(err, &suspect)
}

// pass is one session: open, list, identify, retrieve, delete, quit.
func (s *session) pass() error {
	if err := s.open(); err != nil {
		return err
	}
	if err := s.list(); err != nil {
		return s.leave(err)
	}
	plan, err := s.plan()
	if err != nil {
		return s.leave(err)
	}
	if err := s.hintOfStrangers(plan); err != nil {
		return s.leave(err)
	}
	if err := s.retrieve(plan); err != nil {
		return s.leave(err)
	}
	deleted, err := s.remove()
	quitErr := s.quit(deleted) // also after an error: what was marked by DELE is to be stamped
	if err := cmp.Or(err, quitErr); err != nil {
		return err
	}
	return cmp.Or(s.settleLockstep(), s.short)
}

// enter makes the state ready, and reads what earlier runs have found out about the server.
func (s *session) enter() (st seen.Standing, err error) {
	s.ledger, err = s.runner.Store.Enter(s.soft, s.account.stateName(), s.account.Server, s.account.User)
	if err != nil {
		return st, s.fail(PhaseState, err)
	}
	s.known = s.ledger.Account()
	st, err = s.standing()
	s.telling.remember(st, s.runner.now())
	return st, err
}

// recall is enter for a run that does not come to it. Where that fails everything is told, which is the better mistake.
func (s *session) recall() {
	ledger, err := s.runner.Store.Look(s.soft, s.account.stateName(), s.account.Server, s.account.User)
	if err != nil {
		return
	}
	s.ledger, s.known = ledger, ledger.Account()
	if st, err := s.standing(); err == nil {
		s.telling.remember(st, s.runner.now())
	}
}

// prepare makes the target ready, before the server is troubled, and tells what is odd about the account.
func (s *session) prepare() error {
	a, known := s.account, s.known
	oneShot := strings.Contains(known.Twin, " ") // made of options; its records belong to another target
	if known.Twin != "" && !oneShot && a.State == "" && !slices.Contains(a.Shared, known.Twin) {
		s.warn("nothing is known of this account, but account %q has the same server and user; if this is that account renamed, stop and run: popfetch seen rename %s %s",
			known.Twin, known.Twin, a.Name)
	}
	if len(a.Shared) > 0 {
		s.warn("it shares its maildrop (server and user) with %s: they will find it in use by each other, and what one deletes the others cannot fetch",
			strings.Join(a.Shared, ", "))
	}
	if err := a.Target.Prepare(s.soft, !known.Delivered); err != nil {
		return s.fail(PhaseTarget, err)
	}
	return nil
}

func isReply(err error) bool {
	if err == nil { // nearly always, and then it costs nothing
		return false
	}
	var reply *pop3.ReplyError
	return errors.As(err, &reply)
}

// plan identifies what needs it and decides what to do.
func (s *session) plan() (Plan, error) {
	verdicts, err := s.identify()
	if err != nil {
		return Plan{}, err
	}
	s.verdicts = verdicts
	for i, v := range verdicts {
		if len(v.known) > 0 {
			s.twins[s.listing[i].Number] = v.known
		}
	}
	plan := planRetrieval(s.listing, s.diff, verdicts, s.account)
	plan.Retrieve = slices.DeleteFunc(plan.Retrieve, func(e *seen.Entry) bool { return s.tried[e.Key] })
	s.suspectsFirst(plan.Retrieve)
	return plan, nil
}

// quit ends the session; only its positive reply makes the deletions count as done.
func (s *session) quit(deleted []seen.Entry) error {
	if err := s.client.Quit(s.hard); err != nil {
		return s.fail(PhaseQuit, err)
	}
	if s.diff.Unchanged && len(deleted) == 0 {
		return nil
	}
	if err := s.finish(deleted); err != nil {
		return s.fail(PhaseRecord, err)
	}
	s.result.Deleted = len(deleted)
	for _, e := range deleted {
		s.event(Event{Kind: Deleted, Number: e.Number, UniqueID: e.UniqueID, Octets: e.Octets})
	}
	return nil
}

// finish tells the store what the maildrop holds now. A run that was stopped does it too: the listing was complete.
func (s *session) finish(deleted []seen.Entry) error {
	limit := recordTimeout + time.Duration(len(s.listing))*finishTimeout
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.hard), limit)
	defer cancel()
	keys := make([]seen.Key, len(deleted))
	for i, e := range deleted {
		keys[i] = e.Key
	}
	gone := deleted // in the order of the listing
	left := slices.DeleteFunc(s.listing, func(e seen.Entry) bool {
		if len(gone) == 0 || gone[0].Number != e.Number {
			return false
		}
		gone = gone[1:]
		return true
	})
	diff := s.diff
	if s.account.All { // what was seen has new records too
		diff = seen.Diff{}
	}
	return s.ledger.Finish(ctx, diff, left, keys, s.runner.now())
}

// leave ends a session that has met err: it says QUIT where the session is still in step, so that the server frees the maildrop at once.
// What was marked by DELE in this session is safe by then, so QUIT may carry it out; the records stay unstamped.
func (s *session) leave(err error) error {
	var suspect *suspectError
	if errors.As(err, &suspect) {
		_ = s.client.Close() // not a word more is said to a server whose replies cannot be told apart
		return err
	}
	_ = s.client.Quit(s.hard) // err is what matters; the next listing tells what became of the maildrop
	return err
}
