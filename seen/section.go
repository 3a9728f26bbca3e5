package seen

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
	"sort"
)

// section stands for some entries, one behind the other, of the listing that the last finished run left. Where the digest is
// what it was, so are they. Where it is not, and listings are in ascending order, as those of most servers are, no more than
// what lies between the last entry of the section before and this one's has to be compared.
type section struct {
	digest [16]byte // of unique-ids and octets in their order, from SHA-256
	last   string   // the unique-id of the last entry
}

// sectionSize is how many entries a section has, but for the last one, which may have fewer.
const sectionSize = 1024

// appendSections adds what account.digest holds of a listing: of each section the digest, and the last unique-id with its length
// before it.
func appendSections(packed []byte, listing []Entry, size int) []byte {
	d := digester{sha256.New(), make([]byte, 0, 8<<10)}
	for entries := range slices.Chunk(listing, size) {
		digest, last := d.sum(entries), entries[len(entries)-1].UniqueID
		packed = append(packed, digest[:]...)
		packed = binary.AppendUvarint(packed, uint64(len(last)))
		packed = append(packed, last...)
	}
	return packed
}

// digester uses its memory again.
type digester struct {
	hash   hash.Hash
	buffer []byte
}

func (d *digester) sum(entries []Entry) [16]byte {
	d.hash.Reset()
	b := d.buffer[:0]
	for i := range entries {
		b = binary.AppendUvarint(b, uint64(len(entries[i].UniqueID)))
		b = append(b, entries[i].UniqueID...)
		b = binary.AppendVarint(b, entries[i].Octets)
		if len(b) > 7<<10 {
			d.hash.Write(b)
			b = b[:0]
		}
	}
	d.hash.Write(b)
	d.buffer = d.hash.Sum(b[:0])
	return [16]byte(d.buffer)
}

// unpackSections returns none, or fewer, of what is damaged; what they would cover is compared then.
func unpackSections(packed []byte) []section {
	var sections []section
	for len(packed) > len(section{}.digest) {
		s := section{digest: [16]byte(packed)}
		packed = packed[len(s.digest):]
		length, n := binary.Uvarint(packed)
		if n <= 0 || length > uint64(len(packed)-n) {
			break
		}
		s.last = string(packed[n:][:length])
		packed = packed[n:][length:]
		sections = append(sections, s)
	}
	return sections
}

// isPrefixOf says that the listing begins with what was left.
func (f *finished) isPrefixOf(listing []Entry, sectionSize int) bool {
	if f.digest == nil || f.listed > len(listing) {
		return false
	}
	return bytes.Equal(f.digest, appendSections(make([]byte, 0, len(f.digest)), listing[:f.listed], sectionSize))
}

// runSections compares a listing in ascending order section by section: what is in one that is as it was left is seen, unless it
// is doubtful. It is not done if the order is another one, or too much is doubtful.
func (c *comparison) runSections(ctx context.Context, tx *sql.Conn, asides []aside, sections []section) (done bool, err error) {
	if len(sections) == 0 ||
		!isAscending(sections, func(s *section) string { return s.last }) || !isAscending(c.listing, func(e *Entry) string { return e.UniqueID }) {
		return false, nil
	}
	ids, err := c.doubtful(ctx, tx, asides)
	if err != nil || ids == nil {
		return false, err
	}
	doubtful := slices.Sorted(maps.Keys(ids))
	d := digester{sha256.New(), nil}
	from := 0
	var between idRange
	for i := range len(sections) + 1 { // the last one is all that is behind them
		var digest [16]byte
		between.to = nil
		if i < len(sections) {
			digest, between.to = sections[i].digest, []byte(sections[i].last)
		}
		to := from + countIn(between, c.listing[from:], func(e *Entry) string { return e.UniqueID })
		n := countIn(between, doubtful, func(id *string) string { return *id })
		k := countIn(between, asides, func(a *aside) string { return a.UniqueID })
		if n == 0 && d.sum(c.listing[from:to]) == digest {
			c.skip(from, to)
		} else if err := c.compare(indexes(from, to), tableBetween(ctx, tx, c.account, asides[:k], between)); err != nil {
			return false, err
		}
		from, doubtful, asides, between.after = to, doubtful[n:], asides[k:], between.to
	}
	return true, nil
}

// skip takes entries for seen that are as they were left.
func (c *comparison) skip(from, to int) {
	for i := from; i < to; i++ {
		c.listing[i].Copy = 0
	}
	c.diff.Seen += to - from
}

// isAscending says that each element has a greater id than the one before.
func isAscending[E any](all []E, id func(*E) string) bool {
	for i := 1; i < len(all); i++ {
		if id(&all[i-1]) >= id(&all[i]) {
			return false
		}
	}
	return true
}

// countIn returns how many elements, of which the first is behind ids.after, are in the range.
func countIn[E any](ids idRange, ascending []E, id func(*E) string) int {
	if ids.to == nil {
		return len(ascending)
	}
	return sort.Search(len(ascending), func(i int) bool { return id(&ascending[i]) > string(ids.to) })
}

func indexes(from, to int) []int {
	all := make([]int, to-from)
	for i := range all {
		all[i] = from + i
	}
	return all
}
