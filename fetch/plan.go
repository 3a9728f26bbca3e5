package fetch

import (
	"cmp"
	"slices"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// plan is what a run will do with the messages of a maildrop, as a value. It is computed without
// any input or output, after all that can be learnt of the messages is noted in their items.
type plan struct {
	retrieve    []*item // in the order in which RETR is sent
	recognised  []*item // held by the target already: recorded, not retrieved
	skip        []*item // larger than the account's limit
	mark        []*item // left out of the first run: recorded as marked, not retrieved
	quarantined []*item // left alone
	seen        int     // listed and recorded, so not retrieved
}

// makePlan decides what becomes of each listed message.
func makePlan(d *maildrop, policy *Policy, h *history) *plan {
	p := &plan{seen: d.seen(), retrieve: make([]*item, 0, len(d.diff.New))}
	for n := range d.items {
		it := &d.items[n]
		switch {
		case it.fate == isSeen:
		case it.fate == isRecorded:
			p.recognised = append(p.recognised, it)
		case it.fate == isOld:
			p.mark = append(p.mark, it)
		case it.aside && it.reason() == seen.Quarantined && !policy.All:
			p.quarantined = append(p.quarantined, it)
		case policy.tooLarge(it.Octets), it.provedTooLarge(policy):
			p.skip = append(p.skip, it)
		case !h.settled[it.Key]:
			p.retrieve = append(p.retrieve, it)
		}
	}
	// Messages that need a second look come first, on a new connection. What was refused before
	// comes last, so that it holds up nothing else.
	rank := func(it *item) int {
		switch {
		case h.suspects[it.Key] != nil:
			return 0
		case !it.aside:
			return 1
		}
		return 2
	}
	slices.SortFunc(p.retrieve, func(a, b *item) int {
		order := cmp.Compare(a.Number, b.Number)
		if policy.Newest {
			order = -order
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), order)
	})
	return p
}

// provedTooLarge reports whether an earlier run found the message larger than this limit though
// LIST announced the octets that it announces now.
func (it *item) provedTooLarge(policy *Policy) bool {
	return it.reason() == seen.TooLarge && policy.MaxSize > 0 &&
		it.before.MaxSize == policy.MaxSize && it.before.Listed == it.Octets
}

// candidate is a listed message that might be deleted, with all that is known of it by then.
type candidate struct {
	item    *item
	records recordsOf // of its unique-id, all copies, read back from the ledger
	alike   int       // listed messages with its unique-id and digest, itself among them; those whose digest is unknown count
}

// recordsOf are the records of one unique-id, to be found by key and by digest.
type recordsOf struct {
	byKey    map[seen.Key]*seen.Record
	byDigest map[seen.Digest][]*seen.Record
}

func newRecordsOf(records []seen.Record) recordsOf {
	r := recordsOf{make(map[seen.Key]*seen.Record, len(records)), make(map[seen.Digest][]*seen.Record, len(records))}
	for i := range records {
		one := &records[i]
		r.byKey[one.Key] = one
		r.byDigest[one.Digest] = append(r.byDigest[one.Digest], one)
	}
	return r
}

// planDeletion picks the candidates that may be deleted now. The records decide. A message that was
// retrieved in this session needs its record of kind Delivered. One that is known from earlier must
// also be shown by its header digest to be that message: unique-ids get reused, and a wrong DELE
// cannot be undone.
func planDeletion(candidates []candidate, policy DeletePolicy, now time.Time) []*item {
	if !policy.Enabled {
		return nil
	}
	chosen := make([]*item, 0, len(candidates))
	for i := range candidates {
		r := candidates[i].record()
		if r != nil && r.Kind == seen.Delivered && !r.DeliveredAt.Add(policy.After).After(now) {
			chosen = append(chosen, candidates[i].item)
		}
	}
	return chosen
}

// record returns the record that is without doubt of the listed message, or nil.
func (c *candidate) record() *seen.Record {
	if c.item.fate == isRecorded {
		return c.records.byKey[c.item.Key]
	}
	matches := c.records.byDigest[c.item.digest]
	if !c.item.identified() || len(matches) != 1 || c.alike != 1 {
		return nil
	}
	return matches[0]
}
