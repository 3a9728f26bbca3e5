package seen

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// graceTime is how long a message must have been absent from every complete listing before it is forgotten. Servers that
// list only some of their messages, or hide them for a while, bring ids back.
const graceTime = 90 * 24 * time.Hour

// Finish is called after the positive reply to QUIT: it stamps the deleted records, notes what the complete listing left
// lacks, forgets what has been absent for longer than the grace time of 90 days, and keeps the digest of left for the next
// Diff. left is the listing that Diff numbered, without the deleted messages, in its order; at is the time of the run.
// Only rows that change are written.
func (s *Store) Finish(ctx context.Context, account int64, left []Entry, deleted []Key, at time.Time) error {
	f := finish{account: account, left: left, at: toMillis(at), complete: true}
	err := s.update(ctx, func(whole context.Context, tx *sql.Conn) error {
		f.change = func(query string, args ...any) error {
			_, err := tx.ExecContext(whole, query, args...)
			return err
		}
		return f.run(ctx, tx, deleted)
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
	at       int64
	complete bool  // everything left, as far as it was looked at, is seen without doubt or set aside
	oldest   int64 // the earliest delivery of what is left; 0: none

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

func (f *finish) run(ctx context.Context, tx *sql.Conn, deleted []Key) error {
	for _, k := range deleted {
		err := f.change("UPDATE seen SET deleted_at = ?4 WHERE account = ?1 AND unique_id = ?2 AND copy = ?3", f.account, []byte(k.UniqueID), k.Copy, f.at)
		if err != nil {
			return err
		}
	}
	if err := f.merge(ctx, tx); err != nil {
		return err
	}
	// Last, because the changes above take the digest away.
	var digest []byte
	if f.complete {
		sum := digestOf(f.left)
		digest = sum[:]
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

// merge goes through what is left and what is known side by side, both by unique-id and copy.
func (f *finish) merge(ctx context.Context, tx *sql.Conn) error {
	order := make([]int, len(f.left))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareKeys(f.left[a].Key, f.left[b].Key) })
	asides, err := readAsides(ctx, tx, f.account)
	if err != nil {
		return err
	}
	t := wholeTable(ctx, tx, f.account, asides)
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
		case (v == isSeen || v == isLikely) && r.kind == Delivered && r.deliveredAt != 0 && (f.oldest == 0 || r.deliveredAt < f.oldest):
			f.oldest = r.deliveredAt
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
