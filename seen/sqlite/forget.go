package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/popfetch/popfetch/seen"
)

// refused are the reasons for which server or target did not take a message.
var refused = []seen.Reason{seen.Refused, seen.Quarantined, seen.Breaking}

// Forget turns records into asides.
func (l *ledger) Forget(ctx context.Context, uniqueIDs ...string) (forgotten int, err error) {
	if len(uniqueIDs) == 0 {
		forgotten, err = l.forgetAll(ctx)
	} else {
		forgotten, err = l.forgetSome(ctx, uniqueIDs)
	}
	if err != nil {
		return 0, fmt.Errorf("forgetting records: %w", err)
	}
	return forgotten, nil
}

func (l *ledger) forgetSome(ctx context.Context, ids []string) (forgotten int, err error) {
	for chunk := range slices.Chunk(ids, lookupChunk) {
		where, args := whereIDs(l.id, chunk)
		err := l.update(ctx, patience, func(ctx context.Context, tx *sql.Conn) error {
			again, err := tryAfresh(ctx, tx, where, args, refused...)
			if err != nil {
				return err
			}
			records, err := l.forget(ctx, tx, where, args)
			forgotten += again + records
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return forgotten, nil
}

func (l *ledger) forgetAll(ctx context.Context) (forgotten int, err error) {
	if err := l.clear(ctx, patience); err != nil {
		return 0, err
	}
	count := func(n int, err error) error {
		forgotten += n
		return err
	}
	err = l.store.inParts(ctx, patience, "aside", l.id, func(ctx context.Context, tx *sql.Conn, args []any) error {
		return count(tryAfresh(ctx, tx, " WHERE"+keyRange, args, refused...))
	})
	if err != nil {
		return 0, err
	}
	err = l.store.inParts(ctx, patience, "seen", l.id, func(ctx context.Context, tx *sql.Conn, args []any) error {
		return count(l.forget(ctx, tx, " WHERE"+keyRange, args))
	})
	return forgotten, err
}

// TryAgain resets asides, and leaves the table of records alone.
func (l *ledger) TryAgain(ctx context.Context, reasons ...seen.Reason) (n int, err error) {
	err = l.store.inParts(ctx, patience, "aside", l.id, func(ctx context.Context, tx *sql.Conn, args []any) error {
		some, err := tryAfresh(ctx, tx, " WHERE"+keyRange, args, reasons...)
		n += some
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting what was set aside: %w", err)
	}
	return n, nil
}

// forget removes records and returns their number.
func (l *ledger) forget(ctx context.Context, tx *sql.Conn, where string, args []any) (int, error) {
	now := seen.Millis(l.store.now())
	_, err := tx.ExecContext(ctx, fmt.Sprintf(`
		INSERT INTO aside (account, unique_id, copy, reason, listed, count, since, last, text, absent_at)
		SELECT account, unique_id, copy, %d, listed, 0, 0, %d, '', absent_at FROM seen%s
		ON CONFLICT DO UPDATE SET reason = excluded.reason, since = 0, text = '', asked = 0`, seen.Wanted, now, where), args...)
	if err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, "DELETE FROM seen"+where, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
