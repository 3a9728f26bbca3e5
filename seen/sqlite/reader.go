package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/popfetch/popfetch/seen"
)

// Finished reads what the last Finish noted in the row of the account. Account 0 is an unknown one.
func (r *reader) Finished(ctx context.Context) (f seen.Finished, err error) {
	if r.account == 0 {
		return f, nil
	}
	err = r.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT records, listed, digest, oldest FROM account WHERE id = ?", r.account).
			Scan(&f.Records, &f.Listed, &f.Digest, &f.Oldest)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return f, seen.ErrUnknown
	}
	return f, err
}

// Asides reads all asides.
func (r *reader) Asides(ctx context.Context) (asides []seen.Aside, err error) {
	err = r.read(ctx, func(q querier) (err error) {
		asides, err = readAsides(ctx, q, r.account)
		return err
	})
	return asides, err
}

// Old reads a range of the asides.
func (r *reader) Old(ctx context.Context, behind seen.Key, limit int) (old []seen.Aside, err error) {
	err = r.read(ctx, func(q querier) (err error) {
		old, err = readOld(ctx, q, r.account, behind, limit)
		return err
	})
	return old, err
}

// Copies reads an index that holds only the rows with a copy above 0.
func (r *reader) Copies(ctx context.Context, limit int) (map[string]bool, error) {
	return r.ids(ctx, "SELECT DISTINCT unique_id FROM seen WHERE account = ? AND copy > 0 LIMIT ?", r.account, limit)
}

// Expired reads an index that holds only the absent records.
func (r *reader) Expired(ctx context.Context, before int64, limit int) (map[string]bool, error) {
	return r.ids(ctx, "SELECT DISTINCT unique_id FROM seen WHERE account = ? AND absent_at > 0 AND absent_at < ? LIMIT ?", r.account, before, limit)
}

// Absent counts in the same index.
func (r *reader) Absent(ctx context.Context) (absent int, err error) {
	err = r.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT count(*) FROM seen WHERE account = ? AND absent_at > 0", r.account).Scan(&absent)
	})
	return absent, err
}

// Oldest reads all records of the account.
func (r *reader) Oldest(ctx context.Context) (at int64, err error) {
	err = r.read(ctx, func(q querier) error {
		return q.QueryRowContext(ctx, `
			SELECT coalesce(min(max(delivered_at, 1)), 0) FROM seen WHERE account = ? AND kind IN (?, ?)`,
			r.account, seen.Delivered, seen.Dropped).Scan(&at)
	})
	return at, err
}

// ids returns the unique-ids that a query finds.
func (r *reader) ids(ctx context.Context, query string, args ...any) (map[string]bool, error) {
	ids := make(map[string]bool)
	err := r.read(ctx, func(q querier) error {
		rows, err := q.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids[id] = true
		}
		return rows.Err()
	})
	return ids, err
}
