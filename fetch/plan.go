package fetch

import (
	"cmp"
	"slices"
	"time"

	"github.com/popfetch/popfetch/fetch/policy"
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
	next        []int32 // in further sessions of the pass
	wait        []int32 // in later passes
	leftOut     []int32 // sent too long ago
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
		case policy.Missing != nil && !it.isAgain():
		case it.fate() == isOld:
			p.mark = append(p.mark, it.index)
		case !policy.Select.Names(it.UniqueID):
		case it.fate() == isLeftOut:
			p.leftOut = append(p.leftOut, it.index)
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
	octets := func(index int32) int64 { return d.listing[index].Octets }
	p.retrieve, p.next, p.wait = policy.Select.Cut(p.retrieve, octets, h.intake.taken)
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

// judgeCopies decides which of the listed copies of one unique-id are the messages of its records,
// by the digests of their headers. Each record stands for one copy at most (C0041). It sets the
// fate of the items. It also sets the twins of those that only their octets can identify.
//
// With doubt, another message may have the header of a delivered one. Then only the octets identify
// a message.
//
// It returns the records as the listing shows them now, or nil if they stay as they are. Copies
// move up when one before them is gone, and a listed message counts as not deleted.
func judgeCopies(listed []item, records []seen.Record, doubt bool) (present []seen.Record) {
	m := newMatching(listed, records, doubt)
	for _, p := range passes {
		m.match(p)
	}
	return m.present()
}

// pass pairs listed messages with records that have an equal mark; a nil mark pairs with nothing.
// If differ is set and true, the two are no pair.
type pass struct {
	markOf func(item) any
	markIn func(*seen.Record) any
	differ func(item, *seen.Record) bool
}

// passes are in order of certainty. The first ones leave no doubt; the last ones are used for what
// is still unpaired.
var passes = []pass{
	{
		markOf: func(it item) any { return ifKnown(it, exactly{it.digest(), it.Key, it.Octets}) },
		markIn: func(r *seen.Record) any { return exactly{r.Digest, r.Key, r.Listed} },
	},
	{
		markOf: func(it item) any { return ifKnown(it, nearly{it.digest(), it.Octets}) },
		markIn: func(r *seen.Record) any { return nearly{r.Digest, r.Listed} },
	},
	{
		markOf: func(it item) any { return ifKnown(it, it.digest()) },
		markIn: func(r *seen.Record) any { return r.Digest },
	},
	{ // Messages marked by the operator, and imported ones, have no digest, only the unique-id.
		markOf: func(it item) any { return it.Key },
		markIn: func(r *seen.Record) any {
			if r.Kind.IsDone() || r.Digest != (seen.Digest{}) {
				return nil
			}
			return r.Key
		},
		differ: isOther,
	},
}

// isOther reports whether a message cannot be the one of a record without a digest, although it has
// the unique-id: its size is another one, or it arrived after another program had fetched the
// message of the record. A server may give out a unique-id again (C0041).
func isOther(it item, r *seen.Record) bool {
	return seen.Differ(r.Listed, it.Octets) || r.Kind.IsImported() && it.is(isYounger)
}

// ifKnown returns mark, or nil if nothing is known of the header.
func ifKnown(it item, mark any) any {
	if !it.identified() {
		return nil
	}
	return mark
}

// exactly and nearly are what a message and its record have in common.
type (
	exactly struct {
		digest seen.Digest
		key    seen.Key
		octets int64
	}
	nearly struct {
		digest seen.Digest
		octets int64
	}
)

// matching pairs listed copies with records. It looks both up by their marks in maps, so that its
// time grows with their number and not with the square of that.
type matching struct {
	listed  []item
	records []seen.Record
	doubt   bool
	twins   *twins // of all records

	matched []bool // by index into listed
	used    []bool // by index into records
	moved   []seen.Record
	changed bool
}

func newMatching(listed []item, records []seen.Record, doubt bool) *matching {
	for _, it := range listed {
		it.decide(isNew)
		delete(it.drop.twins, it.index)
	}
	return &matching{listed: listed, records: records, doubt: doubt, twins: twinsOf(records),
		matched: make([]bool, len(listed)), used: make([]bool, len(records))}
}

// match pairs the unpaired messages and records that have equal marks.
func (m *matching) match(p pass) {
	// By mark, the records that are not used, in order.
	free := make(map[any][]int, len(m.records))
	for i := range m.records {
		if mark := p.markIn(&m.records[i]); !m.used[i] && mark != nil {
			free[mark] = append(free[mark], i)
		}
	}
	for n, it := range m.listed {
		mark := p.markOf(it)
		if m.matched[n] || mark == nil || len(free[mark]) == 0 {
			continue
		}
		i := free[mark][0]
		if p.differ != nil && p.differ(it, &m.records[i]) {
			continue
		}
		m.matched[n] = true
		// Nor does the header say which of several copies is this one. What a filter of headers has
		// discarded is another matter: that was judged by nothing but the header.
		if m.doubt && m.records[i].Kind.IsDone() {
			it.mayBe(m.twins)
			continue
		}
		free[mark] = free[mark][1:]
		m.pair(it, i)
	}
}

// pair notes that the message of a record is listed as it.
func (m *matching) pair(it item, record int) {
	r := m.records[record]
	m.used[record] = true
	it.decide(isSeen)
	m.changed = m.changed || r.Key != it.Key || r.Listed != it.Octets || !r.DeletedAt.IsZero()
	r.Key, r.Listed, r.DeletedAt = it.Key, it.Octets, time.Time{}
	if adopts(it, &r) {
		r.Digest, m.changed = it.digest(), true
	}
	m.moved = append(m.moved, r)
}

// adopts reports whether the digest of a message goes into an imported record; see judgeRecorded.
func adopts(it item, r *seen.Record) bool {
	return r != nil && r.Kind == seen.Imported && r.Digest == (seen.Digest{}) && it.is(isDue) && it.is(isOlder)
}

// present returns what judgeCopies returns.
func (m *matching) present() []seen.Record {
	for n, it := range m.listed {
		if !m.matched[n] && !it.identified() {
			it.mayBe(m.twins)
		}
	}
	if m.doubt || !m.changed {
		return nil
	}
	behind := len(m.listed)
	for i, r := range m.records {
		if !m.used[i] {
			r.Copy = behind
			behind++
			m.moved = append(m.moved, r)
		}
	}
	return m.moved
}

// twinsOf makes twins of the records whose octets are known.
func twinsOf(records []seen.Record) *twins {
	t := new(twins)
	for _, r := range records {
		if r.Came.SHA256 != [32]byte{} {
			t.add(r.Came, &twin{kind: r.Kind, places: r.Places, at: r.DeliveredAt})
		}
	}
	return t
}

// likeIt counts the listed copies of one unique-id that may be the message of a record by its
// digest. These are the copies with that digest, and those whose digest is unknown.
func likeIt(copies []item) func(seen.Digest) int {
	counts := make(map[seen.Digest]int, len(copies))
	for _, it := range copies {
		counts[it.digest()]++
	}
	return func(d seen.Digest) int {
		if d == (seen.Digest{}) {
			return counts[d]
		}
		return counts[d] + counts[seen.Digest{}]
	}
}

// noteRule notes by which rule a message is deleted.
func (d *maildrop) noteRule(index int32, rule policy.Rule) {
	if d.rules == nil {
		d.rules = make([]uint8, len(d.listing))
	}
	at := slices.Index(d.applied, rule)
	if at < 0 {
		at, d.applied = len(d.applied), append(d.applied, rule)
	}
	d.rules[index] = uint8(at)
}

// ruleAt returns the rule by which a message was deleted.
func (d *maildrop) ruleAt(index int32) policy.Rule { return d.applied[d.rules[index]] }
