package fetch

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/seen"
)

// run is one run of one account, and what it carries from session to session.
//
// A session goes through these phases:
//
//	open → list → examine → plan → transfer → remove → quit
//
// A run learns something of a message and notes it in the message's item (maildrop.go). Then it
// decides, without input or output (plan.go, and the package policy). It writes to the ledger while
// it examines, for each batch that is durable at the target, and after QUIT. ARCHITECTURE.md
// lists all that it writes.
type run struct {
	job     *job
	store   seen.Store
	notices Notices // nil: nobody is told
	memory  *memory // nil until the account is entered
	history *history

	progress Progress
}

// do runs the account. It holds the account's lock until it has reported how the run ended, and has
// kept what was told.
func (r *run) do() Result {
	r.job.event(Event{Kind: Started, Progress: &r.progress})
	hold, err := r.store.Lock(r.job.soft, r.job.account.stateName())
	if err != nil {
		r.remind()
		return r.finished(r.job.fail(PhaseLock, err))
	}
	r.job.keepTo(hold)
	result := r.finished(r.locked())
	if err := hold.Release(); err != nil && !errors.Is(err, seen.ErrLost) { // then all that the run has written counts
		err = &Error{Account: result.Account, Phase: PhaseLock, Err: err} // fail would call the hold lost
		r.job.event(Event{Kind: Warning, Code: CodeUnlock, Err: err})
		result.Err = cmp.Or(result.Err, err)
	}
	return result
}

// locked does the run while the account is locked. Usually one session is enough. If a message may
// be cut, or pipelining got the session out of step, the replies cannot be believed any more. Then
// a further session goes on.
func (r *run) locked() error {
	if err := r.enter(); err != nil {
		return err
	}
	if err := r.job.lacks(); err != nil {
		return err
	}
	if err := r.takeOver(); err != nil {
		return err
	}
	if err := r.memory.admit(); err != nil {
		return err
	}
	// What is done before may make the target reachable, for example mount its disk.
	return r.job.around(func() error {
		defer r.job.disconnect()
		if err := r.prepare(); err != nil {
			return err
		}
		return r.sessions()
	})
}

// sessions opens sessions until one of them has done all that is left to do, or none can.
func (r *run) sessions() error {
	for {
		drop, err := r.session()
		further := err == nil && r.history.goesOn(r.job)
		if !further && !r.history.adapt(err, r.memory) && !r.history.goOn(err, drop, r.memory) {
			r.job.tellUnlisted(r.history)
			return cmp.Or(err, r.history.breaks.err)
		}
		r.history.remember(drop, further, r.job.account.All)
		if err := r.memory.pause(); err != nil {
			return err
		}
	}
}

// enter reads what is known of the account.
func (r *run) enter() (err error) {
	a := r.job.account
	if r.job.ledger, err = r.store.Enter(r.job.soft, a.stateName(), a.Server, a.User); err != nil {
		return r.job.fail(PhaseState, err)
	}
	if r.memory, err = recall(r.job, fetching); err != nil {
		return err
	}
	r.beginNotices()
	return nil
}

// prepare makes the target ready before the server is contacted, and warns about the account.
func (r *run) prepare() error {
	a, known := r.job.account, r.job.ledger.Account()
	if len(a.Shared) > 0 {
		r.job.warn(CodeShared, "it shares its maildrop (server and user) with %s: they will find it in use by each other, "+
			"and what one deletes the others cannot fetch",
			strings.Join(a.Shared, ", "))
	}
	if err := r.job.prepareTarget(!known.Delivered); err != nil {
		return r.job.fail(PhaseTarget, err)
	}
	if a.FilterHeaders != nil && !a.All {
		if err := a.FilterHeaders.Prepare(r.job.soft); err != nil {
			return r.job.fail(PhaseFilter, err)
		}
	}
	return nil
}

// disconnect lets the target end the connections that it keeps open.
func (j *job) disconnect() {
	if connected, ok := j.account.Target.(deliver.Connected); ok {
		connected.Disconnect()
	}
}

// session is one session of the run, from the connection to QUIT. It returns what it found listed.
func (r *run) session() (*maildrop, error) {
	r.history.sessions++
	r.history.breaks.begin()
	r.history.intake.begin(&r.job.result)
	s, err := open(r.job, r.memory, r.history)
	if err != nil {
		return newMaildrop(nil, seen.Diff{}, false), err
	}
	defer s.close()
	err = r.phases(s)
	return s.drop, err
}

// phases takes a session through its phases, after it has logged in.
func (r *run) phases(s *session) error {
	p, err := s.study()
	if err != nil {
		return s.leave(err)
	}
	left, err := r.carryOut(s, p)
	if err != nil {
		return s.leave(err)
	}
	deleted, err := s.remove()
	quitErr := s.quit(deleted) // also after an error: QUIT carries out the DELEs that were accepted
	if err := cmp.Or(err, quitErr); err != nil {
		return err
	}
	r.history.breaks.ended = true
	if len(p.later) > 0 { // whether the pace was at fault, the session that they are left to shows
		return left
	}
	return cmp.Or(r.memory.settlePace(s.drop.count(isRecorded)), left)
}

// study lists the maildrop, examines the messages that unique-ids do not identify, and plans. A
// look does only this.
func (s *session) study() (*plan, error) {
	if err := s.list(); err != nil {
		return nil, err
	}
	s.markMissing()
	if err := s.findDue(); err != nil {
		return nil, err
	}
	examine := s.examine
	if s.job.account.All {
		examine = s.recall
	}
	if err := examine(); err != nil {
		return nil, err
	}
	if err := cmp.Or(s.leaveOutByDate(), s.chooseMissing()); err != nil {
		return nil, err
	}
	s.history.recallSuspects(s.drop)
	return makePlan(s.drop, &s.job.account.Policy, s.history), nil
}

// examine identifies the messages that their unique-id alone does not identify. These are messages
// that the ledger doubts, messages that are due for deletion, and new ones. A new message may have
// been delivered before, under another unique-id or without a record.
func (s *session) examine() error {
	if err := s.judgeRecorded(); err != nil {
		return err
	}
	if err := s.recallDates(); err != nil {
		return err
	}
	if err := s.recogniseRenamed(); err != nil {
		return err
	}
	if err := s.recogniseFound(); err != nil {
		return err
	}
	return s.leaveOutOld()
}

// recall is examine for a run that takes each listed message for a new one.
func (s *session) recall() error {
	if err := s.recallRecorded(); err != nil {
		return err
	}
	return s.recallDates()
}

// carryOut does what the plan says, except for the deletions. The error left says that some messages
// wait for a later run, for example because the target had no space for them. The other messages are
// delivered, and may be deleted.
func (r *run) carryOut(s *session, p *plan) (left, err error) {
	if err := s.hintOfStrangers(p, r.store); err != nil {
		return nil, err
	}
	o, asks := newOutcomes(s), s.job.account.FilterHeaders != nil
	if !asks { // otherwise it is not known yet
		o.planned(s.drop, p)
	}
	if err := s.mark(p.mark); err != nil {
		return nil, err
	}
	if err := o.skip(s.drop, p.skip); err != nil {
		return nil, err
	}
	r.history.intake.ends(p)
	var unasked error
	if asks {
		if unasked, err = s.ask(p); err != nil {
			return nil, err
		}
		o.planned(s.drop, p)
	}
	if len(p.retrieve) == 0 {
		return unasked, nil
	}
	if err := r.job.ledger.Ready(r.job.soft, len(p.retrieve)); err != nil {
		return nil, r.job.fail(PhaseState, err)
	}
	if err := r.job.checkClock(); err != nil {
		return nil, err
	}
	r.history.unfinished = true
	r.history.breaks.turn = r.history.breaks.turn || p.turn
	left, err = newTransfer(s, o, p.retrieve, &r.progress).run()
	return cmp.Or(left, unasked), err
}

// beginNotices passes on what earlier runs have told a person.
func (r *run) beginNotices() {
	if r.notices != nil && r.memory != nil {
		r.notices.Begin(r.job.account.Name, told(r.memory.standing))
	}
}

func told(st seen.Standing) Told { return Told{Lines: st.Told, At: st.ToldAt} }

// remind is beginNotices for a run that does not get the account's lock. If the ledger cannot be
// read, everything is told again, which is better than silence.
func (r *run) remind() {
	ledger, err := r.store.Look(r.job.soft, r.job.account.stateName(), r.job.account.Server, r.job.account.User)
	if err != nil {
		return
	}
	r.job.ledger = ledger
	r.memory, _ = recall(r.job, fetching)
	r.beginNotices()
}

// finished reports how the run ended, and keeps what was told for later runs. If that cannot be
// kept, later runs tell it again.
func (r *run) finished(err error) Result {
	r.job.result.Err = err
	if r.memory != nil {
		refused := r.memory.refusedUntil()
		r.job.result.NotBefore, r.job.result.RefusedUntil = r.history.notBefore, refused
		if refused.After(r.job.result.NotBefore) {
			r.job.result.NotBefore = refused
		}
	}
	r.job.event(Event{Kind: Finished, Messages: r.job.result.Delivered, Octets: r.job.result.Octets, Err: err})
	if r.notices != nil && r.memory != nil {
		_ = r.memory.change(func(st *seen.Standing) {
			kept := r.notices.End(r.job.account.Name, told(*st))
			st.Told, st.ToldAt = kept.Lines, kept.At
		})
	}
	return r.job.result
}

// hintOfStrangers warns, before the first run of an account retrieves everything, if the target
// holds mail of unknown origin. Perhaps another program has fetched this maildrop into it, or the
// state is lost and the server has changed. Mail that popfetch delivered for others is known.
func (s *session) hintOfStrangers(p *plan, store seen.Store) error {
	a, known := s.job.account, s.job.ledger.Account()
	if s.job.finder == nil || s.history.intake.begun || known.Records > 0 || known.Finished || known.Twin != "" ||
		a.Initial.Limited || a.All || s.drop.found || len(p.retrieve) == 0 {
		return nil
	}
	own, others, err := s.job.finder.Holds(s.job.soft)
	if errors.Is(err, deliver.ErrMissing) {
		return nil
	}
	if err != nil {
		return s.job.fail(PhaseTarget, err)
	}
	if own > 0 && others == 0 {
		all, err := store.Accounts(s.job.soft)
		if err != nil {
			return s.job.fail(PhaseState, err)
		}
		for _, other := range all {
			if other.Records > 0 {
				return nil
			}
		}
	}
	if own+others > 0 {
		s.job.warn(CodeUnrecognisedMail, "first run of this account, but its target already holds %d messages "+
			"that were not recognised; all %d on the server will be fetched, possibly again. %s",
			own+others, len(p.retrieve), a.howToFetchLess())
	}
	return nil
}

// howToFetchLess says how a first run fetches only what a person lacks.
func (a *Account) howToFetchLess() string {
	if a.State != "" { // it cannot be named
		return "To fetch only what is not there, stop, and write the account into a configuration file: " +
			"popfetch seen rebuild looks there"
	}
	dir := "DIR"
	if maildir, ok := deliver.MaildirOf(a.Target); ok {
		dir = maildir.Path()
	}
	return fmt.Sprintf("To fetch only what is not there, stop and run: %s. To fetch only new mail, stop and run: %s",
		a.command("seen", "rebuild", "--from-maildir", dir, a.Name), a.command("seen", "mark", "--all", a.Name))
}
