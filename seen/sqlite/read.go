package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// selectRecord yields a row for each place of a record. A record without places has one row, with
// NULL for the place.
const selectRecord = `
	SELECT seen.unique_id, seen.copy, kind, listed, delivered_at, deleted_at, absent_at, detail.octets, digest, detail.sha256,
		target, name, place.octets, place.sha256
	FROM seen JOIN detail ON detail.id = seen.detail LEFT JOIN place ON place.detail = detail.id`

// scanRecord reads one row of selectRecord: a record with one of its places, or with none.
func scanRecord(rows *sql.Rows) (seen.Record, error) {
	var r seen.Record
	var digest, sum, placeSum sql.RawBytes
	var delivered, deleted, absent int64
	var target, name sql.NullString
	var octets sql.NullInt64
	err := rows.Scan(&r.UniqueID, &r.Copy, &r.Kind, &r.Listed, &delivered, &deleted, &absent, &r.Came.Octets, &digest, &sum,
		&target, &name, &octets, &placeSum)
	copy(r.Digest[:], digest)
	copy(r.Came.SHA256[:], sum)
	r.DeliveredAt, r.DeletedAt, r.AbsentAt = seen.FromMillis(delivered), seen.FromMillis(deleted), seen.FromMillis(absent)
	if name.Valid {
		p := seen.Place{Target: target.String, Name: name.String, Sum: r.Came}
		if octets.Valid {
			p.Octets = octets.Int64
			copy(p.SHA256[:], placeSum)
		}
		r.Places = []seen.Place{p}
	}
	return r, err
}

// Records looks up the unique-ids.
func (l *ledger) Records(ctx context.Context, uniqueIDs []string) ([]seen.Record, error) {
	var found []seen.Record
	ids := slices.Compact(slices.Sorted(slices.Values(uniqueIDs)))
	err := l.view(ctx, func(q querier) error {
		for chunk := range slices.Chunk(ids, lookupChunk) {
			where, args := whereIDs(l.id, chunk)
			for r, err := range queryRecords(ctx, q, where, args) {
				if err != nil {
					return err
				}
				found = append(found, r)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading records: %w", err)
	}
	return found, nil
}

// All reads the whole table of the account.
func (l *ledger) All(ctx context.Context) iter.Seq2[seen.Record, error] {
	return l.each(ctx, " WHERE account = ?")
}

// Remaining reads the whole table of the account.
func (l *ledger) Remaining(ctx context.Context) iter.Seq2[seen.Record, error] {
	return l.each(ctx, " WHERE account = ? AND (absent_at = 0 OR deleted_at = 0)")
}

// Newest reads the whole table of the account.
func (l *ledger) Newest(ctx context.Context) (time.Time, error) {
	var at int64
	err := l.view(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT coalesce(max(delivered_at), 0) FROM seen WHERE account = ?", l.id).Scan(&at)
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the latest delivery: %w", err)
	}
	return seen.FromMillis(at), nil
}

// Imported reads the whole table of the account.
func (l *ledger) Imported(ctx context.Context, until time.Time) iter.Seq2[seen.Record, error] {
	return l.each(ctx, " WHERE account = ? AND kind IN (?, ?) AND absent_at = 0 AND deleted_at = 0 AND delivered_at <= ?",
		seen.Imported, seen.Sanitized, seen.Millis(until))
}

// CountDue reads the whole table of the account.
func (l *ledger) CountDue(ctx context.Context, due time.Time) (n int, err error) {
	first := int64(1) // an unknown time of delivery is 0
	if due.Equal(seen.AnyTime) {
		first = 0
	}
	err = l.view(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, `
			SELECT count(*) FROM seen
			WHERE account = ? AND kind IN (?, ?) AND absent_at = 0 AND deleted_at = 0 AND delivered_at BETWEEN ? AND ?`,
			l.id, seen.Delivered, seen.Dropped, first, seen.Millis(due)).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("counting the messages that are due: %w", err)
	}
	return n, nil
}

// each yields the records of the account that where selects, in one transaction. args are the
// arguments of where behind the account.
func (l *ledger) each(ctx context.Context, where string, args ...any) iter.Seq2[seen.Record, error] {
	args = append([]any{l.id}, args...)
	return func(yield func(seen.Record, error) bool) {
		err := l.view(ctx, func(q querier) error {
			for r, err := range queryRecords(ctx, q, where, args) {
				if err != nil {
					return err
				}
				if !yield(r, nil) {
					return errEnough
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(seen.Record{}, fmt.Errorf("reading records: %w", err))
		}
	}
}

// errEnough ends a view whose caller wants no more records.
var errEnough = errors.New("enough")

func queryRecords(ctx context.Context, q querier, where string, args []any) iter.Seq2[seen.Record, error] {
	return func(yield func(seen.Record, error) bool) {
		rows, err := q.QueryContext(ctx, selectRecord+where+" ORDER BY unique_id, copy, number", args...)
		if err != nil {
			yield(seen.Record{}, err)
			return
		}
		defer rows.Close()
		var last seen.Record // the record being put together, if more
		more := false
		for rows.Next() {
			r, err := scanRecord(rows)
			switch {
			case err != nil:
				yield(seen.Record{}, err)
				return
			case more && last.Key == r.Key:
				last.Places = append(last.Places, r.Places...)
				continue
			case more && !yield(last, nil):
				return
			}
			last, more = r, true
		}
		if err := rows.Err(); err != nil {
			yield(seen.Record{}, err)
		} else if more {
			yield(last, nil)
		}
	}
}

// lookupChunk is how many unique-ids one query names.
const lookupChunk = 256

// whereIDs makes the condition that selects the rows of some unique-ids.
func whereIDs(account int64, ids []string) (where string, args []any) {
	args = make([]any, 0, 1+len(ids))
	args = append(args, account)
	for _, id := range ids {
		args = append(args, []byte(id))
	}
	return " WHERE account = ? AND unique_id IN (?" + strings.Repeat(", ?", len(ids)-1) + ")", args
}
