package fetch

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/popfetch/popfetch/fetch/policy"
	"github.com/popfetch/popfetch/internal/content"
	"github.com/popfetch/popfetch/seen"
)

// intake is what the sessions of one run share of its selection.
type intake struct {
	begun     bool // a session of the run has made its plan
	counted   bool // Result.New counts what this session retrieves
	firstDone bool // Policy.Initial has been applied to all that is listed
	taken     policy.Taken
	// Select.Only without those that were listed; nil: nothing was listed yet.
	unlisted map[string]bool
	rounds   int
	old      int // messages that were left out by date, and that nobody was told of yet

	before     Result // of earlier sessions
	unfinished bool   // messages are left to a further session
	limited    bool   // or to a later pass
}

// maxRounds limits the sessions that a pass opens to retrieve all it can.
const maxRounds = 10_000

// begin is called when a session begins.
func (p *intake) begin(r *Result) {
	p.before, p.unfinished, p.limited = *r, false, false
}

// ends is called when a session has its plan. The session leaves messages to others.
func (p *intake) ends(plan *plan) { p.unfinished, p.limited = len(plan.next) > 0, len(plan.wait) > 0 }

// recorded counts the messages that got their records.
func (r *Result) recorded() int {
	return r.Delivered + r.Recognised + r.Marked + r.Filtered.Dropped + r.Filtered.Discarded + r.Filtered.Left
}

// failed counts the messages that were refused.
func (r *Result) failed() int { return r.Failed + r.Quarantined }

// noteListed notes which of the named unique-ids are listed.
func (p *intake) noteListed(listing []seen.Entry, rules *SelectPolicy) {
	if rules.Only == nil {
		return
	}
	if p.unlisted == nil {
		p.unlisted = make(map[string]bool, len(rules.Only))
		for id := range rules.Only {
			p.unlisted[id] = true
		}
	}
	for i := range listing {
		delete(p.unlisted, listing[i].UniqueID)
	}
}

// goesOn reports whether the pass goes on with a further session, after one that has ended well. If
// a session records nothing, a further one would do the same.
func (h *history) goesOn(j *job) bool {
	p := &h.intake
	var now Result
	j.count(func(r *Result) { now = *r })
	progress := now.recorded() > p.before.recorded()
	drains := progress && j.account.Select.Drain && !p.limited
	goesOn := p.unfinished && (progress || now.failed() > p.before.failed()) || drains
	if !goesOn || j.soft.Err() != nil || p.rounds >= maxRounds {
		return false
	}
	p.rounds++
	p.counted, p.firstDone = false, p.unfinished
	h.sessions, h.delayed, h.crowded = 1, false, 0
	return true
}

// remember keeps which messages are settled, for later sessions of the run. With further, the session
// has ended well, and the ledger knows what it has recorded. Then a key may also stand for another
// message: after a deletion, the other copies of its unique-id move up.
func (h *history) remember(d *maildrop, further, all bool) {
	for it := range d.all() {
		if !it.is(isSettled) {
			continue
		}
		if _, known := h.settled[it.Key]; !known && it.fate() != isOld {
			h.intake.taken.Add(it.Octets)
		}
		if !further || all || it.fate() != isRecorded || it.is(isCheck) {
			h.settled[it.Key] = it.fate()
		}
	}
	if !further {
		return
	}
	for it := range d.all() {
		if !it.is(isDeleted) {
			continue
		}
		for copy := range max(1, len(d.copies[it.UniqueID])) {
			key := seen.Key{UniqueID: it.UniqueID, Copy: copy}
			if _, settled := h.settled[key]; settled && all {
				h.settled[key] = isNew // the next run retrieves it
			} else {
				delete(h.settled, key)
			}
		}
	}
}

// planned reports what is to be retrieved, and counts what is left alone. After a session that
// failed, a further one retrieves what that has counted.
func (o *outcomes) planned(d *maildrop, p *plan) {
	pass := &o.history.intake
	if !pass.counted {
		o.job.count(func(r *Result) { r.New += len(p.retrieve) + len(p.later) })
	}
	pass.begun, pass.counted, pass.firstDone = true, true, true
	o.job.count(func(r *Result) { r.Waiting, r.LeftOut = len(p.wait), len(p.leftOut) })
	var octets int64
	for it := range d.items(p.retrieve) {
		octets += it.Octets
	}
	for it := range d.items(p.next) {
		octets += it.Octets
		it.set(isWaiting)
	}
	for it := range d.items(p.wait) {
		it.set(isWaiting)
	}
	if pass.old > 0 {
		since := o.job.account.Select.Cutoff(o.job.now())
		o.job.event(Event{Kind: LeftOut, Messages: pass.old,
			Err: fmt.Errorf("sent before %s, as since says", since.Local().Format(time.DateOnly))})
		pass.old = 0
	}
	o.job.event(Event{Kind: Listed, Messages: len(p.retrieve) + len(p.next), Octets: octets})
	for it := range d.items(p.quarantined) {
		o.countQuarantined(it.Key)
	}
}

// tellUnlisted warns of each named unique-id that no session of the run has found listed.
func (j *job) tellUnlisted(h *history) {
	unlisted := h.intake.unlisted
	ids := make([]string, 0, len(unlisted))
	for id := range unlisted {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	j.count(func(result *Result) { result.Unlisted = len(ids) })
	for _, id := range ids {
		j.event(Event{Kind: Warning, Code: CodeNotListed, UniqueID: id,
			Err: fmt.Errorf("unique-id %q: the server lists no such message", id)})
	}
}

// knowsDates reports whether the date of any listed message is remembered.
func (d *maildrop) knowsDates() bool {
	return slices.ContainsFunc(d.states, func(s state) bool { return s.flags&isDated != 0 })
}

// datesAtOnce is how many remembered dates are read at once.
const datesAtOnce = 2 * chunk

// recallDates decides on the messages whose Date an earlier run has asked for. The dates come in
// parts, because they may be those of a whole maildrop.
func (s *session) recallDates() error {
	rules := &s.job.account.Select
	if !rules.ByDate() {
		return nil
	}
	d, cutoff := s.drop, s.cutoff()
	var order []int32 // the new messages by key
	for behind := (seen.Key{}); ; {
		old, err := s.job.ledger.Old(s.job.soft, behind, datesAtOnce)
		if err != nil {
			return s.job.fail(PhaseState, err)
		}
		if len(old) == 0 {
			return nil
		}
		if behind == (seen.Key{}) {
			order = d.newByKey()
		}
		for i := range old {
			behind = old[i].Key
			for len(order) > 0 && d.listing[order[0]].Key.Compare(behind) < 0 {
				order = order[1:]
			}
			if len(order) == 0 || d.listing[order[0]].Key != behind || seen.Differ(d.listing[order[0]].Octets, old[i].Listed) {
				continue
			}
			it := d.item(order[0])
			it.set(isDated)
			if old[i].Dated.Before(cutoff) {
				it.decide(isLeftOut)
			}
		}
	}
}

// cutoff is the time before which a message was sent too long ago.
func (s *session) cutoff() time.Time { return s.job.account.Select.Cutoff(s.job.now()) }

// newByKey returns the indexes of the new messages in the order of their keys.
func (d *maildrop) newByKey() []int32 {
	order := make([]int32, 0, d.count(isNew))
	for i := range d.states {
		if d.states[i].fate == isNew {
			order = append(order, int32(i))
		}
	}
	slices.SortFunc(order, func(a, b int32) int { return d.listing[a].Key.Compare(d.listing[b].Key) })
	return order
}

// leaveOutByDate asks for the headers of new messages, and leaves out those that were sent too long
// ago. It notes their dates, so that TOP is asked once for each. It asks for as many headers as the
// pass, or the session, may retrieve messages. A message whose date is unknown is retrieved.
func (s *session) leaveOutByDate() error {
	rules := &s.job.account.Select
	if !rules.ByDate() {
		return nil
	}
	next, stop := iter.Pull(s.judgedByDate())
	defer stop()
	it, more := next()
	if more && !s.hasTop() {
		s.warnOfNoDates()
		return nil
	}
	s.asksDates = true
	defer func() { s.asksDates = false }()
	total := s.history.intake.taken
	for first := total.Messages; more; {
		var part []item
		allowed := total // if each of the part is to be retrieved
		for more && len(part) < chunk && rules.Allows(allowed, it.Octets) && (rules.Session <= 0 || allowed.Messages-first < rules.Session) {
			allowed.Add(it.Octets)
			part = append(part, it)
			it, more = next()
		}
		if len(part) == 0 {
			return nil
		}
		if err := s.askDates(part); err != nil {
			return err
		}
		for _, it := range part {
			if it.fate() == isNew {
				total.Add(it.Octets)
			}
		}
	}
	return nil
}

// judgedByDate yields the messages that are to be retrieved unless they are too old, in the order in
// which they would be. Once a message was tried, it is tried again whatever its age.
func (s *session) judgedByDate() iter.Seq[item] {
	d, n := s.drop, int32(len(s.drop.listing))
	return func(yield func(item) bool) {
		for i := range n {
			if s.job.account.Newest {
				i = n - 1 - i
			}
			it := d.item(i)
			reason := it.reason()
			if it.fate() == isNew && (reason == 0 || reason == seen.TooLarge) && !s.history.isSettled(it) &&
				!s.job.account.tooLarge(it.Octets) && !it.provedTooLarge(s.job.account.MaxSize) && !yield(it) {
				return
			}
		}
	}
}

// askDates decides on messages by the dates in their headers, and notes the dates of those that are
// left out.
func (s *session) askDates(part []item) error {
	undated := func(yield func(item) bool) {
		for _, it := range part {
			if !it.is(isDated) && !yield(it) {
				return
			}
		}
	}
	cutoff, answers := s.cutoff(), 0
	var asides []seen.Aside
	err := s.headers(undated, func(it item, h *content.Header) {
		answers++
		it.set(isDated)
		at, ok := h.Written()
		if !ok || !at.Before(cutoff) {
			return
		}
		it.decide(isLeftOut)
		if _, unrecorded := slices.BinarySearch(s.drop.diff.New, int(it.index)); unrecorded || it.reason() == seen.TooLarge {
			asides = append(asides, seen.Aside{Key: it.Key, Reason: seen.Old, Listed: it.Octets, Last: s.job.now(), Dated: at})
		}
	})
	if err != nil {
		return err
	}
	if answers == 0 && s.client.Capabilities() == nil && len(part) > 0 {
		s.warnOfNoDates()
	}
	if len(asides) == 0 {
		return nil
	}
	if err := s.job.record(seen.Changes{Asides: asides}); err != nil {
		return err
	}
	s.history.intake.old += len(asides)
	return nil
}

func (s *session) warnOfNoDates() {
	s.job.warn(CodeSinceDates, "the server has no TOP, or shows nothing of some messages by it, "+
		"and nothing else could tell how old its messages are: since is left aside")
}
