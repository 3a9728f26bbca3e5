package fetch

import (
	"time"

	"github.com/popfetch/popfetch/seen"
)

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
			if r.Kind == seen.Delivered || r.Digest != (seen.Digest{}) {
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
		// Nor does the header say which of several copies is this one.
		if m.doubt && m.records[i].Kind == seen.Delivered {
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
			t.add(r.Came, &twin{places: r.Places, at: r.DeliveredAt})
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
