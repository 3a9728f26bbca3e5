package fetch

import (
	"context"
	"errors"
	"fmt"
)

// remove sends DELE for the messages that the account's policy and the records allow, after the
// transfer (behaviour 28: deliver, record, only then DELE). It returns the messages whose DELE was
// accepted; only the reply to QUIT confirms that. A refused DELE is reported, and not repeated in
// this session (C0026).
func (s *session) remove() (deleted []item, err error) {
	if !s.job.account.Delete.Enabled {
		return nil, nil
	}
	undone, loses := 0, s.quitLoses()
	err = s.drop.groups(item.removable, func(part []item) error {
		if s.job.soft.Err() != nil { // the next run deletes them
			return s.job.fail(PhaseDelete, fmt.Errorf("stopped with messages still to delete: %w", context.Cause(s.job.soft)))
		}
		candidates, err := s.candidates(part)
		if err != nil {
			return err
		}
		chosen := planDeletion(candidates, s.job.account.Delete, s.drop.asOf)
		if loses { // no QUIT will carry it out
			undone += len(chosen)
			return nil
		}
		accepted, err := s.sendDele(chosen)
		deleted = append(deleted, accepted...)
		return err
	})
	if undone > 0 && err == nil {
		err = s.job.fail(PhaseDelete, fmt.Errorf("%d delivered messages are not deleted: %w", undone, errNoQuit))
	}
	return deleted, err
}

// errNoQuit says why nothing is deleted if QUIT could lose mail (EXPIRE 0, R2449-5).
var errNoQuit = errors.New("the server may remove at QUIT whatever it has sent (EXPIRE 0), and not all of that is safe here")

// removable reports whether the message might be deleted: this session has recorded it, or has
// found it to be a recorded one.
func (it item) removable() bool {
	return it.fate() == isRecorded || it.fate() == isSeen && it.identified()
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

// sendDele marks messages as deleted, pipelined, and returns those whose DELE was accepted.
func (s *session) sendDele(items []item) ([]item, error) {
	numbers := func(yield func(int) bool) {
		for _, it := range items {
			if s.job.hard.Err() != nil || !yield(it.Number) {
				return
			}
		}
	}
	accepted := make([]item, 0, len(items))
	next := 0
	for n, err := range s.client.Dele(s.job.hard, numbers) {
		switch {
		case err == nil:
			items[next].set(isDeleted)
			accepted = append(accepted, items[next])
		case isReply(err):
			s.job.warn(CodeDeleteRefused, "message %d is delivered, but the server does not delete it: %w", n, err)
		default:
			return accepted, s.job.fail(PhaseDelete, fmt.Errorf("message %d: %w", n, err))
		}
		next++
	}
	return accepted, nil
}
