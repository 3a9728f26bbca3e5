// Package likeness finds the messages of a maildrop again when all of its unique-ids have changed. It
// compares the digests of their headers, and their octets if the digests leave a doubt. A message
// that is still in doubt then is new. The package does no input or output.
package likeness

import (
	"bytes"
	"iter"
	"slices"
	"sort"

	"github.com/popfetch/popfetch/seen"
)

// Likeness finds the records of the listed messages. It keeps little for each message, since there
// may be many. It is not safe for concurrent use.
type Likeness struct {
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

	// OctetsAlone says that no header settles anything.
	OctetsAlone bool
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

// New makes the Likeness of a listing, none of whose messages is known.
func New(listing []seen.Entry) *Likeness {
	n := len(listing)
	return &Likeness{listing: listing, digests: make([]seen.Digest, n), named: make([]bool, n), fits: make([]fit, n)}
}

// Show notes the digest of the message at index; all are shown before Count is called.
func (l *Likeness) Show(index int32, digest seen.Digest, named bool) {
	l.digests[index], l.named[index] = digest, named
}

// first returns the index of the first message that has the digest, and whether there are more.
func (l *Likeness) first(digest seen.Digest) (index int, more, ok bool) {
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

// Count notes a record with its digest. All records are counted before Doubts is called. The octets
// are not compared: a new server may add header lines, encode a message in another way, or count
// octets in another way, so the size of every message may have changed.
func (l *Likeness) Count(r seen.Record) {
	switch i, more, ok := l.first(r.Digest); {
	case !ok:
	case l.OctetsAlone || more || l.fits[i] != noRecord || !l.named[i]:
		l.fits[i] = unsure
	default:
		l.fits[i] = oneFits
	}
}

// Doubts yields the indexes of the messages that can only be identified by their octets. These have
// no digest, or a digest that a record shares without being clearly theirs.
func (l *Likeness) Doubts() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for i := range l.listing {
			first, _, ok := l.first(l.digests[i])
			if doubt := !ok || l.fits[first] == unsure; doubt && !yield(int32(i)) {
				return
			}
		}
	}
}

// Measure notes the octets of the message at index; all are noted before Assign is called.
func (l *Likeness) Measure(index int32, sha256 [32]byte) {
	l.sums = append(l.sums, measured{sha256: sha256, index: index})
}

// Assign gives the record its message, if there is one. No message is given twice: if several have
// the same octets, as many are known as there are records.
func (l *Likeness) Assign(r seen.Record) {
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

// Indexes yields the index of each message that has got its record.
func (l *Likeness) Indexes(yield func(int32) bool) {
	for _, m := range l.moves {
		if !yield(m.index) {
			return
		}
	}
}

// Len returns how many messages have got their records.
func (l *Likeness) Len() int { return len(l.moves) }

func (l *Likeness) give(r seen.Record, index int32) {
	l.moves = append(l.moves, move{r.Key, index})
}

// Each yields the moves in the form that the store takes.
func (l *Likeness) Each(yield func(seen.Move) bool) {
	for _, m := range l.moves {
		if !yield(seen.Move{From: m.from, To: l.listing[m.index]}) {
			return
		}
	}
}
