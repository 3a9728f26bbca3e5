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
// A maildrop is nearly always unchanged, or has only gained some messages at its end. So Conclude
// keeps digests of the listing that a run left. Where the new listing begins with that one, Compare
// looks up only the entries behind it. For a maildrop that has lost messages, see section.
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
	if c.diff.rest.first { // all will be new, and a slice that grows would be there twice
		c.diff.New = make([]int, 0, len(c.listing))
	}
	// Most of the recorded messages are no longer listed.
	scattered := len(c.listing) < last.Records/c.tuning.LookupCost
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
		// If no message turns out to be due, the one that was due is gone, unless its time is
		// unknown. Finish then has to find the earliest delivery again.
		defer func() {
			c.diff.Unchanged = c.diff.Unchanged && (len(c.diff.Due) > 0 || c.diff.rest.oldest == last.Oldest)
		}()
	}
	order := indexes(0, len(c.listing))
	c.sort(order)
	if scattered {
		// Otherwise nobody knows which messages are gone.
		c.diff.rest.few = same
		return c.compare(order, &table{asides: asides, rows: c.reader.Of(ctx, c.uniqueIDs(order))})
	}
	return c.compare(order, &table{asides: asides, rows: c.reader.Between(ctx, Range{})})
}

// runTail compares a listing that begins with the entries that the last finished run left. Most of
// these entries count as seen without a look-up. It looks up the entries behind them, and every
// entry whose unique-id is among those, has copies, or was set aside. It reports false if that
// would be too many look-ups.
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

// doubtful returns the unique-ids that have more than one recorded copy, and those that were set
// aside. It returns nil if there are too many of them to look up.
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

// sort puts indexes into the order of the table: by unique-id, and copies in the order of the
// listing.
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

// compare merges the entries at the sorted indexes in order with the table.
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

// judge numbers the listed copies of one unique-id, which come first in order. It adds each of them
// to the Diff, and returns the other indexes.
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
			if r.isDue(c.due) { // it will probably be deleted
				c.diff.Due = append(c.diff.Due, i)
				c.diff.rest.lookAt(e.UniqueID)
			} else {
				c.diff.rest.oldest = earliest(c.diff.rest.oldest, r.delivery())
			}
		}
	}
	return order[listed:]
}

// delivery returns when the message was delivered; 0: it was not. An unknown time counts as the
// earliest, so that Finished.Oldest tells of it.
func (r *Row) delivery() int64 {
	if !r.Kind.IsDone() {
		return 0
	}
	return max(r.DeliveredAt, 1)
}

// earliest returns the earlier of two times; 0 stands for no time.
func earliest(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// rest is what Diff passes to Finish, so that Finish need not compare everything again.
type rest struct {
	// Each listed id that is not in ids has exactly one row, and its message is seen without doubt.
	// Each id that the last listing had and this one lacks is in ids.
	few bool
	// The ids that Finish looks at again: not seen without doubt, due, or no longer listed.
	ids   []string
	most  int  // with more ids than this, few is false
	first bool // nothing at all was known
	// No message with one of the other ids was delivered before this time; 0: none was delivered.
	oldest int64

	sections bool // see Effort
}

func (r *rest) lookAt(id string) {
	if r.few = r.few && len(r.ids) < r.most; r.few {
		r.ids = append(r.ids, id)
	} else {
		r.ids = nil // a listing of millions needs the memory
	}
}

// isDue reports whether the message was delivered or dropped at or before the time due. If due is 0, nothing
// is. A message whose time of delivery is unknown is due only at AnyTime.
func (r *Row) isDue(due int64) bool {
	if !r.Kind.IsDone() || r.DeliveredAt == 0 {
		return r.Kind.IsDone() && due == math.MaxInt64
	}
	return r.DeliveredAt <= due && due != 0
}

func (f *Finished) hasDue(due int64) bool {
	return due != 0 && f.Oldest != 0 && f.Oldest <= due
}

// AddDue adds messages to Due, by their indexes into the listing. Finish then looks at
// them.
func (d *Diff) AddDue(listing []Entry, indexes ...int) {
	before := d.Due[:len(d.Due):len(d.Due)]
	for _, i := range indexes {
		if _, known := slices.BinarySearch(before, i); !known {
			d.Due = append(d.Due, i)
			d.rest.lookAt(listing[i].UniqueID)
		}
	}
	slices.Sort(d.Due)
	d.Due = slices.Compact(d.Due)
}

// Effort tells tests how a Diff was made, and how much is left for Finish to look at.
type Effort struct {
	Sections bool     // it was compared section by section
	Few      bool     // Finish needs to look only at a few unique-ids
	IDs      []string // those of them that Diff has noted
}

// Effort tells tests how the Diff was made.
func (d *Diff) Effort() Effort {
	return Effort{Sections: d.rest.sections, Few: d.rest.few, IDs: d.rest.ids}
}
