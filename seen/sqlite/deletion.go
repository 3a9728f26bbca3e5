package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// Deletions reads the log of the account.
func (l *ledger) Deletions(ctx context.Context, since time.Time) iter.Seq2[seen.Deletion, error] {
	return func(yield func(seen.Deletion, error) bool) {
		err := l.view(ctx, func(q querier) error {
			rows, err := q.QueryContext(ctx, `
				SELECT unique_id, octets, sha256, rule, delivered_at, deleted_at FROM deletion
				WHERE account = ? AND deleted_at >= ? ORDER BY deleted_at, id`, l.id, seen.Millis(since))
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				d, err := scanDeletion(rows)
				if err != nil {
					return err
				}
				if !yield(d, nil) {
					return errEnough
				}
			}
			return rows.Err()
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(seen.Deletion{}, fmt.Errorf("reading the log of deletions: %w", err))
		}
	}
}

func scanDeletion(rows *sql.Rows) (d seen.Deletion, err error) {
	var sum sql.RawBytes
	var delivered, deleted int64
	err = rows.Scan(&d.UniqueID, &d.Octets, &sum, &d.Rule, &delivered, &deleted)
	copy(d.SHA256[:], sum)
	d.DeliveredAt, d.DeletedAt = seen.FromMillis(delivered), seen.FromMillis(deleted)
	return d, err
}

// Discarded reads an index that holds only these records.
func (l *ledger) Discarded(ctx context.Context) (ids []string, err error) {
	err = l.view(ctx, func(q querier) error {
		rows, err := q.QueryContext(ctx,
			"SELECT unique_id FROM seen WHERE account = ? AND kind = 6 AND deleted_at = 0 ORDER BY unique_id", l.id)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("reading the discarded messages: %w", err)
	}
	return ids, nil
}
