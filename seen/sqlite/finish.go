package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// Finish reads the rows of the account in chunks, and writes what seen.Conclude changes.
func (l *ledger) Finish(ctx context.Context, diff seen.Diff, left []seen.Entry, deleted []seen.Key, at time.Time) error {
	err := l.update(ctx, func(whole context.Context, tx *sql.Conn) error {
		r := &reader{account: l.id, read: func(_ context.Context, do func(querier) error) error { return do(tx) }}
		run := seen.Conclusion{Diff: diff, Left: left, Deleted: deleted, At: at}
		end, err := seen.Conclude(ctx, r, run, l.store.tuning, func(c seen.RowChange) error { return change(whole, tx, l.id, c) })
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(whole, "UPDATE account SET listed = ?, digest = ?, oldest = ? WHERE id = ?",
			end.Listed, end.Digest, end.Oldest, l.id)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n == 0 {
			return cmp.Or(err, seen.ErrUnknown)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("finishing a run in the seen-table: %w", err)
	}
	return nil
}

// What is done to a row: the first of each is for seen, the second for aside.
var (
	markRow = [2]string{
		"UPDATE seen SET absent_at = ?4 WHERE account = ?1 AND unique_id = ?2 AND copy = ?3",
		"UPDATE aside SET absent_at = ?4 WHERE account = ?1 AND unique_id = ?2 AND copy = ?3",
	}
	removeRow = [2]string{
		"DELETE FROM seen WHERE account = ?1 AND unique_id = ?2 AND copy = ?3",
		"DELETE FROM aside WHERE account = ?1 AND unique_id = ?2 AND copy = ?3",
	}
)

const stampRow = "UPDATE seen SET deleted_at = ?4 WHERE account = ?1 AND unique_id = ?2 AND copy = ?3"

// change makes one change that seen.Conclude asks for.
func change(ctx context.Context, tx *sql.Conn, account int64, c seen.RowChange) error {
	table := 0
	if c.Aside {
		table = 1
	}
	var err error
	switch c.Kind {
	case seen.Stamp:
		_, err = tx.ExecContext(ctx, stampRow, account, []byte(c.UniqueID), c.Copy, c.At)
	case seen.Mark:
		_, err = tx.ExecContext(ctx, markRow[table], account, []byte(c.UniqueID), c.Copy, c.At)
	case seen.Remove:
		_, err = tx.ExecContext(ctx, removeRow[table], account, []byte(c.UniqueID), c.Copy)
	}
	return err
}
