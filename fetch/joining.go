package fetch

import (
	"slices"

	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// joining makes entries of the lines of LIST and UIDL while they are read, those of LIST first. In memory side by side, the
// listings of a large maildrop would take more than what becomes of them.
type joining struct {
	listed  []seen.Entry // a line of LIST each; without a unique-id until that is read
	sorted  bool         // listed is in ascending order
	next    int          // where the next line of UIDL belongs, if it comes in that order too
	strange []seen.Entry // lines of UIDL that LIST has none for
}

func (j *joining) scan(l pop3.ScanListing) {
	j.listed = append(j.listed, seen.Entry{Number: l.Number, Octets: l.Octets})
}

func (j *joining) uniqueID(l pop3.UniqueIDListing) {
	j.sort()
	i, found := j.next, j.next < len(j.listed) && j.listed[j.next].Number == l.Number
	if !found {
		i, found = find(j.listed, l.Number)
	}
	if !found {
		j.strange = append(j.strange, seen.Entry{Number: l.Number, Key: seen.Key{UniqueID: l.UniqueID}})
		return
	}
	j.listed[i].UniqueID = l.UniqueID
	j.next = i + 1
}

// entries returns the messages that have a unique-id and, if LIST was answered, a scan listing, in ascending order; it counts the
// others.
func (j *joining) entries(told *pop3.Listings) (entries []seen.Entry, unusable int) {
	if told.ScanErr != nil {
		sortByNumber(j.strange)
		return j.strange, told.Malformed
	}
	j.sort() // UIDL may have had no line
	all := len(j.listed)
	entries = slices.DeleteFunc(j.listed, func(e seen.Entry) bool { return e.UniqueID == "" })
	// A malformed line of one listing leaves its partner in the other alone: one message, not two.
	return entries, max(told.Malformed, all-len(entries)+len(j.strange))
}

func (j *joining) sort() {
	if !j.sorted {
		j.sorted = true
		sortByNumber(j.listed)
	}
}

func sortByNumber(entries []seen.Entry) {
	slices.SortFunc(entries, func(a, b seen.Entry) int { return a.Number - b.Number })
}

// find returns the index of a message-number among entries in ascending order.
func find(entries []seen.Entry, number int) (index int, found bool) {
	return slices.BinarySearchFunc(entries, number, func(e seen.Entry, number int) int { return e.Number - number })
}
