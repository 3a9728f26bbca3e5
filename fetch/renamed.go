package fetch

import (
	"errors"
	"fmt"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/seen"
)

// NewUIDs says what a run does when a maildrop that the store knows suddenly shows only new unique-ids, as after a move to
// another server (C0040).
type NewUIDs int

// The zero value recognises messages.
const (
	NewUIDsMatch NewUIDs = iota // known messages are recognised by their header, and keep their records under the new ids
	NewUIDsFetch                // all are new
	NewUIDsStop                 // the run ends with ErrNewUIDs
)

// ErrNewUIDs says that the server has changed all its unique-ids, and that the account is not to be fetched then.
var ErrNewUIDs = errors.New("the maildrop shows only new unique-ids")

// recogniseRenamed looks whether all unique-ids have changed, and recognises the known messages under the new ones. Their records
// move all at once: a run that breaks off before leaves the next one the same work, and none of it half done.
func (s *session) recogniseRenamed(verdicts map[int]*verdict) error {
	if len(s.diff.New) == 0 || len(s.diff.New) < len(s.listing) || s.known.Records == 0 || s.account.NewUIDs == NewUIDsFetch {
		return nil
	}
	remaining, left, err := s.remaining()
	if err != nil {
		return err
	}
	if s.account.NewUIDs == NewUIDsStop {
		if !left {
			return nil
		}
		err := fmt.Errorf(`%w, none of those of the last run; set new_uids = "match" to recognise its messages by their headers, or "fetch" to retrieve all of them`, ErrNewUIDs)
		if s.looking {
			s.warn("%w", err)
			return nil
		}
		return s.fail(PhaseIdentify, err)
	}
	if !remaining {
		return nil
	}
	l, err := s.findLikeness(left)
	if err != nil {
		return err
	}
	if len(l.moves) == 0 {
		return nil
	}
	// A reply too many would have shifted what was shown from one message to the next.
	if err := s.checkStep(s.listing[len(s.listing)-1]); err != nil && !isReply(err) {
		if isOutOfStep(err) {
			s.blameServer(err)
			err = fmt.Errorf("%w: %w", &suspectError{len(s.listing), "the replies to TOP are out of step"}, err)
		}
		return s.fail(PhaseIdentify, err)
	}
	for _, m := range l.moves {
		verdicts[int(m.index)] = isSeen
	}
	s.warn("the maildrop shows only new unique-ids; %d of its %d messages are known, and not retrieved again", len(l.moves), len(s.listing))
	if s.looking {
		return nil
	}
	if err := s.ledger.Apply(s.hard, seen.Changes{Moves: l.each}); err != nil {
		return s.fail(PhaseRecord, err)
	}
	return nil
}

// remaining tells whether there are records of messages that may be listed still, and whether the last finished run left any.
func (s *session) remaining() (any, left bool, err error) {
	for r, err := range s.ledger.Remaining(s.soft) {
		if err != nil {
			return false, false, s.fail(PhaseState, err)
		}
		any = true
		if left = r.AbsentAt.IsZero(); left {
			break
		}
	}
	return any, left, nil
}

// findLikeness asks the server for what likeness needs: the headers, and where they do not settle it the whole messages. They
// settle nothing where the last run left none of the recorded messages: then a new one may well be all there is.
func (s *session) findLikeness(left bool) (*likeness, error) {
	l := newLikeness(s.listing)
	l.octetsAlone = !left
	if !s.hasTop() {
		s.warn("the maildrop shows only new unique-ids, and its server has no TOP: its messages are retrieved to be compared with what was delivered")
	}
	numbers := func(yield func(int) bool) {
		for _, e := range s.listing {
			if !yield(e.Number) {
				return
			}
		}
	}
	err := s.askHeaders(numbers, s.octetsOf, func(number int, h *header) {
		id, _ := h.value("message-id")
		l.show(s.indexOf(number), h.digest(), id != "")
	})
	if err != nil {
		return nil, err
	}
	if err := s.eachRemaining(l.count); err != nil {
		return nil, err
	}
	if err := s.measure(l); err != nil {
		return nil, err
	}
	return l, s.eachRemaining(l.assign)
}

func (s *session) eachRemaining(do func(seen.Record)) error {
	for r, err := range s.ledger.Remaining(s.soft) {
		if err != nil {
			return s.fail(PhaseState, err)
		}
		do(r)
	}
	return nil
}

// measure retrieves the messages whose header leaves a doubt, and keeps nothing of them but their digests. One that is refused
// stays in doubt, and so is new.
func (s *session) measure(l *likeness) error {
	messages := func(yield func(int, int64) bool) {
		for i := range l.doubts() {
			e := s.listing[i]
			if limit := s.account.MaxSize; s.silent[e.Number] > 1 || limit > 0 && e.Octets > limit {
				continue
			}
			if !yield(e.Number, e.Octets) {
				return
			}
		}
	}
	for m, err := range s.client.Retr(s.soft, messages) {
		switch {
		case isReply(err):
			continue
		case err != nil:
			return s.fail(PhaseIdentify, err)
		}
		receipt, err := deliver.Measure(m)
		if err != nil {
			return s.fail(PhaseIdentify, fmt.Errorf("message %d: %w", m.Number, err))
		}
		if receipt.Octets == 0 && m.Octets > emptyOctets {
			return s.fail(PhaseIdentify, s.silence(m.Number))
		}
		l.measure(s.indexOf(m.Number), receipt.SHA256)
	}
	return nil
}
