package seen

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"
)

// graceTime is how long a message must have been absent from every complete listing before it is forgotten. Servers that
// list only some of their messages, or hide them for a while, bring ids back.
const graceTime = 90 * 24 * time.Hour

// Finish is called after the positive reply to QUIT: it stamps the deleted records, notes what the complete listing left
// lacks, forgets what has been absent for longer than the grace time of 90 days, and keeps the digest of left for the next
// Diff. left is the listing of which Diff told diff, without the deleted messages, in its order; at is the time of the run.
// Only rows that change are written. Records that were changed since Diff must be those of messages that diff names (as New, Check, Due,
// Likely or Aside) or that are deleted; with the zero Diff it does not matter, and everything is looked at.
func (s *Store) Finish(ctx context.Context, account int64, diff Diff, left []Entry, deleted []Key, at time.Time) error {
	f := finish{account: account, left: left, at: toMillis(at), deleted: deleted, sectionSize: s.sectionSize}
	err := s.update(ctx, func(whole context.Context, tx *sql.Conn) error {
		f.change = func(query string, args ...any) error {
			_, err := tx.ExecContext(whole, query, args...)
			return err
		}
		return f.run(ctx, tx, diff.rest)
	})
	if err != nil {
		return fmt.Errorf("finishing a run in the seen-table: %w", err)
	}
	return nil
}

// finish is the work of one Finish.
type finish struct {
	account  int64
	left     []Entry
	deleted  []Key
	at       int64
	complete bool  // everything left, as far as it was looked at, is seen without doubt or set aside
	oldest   int64 // the earliest delivery of what is left; 0: none

	looked struct{ records, absent int } // how many rows of seen merge has looked at, and how many of them were absent

	sectionSize int // of Store

	change func(query string, args ...any) error
}

// What is done to a row: the first of each is for seen, the second for aside.
var (
	markRow = [2]string{
		"UPDATE seen SET absent_at = ?4 WHERE account = ?1 AND unique_id = ?2 AND copy = ?3",
		"UPDATE aside SET absent_at = ?4 WHERE account = ?1 AND unique_id = ?2 AND copy = ?3",
	}
	forgetRow = [2]string{
		"DELETE FROM seen WHERE account = ?1 AND unique_id = ?2 AND copy = ?3",
		"DELETE FROM aside WHERE account = ?1 AND unique_id = ?2 AND copy = ?3",
	}
)

func (f *finish) run(ctx context.Context, tx *sql.Conn, rest rest) error {
	for _, k := range f.deleted {
		err := f.change("UPDATE seen SET deleted_at = ?4 WHERE account = ?1 AND unique_id = ?2 AND copy = ?3", f.account, []byte(k.UniqueID), k.Copy, f.at)
		if err != nil {
			return err
		}
	}
	asides, err := readAsides(ctx, tx, f.account)
	if err != nil {
		return err
	}
	if done, err := f.mergeRest(ctx, tx, rest, asides); err != nil {
		return err
	} else if !done {
		if err := f.mergeAll(ctx, tx, asides); err != nil {
			return err
		}
	}
	// Last, because the changes above take the digest away.
	var digest []byte
	if f.complete {
		digest = packSections(f.left, f.sectionSize)
	}
	result, err := tx.ExecContext(ctx, "UPDATE account SET listed = ?, digest = ?, oldest = ? WHERE id = ?",
		len(f.left), digest, f.oldest, f.account)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); n == 0 {
		return cmp.Or(err, ErrUnknown)
	}
	return nil
}

// mergeRest looks only at what may have changed, if that is little and counting shows that there is nothing else.
func (f *finish) mergeRest(ctx context.Context, tx *sql.Conn, rest rest, asides []aside) (done bool, err error) {
	if rest.first && len(f.deleted)+len(asides) == 0 {
		return f.countFirst(ctx, tx)
	}
	if !rest.few || len(f.deleted)+len(asides) > rest.most {
		return false, nil
	}
	ids, err := f.expired(ctx, tx, rest.most)
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
	var records, absent int
	err = tx.QueryRowContext(ctx, `
		SELECT records, (SELECT count(*) FROM seen WHERE account = ?1 AND absent_at > 0) FROM account WHERE id = ?1`, f.account).
		Scan(&records, &absent)
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
	if err := f.merge(order, tableOf(ctx, tx, f.account, asides, slices.Sorted(maps.Keys(ids)))); err != nil {
		return false, err
	}
	return records-f.looked.records == len(f.left)-len(order)+absent-f.looked.absent, nil
}

// countFirst looks at nothing: where nothing was known before the run, and it has recorded as many messages as there are, these are them.
func (f *finish) countFirst(ctx context.Context, tx *sql.Conn) (done bool, err error) {
	var records int
	err = tx.QueryRowContext(ctx, `
		SELECT records, (SELECT coalesce(min(delivered_at), 0) FROM seen WHERE account = ?1 AND kind = ?2 AND delivered_at > 0)
		FROM account WHERE id = ?1`, f.account, Delivered).Scan(&records, &f.oldest)
	f.complete = true
	return records == len(f.left), err
}

// expired returns unique-ids of messages that have been absent for longer than the grace time, up to one more than most.
func (f *finish) expired(ctx context.Context, tx *sql.Conn, most int) (map[string]bool, error) {
	return queryIDs(ctx, tx, "SELECT DISTINCT unique_id FROM seen WHERE account = ? AND absent_at > 0 AND absent_at < ? LIMIT ?",
		f.account, f.at-graceTime.Milliseconds(), most+1)
}

// mergeAll looks at everything that is left and everything that is known.
func (f *finish) mergeAll(ctx context.Context, tx *sql.Conn, asides []aside) error {
	f.oldest = 0
	return f.merge(indexes(0, len(f.left)), tableBetween(ctx, tx, f.account, asides, idRange{}))
}

// merge goes through what is left, as far as order names it, and what is known side by side, both by unique-id and copy.
func (f *finish) merge(order []int, t *table) error {
	slices.SortFunc(order, func(a, b int) int { return compareKeys(f.left[a].Key, f.left[b].Key) })
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

// note brings the rows of one unique-id up to date with the copies of it that are left, and looks whether the next Diff
// would have doubts about them.
func (f *finish) note(k *known, copies []int) error {
	isLeft := func(ordinal int) bool {
		_, found := slices.BinarySearchFunc(copies, ordinal, func(i, ordinal int) int { return f.left[i].Copy - ordinal })
		return found
	}
	for i := range k.records {
		r := &k.records[i]
		f.looked.records++
		if r.absentAt != 0 {
			f.looked.absent++
		}
		if err := f.noteRow(0, r.Key, &r.absentAt, isLeft(r.Copy)); err != nil {
			return err
		}
	}
	for i := range k.asides {
		a := &k.asides[i]
		if err := f.noteRow(1, a.Key, &a.absentAt, isLeft(a.Copy)); err != nil {
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

// noteRow notes in a row of seen (table 0) or aside (table 1) whether its message is left, and since when not.
func (f *finish) noteRow(table int, key Key, absentAt *int64, isLeft bool) error {
	switch {
	case isLeft && *absentAt != 0:
		*absentAt = 0
	case !isLeft && *absentAt == 0:
		*absentAt = f.at
	case !isLeft && f.at-*absentAt > graceTime.Milliseconds():
		return f.change(forgetRow[table], f.account, []byte(key.UniqueID), key.Copy)
	default:
		return nil
	}
	return f.change(markRow[table], f.account, []byte(key.UniqueID), key.Copy, *absentAt)
}
