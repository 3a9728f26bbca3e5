package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/seen"
)

const selectRecord = `
	SELECT unique_id, copy, kind, listed, delivered_at, deleted_at, absent_at, octets, digest, sha256, place
	FROM seen JOIN detail ON detail.id = seen.detail`

func scanRecord(rows *sql.Rows) (seen.Record, error) {
	var r seen.Record
	var digest, sum sql.RawBytes
	var place string
	var delivered, deleted, absent int64
	err := rows.Scan(&r.UniqueID, &r.Copy, &r.Kind, &r.Listed, &delivered, &deleted, &absent, &r.Came.Octets, &digest, &sum, &place)
	copy(r.Digest[:], digest)
	copy(r.Came.SHA256[:], sum)
	r.DeliveredAt, r.DeletedAt, r.AbsentAt = seen.FromMillis(delivered), seen.FromMillis(deleted), seen.FromMillis(absent)
	if place != "" {
		r.Places = []seen.Place{{Name: place, Sum: r.Came}}
	}
	return r, err
}

func placeOf(r seen.Record) string {
	if len(r.Places) == 0 {
		return ""
	}
	return r.Places[0].Name
}

// Records looks the unique-ids up.
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
	return func(yield func(seen.Record, error) bool) {
		err := l.view(ctx, func(q querier) error {
			for r, err := range queryRecords(ctx, q, " WHERE account = ?", []any{l.id}) {
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

// errEnough ends a view whose caller has seen enough.
var errEnough = errors.New("enough")

func queryRecords(ctx context.Context, q querier, where string, args []any) iter.Seq2[seen.Record, error] {
	return func(yield func(seen.Record, error) bool) {
		rows, err := q.QueryContext(ctx, selectRecord+where+" ORDER BY unique_id, copy", args...)
		if err != nil {
			yield(seen.Record{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			r, err := scanRecord(rows)
			if !yield(r, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(seen.Record{}, err)
		}
	}
}

// Remaining reads the whole table of the account.
func (l *ledger) Remaining(ctx context.Context) iter.Seq2[seen.Record, error] {
	return func(yield func(seen.Record, error) bool) {
		for r, err := range queryRecords(ctx, l.store.read, " WHERE account = ? AND (absent_at = 0 OR deleted_at = 0)", []any{l.id}) {
			if err != nil {
				err = fmt.Errorf("reading records: %w", err)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// lookupChunk is how many unique-ids one query names.
const lookupChunk = 256

// whereIDs makes the condition that picks the rows of some unique-ids.
func whereIDs(account int64, ids []string) (where string, args []any) {
	args = make([]any, 0, 1+len(ids))
	args = append(args, account)
	for _, id := range ids {
		args = append(args, []byte(id))
	}
	return " WHERE account = ? AND unique_id IN (?" + strings.Repeat(", ?", len(ids)-1) + ")", args
}
