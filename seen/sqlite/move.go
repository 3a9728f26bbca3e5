package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"iter"

	"github.com/popfetch/popfetch/seen"
)

// move gives records their new keys.
func move(ctx context.Context, tx *sql.Conn, account int64, moves iter.Seq[seen.Move]) error {
	const query = `
		UPDATE seen SET unique_id = ?4, copy = ?5, listed = ?6, deleted_at = 0, absent_at = 0
		WHERE account = ?1 AND unique_id = ?2 AND copy = ?3`
	for m := range moves {
		if err := ctx.Err(); err != nil {
			return err
		}
		result, err := tx.ExecContext(context.WithoutCancel(ctx), query,
			account, []byte(m.From.UniqueID), m.From.Copy, []byte(m.To.UniqueID), m.To.Copy, m.To.Octets)
		if err != nil {
			return fmt.Errorf("unique-id %q to %q: %w", m.From.UniqueID, m.To.UniqueID, err)
		}
		switch n, err := result.RowsAffected(); {
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("unique-id %q has no record any more", m.From.UniqueID)
		}
	}
	return nil
}
