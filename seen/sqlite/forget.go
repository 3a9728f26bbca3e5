package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/popfetch/popfetch/seen"
)

// Forget makes asides of records.
func (l *ledger) Forget(ctx context.Context, uniqueIDs ...string) (int, error) {
	forgotten := 0
	err := l.update(ctx, func(ctx context.Context, tx *sql.Conn) error {
		if len(uniqueIDs) == 0 {
			return l.store.forget(ctx, tx, &forgotten, " WHERE account = ?", []any{l.id})
		}
		for chunk := range slices.Chunk(uniqueIDs, lookupChunk) {
			where, args := whereIDs(l.id, chunk)
			if err := l.store.forget(ctx, tx, &forgotten, where, args); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting records: %w", err)
	}
	return forgotten, nil
}

func (s *Store) forget(ctx context.Context, tx *sql.Conn, forgotten *int, where string, args []any) error {
	refused, err := tryAfresh(ctx, tx, where, args)
	if err != nil {
		return err
	}
	now := seen.Millis(s.now())
	_, err = tx.ExecContext(ctx, `
		INSERT INTO aside (account, unique_id, copy, reason, listed, count, since, last, text, absent_at)
		SELECT account, unique_id, copy, ?, listed, 0, ?, ?, '', absent_at FROM seen`+where+`
		ON CONFLICT DO UPDATE SET reason = excluded.reason`,
		slices.Concat([]any{seen.Wanted, now, now}, args)...)
	if err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, "DELETE FROM seen"+where, args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	*forgotten += refused + int(n)
	return err
}
