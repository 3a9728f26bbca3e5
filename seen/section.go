package seen

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
	"sort"
)

// section stands for some consecutive entries of the listing that the last finished run left. As
// long as the digest is equal, these entries are unchanged.
//
// If the digest differs, only a part of the table has to be compared: the ids between the last
// entry of the section before and the last entry of this one. That needs listings in ascending
// order, which most servers send.
type section struct {
	digest [16]byte // from SHA-256, of unique-ids and octets in their order
	last   []byte   // the unique-id of the last entry
}

// packSections makes Finished.Digest of a listing. For each section it holds the digest, then the
// length of the last unique-id, then that id.
func packSections(listing []Entry, size int) []byte {
	packed := []byte{}
	d := newDigester()
	for entries := range slices.Chunk(listing, size) {
		digest, last := d.sum(entries), entries[len(entries)-1].UniqueID
		packed = append(packed, digest[:]...)
		packed = binary.AppendUvarint(packed, uint64(len(last)))
		packed = append(packed, last...)
	}
	return packed
}

// unpackSections returns the sections that packed holds. From damaged octets it returns fewer
// sections or none; the entries of the missing ones are then compared.
func unpackSections(packed []byte) []section {
	sections := make([]section, 0, len(packed)/(len(section{}.digest)+2))
	for len(packed) > len(section{}.digest) {
		s := section{digest: [16]byte(packed)}
		packed = packed[len(s.digest):]
		length, n := binary.Uvarint(packed)
		if n <= 0 || length > uint64(len(packed)-n) {
			break
		}
		s.last = packed[n:][:length]
		packed = packed[n:][length:]
		sections = append(sections, s)
	}
	return sections
}

// digester makes the digests of sections.
type digester struct {
	hash hash.Hash
	// Written to hash when it is nearly full, because many small writes take longer.
	buffer []byte
}

const digestBuffer = 8 << 10

func newDigester() *digester { return &digester{sha256.New(), make([]byte, 0, digestBuffer)} }

func (d *digester) sum(entries []Entry) [16]byte {
	d.hash.Reset()
	b := d.buffer[:0]
	for i := range entries {
		b = binary.AppendUvarint(b, uint64(len(entries[i].UniqueID)))
		b = append(b, entries[i].UniqueID...)
		b = binary.AppendVarint(b, entries[i].Octets)
		if len(b) > digestBuffer/2 {
			d.hash.Write(b)
			b = b[:0]
		}
	}
	d.hash.Write(b)
	d.buffer = d.hash.Sum(b[:0])
	return [16]byte(d.buffer)
}

// isPrefixOf reports whether the listing begins with the entries that were left.
func (f *Finished) isPrefixOf(listing []Entry, sectionSize int) bool {
	if f.Digest == nil || f.Listed > len(listing) {
		return false
	}
	sections := unpackSections(f.Digest)
	d := newDigester()
	for entries := range slices.Chunk(listing[:f.Listed], sectionSize) {
		if len(sections) == 0 || d.sum(entries) != sections[0].digest {
			return false
		}
		sections = sections[1:]
	}
	return len(sections) == 0
}

// runSections compares a listing in ascending order section by section. The entries of an unchanged
// section are seen, unless one of them is doubtful. It reports false if the listing is not in
// ascending order, or if too many ids are doubtful.
func (c *comparison) runSections(ctx context.Context, asides []aside, sections []section) (done bool, err error) {
	if len(sections) == 0 ||
		!isAscending(sections, func(s *section) string { return string(s.last) }) || !isAscending(c.listing, func(e *Entry) string { return e.UniqueID }) {
		return false, nil
	}
	ids, err := c.doubtful(ctx, asides)
	if err != nil || ids == nil {
		return false, err
	}
	doubtful := slices.Sorted(maps.Keys(ids))
	d := newDigester()
	from := 0
	var between Range
	for _, section := range sections {
		between.To = section.last
		to := from + countUpTo(between.To, c.listing[from:], func(e *Entry) string { return e.UniqueID })
		n := countUpTo(between.To, doubtful, func(id *string) string { return *id })
		k := countUpTo(between.To, asides, func(a *aside) string { return a.UniqueID })
		if n == 0 && d.sum(c.listing[from:to]) == section.digest {
			c.skip(from, to)
		} else if err := c.compare(indexes(from, to), &table{asides: asides[:k], rows: c.reader.Between(ctx, between)}); err != nil {
			return false, err
		}
		from, doubtful, asides, between.After = to, doubtful[n:], asides[k:], between.To
	}
	between.To = nil
	c.diff.rest.sections = true
	return true, c.compare(indexes(from, len(c.listing)), &table{asides: asides, rows: c.reader.Between(ctx, between)})
}

// skip counts unchanged entries as seen.
func (c *comparison) skip(from, to int) {
	for i := from; i < to; i++ {
		c.listing[i].Copy = 0
	}
	c.diff.Seen += to - from
}

// isAscending reports whether each element has a greater id than the one before.
func isAscending[E any](all []E, id func(*E) string) bool {
	for i := 1; i < len(all); i++ {
		if id(&all[i-1]) >= id(&all[i]) {
			return false
		}
	}
	return true
}

// countUpTo returns how many elements have an id that is not greater than last.
func countUpTo[E any](last []byte, ascending []E, id func(*E) string) int {
	return sort.Search(len(ascending), func(i int) bool { return id(&ascending[i]) > string(last) })
}

func indexes(from, to int) []int {
	all := make([]int, to-from)
	for i := range all {
		all[i] = from + i
	}
	return all
}
