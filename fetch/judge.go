package fetch

import (
	"bytes"
	"iter"
	"slices"
	"sort"
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

// likeness finds the records of the listed messages. It compares the digests of their headers, and
// their octets if the digests leave a doubt. A message that is still in doubt then is new. It does
// no input or output, and keeps little for each message, since there may be many.
type likeness struct {
	listing []seen.Entry
	digests []seen.Digest // by index; zero: unknown
	// By index: the header has a Message-ID. Without one, different messages may have equal
	// digests.
	named  []bool
	order  []int32 // the indexes by digest; nil: to be sorted
	fits   []fit   // by index, of the first of those with one digest
	sums   []measured
	sorted bool // sums are
	moves  []move

	octetsAlone bool // no header settles anything
}

// fit is how the records that have the digest of a listed message fit it.
type fit uint8

const (
	noRecord fit = iota
	oneFits      // exactly one record and one message have the digest, and the header has a Message-ID
	unsure
)

// measured is a message that was retrieved to be compared.
type measured struct {
	sha256 [32]byte
	index  int32
	taken  bool // it has its record
}

func (m measured) compare(other measured) int { return bytes.Compare(m.sha256[:], other.sha256[:]) }

// move is a record whose message is at index.
type move struct {
	from  seen.Key
	index int32
}

func newLikeness(listing []seen.Entry) *likeness {
	n := len(listing)
	return &likeness{listing: listing, digests: make([]seen.Digest, n), named: make([]bool, n), fits: make([]fit, n)}
}

// show notes the digest of the message at index; all are shown before count is called.
func (l *likeness) show(index int32, digest seen.Digest, named bool) {
	l.digests[index], l.named[index] = digest, named
}

// first returns the index of the first message that has the digest, and whether there are more.
func (l *likeness) first(digest seen.Digest) (index int, more, ok bool) {
	compare := func(i int32, d seen.Digest) int { return bytes.Compare(l.digests[i][:], d[:]) }
	if l.order == nil {
		l.order = make([]int32, len(l.listing))
		for i := range l.order {
			l.order[i] = int32(i)
		}
		slices.SortFunc(l.order, func(a, b int32) int { return compare(a, l.digests[b]) })
	}
	at, found := slices.BinarySearchFunc(l.order, digest, compare)
	if digest == (seen.Digest{}) || !found {
		return 0, false, false
	}
	return int(l.order[at]), at+1 < len(l.order) && l.digests[l.order[at+1]] == digest, true
}

// count notes a record with its digest. All records are counted before doubts is called. The octets
// are not compared: a new server may add header lines, encode a message in another way, or count
// octets in another way, so the size of every message may have changed.
func (l *likeness) count(r seen.Record) {
	switch i, more, ok := l.first(r.Digest); {
	case !ok:
	case l.octetsAlone || more || l.fits[i] != noRecord || !l.named[i]:
		l.fits[i] = unsure
	default:
		l.fits[i] = oneFits
	}
}

// doubts yields the indexes of the messages that can only be identified by their octets. These have
// no digest, or a digest that a record shares without being clearly theirs.
func (l *likeness) doubts() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for i := range l.listing {
			first, _, ok := l.first(l.digests[i])
			if doubt := !ok || l.fits[first] == unsure; doubt && !yield(int32(i)) {
				return
			}
		}
	}
}

// measure notes the octets of the message at index; all are noted before assign is called.
func (l *likeness) measure(index int32, sha256 [32]byte) {
	l.sums = append(l.sums, measured{sha256: sha256, index: index})
}

// assign gives the record its message, if there is one. No message is given twice: if several have
// the same octets, as many are known as there are records.
func (l *likeness) assign(r seen.Record) {
	if i, _, ok := l.first(r.Digest); ok && l.fits[i] == oneFits {
		l.give(r, int32(i))
		return
	}
	if r.Came.SHA256 == [32]byte{} {
		return
	}
	if !l.sorted {
		slices.SortFunc(l.sums, measured.compare)
		l.sorted = true
	}
	at := sort.Search(len(l.sums), func(n int) bool { // the first with these octets that is not taken yet
		order := bytes.Compare(l.sums[n].sha256[:], r.Came.SHA256[:])
		return order > 0 || order == 0 && !l.sums[n].taken
	})
	if at < len(l.sums) && l.sums[at].sha256 == r.Came.SHA256 {
		l.sums[at].taken = true
		l.give(r, l.sums[at].index)
	}
}

func (l *likeness) give(r seen.Record, index int32) {
	l.moves = append(l.moves, move{r.Key, index})
}

// each yields the moves in the form that the store takes.
func (l *likeness) each(yield func(seen.Move) bool) {
	for _, m := range l.moves {
		if !yield(seen.Move{From: m.from, To: l.listing[m.index]}) {
			return
		}
	}
}
