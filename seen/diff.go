package seen

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"
)

// Compare is Ledger.Diff for every store.
//
// Nearly always a maildrop is what it was, or that and some new messages. So Conclude keeps digests of what it left, and where a
// listing begins with just that, only the rest is looked up; see section for what has lost some.
func Compare(ctx context.Context, reader Reader, listing []Entry, due time.Time, tuning Tuning) (Diff, error) {
	c := comparison{reader: reader, listing: listing, due: Millis(due), tuning: tuning}
	if err := c.run(ctx); err != nil {
		return Diff{}, err
	}
	slices.Sort(c.diff.New)
	slices.Sort(c.diff.Check)
	slices.Sort(c.diff.Due)
	slices.Sort(c.diff.Likely)
	slices.SortFunc(c.diff.Aside, func(a, b Match) int { return a.Index - b.Index })
	return c.diff, nil
}

// comparison is the work of one Compare.
type comparison struct {
	reader  Reader
	listing []Entry
	due     int64
	diff    Diff
	tuning  Tuning
}

func (c *comparison) run(ctx context.Context) error {
	last, err := c.reader.Finished(ctx)
	if err != nil {
		return err
	}
	c.diff.AllAside, err = c.reader.Asides(ctx)
	if err != nil {
		return err
	}
	asides := asidesOf(c.diff.AllAside)
	same := last.isPrefixOf(c.listing, c.tuning.SectionSize)
	c.diff.Unchanged = same && last.Listed == len(c.listing)
	c.diff.rest = rest{few: true, most: len(c.listing) / c.tuning.LookupCost, first: last.Records+len(asides) == 0}
	scattered := len(c.listing) < last.Records/c.tuning.LookupCost // most of what is known is listed no more
	var done bool
	switch {
	case last.hasDue(c.due):
	case c.tuning.Sections:
		c.diff.rest.most = math.MaxInt - 1
		done, err = c.runSections(ctx, asides, unpackSections(last.Digest))
	case same:
		done, err = c.runTail(ctx, asides, last.Listed)
	case !scattered:
		done, err = c.runSections(ctx, asides, unpackSections(last.Digest))
	}
	if done || err != nil {
		c.diff.rest.oldest = earliest(c.diff.rest.oldest, last.Oldest)
		return err
	}
	if last.hasDue(c.due) {
		// If nothing is due in the end, that was of a message that is gone by now: Finish finds out anew which delivery is the earliest.
		defer func() { c.diff.Unchanged = c.diff.Unchanged && len(c.diff.Due) > 0 }()
	}
	order := indexes(0, len(c.listing))
	c.sort(order)
	if scattered {
		c.diff.rest.few = same // or what is gone is not known
		return c.compare(order, &table{asides: asides, rows: c.reader.Of(ctx, c.uniqueIDs(order))})
	}
	return c.compare(order, &table{asides: asides, rows: c.reader.Between(ctx, Range{})})
}

// runTail compares a listing whose first entries are what the last finished run left. Of these only the ones whose
// unique-id is listed behind them too, or has copies, or was set aside, are looked at; the others are seen. It is not done if
// that leaves too much to look up.
func (c *comparison) runTail(ctx context.Context, asides []aside, listed int) (done bool, err error) {
	if len(c.listing)-listed > c.diff.rest.most {
		return false, nil
	}
	ids, err := c.doubtful(ctx, asides)
	if err != nil || ids == nil {
		return false, err
	}
	for _, e := range c.listing[listed:] {
		ids[e.UniqueID] = true
	}
	var order []int
	for i := range c.listing {
		c.listing[i].Copy = 0
		if len(ids) > 0 && ids[c.listing[i].UniqueID] {
			order = append(order, i)
		}
	}
	c.diff.Seen = len(c.listing) - len(order)
	c.sort(order)
	return true, c.compare(order, &table{asides: asides, rows: c.reader.Of(ctx, c.uniqueIDs(order))})
}

// doubtful returns the unique-ids of which more than one copy is recorded, or that were set aside, nil if these are too many to be looked up.
func (c *comparison) doubtful(ctx context.Context, asides []aside) (map[string]bool, error) {
	most := c.diff.rest.most
	ids, err := c.reader.Copies(ctx, most+1)
	if err != nil || len(ids)+len(asides) > most {
		return nil, err
	}
	for i := range asides {
		ids[asides[i].UniqueID] = true
	}
	return ids, nil
}

// sort puts indexes into the order of the table: by unique-id, and in the order of the listing among copies.
func (c *comparison) sort(order []int) {
	slices.SortFunc(order, func(a, b int) int {
		if order := strings.Compare(c.listing[a].UniqueID, c.listing[b].UniqueID); order != 0 {
			return order
		}
		return a - b
	})
}

// uniqueIDs returns the unique-ids of sorted indexes, each once.
func (c *comparison) uniqueIDs(order []int) []string {
	ids := make([]string, 0, len(order))
	for _, i := range order {
		if id := c.listing[i].UniqueID; len(ids) == 0 || ids[len(ids)-1] != id {
			ids = append(ids, id)
		}
	}
	return ids
}

// compare goes through the entries that order names, sorted, and through the table side by side.
func (c *comparison) compare(order []int, t *table) error {
	for {
		k, err := t.next()
		if err != nil {
			return err
		}
		for len(order) > 0 && (k == nil || c.listing[order[0]].UniqueID < k.uniqueID) {
			order = c.judge(order, &known{uniqueID: c.listing[order[0]].UniqueID})
		}
		if k == nil {
			break
		}
		if len(order) > 0 && c.listing[order[0]].UniqueID == k.uniqueID {
			order = c.judge(order, k)
		} else if k.current > 0 {
			c.diff.rest.lookAt(strings.Clone(k.uniqueID))
		}
	}
	return nil
}

// judge numbers the listed copies of one unique-id, which are the first in order, notes what is known of them, and returns the others.
func (c *comparison) judge(order []int, k *known) (others []int) {
	listed := 1
	for listed < len(order) && c.listing[order[listed]].UniqueID == k.uniqueID {
		listed++
	}
	for ordinal, i := range order[:listed] {
		e := &c.listing[i]
		e.Copy = ordinal
		v, r, a := k.judge(ordinal, listed, e.Octets)
		if v != isSeen && ordinal == 0 {
			c.diff.rest.lookAt(e.UniqueID)
		}
		switch v {
		case isNew:
			c.diff.New = append(c.diff.New, i)
		case isCheck:
			c.diff.Check = append(c.diff.Check, i)
		case isAside:
			c.diff.Aside = append(c.diff.Aside, Match{Index: i, Aside: a.Aside})
		case isSeen, isLikely:
			if v == isLikely {
				c.diff.Likely = append(c.diff.Likely, i)
			}
			c.diff.Seen++
			if r.isDue(c.due) { // it will hardly be left
				c.diff.Due = append(c.diff.Due, i)
				c.diff.rest.lookAt(e.UniqueID)
			} else {
				c.diff.rest.oldest = earliest(c.diff.rest.oldest, r.delivery())
			}
		}
	}
	return order[listed:]
}

// delivery returns when the message was delivered, 0 if it is not known.
func (r *Row) delivery() int64 {
	if r.Kind != Delivered {
		return 0
	}
	return r.DeliveredAt
}

// earliest is the earlier of two times, of which 0 is none.
func earliest(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// rest is what Diff tells Finish, so that not all has to be compared twice.
type rest struct {
	few    bool     // each listed id that is not in ids has just one row, seen without doubt; ids has all that the last listing had, too
	ids    []string // what is to be looked at again: not seen without doubt, due, or listed no more
	most   int      // more than so many are not few
	first  bool     // nothing at all was known
	oldest int64    // no message with one of the other ids was delivered earlier; 0: none was delivered

	sections bool // see Effort
}

func (r *rest) lookAt(id string) {
	if r.few = r.few && len(r.ids) < r.most; r.few {
		r.ids = append(r.ids, id)
	}
}

// isDue says that the message was delivered at or before the time due; 0 asks for none.
func (r *Row) isDue(due int64) bool {
	return due != 0 && r.delivery() != 0 && r.delivery() <= due
}

func (f *Finished) hasDue(due int64) bool {
	return due != 0 && f.Oldest != 0 && f.Oldest <= due
}

// Effort tells tests how a Diff was found, and what is left for Finish to look at.
type Effort struct {
	Sections bool     // it was compared section by section
	Few      bool     // Finish need look at a few unique-ids only
	IDs      []string // those of them that Diff has found
}

// Effort tells tests how the Diff was found.
func (d *Diff) Effort() Effort {
	return Effort{Sections: d.rest.sections, Few: d.rest.few, IDs: d.rest.ids}
}
