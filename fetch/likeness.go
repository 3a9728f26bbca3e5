package fetch

import (
	"bytes"
	"iter"
	"slices"
	"sort"

	"github.com/popfetch/popfetch/seen"
)

// likeness finds out which records are those of the listed messages, by what is shown of these: the digests of their headers,
// and where that leaves a doubt their octets. A message that is in doubt even then is new. It does no input or output, and
// holds little of each message, since they may be many.
type likeness struct {
	listing []seen.Entry
	digests []seen.Digest // by index; zero: unknown
	named   []bool        // by index: the header has a Message-ID, without which different messages may have equal digests
	order   []int32       // the indexes by digest; nil: to be sorted
	fits    []fit         // by index, of the first of those with one digest
	sums    []measured
	sorted  bool // sums are
	moves   []move

	octetsAlone bool // no header settles anything
}

// fit is what was found of the records that have the digest of a listed message.
type fit uint8

const (
	noRecord fit = iota
	oneFits      // the only one of its digest, as the message is, and of octets that may be the message's
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
func (l *likeness) show(index int, digest seen.Digest, named bool) {
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

// count notes that there is a record with its digest; all of them are counted before doubts is called.
func (l *likeness) count(r seen.Record) {
	switch i, more, ok := l.first(r.Digest); {
	case !ok:
	case l.octetsAlone || more || l.fits[i] != noRecord || !l.named[i] || seen.Differ(r.Listed, l.listing[i].Octets):
		l.fits[i] = unsure
	default:
		l.fits[i] = oneFits
	}
}

// doubts yields the indexes of the messages that only their octets can tell from others: those without a digest, and those
// whose digest is that of a record without settling it.
func (l *likeness) doubts() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range l.listing {
			first, _, ok := l.first(l.digests[i])
			if doubt := !ok || l.fits[first] == unsure; doubt && !yield(i) {
				return
			}
		}
	}
}

// measure notes the octets of the message at index; all are noted before assign is called.
func (l *likeness) measure(index int, sha256 [32]byte) {
	l.sums = append(l.sums, measured{sha256: sha256, index: int32(index)})
}

// assign gives the record its message, if there is one. No message is given twice: of several with the same octets there are
// as many known as there are records.
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

// each yields the moves as the store takes them.
func (l *likeness) each(yield func(seen.Move) bool) {
	for _, m := range l.moves {
		if !yield(seen.Move{From: m.from, To: l.listing[m.index]}) {
			return
		}
	}
}
