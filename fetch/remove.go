package fetch

import (
	"context"
	"fmt"
	"slices"

	"github.com/popfetch/popfetch/seen"
)

// remove sends DELE for what the account's policy and the seen-table allow, after the retrieval (behaviour 28: deliver,
// record, only then DELE). It returns the messages whose DELE was accepted; only the reply to QUIT makes that count. A
// refused DELE is told and not repeated in this session (C0026).
func (s *session) remove() ([]seen.Entry, error) {
	if !s.account.Delete.Enabled {
		return nil, nil
	}
	removable := s.removable()
	deleted := make([]seen.Entry, 0, len(removable))
	for part := range slices.Chunk(removable, chunk) {
		if s.soft.Err() != nil { // what is left is deleted by the next run
			return deleted, s.fail(PhaseDelete, fmt.Errorf("stopped with messages still to delete: %w", context.Cause(s.soft)))
		}
		candidates, err := s.candidates(part)
		if err != nil {
			return deleted, err
		}
		accepted, err := s.sendDele(planDeletion(candidates, s.account.Delete, s.runner.now()))
		deleted = append(deleted, accepted...)
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// removable returns the indexes of all messages that might be deleted, in the order of the listing.
func (s *session) removable() []int {
	var indexes []int
	for i, e := range s.listing {
		if s.retrieved[e.Number] || s.verdicts[i] == isSeen {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// candidates reads back what the store says of the messages at indexes.
func (s *session) candidates(indexes []int) ([]candidate, error) {
	ids := make([]string, len(indexes))
	for n, i := range indexes {
		ids[n] = s.listing[i].UniqueID
	}
	records, err := s.records(ids)
	if err != nil {
		return nil, err
	}
	candidates := make([]candidate, len(indexes))
	for n, i := range indexes {
		e := s.listing[i]
		c := candidate{Entry: e, retrieved: s.retrieved[e.Number], records: records[e.UniqueID], digest: s.digests[e.Number]}
		for _, other := range s.copiesWith(i) {
			d := s.digests[s.listing[other].Number]
			if d == c.digest || d == (seen.Digest{}) {
				c.alike++
			}
		}
		candidates[n] = c
	}
	return candidates, nil
}

// sendDele marks the messages as deleted, pipelined, and returns those whose DELE was accepted.
func (s *session) sendDele(entries []seen.Entry) ([]seen.Entry, error) {
	numbers := func(yield func(int) bool) {
		for _, e := range entries {
			if s.hard.Err() != nil || !yield(e.Number) {
				return
			}
		}
	}
	accepted := make([]seen.Entry, 0, len(entries))
	next := 0
	for n, err := range s.client.Dele(s.hard, numbers) {
		switch {
		case err == nil:
			accepted = append(accepted, entries[next])
		case isReply(err):
			s.warn(CodeDeleteRefused, "message %d is delivered, but the server does not delete it: %w", n, err)
		default:
			return accepted, s.fail(PhaseDelete, fmt.Errorf("message %d: %w", n, err))
		}
		next++
	}
	return accepted, nil
}
