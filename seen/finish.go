package seen

import (
	"context"
	"maps"
	"slices"
	"time"
)

// GraceTime is how long a message must have been absent from every complete listing before it is
// forgotten. Some servers list only a part of their messages, or hide some for a while. Their ids
// come back.
const GraceTime = 90 * 24 * time.Hour

// Conclusion holds the arguments of Ledger.Finish.
type Conclusion struct {
	Diff    Diff
	Left    []Entry
	Deleted []Deleted
	At      time.Time
}

// Conclude is Ledger.Finish for every store. It calls change for each row to be changed, those of
// deleted messages first. It returns what the store has to note last, after all changes; the store
// counts Records itself.
//
// A store may make the changes at once or later, but in this order. Before the first change it
// removes the Digest that it holds.
func Conclude(ctx context.Context, reader Reader, run Conclusion, tuning Tuning, change func(RowChange) error) (Finished, error) {
	f := finish{
		reader: reader, left: run.Left, at: Millis(run.At), deleted: run.Deleted, change: change,
	}
	slices.SortFunc(f.deleted, func(a, b Deleted) int { return a.compare(b.Key) })
	if err := f.run(ctx, run.Diff.rest); err != nil {
		return Finished{}, err
	}
	end := Finished{Listed: len(f.left), Oldest: f.oldest}
	if f.complete {
		end.Digest = packSections(f.left, tuning.SectionSize)
	}
	return end, nil
}

func (d Deleted) compare(key Key) int { return d.Key.Compare(key) }

// finish is the work of one Conclude.
type finish struct {
	reader  Reader
	left    []Entry
	deleted []Deleted // in the order of the table
	at      int64
	// All that is left, as far as finish looked at it, is seen without doubt or set aside.
	complete bool
	oldest   int64 // the earliest delivery of what is left; 0: none

	// How many records merge has looked at, and how many of these are absent.
	looked struct{ records, absent int }

	change func(RowChange) error
}

func (f *finish) run(ctx context.Context, rest rest) error {
	for _, k := range f.deleted {
		if err := f.change(RowChange{Key: k.Key, Kind: Stamp, At: f.at, Rule: k.Rule}); err != nil {
			return err
		}
	}
	stored, err := f.reader.Asides(ctx)
	if err != nil {
		return err
	}
	asides := asidesOf(stored)
	done, err := f.mergeRest(ctx, rest, asides)
	if err == nil && !done {
		err = f.mergeAll(ctx, asides)
	}
	if err != nil {
		return err
	}
	return f.mergeOld(ctx)
}

// oldAtOnce is how many Old messages are read at once.
const oldAtOnce = 1000

// mergeOld notes which Old messages are left.
func (f *finish) mergeOld(ctx context.Context) error {
	var order []int
	for behind := (Key{}); ; {
		old, err := f.reader.Old(ctx, behind, oldAtOnce)
		if err != nil || len(old) == 0 {
			return err
		}
		if order == nil {
			order = indexes(0, len(f.left))
			slices.SortFunc(order, func(a, b int) int { return f.left[a].Key.Compare(f.left[b].Key) })
		}
		for i := range old {
			behind = old[i].Key
			for len(order) > 0 && f.left[order[0]].Key.Compare(behind) < 0 {
				order = order[1:]
			}
			isLeft := len(order) > 0 && f.left[order[0]].Key == behind
			absentAt := Millis(old[i].AbsentAt)
			if err := f.noteRow(true, behind, &absentAt, isLeft); err != nil {
				return err
			}
		}
	}
}

// mergeRest looks only at the rows that may have changed. It reports false if these are too many,
// or if the number of records shows that others have changed too.
func (f *finish) mergeRest(ctx context.Context, rest rest, asides []aside) (done bool, err error) {
	if rest.first && len(f.deleted)+len(asides) == 0 {
		return f.countFirst(ctx)
	}
	if !rest.few || len(f.deleted)+len(asides) > rest.most {
		return false, nil
	}
	ids, err := f.reader.Expired(ctx, f.at-GraceTime.Milliseconds(), rest.most+1)
	if err != nil || len(ids) > rest.most {
		return false, err
	}
	for _, id := range rest.ids {
		ids[id] = true
	}
	for _, k := range f.deleted {
		ids[k.UniqueID] = true
	}
	for i := range asides {
		ids[asides[i].UniqueID] = true
	}
	last, err := f.reader.Finished(ctx)
	if err != nil {
		return false, err
	}
	absent, err := f.reader.Absent(ctx)
	if err != nil {
		return false, err
	}
	var order []int
	for i := range f.left {
		if ids[f.left[i].UniqueID] {
			order = append(order, i)
		}
	}
	f.oldest = rest.oldest
	if err := f.merge(order, &table{asides: asides, rows: f.reader.Of(ctx, slices.Sorted(maps.Keys(ids)))}); err != nil {
		return false, err
	}
	return last.Records-f.looked.records == len(f.left)-len(order)+absent-f.looked.absent, nil
}

// countFirst skips the merge after a first run. If nothing was known before and there are as many
// records as messages left, then every message is recorded.
func (f *finish) countFirst(ctx context.Context) (done bool, err error) {
	last, err := f.reader.Finished(ctx)
	if err != nil || last.Records != len(f.left) {
		return false, err
	}
	f.complete = true
	f.oldest, err = f.reader.Oldest(ctx)
	return true, err
}

// mergeAll compares everything that is left with everything that is known.
func (f *finish) mergeAll(ctx context.Context, asides []aside) error {
	f.oldest = 0
	return f.merge(indexes(0, len(f.left)), &table{asides: asides, rows: f.reader.Between(ctx, Range{})})
}

// merge compares the entries at the indexes in order with the table t. It goes through both by
// unique-id and copy.
func (f *finish) merge(order []int, t *table) error {
	slices.SortFunc(order, func(a, b int) int { return f.left[a].Key.Compare(f.left[b].Key) })
	f.complete = true
	for {
		k, err := t.next()
		if err != nil {
			return err
		}
		for len(order) > 0 && (k == nil || f.left[order[0]].UniqueID < k.uniqueID) {
			f.complete = false
			order = order[1:]
		}
		if k == nil {
			return nil
		}
		n := 0
		for n < len(order) && f.left[order[n]].UniqueID == k.uniqueID {
			n++
		}
		if err := f.note(k, order[:n]); err != nil {
			return err
		}
		order = order[n:]
	}
}

// note brings the rows of one unique-id up to date with the copies that are left. It also checks
// whether the next Diff would be in doubt about them.
func (f *finish) note(k *known, copies []int) error {
	isLeft := func(ordinal int) bool {
		_, found := slices.BinarySearchFunc(copies, ordinal, func(i, ordinal int) int { return f.left[i].Copy - ordinal })
		return found
	}
	for i := range k.records {
		r := &k.records[i]
		f.looked.records++
		if r.AbsentAt != 0 {
			f.looked.absent++
		}
		if _, found := slices.BinarySearchFunc(f.deleted, r.Key, Deleted.compare); found {
			r.DeletedAt = f.at // change was already told so
		}
		if err := f.noteRow(false, r.Key, &r.AbsentAt, isLeft(r.Copy)); err != nil {
			return err
		}
	}
	for i := range k.asides {
		a := &k.asides[i]
		if err := f.noteRow(true, a.Key, &a.absentAt, isLeft(a.Copy)); err != nil {
			return err
		}
	}
	k.count()
	for ordinal, i := range copies {
		v, r, _ := k.judge(ordinal, len(copies), f.left[i].Octets)
		switch {
		case v == isNew || v == isCheck:
			f.complete = false
		case v == isSeen || v == isLikely:
			f.oldest = earliest(f.oldest, r.delivery())
		}
	}
	return nil
}

// noteRow notes whether the message of a record or an aside is left, and if not, since when.
func (f *finish) noteRow(aside bool, key Key, absentAt *int64, isLeft bool) error {
	switch {
	case isLeft && *absentAt != 0:
		*absentAt = 0
	case !isLeft && *absentAt == 0:
		*absentAt = f.at
	case !isLeft && f.at-*absentAt > GraceTime.Milliseconds():
		return f.change(RowChange{Key: key, Kind: Remove, Aside: aside})
	default:
		return nil
	}
	return f.change(RowChange{Key: key, Kind: Mark, Aside: aside, At: *absentAt})
}
