package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/popfetch/popfetch/fetch/custody"
	"github.com/popfetch/popfetch/fetch/policy"
	"github.com/popfetch/popfetch/internal/content"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/refusals"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// memory is what earlier runs found out about the server, and what this one adds. It is read once a
// run and changed in one place. The ledger keeps it as the account's standing.
type memory struct {
	job      *job
	standing seen.Standing // as the ledger has it, as far as this run knows
	kept     bool          // the ledger keeps the standing of this account, server and user
	purpose  purpose
	pace     pace

	watch     *custody.Watch // nil before the rule Removed first needs it
	shortfall int            // see content.Setting; grows during the run
	announced string         // what the server announced to an earlier run; see login.Remember
}

// purpose says what a log-in is for.
type purpose uint8

const (
	fetching  purpose = iota // a run
	looking                  // a look, which keeps only the results of log-ins
	checking                 // a look for a person who wants to know whether the log-in works
	searching                // a look that finds out what the target holds, for whoever records it
)

// recall reads the standing. A look may come before the first run, or before the first one with
// another server or user. Then nothing is known.
func recall(j *job, purpose purpose) (*memory, error) {
	known := j.ledger.Account()
	m := &memory{job: j, purpose: purpose}
	m.kept = !known.Since.IsZero() && known.Server == j.account.Server && known.User == j.account.User
	if !m.kept {
		return m, nil
	}
	st, err := j.ledger.Standing(j.soft)
	if err != nil {
		return nil, j.fail(PhaseState, err)
	}
	m.standing, m.shortfall = st, st.Shortfall
	if purpose == fetching {
		m.announced = st.Announced
	}
	m.pace = newPace(st, j.now())
	m.recallBound()
	return m, nil
}

// change keeps what was found out about the server, even while the run is being stopped. If nothing
// changes, the table is not touched.
func (m *memory) change(edit func(*seen.Standing)) error {
	if !m.kept {
		return nil
	}
	st := m.standing
	if edit(&st); st.Equal(m.standing) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.job.hard), recordTimeout)
	defer cancel()
	err := m.job.ledger.ChangeStanding(ctx, func(kept *seen.Standing) { // a look may have changed it
		edit(kept)
		st = *kept
	})
	if err != nil {
		return m.job.fail(PhaseRecord, err)
	}
	m.standing = st
	return nil
}

// judgeAge returns the time for which the age of messages is judged now (see policy.Delete.AsOf). If
// deletions by age wait, until is when that ends. It keeps that a run takes place now, and then looks
// whether the clock can be right.
func (m *memory) judgeAge(now time.Time) (asOf, until time.Time, err error) {
	rules, st, last := &m.job.account.Delete, m.standing, m.job.ledger.Account().FinishedAt
	if st.RanAt.After(last) {
		last = st.RanAt
	}
	asOf, held := rules.AsOf(now, last, st.HeldAt)
	if m.purpose == fetching && rules.ByAge() && (!held.Equal(st.HeldAt) || rules.IsStale(st.RanAt, now)) {
		err = m.change(func(st *seen.Standing) { st.RanAt, st.HeldAt = now, held })
		if err == nil {
			err = m.job.checkClock()
		}
	}
	return asOf, held.Add(policy.HoldTime), err
}

// expected returns what the server announced to an earlier run, as far as the log-in depends on it;
// nil: unknown. If it is known, CAPA needs no round trip of its own.
func (m *memory) expected() pop3.Capabilities {
	if !m.pipelines() {
		return nil
	}
	return login.Expected(m.announced, m.job.account.POP3.TLS)
}

// expectNothing forgets what the server announced, because it has changed. If that cannot be noted,
// a later run finds it out again.
func (m *memory) expectNothing() {
	m.announced = ""
	_ = m.change(func(st *seen.Standing) { st.Announced = "" })
}

// Some servers announce PIPELINING and break it (behaviour 39, R2449-3): the session gets out of
// step, or ends. Then the run goes on with one command at a time. If that works, pipelining was the
// cause, which is remembered for some weeks. If a session ended between two replies, the cause may
// also be the network or a restart. That is remembered for a day, and for weeks if it happens again.
// No sound server sends an invalid reply, or a message that differs when asked for alone.
const (
	lockstepFor      = 4 * 7 * 24 * time.Hour
	lockstepForDoubt = 24 * time.Hour
)

// pace says whether a server gets one command at a time, and why.
type pace struct {
	lockstep     bool  // one command at a time
	fellBack     error // why, if this run found it out and it is not remembered yet
	brokenBefore bool  // the server broke pipelining some time ago
}

func newPace(st seen.Standing, now time.Time) pace {
	p := pace{brokenBefore: !st.LockstepSince.IsZero()}
	since := now.Sub(st.LockstepSince)
	p.lockstep = p.brokenBefore && since < lockstepFor && since > -lockstepFor // no clock was that wrong
	return p
}

// pipelines reports whether commands are pipelined in this run.
func (m *memory) pipelines() bool { return !m.pace.lockstep && m.job.account.POP3.Window != 1 }

// fallBack is blame if err may come from pipelining, and reports whether it is. It is so only once.
func (m *memory) fallBack(err error) bool {
	if !errors.Is(err, pop3.ErrPipelining) || !m.pipelines() {
		return false
	}
	m.blame(err)
	return true
}

// blame makes the run go on with one command at a time: evidence shows broken pipelining.
func (m *memory) blame(evidence error) {
	if m.pipelines() {
		m.pace.lockstep, m.pace.fellBack = true, evidence
	}
}

// settlePace is called after a successful session that retrieved so many messages. It remembers
// what the session has shown about the server's pipelining.
func (m *memory) settlePace(retrieved int) error {
	p := &m.pace
	since := time.Time{}
	switch {
	case p.fellBack != nil:
		since = m.job.now()
		if mayBeNetwork(p.fellBack) && !p.brokenBefore {
			since = since.Add(lockstepForDoubt - lockstepFor)
		}
		m.job.warn(CodePipeliningBroken, "the server announces PIPELINING and breaks it, "+
			"so that it gets one command at a time until %s: %w",
			since.Add(lockstepFor).Format(time.DateOnly), p.fellBack)
		p.fellBack, p.brokenBefore = nil, true
	case !p.brokenBefore || !m.pipelines() || retrieved < 2:
		return nil
	}
	return m.change(func(st *seen.Standing) { st.LockstepSince = since })
}

// mayBeNetwork reports whether the network may have been the cause.
func mayBeNetwork(err error) bool {
	var protocol *pop3.ProtocolError
	return errors.Is(err, pop3.ErrPipelining) && !errors.As(err, &protocol)
}

// recallBound tells the host what an earlier run has found out. A later time than now was noted while
// the clock was wrong.
func (m *memory) recallBound() {
	if st := m.standing; !st.HostAt.After(m.job.now()) {
		m.job.host.Recall(st.HostSessions, st.HostAt)
	}
}

// keepBound keeps for later runs what this process has found out. If that cannot be noted, they find
// it out again.
func (m *memory) keepBound() {
	if sessions, at := m.job.host.Bound(); at.After(m.standing.HostAt) {
		_ = m.change(func(st *seen.Standing) { st.HostSessions, st.HostAt = sessions, at })
	}
}

// maxFurther limits the sessions that a run opens after its first.
const maxFurther = 10

// history is what a run carries from one of its sessions to the next.
type history struct {
	sessions int
	delayed  bool // a further session was refused as too early, and waits once
	crowded  int  // how often a session was refused, perhaps because of others
	// A log-in was refused so, and is repeated once.
	sentAgain bool
	intake    intake
	// The run has begun to deliver, and no session has finished since.
	unfinished  bool
	suspects    map[seen.Key]*suspicion     // messages that need a second look
	settled     map[seen.Key]fate           // delivered, refused or quarantined by an earlier session
	quarantined map[seen.Key]bool           // messages that are quarantined, each counted once
	unproved    map[seen.Key]content.Extent // messages whose second look proved nothing
	silent      map[int]int                 // by message-number, how often a look at it showed nothing
	leftOut     map[int]bool                // by message-number, the messages without an id that were told
	notBefore   time.Time                   // the earliest next log-in that the server announces
	breaks      breaks
	refusals    *refusals.Tally // nil before the first transfer
}

func newHistory() *history {
	return &history{
		suspects:    make(map[seen.Key]*suspicion),
		settled:     make(map[seen.Key]fate),
		quarantined: make(map[seen.Key]bool),
		unproved:    make(map[seen.Key]content.Extent),
		silent:      make(map[int]int),
		leftOut:     make(map[int]bool),
		breaks:      breaks{undeletable: make(map[seen.Key]bool)},
	}
}

// adapt changes how the run goes on, so that a further session can do what is left after err. It
// reports whether there is to be one.
func (h *history) adapt(err error, m *memory) bool {
	if err == nil || m.job.soft.Err() != nil || h.sessions > maxFurther {
		return false
	}
	if errors.Is(err, pop3.ErrUnexpected) {
		m.expectNothing()
		return true
	}
	if h.sessions > 1 && !h.delayed && m.delayed(err) {
		h.delayed = true
		return true
	}
	var suspect *suspectError
	return m.fallBack(err) || errors.As(err, &suspect) || errors.Is(err, errLoggedOut)
}

// suspicion is what a run knows of a message that may have come only in part.
type suspicion struct {
	octets int64 // as they came; -1: unknown
}

// suspectError says that a message is suspect or cut, so that the session cannot go on.
type suspectError struct {
	number int
	why    string
}

func (e *suspectError) Error() string {
	return fmt.Sprintf("message %d may be cut: %s", e.number, e.why)
}

// goOn reports whether a further session is to do what a message has held up: the session has ended
// at it, or has put it off.
func (h *history) goOn(err error, d *maildrop, m *memory) bool {
	b := &h.breaks
	if m.job.soft.Err() != nil || h.sessions > maxFurther {
		return false
	}
	b.n[b.where]++
	atID := b.where == atLook && b.entry.UniqueID == "" // told by leaveOut, if that costs the message
	if b.where != nowhere && !atID || b.ended {
		b.err = cmp.Or(b.err, err)
	}
	switch {
	case b.ended && !b.turn:
		b.turn, b.putOff = true, h.breaking(d)
		return len(b.putOff) > 0
	case b.where == atDELE:
		b.undeletable[b.entry.Key] = true
		m.pace.fellBack = nil // one command at a time did not help
		return true
	case b.where == atLook:
		h.silent[b.entry.Number]++
		m.pace.fellBack = nil
		return true
	case b.where == atRETR && b.turn:
		h.settled[b.entry.Key] = isNew
		return b.n[atRETR] < mostBreaks && len(h.breaking(d)) > 0
	case b.turn && len(d.listing) == 0: // the server lets nobody in again so soon
		m.notPutOff(b.putOff)
	}
	return false
}

// notPutOff makes the next run retrieve the messages that this one has put off in vain, in its first
// session. Otherwise they might wait for ever. The ledger keeps the reason of one that is wanted
// again, and its text would have it put off.
func (m *memory) notPutOff(asides []seen.Aside) {
	for i := range asides {
		a := &asides[i]
		if a.Reason == seen.Wanted {
			a.Text = ""
		}
		a.Reason, a.Count, a.Since = seen.Refused, 0, m.job.now()
	}
	if len(asides) > 0 {
		_ = m.job.record(seen.Changes{Asides: asides}) // if that fails, they are put off again
	}
}

// breaking returns what is known of the messages at which earlier sessions have ended, and which
// this run has not tried yet.
func (h *history) breaking(d *maildrop) (all []seen.Aside) {
	if len(d.asides) == 0 { // nearly always, and there may be millions of messages
		return nil
	}
	for it := range d.all() {
		if it.breaks() && it.fate() == isNew && !it.is(isSettled|isWaiting) && !h.isSettled(it) {
			all = append(all, *it.before())
		}
	}
	return all
}

// isSettled reports whether an earlier session of the run has settled the message.
func (h *history) isSettled(it item) bool {
	if len(h.settled) == 0 { // nearly always, so it must be cheap
		return false
	}
	_, settled := h.settled[it.Key]
	return settled
}

// errLoggedOut says that the server has ended an idle session. A further one goes on.
var errLoggedOut = errors.New("the server has ended the session while messages were being delivered")
