package fetch

import (
	"slices"
	"time"

	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// list reads the listings, once and before any DELE, since some servers renumber after it, and joins them.
func (s *session) list() error {
	s.listing = nil // that of the session before
	j := joining{expected: max(2*s.known.Records, atLeastExpected)}
	told, err := s.client.EachListing(s.soft, pop3.ListingLines{Drop: j.drop, Scan: j.scan, UID: j.uniqueID})
	if err != nil {
		return s.fail(PhaseList, err)
	}
	if told.UIDErr != nil {
		if err := s.makeIDs(told, &j); err != nil {
			return err
		}
	}
	if told.ScanErr != nil {
		s.warn("the server does not tell the sizes of messages: %w", told.ScanErr)
	}
	s.listing, s.result.Unusable = j.entries(told)
	s.result.Listed = len(s.listing)
	if s.result.Unusable > 0 {
		s.warn("%d listed without a usable number, size or unique-id, and skipped", s.result.Unusable)
	}
	var due time.Time
	if s.account.Delete.Enabled {
		due = s.runner.now().Add(-s.account.Delete.After)
	}
	s.diff, err = s.ledger.Diff(s.soft, s.listing, due)
	if err != nil {
		return s.fail(PhaseState, err)
	}
	s.asides = make(map[seen.Key]seen.Aside, len(s.diff.AllAside))
	for _, a := range s.diff.AllAside {
		s.asides[a.Key] = a
	}
	s.copies = copiesOf(s.listing)
	s.digests, s.twins, s.retrieved = make(map[int]seen.Digest), make(map[int][]*twin), make(map[int]bool)
	return nil
}

// copiesOf returns the indexes of each unique-id that is listed more than once. Hardly any is, so that this costs nothing
// in a large maildrop.
func copiesOf(listing []seen.Entry) map[string][]int {
	copies := make(map[string][]int)
	for _, e := range listing {
		if e.Copy > 0 {
			copies[e.UniqueID] = nil
		}
	}
	if len(copies) > 0 {
		for i, e := range listing {
			if c, ok := copies[e.UniqueID]; ok {
				copies[e.UniqueID] = append(c, i)
			}
		}
	}
	return copies
}

// copiesWith returns the indexes of all messages with the unique-id of index i, itself among them.
func (s *session) copiesWith(i int) []int {
	if c, ok := s.copies[s.listing[i].UniqueID]; ok {
		return c
	}
	return []int{i}
}

// joining makes entries of the lines of LIST and UIDL while they are read, those of LIST first. In memory side by side, the
// listings of a large maildrop would take more than what becomes of them.
type joining struct {
	listed   []seen.Entry // a line of LIST each, without a unique-id until that is read
	unsorted bool         // listed is not in ascending order
	next     int          // where the next line of UIDL belongs, if it comes in that order too
	strange  []seen.Entry // lines of UIDL that LIST has none for
	expected int          // more entries than that are not believed before they are there
}

// atLeastExpected is what STAT is believed of an account of which less is known.
const atLeastExpected = 1 << 16

// drop makes room for as many entries as STAT tells of, because those that grow are moved about in memory, and looked at by the
// collector, again and again.
func (j *joining) drop(d pop3.DropListing) {
	j.listed = make([]seen.Entry, 0, min(d.Messages, j.expected))
}

func (j *joining) scan(l pop3.ScanListing) {
	if n := len(j.listed); n > 0 && l.Number < j.listed[n-1].Number {
		j.unsorted = true
	}
	if len(j.listed) == cap(j.listed) {
		j.listed = slices.Grow(j.listed, max(len(j.listed), 64)) // append by itself copies a large slice four times as often
	}
	j.listed = append(j.listed, seen.Entry{Number: l.Number, Octets: l.Octets})
}

// sort puts the lines of LIST, all of which have been read, into ascending order.
func (j *joining) sort() {
	if j.unsorted {
		sortByNumber(j.listed)
		j.unsorted = false
	}
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

func sortByNumber(entries []seen.Entry) {
	slices.SortFunc(entries, func(a, b seen.Entry) int { return a.Number - b.Number })
}

// find returns the index of a message-number among entries in ascending order.
func find(entries []seen.Entry, number int) (index int, found bool) {
	return slices.BinarySearchFunc(entries, number, func(e seen.Entry, number int) int { return e.Number - number })
}
