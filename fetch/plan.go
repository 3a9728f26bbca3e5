package fetch

import (
	"cmp"
	"slices"

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
	if n == len(p.retrieve) || h.breaks.turn || policy.Delete.Keep || !policy.Delete.Any() && len(d.discarded) == 0 {
		return
	}
	deletes := false
	for _, i := range p.retrieve[:n] {
		it := d.item(i)
		deletes = deletes || policy.Delete.AtOnce(it.Octets, it.stays()) != ""
	}
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
	case it.before() != nil: // perhaps another message; the order needs no proof
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
