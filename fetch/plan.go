package fetch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// plan is what a run will do with the messages of a maildrop, as a value. It is computed without
// any input or output, after everything has been learnt about the messages. Its lists hold indexes
// of the listing, because one of them may be the whole of a large maildrop.
type plan struct {
	retrieve    []int32 // in the order in which RETR is sent
	later       []int32 // in a further session, because sessions end at them
	turn        bool    // there is nothing to retrieve but those
	recognised  []int32 // held by the target already: recorded, not retrieved
	skip        []int32 // larger than the account's limit
	mark        []int32 // left out of the first run: recorded as marked, not retrieved
	quarantined []int32 // left alone
	seen        int     // listed and recorded, so not retrieved
}

// makePlan decides what becomes of each listed message.
func makePlan(d *maildrop, policy *Policy, h *history) *plan {
	p := &plan{seen: d.count(isSeen), retrieve: make([]int32, 0, len(d.diff.New))}
	ranked := policy.Newest // the order of the listing is not enough
	for it := range d.all() {
		switch {
		case it.fate() == isSeen:
		case it.fate() == isRecorded:
			p.recognised = append(p.recognised, it.index)
		case it.fate() == isOld:
			p.mark = append(p.mark, it.index)
		case it.is(isAside) && it.reason() == seen.Quarantined && !policy.All:
			p.quarantined = append(p.quarantined, it.index)
		case policy.tooLarge(it.Octets), it.provedTooLarge(policy.MaxSize):
			p.skip = append(p.skip, it.index)
		case h.breaks.turn && h.rank(it) == refusedBefore: // it waits for the next run
		case !h.isSettled(it):
			p.retrieve = append(p.retrieve, it.index)
			ranked = ranked || h.rank(it) != usual
		}
	}
	if ranked {
		slices.SortFunc(p.retrieve, func(a, b int32) int { return h.compare(d.item(a), d.item(b), policy.Newest) })
	}
	p.holdBack(d, policy, h)
	return p
}

// holdBack leaves the messages at which sessions end to a further session, if something may be
// deleted in this one. Otherwise nothing would ever be deleted.
func (p *plan) holdBack(d *maildrop, policy *Policy, h *history) {
	n := len(p.retrieve)
	for n > 0 && h.rank(d.item(p.retrieve[n-1])) == breaking {
		n--
	}
	p.turn = n == 0 && len(p.retrieve) > 0
	if n == len(p.retrieve) || h.breaks.turn || !policy.Delete.Enabled {
		return
	}
	deletes := n > 0 && policy.Delete.After == 0
	for i := range d.states {
		deletes = deletes || d.item(int32(i)).removable()
	}
	if deletes {
		p.retrieve, p.later, p.turn = p.retrieve[:n], p.retrieve[n:], false
	}
}

// The ranks of messages that are to be retrieved. Messages that need a second look come first, on a
// new connection. Messages that were refused before come last, so that they hold up nothing else,
// and behind them those at which sessions end.
const (
	again = iota
	usual
	refusedBefore
	breaking
)

// compare orders messages that are to be retrieved. Those that came last for some reason before take
// turns, so that some that fail again and again do not hold up the others.
func (h *history) compare(a, b item, newest bool) int {
	order := cmp.Compare(a.index, b.index)
	if newest {
		order = -order
	}
	rank := h.rank(a)
	if order := cmp.Compare(rank, h.rank(b)); order != 0 {
		return order
	}
	if rank >= refusedBefore {
		return cmp.Or(a.before().Last.Compare(b.before().Last), order)
	}
	return order
}

func (h *history) rank(it item) int {
	switch {
	case len(h.suspects) > 0 && h.suspects[it.Key] != nil:
		return again
	case it.breaks():
		return breaking
	case it.before() != nil && it.reason() != seen.Chosen: // perhaps another message; the order needs no proof
		return refusedBefore
	}
	return usual
}

// provedTooLarge reports whether an earlier run found the message larger than this limit, and LIST
// still announces the same octets.
func (it item) provedTooLarge(limit int64) bool {
	return limit > 0 && it.reason() == seen.TooLarge &&
		it.before().MaxSize == limit && it.before().Listed == it.Octets
}

// removable reports whether the message might be deleted: this session has recorded it, or has
// found it to be a recorded one.
func (it item) removable() bool {
	return it.fate() == isRecorded || it.fate() == isSeen && it.identified()
}

// candidate is a listed message that might be deleted, with all that is known of it.
type candidate struct {
	item    item
	records recordsOf // of its unique-id, all copies, read back from the ledger
	// Listed messages with its unique-id and digest, itself included; an unknown digest counts.
	alike int
}

// recordsOf are the records of one unique-id, by key and by digest.
type recordsOf struct {
	byKey    map[seen.Key]*seen.Record
	byDigest map[seen.Digest][]*seen.Record
	only     *seen.Record // nil if there are several
}

func newRecordsOf(records []seen.Record) recordsOf {
	r := recordsOf{make(map[seen.Key]*seen.Record, len(records)), make(map[seen.Digest][]*seen.Record, len(records)), nil}
	if len(records) == 1 {
		r.only = &records[0]
	}
	for i := range records {
		one := &records[i]
		r.byKey[one.Key] = one
		r.byDigest[one.Digest] = append(r.byDigest[one.Digest], one)
	}
	return r
}

// planDeletion selects the candidates that may be deleted now. The records decide. A message that
// was retrieved in this session needs a record of kind Delivered. For an older record, the header
// digest must also show that it is this message. An imported record gets its digest when it is due;
// see judgeRecorded. Unique-ids get reused, and a wrong DELE cannot be undone. asOf is the time for
// which the policy is asked; see DeletePolicy.asOf.
func planDeletion(candidates []candidate, policy DeletePolicy, asOf time.Time) []item {
	if !policy.Enabled {
		return nil
	}
	chosen := make([]item, 0, len(candidates))
	for i := range candidates {
		r := candidates[i].record()
		if r != nil && policy.covers(r.Kind) && policy.isDue(r.DeliveredAt, asOf) {
			chosen = append(chosen, candidates[i].item)
		}
	}
	return chosen
}

// record returns the record that certainly belongs to the listed message, or nil.
func (c *candidate) record() *seen.Record {
	if c.item.fate() == isRecorded {
		return c.records.byKey[c.item.Key]
	}
	matches := c.records.byDigest[c.item.digest()]
	if adopts(c.item, c.records.only) && c.alike == 1 { // a look does not record the digest
		return c.records.only
	}
	if !c.item.identified() || len(matches) != 1 || c.alike != 1 {
		return nil
	}
	return matches[0]
}

// A clock may be wrong, and only what other runs noted can show it.
const (
	// clockSlack is how far a clock may stand before a time that has certainly passed.
	clockSlack = 24 * time.Hour
	// holdTime is how long deletions by age wait after a gap between runs.
	holdTime = time.Hour
)

// isDoubtful reports whether a clock is clearly wrong: it stands before the newest record, or before
// the program was made.
func isDoubtful(now, newest, made time.Time) bool {
	now = now.Add(clockSlack)
	return now.Before(newest) || now.Before(made)
}

// covers reports whether messages with such a record are deleted.
func (p DeletePolicy) covers(kind seen.Kind) bool {
	return kind == seen.Delivered || kind == seen.Imported && p.Imported
}

// byAge reports whether messages are deleted some time after their delivery.
func (p DeletePolicy) byAge() bool { return p.Enabled && p.After > 0 }

// isDue reports whether a delivered message may be deleted at the time asOf. An unknown time of
// delivery has no age.
func (p DeletePolicy) isDue(deliveredAt, asOf time.Time) bool {
	return !p.byAge() || !deliveredAt.IsZero() && !deliveredAt.Add(p.After).After(asOf)
}

// due returns the latest delivery that is due at the time asOf; zero: none is.
func (p DeletePolicy) due(asOf time.Time) time.Time {
	switch {
	case !p.Enabled || p.byAge() && asOf.IsZero():
		return time.Time{}
	case !p.byAge():
		return seen.AnyTime
	}
	return asOf.Add(-p.After)
}

// asOf returns the time for which the age of messages is judged. Usually this is now. But if more
// time than the rule allows has passed since the last run, the clock may have jumped, or the machine
// was off. Nobody then had the time in which the messages were to stay on the server. So nothing is
// due, until a run that comes at least holdTime later. After a gap in each interval, what was due at
// the last run is due.
//
// held is since when deletions wait; the result has its new value. The zero time is none or never.
func (p DeletePolicy) asOf(now, last, held time.Time) (asOf, newHeld time.Time) {
	gap := !last.IsZero() && now.Sub(last) > p.After+min(p.After/8, holdTime) // a daily run may come late
	switch {
	case !p.byAge():
		return now, held
	case !held.IsZero() && now.Sub(held).Abs() < holdTime:
		return time.Time{}, held
	case gap && held.IsZero():
		return time.Time{}, now
	case gap:
		return last, now
	}
	return now, time.Time{}
}

// isStale reports whether the time of the last run that was kept is too old. It is not written in
// each run, because that would cost a sync.
func (p DeletePolicy) isStale(ranAt, now time.Time) bool {
	return now.Sub(ranAt).Abs() > min(p.After/8, 24*time.Hour)
}

// remove sends DELE for the messages that the account's policy and the records allow, after the
// transfer (behaviour 28: deliver, record, only then DELE). It returns how many were accepted, and
// marks them by isDeleted; only the reply to QUIT confirms that. A refused DELE is not repeated in
// this session (C0026). One warning tells of all of them.
func (s *session) remove() (deleted int, err error) {
	if !s.job.account.Delete.Enabled {
		return 0, nil
	}
	undone, loses := 0, s.quitLoses()
	var refused refusedDeletions
	err = s.drop.groups(item.removable, func(part []item) error {
		if s.job.soft.Err() != nil { // the next run deletes them
			return s.job.fail(PhaseDelete, fmt.Errorf("stopped with messages still to delete: %w", context.Cause(s.job.soft)))
		}
		candidates, err := s.candidates(part)
		if err != nil {
			return err
		}
		chosen := slices.DeleteFunc(planDeletion(candidates, s.job.account.Delete, s.drop.asOf),
			func(it item) bool { return s.history.breaks.undeletable[it.Key] })
		if loses { // no QUIT will carry it out
			undone += len(chosen)
			return nil
		}
		accepted, err := s.sendDele(chosen, &refused)
		deleted += accepted
		return err
	})
	if refused.n > 0 {
		s.job.warn(CodeDeleteRefused, "delivered messages that the server does not delete: %d; message %w", refused.n, refused.first)
	}
	if undone > 0 && err == nil {
		err = s.job.fail(PhaseDelete, fmt.Errorf("%d delivered messages are not deleted: %w", undone, errNoQuit))
	}
	return deleted, err
}

// candidates reads what the ledger has about the messages.
func (s *session) candidates(part []item) ([]candidate, error) {
	all, err := s.job.records(uniqueIDs(part))
	if err != nil {
		return nil, err
	}
	candidates := make([]candidate, 0, len(part))
	for copies := range byID(part) {
		records := newRecordsOf(all[copies[0].UniqueID])
		alike := likeIt(copies)
		for _, it := range copies {
			if it.removable() {
				candidates = append(candidates, candidate{item: it, records: records, alike: alike(it.digest())})
			}
		}
	}
	return candidates, nil
}

// refusedDeletions are the messages whose DELE was refused.
type refusedDeletions struct {
	n     int
	first error
}

// sendDele marks messages as deleted, pipelined. It returns how many were accepted, and adds those
// that were not to refused.
func (s *session) sendDele(items []item, refused *refusedDeletions) (accepted int, err error) {
	numbers := func(yield func(int) bool) {
		for _, it := range items {
			if s.job.hard.Err() != nil || !yield(it.Number) {
				return
			}
		}
	}
	next := 0
	for n, err := range s.client.Dele(s.job.hard, numbers) {
		switch {
		case err == nil:
			items[next].set(isDeleted)
			accepted++
		case isReply(err):
			refused.n++
			if refused.first == nil {
				refused.first = fmt.Errorf("%d: %w", n, err)
			}
		default:
			if next < len(items) && !isOutOfStep(err) { // an unanswered DELE, and no reply that is not its own
				s.history.breaks.at(atDELE, items[next].Entry)
			}
			return accepted, s.job.fail(PhaseDelete, fmt.Errorf("message %d: %w", n, err))
		}
		next++
	}
	return accepted, nil
}
