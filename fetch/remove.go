package fetch

import (
	"context"
	"fmt"
	"slices"

	"github.com/popfetch/popfetch/fetch/custody"
	"github.com/popfetch/popfetch/fetch/policy"
	"github.com/popfetch/popfetch/seen"
)

// findDue marks the messages that a rule other than age may delete, so that they are identified. Only
// those are looked up that may be meant. It also finds out which of the last listed messages stay.
func (s *session) findDue() error {
	rules, d := &s.job.account.Delete, s.drop
	if !rules.Removed {
		if err := s.forgetWatch(); err != nil {
			return err
		}
	}
	if rules.Keep {
		return nil
	}
	if err := s.noteStaying(); err != nil || s.job.account.All {
		return err
	}
	gone := func(item) bool { return false }
	if rules.Removed && !rules.All {
		if err := s.watch(); err != nil {
			return err
		}
		gone = func(it item) bool { return s.removal != nil && !s.removal.HasToken(s.job.token(it.Entry)) }
	}
	wanted := func(it item) bool {
		if it.fate() != isSeen || it.is(isDue) || !s.job.account.Select.Names(it.UniqueID) {
			return false
		}
		return d.discarded[it.UniqueID] || s.isNamed(it) ||
			!it.stays() && (rules.MayBeLarger(it.Octets) || gone(it))
	}
	var due []int
	err := d.groups(wanted, func(part []item) error {
		part = slices.DeleteFunc(slices.Clone(part), func(it item) bool { return !wanted(it) })
		records, err := s.job.records(uniqueIDs(part))
		if err != nil {
			return err
		}
		for _, it := range part {
			if s.mayFall(it, records[it.UniqueID]) {
				it.set(isDue)
				due = append(due, int(it.index))
			}
		}
		return nil
	})
	d.diff.AddDue(d.listing, due...)
	return err
}

// mayFall reports whether a rule may delete a listed message with one of these records.
func (s *session) mayFall(it item, records []seen.Record) bool {
	for i := range records {
		r := &records[i]
		if !r.DeletedAt.IsZero() {
			continue
		}
		if s.isRemoved(r) {
			it.set(isGone)
		}
		if s.ruleOf(it, r) != policy.None {
			return true
		}
	}
	return false
}

// ruleOf returns the rule by which the message of a record is deleted now.
func (s *session) ruleOf(it item, r *seen.Record) policy.Rule {
	if !s.job.account.Select.Names(it.UniqueID) {
		return policy.None
	}
	return s.job.account.Delete.Rule(&policy.Message{
		Kind: r.Kind, Octets: it.Octets, DeliveredAt: r.DeliveredAt,
		Newest: it.stays(), Named: s.isNamed(it), Removed: it.is(isGone),
	}, policy.Clock{Now: s.job.now(), AsOf: s.drop.asOf})
}

// isNamed reports whether somebody has named the unique-id of a message, and said to delete it.
func (s *session) isNamed(it item) bool {
	return s.job.account.Delete.All && s.job.account.Select.Only[it.UniqueID]
}

// noteStaying finds out which messages were discarded, and from which index on messages stay. What
// was discarded does not count among these.
func (s *session) noteStaying() error {
	ids, err := s.job.ledger.Discarded(s.job.soft)
	if err != nil {
		return s.job.fail(PhaseState, err)
	}
	d, stay := s.drop, s.job.account.Delete.Keeps()
	d.discarded = make(map[string]bool, len(ids))
	for _, id := range ids {
		d.discarded[id] = true
	}
	d.staying = policy.Staying(len(d.listing), stay, func(i int) bool { return d.discarded[d.listing[i].UniqueID] })
	return nil
}

// stays reports whether the message is one of the newest ones that are not deleted.
func (it item) stays() bool { return int(it.index) >= it.drop.staying }

// removable reports whether the message might be deleted: this session has recorded it, or has
// found it to be a recorded one.
func (it item) removable() bool {
	return it.fate() == isRecorded || it.fate() == isSeen && it.identified()
}

// candidate is a listed message that might be deleted, with all that is known of it.
type candidate struct {
	item    item
	records policy.Records // of its unique-id, all copies, read back from the ledger
	// Listed messages with its unique-id and digest, itself included; an unknown digest counts.
	alike int
	named bool // somebody has named its unique-id
}

// doomed is a message that is to be deleted, its record, and the rule.
type doomed struct {
	item   item
	record *seen.Record
	rule   policy.Rule
}

// planDeletion selects the candidates that may be deleted now. The records decide. A message that
// was retrieved in this session needs a record. For an older record, the header digest must also
// show that it is this message. An imported record gets its digest when it is due; see
// judgeRecorded.
func planDeletion(candidates []candidate, ruleOf func(item, *seen.Record) policy.Rule) []doomed {
	chosen := make([]doomed, 0, len(candidates))
	for i := range candidates {
		r := candidates[i].record()
		if r == nil {
			continue
		}
		if rule := ruleOf(candidates[i].item, r); rule != policy.None {
			chosen = append(chosen, doomed{candidates[i].item, r, rule})
		}
	}
	return chosen
}

// record returns the record that certainly belongs to the listed message, or nil.
func (c *candidate) record() *seen.Record {
	return c.records.Of(&policy.Evidence{
		Key: c.item.Key, Digest: c.item.digest(), Recorded: c.item.fate() == isRecorded,
		Adopts: adopts(c.item, c.records.Only()), Named: c.named, Alike: c.alike,
	})
}

// remove sends DELE for the messages that the account's rules and the records allow, after the
// transfer (behaviour 28: deliver, record, only then DELE). It returns how many were accepted, and
// marks them by isDeleted; only the reply to QUIT confirms that. A refused DELE is not repeated in
// this session (C0026). One warning tells of all of them.
func (s *session) remove() (deleted int, err error) {
	if s.job.account.Delete.Keep {
		return 0, nil
	}
	if err := s.lookAgain(); err != nil {
		return 0, err
	}
	undone, loses := 0, s.quitLoses()
	var refused refusedDeletions
	err = s.drop.groups(s.mayRemove, func(part []item) error {
		if s.job.soft.Err() != nil { // the next run deletes them
			return s.job.fail(PhaseDelete, fmt.Errorf("stopped with messages still to delete: %w", context.Cause(s.job.soft)))
		}
		chosen, err := s.choose(part)
		if err != nil {
			return err
		}
		chosen = slices.DeleteFunc(chosen, func(d doomed) bool { return s.history.breaks.undeletable[d.item.Key] })
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

// mayRemove reports whether a rule may hold for the message. Only then its records are read.
func (s *session) mayRemove(it item) bool {
	rules := &s.job.account.Delete
	switch {
	case !it.removable():
		return false
	case s.drop.discarded[it.UniqueID]:
		return true
	case it.fate() == isRecorded && !it.is(isDue): // a due one may be of an earlier run
		return rules.AtOnce(it.Octets, it.stays()) != policy.None
	}
	return rules.Any()
}

// lookAgain brings up to date, after the transfer, what was discarded and what the target holds. A
// message that seemed to be removed must still be gone.
func (s *session) lookAgain() error {
	if err := s.noteStaying(); err != nil || s.removal == nil {
		return err
	}
	s.removal.Look(s.job.soft, s.job.now())
	return s.keepWatch()
}

// choose returns the messages of a part that are to be deleted now. It warns of those that are not,
// though a rule holds for them.
func (s *session) choose(part []item) ([]doomed, error) {
	candidates, err := s.candidates(part)
	if err != nil {
		return nil, err
	}
	chosen := planDeletion(candidates, func(it item, r *seen.Record) policy.Rule {
		if policy.IsFuture(r.DeliveredAt, s.job.now()) && s.job.account.Delete.Any() {
			s.job.warn(CodeClock, "messages were delivered, by their records, at a time that is still to come: no rule deletes "+
				"them until then; the clock was wrong, or is wrong now")
		}
		return s.ruleOf(it, r)
	})
	if chosen, err = s.proved(chosen); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(chosen, func(d doomed) bool { return d.rule == policy.Removed && !s.isRemoved(d.record) }), nil
}

// proved leaves out the messages that do not lie at their target as they were delivered, if the
// account wants that proof. What a person has removed falls by that rule.
func (s *session) proved(chosen []doomed) ([]doomed, error) {
	rules := &s.job.account.Delete
	var records []*seen.Record // of those that need a proof
	for _, d := range chosen {
		if rules.NeedsProof(d.rule, d.record.Kind) {
			records = append(records, d.record)
		}
	}
	if len(records) == 0 {
		return chosen, nil
	}
	proofs, err := custody.Prove(s.job.hard, s.job.account.Target, records)
	if err != nil {
		return nil, s.job.fail(PhaseTarget, err)
	}
	proved := chosen[:0]
	for _, d := range chosen {
		if rules.NeedsProof(d.rule, d.record.Kind) {
			proof := proofs[0]
			proofs = proofs[1:]
			switch {
			case proof == custody.Unprovable:
				s.job.warn(CodeNotVerified, "verify deletes only what lies in a Maildir or an mbox as it was delivered: "+
					"messages that went elsewhere, or came by another program, are not deleted")
				continue
			case proof == custody.Changed && s.isRemoved(d.record):
				d.rule = policy.Removed
			case proof == custody.Changed:
				continue
			}
		}
		proved = append(proved, d)
	}
	return proved, nil
}

// candidates reads what the ledger has about the messages.
func (s *session) candidates(part []item) ([]candidate, error) {
	all, err := s.job.records(uniqueIDs(part))
	if err != nil {
		return nil, err
	}
	candidates := make([]candidate, 0, len(part))
	for copies := range byID(part) {
		records := policy.NewRecords(all[copies[0].UniqueID])
		alike := likeIt(copies)
		for _, it := range copies {
			if it.removable() {
				candidates = append(candidates, candidate{item: it, records: records, alike: alike(it.digest()), named: s.isNamed(it)})
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
func (s *session) sendDele(items []doomed, refused *refusedDeletions) (accepted int, err error) {
	numbers := func(yield func(int) bool) {
		for _, d := range items {
			if s.job.hard.Err() != nil || s.job.held(PhaseDelete) != nil || !yield(d.item.Number) {
				return
			}
		}
	}
	next := 0
	for n, err := range s.client.Dele(s.job.hard, numbers) {
		switch {
		case err == nil:
			items[next].item.set(isDeleted)
			s.drop.noteRule(items[next].item.index, items[next].rule)
			accepted++
		case isReply(err):
			refused.n++
			if refused.first == nil {
				refused.first = fmt.Errorf("%d: %w", n, err)
			}
		default:
			if next < len(items) && !isOutOfStep(err) { // an unanswered DELE, and no reply that is not its own
				s.history.breaks.at(atDELE, items[next].item.Entry)
			}
			return accepted, s.job.fail(PhaseDelete, fmt.Errorf("message %d: %w", n, err))
		}
		next++
	}
	return accepted, nil
}
