package fetch

import (
	"cmp"
	"slices"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// Plan is what a run will do to a maildrop, as a value: it is computed without any input or output.
type Plan struct {
	// Retrieve is in the order in which RETR is sent. It may be the whole of a large listing, and so points into that.
	Retrieve    []*seen.Entry
	Recognise   []seen.Entry // held by the target already: recorded, not retrieved
	Skip        []seen.Entry // larger than the account's limit
	Mark        []seen.Entry // left out of the first run: recorded as marked, not retrieved
	Quarantined []seen.Match // left alone
	Delete      []seen.Entry
	Seen        int // listed and recorded, so not retrieved
}

// verdict is what the digest of a header has shown of a listed message that its unique-id alone does not identify.
type verdict struct {
	seen  bool    // it is the message of a record
	held  bool    // the target holds it
	old   bool    // a first run leaves it out
	known []*twin // the digest does not settle it: it may be one of these, which its octets will show
}

// The verdicts on most messages of a large maildrop, which share them.
var (
	isSeen = &verdict{seen: true}
	isHeld = &verdict{held: true}
	isOld  = &verdict{old: true}
)

// twin is a message that was delivered, by its octets. Several listed messages may turn out to be it, but only one is.
type twin struct {
	sha256 [32]byte
	octets int64
	place  string
	at     time.Time // of its delivery; zero: unknown
	taken  bool      // one has turned out to be it
}

// planRetrieval decides what becomes of each listed message before anything is retrieved. verdicts holds one for each
// index whose unique-id does not settle it; an index that it lacks is what diff says.
func planRetrieval(listing []seen.Entry, diff seen.Diff, verdicts map[int]*verdict, account *Account) Plan {
	var p Plan
	decide := func(i int) {
		v := cmp.Or(verdicts[i], &verdict{})
		switch {
		case v.seen:
			p.Seen++
		case v.held:
			p.Recognise = append(p.Recognise, listing[i])
		case v.old:
			p.Mark = append(p.Mark, listing[i])
		case account.MaxSize > 0 && listing[i].Octets > account.MaxSize:
			p.Skip = append(p.Skip, listing[i])
		default:
			p.Retrieve = append(p.Retrieve, &listing[i])
		}
	}
	if account.All {
		for i := range listing {
			decide(i)
		}
	} else {
		p.Retrieve = make([]*seen.Entry, 0, max(0, len(diff.New)+len(diff.Aside)-len(verdicts)))
		old := 0
		for _, v := range verdicts {
			if v.old {
				old++
			}
		}
		p.Mark = make([]seen.Entry, 0, old)
		p.Seen = diff.Seen
		for _, indexes := range [][]int{diff.New, diff.Check} {
			for _, i := range indexes {
				decide(i)
			}
		}
		counted := make(map[int]bool) // what is due and likely too
		for _, indexes := range [][]int{diff.Due, diff.Likely} {
			for _, i := range indexes {
				if v, judged := verdicts[i]; judged && !v.seen && !counted[i] {
					counted[i] = true
					p.Seen--
					decide(i)
				}
			}
		}
		for _, m := range diff.Aside {
			if m.Reason == seen.Quarantined {
				p.Quarantined = append(p.Quarantined, m)
			} else {
				decide(m.Index)
			}
		}
	}
	aside := make(map[int]bool, len(diff.Aside)) // last, so that what was refused before holds up nothing else
	for _, m := range diff.Aside {
		aside[listing[m.Index].Number] = true
	}
	slices.SortFunc(p.Retrieve, func(a, b *seen.Entry) int {
		switch {
		case aside[a.Number] != aside[b.Number]:
			if aside[a.Number] {
				return 1
			}
			return -1
		case account.Newest:
			return cmp.Compare(b.Number, a.Number)
		}
		return cmp.Compare(a.Number, b.Number)
	})
	return p
}

// candidate is a listed message that might be deleted, with all that is known of it after the retrieval.
type candidate struct {
	seen.Entry
	retrieved bool          // in this session
	records   []seen.Record // of its unique-id, all copies, read back from the store
	digest    seen.Digest   // what TOP shows now; zero: unknown
	alike     int           // listed messages with its unique-id and digest, itself among them; those whose digest is unknown count
}

// planDeletion picks the candidates that may be deleted now. The seen-table decides: a message that was retrieved in this
// session needs its record of kind Delivered; one that is known from earlier must also be shown by its header digest to
// be that message, because unique-ids get reused and a wrong DELE cannot be undone.
func planDeletion(candidates []candidate, policy DeletePolicy, now time.Time) []seen.Entry {
	if !policy.Enabled {
		return nil
	}
	var chosen []seen.Entry
	for _, c := range candidates {
		r, ok := c.record()
		if ok && r.Kind == seen.Delivered && !r.DeliveredAt.Add(policy.After).After(now) {
			chosen = append(chosen, c.Entry)
		}
	}
	return chosen
}

// record returns the record that is without doubt of the listed message c.
func (c *candidate) record() (match seen.Record, ok bool) {
	matches := 0
	for _, r := range c.records {
		switch {
		case c.retrieved && r.Key == c.Key:
			return r, true
		case !c.retrieved && c.digest != (seen.Digest{}) && r.Digest == c.digest:
			match = r
			matches++
		}
	}
	return match, matches == 1 && c.alike == 1
}
