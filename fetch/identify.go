package fetch

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/seen"
)

// chunk bounds how many messages are looked up, synced or recorded in one step outside of the retrieval.
const chunk = 500

// mostLikely bounds how many messages are looked at of which there is no sign that they are others: a whole maildrop that was
// hidden for a while, or has one unique-id for all, is believed.
const mostLikely = 1000

// identify tells what the listed messages are whose unique-id alone does not: those that the store doubts, those that are
// due for deletion, and new ones of which the target holds a file (step 2 of the way of one message).
func (s *session) identify() (map[int]*verdict, error) {
	verdicts := make(map[int]*verdict)
	if s.account.All {
		return verdicts, nil
	}
	if err := s.judgeRecorded(verdicts); err != nil {
		return nil, err
	}
	if err := s.recogniseRenamed(verdicts); err != nil {
		return nil, err
	}
	if err := s.judgeFound(verdicts); err != nil {
		return nil, err
	}
	if err := s.leaveOutOld(verdicts); err != nil {
		return nil, err
	}
	return verdicts, nil
}

// judgeRecorded compares the messages in doubt, and those due for deletion, with the records of their unique-ids.
func (s *session) judgeRecorded(verdicts map[int]*verdict) error {
	suspects := make([]int, 0, len(s.diff.Check)+len(s.diff.Due)+len(s.diff.Likely))
	suspects = append(append(suspects, s.diff.Check...), s.diff.Due...)
	if len(s.diff.Likely) <= mostLikely {
		suspects = append(suspects, s.diff.Likely...)
	}
	if len(suspects) == 0 {
		return nil
	}
	doubtful := s.doubtful()
	judged := make(map[string]bool)                           // unique-ids with copies, of which hardly any maildrop has any
	suspects = slices.DeleteFunc(suspects, func(i int) bool { // one of all copies is enough
		id := s.listing[i].UniqueID
		again := judged[id]
		if _, copied := s.copies[id]; copied {
			judged[id] = true
		}
		return again
	})
	for part := range slices.Chunk(suspects, chunk) {
		if err := s.judgeChunk(part, doubtful, verdicts); err != nil {
			return err
		}
	}
	return nil
}

// doubtful returns the unique-ids of which a message may have the header of a delivered one and be another nevertheless: a copy
// was set aside, or the id is made of the header itself.
func (s *session) doubtful() map[string]bool {
	unchanged := make(map[string][]int64) // the octets of copies that show no sign of a change
	for _, i := range s.diff.Likely {
		e := s.listing[i]
		unchanged[e.UniqueID] = append(unchanged[e.UniqueID], e.Octets)
	}
	ids := make(map[string]bool)
	for _, a := range s.asides {
		// In the place of such a copy can only be one of equal octets.
		if octets := unchanged[a.UniqueID]; octets == nil || slices.Contains(octets, a.Listed) {
			ids[a.UniqueID] = true
		}
	}
	for _, i := range s.diff.Check {
		if id := s.listing[i].UniqueID; isMade(id) {
			ids[id] = true
		}
	}
	return ids
}

func (s *session) judgeChunk(suspects []int, doubtful map[string]bool, verdicts map[int]*verdict) error {
	var ids []string
	var numbers []int
	for _, i := range suspects {
		ids = append(ids, s.listing[i].UniqueID)
		for _, c := range s.copiesWith(i) {
			numbers = append(numbers, s.listing[c].Number)
		}
	}
	records, err := s.records(ids)
	if err != nil {
		return err
	}
	if err := s.askDigests(numbers); err != nil {
		return err
	}
	var renewedIDs []string
	var renewed []seen.Record
	for _, i := range suspects {
		copies := s.copiesWith(i)
		listed := make([]listedCopy, len(copies))
		for n, c := range copies {
			listed[n] = listedCopy{s.listing[c], s.digests[s.listing[c].Number]}
		}
		id := s.listing[i].UniqueID
		if !doubtful[id] && s.onlyLikely(i) && slices.ContainsFunc(listed, listedCopy.unknown) {
			continue // to retrieve them in each run would be too dear for what may be found
		}
		judged, present := judge(listed, records[id], doubtful[id])
		for n, v := range judged {
			if v.seen {
				verdicts[copies[n]] = isSeen
			} else {
				verdicts[copies[n]] = &v
			}
		}
		if len(judged) == 1 && !doubtful[id] {
			s.warnOfOtherSize(i, records[id], judged[0])
		}
		if present != nil {
			renewedIDs = append(renewedIDs, id)
			renewed = append(renewed, present...)
		}
	}
	if len(renewedIDs) == 0 || s.looking {
		return nil
	}
	if err := s.ledger.Apply(s.soft, seen.Changes{Replace: renewedIDs, Records: slices.Values(renewed)}); err != nil {
		return s.fail(PhaseRecord, err)
	}
	return nil
}

// warnOfOtherSize tells of a message that has clearly other octets than the one that was delivered under its unique-id and is
// on the server still (C0040). Once: either its record is renewed now, or it is retrieved and gets one of its own.
func (s *session) warnOfOtherSize(index int, records []seen.Record, v verdict) {
	e := s.listing[index]
	if s.looking || len(records) != 1 || !records[0].DeletedAt.IsZero() || !seen.Differ(records[0].Listed, e.Octets) {
		return
	}
	what := "it counts as another message"
	if v.seen {
		what = "by its header it is the same message"
	}
	s.event(Event{Kind: Warning, Number: e.Number, UniqueID: e.UniqueID, Octets: e.Octets,
		Err: fmt.Errorf("message %d has the unique-id of one of %d octets that was delivered, and %d octets; %s", e.Number, records[0].Listed, e.Octets, what)})
}

// records reads the records of the unique-ids back from the store.
func (s *session) records(ids []string) (map[string][]seen.Record, error) {
	all, err := s.ledger.Records(s.soft, ids)
	if err != nil {
		return nil, s.fail(PhaseState, err)
	}
	records := make(map[string][]seen.Record, len(ids))
	for _, r := range all {
		records[r.UniqueID] = append(records[r.UniqueID], r)
	}
	return records, nil
}

// listedCopy is a listed message with the digest that TOP has shown, zero where it has not.
type listedCopy struct {
	seen.Entry
	digest seen.Digest
}

func (l listedCopy) unknown() bool { return l.digest == (seen.Digest{}) }

// onlyLikely tells whether there is no sign that the message is another, and nothing to be done with it.
func (s *session) onlyLikely(index int) bool {
	_, likely := slices.BinarySearch(s.diff.Likely, index)
	_, due := slices.BinarySearch(s.diff.Due, index)
	return likely && !due
}

// judge decides which of the listed copies of one unique-id are the messages of its records; each record stands for one
// copy at most (C0041). doubt says that another message may have the header of a delivered one: then only the octets tell. present are the records as the listing shows them now, nil where it changes nothing: copies move up when one before
// them is gone, and what is listed again was not deleted.
func judge(listed []listedCopy, records []seen.Record, doubt bool) (verdicts []verdict, present []seen.Record) {
	verdicts = make([]verdict, len(listed))
	matched := make([]bool, len(listed))
	used := make([]bool, len(records))
	changed := false
	twins := twinsOf(records)
	match := func(fits func(listedCopy, seen.Record) bool) {
		for n, l := range listed {
			for m, r := range records {
				if matched[n] || used[m] || !fits(l, r) {
					continue
				}
				matched[n] = true
				if doubt && r.Kind == seen.Delivered { // nor is it said which of several copies is this one
					verdicts[n].known = twins
					continue
				}
				used[m] = true
				verdicts[n].seen = true
				changed = changed || r.Key != l.Key || r.Listed != l.Octets || !r.DeletedAt.IsZero()
				r.Key, r.Listed, r.DeletedAt = l.Key, l.Octets, time.Time{}
				present = append(present, r)
			}
		}
	}
	same := func(l listedCopy, r seen.Record) bool { return !l.unknown() && l.digest == r.Digest }
	match(func(l listedCopy, r seen.Record) bool { return same(l, r) && l.Key == r.Key && l.Octets == r.Listed })
	match(func(l listedCopy, r seen.Record) bool { return same(l, r) && l.Octets == r.Listed })
	match(same)
	// What the operator marked has no digest; there the unique-id is all there is.
	match(func(l listedCopy, r seen.Record) bool {
		return r.Kind == seen.Marked && r.Digest == (seen.Digest{}) && l.Key == r.Key
	})
	for n, l := range listed {
		if !matched[n] && l.unknown() {
			verdicts[n].known = twins
		}
	}
	if doubt || !changed {
		return verdicts, nil
	}
	behind := len(listed)
	for m, r := range records {
		if !used[m] {
			r.Copy = behind
			behind++
			present = append(present, r)
		}
	}
	return verdicts, present
}

// placeOf is the name of the one place that a message was delivered to; "" if there is none.
func placeOf(r seen.Record) string {
	if len(r.Places) == 0 {
		return ""
	}
	return r.Places[0].Name
}

func twinsOf(records []seen.Record) []*twin {
	var twins []*twin
	for _, r := range records {
		if r.Came.SHA256 != [sha256.Size]byte{} {
			twins = append(twins, &twin{sha256: r.Came.SHA256, octets: r.Came.Octets, place: placeOf(r), at: r.DeliveredAt})
		}
	}
	return slices.Clip(twins) // several verdicts share it, and may get more
}

func (s *session) token(e seen.Entry) deliver.Token {
	return deliver.NewToken(s.account.User, s.account.Server, e.UniqueID, e.Copy, e.Octets)
}

// askDigests asks for the headers of the messages that have no digest yet, and keeps their digests.
func (s *session) askDigests(numbers []int) error {
	if len(numbers) == 0 {
		return nil
	}
	slices.Sort(numbers)
	unknown := func(yield func(int) bool) {
		for _, n := range slices.Compact(numbers) {
			if _, ok := s.digests[n]; !ok && !yield(n) {
				return
			}
		}
	}
	return s.askHeaders(unknown, s.octetsOf, func(number int, h *header) { s.digests[number] = h.digest() })
}

// record commits records also when the run is being stopped: what is delivered gets recorded.
func (s *session) record(records []seen.Record) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.hard), recordTimeout)
	defer cancel()
	if err := s.ledger.Apply(ctx, seen.Changes{Records: slices.Values(records)}); err != nil {
		return s.fail(PhaseRecord, err)
	}
	return nil
}
