package seen

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
)

// Remaining yields the records of messages that may still be in the maildrop: those that the last finished run left, those
// made since, and those that listings have lacked although no deletion was confirmed. An error is yielded once, at the end.
func (s *Store) Remaining(ctx context.Context, account int64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for r, err := range queryRecords(ctx, s.read, " WHERE account = ? AND (absent_at = 0 OR deleted_at = 0)", []any{account}) {
			if err != nil {
				err = fmt.Errorf("reading records: %w", err)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// Move says that the message of a record is listed under another key now.
type Move struct {
	From Key
	To   Entry
}

// Move gives records the keys and octets under which their messages are listed now, in one transaction: all of them, or none. They
// count as listed and not deleted; whatever else they tell stays. A key that has a record already, or is named twice, is an error.
func (s *Store) Move(ctx context.Context, account int64, moves iter.Seq[Move]) error {
	err := s.update(ctx, func(whole context.Context, tx *sql.Conn) error {
		const query = `
			UPDATE seen SET unique_id = ?4, copy = ?5, listed = ?6, deleted_at = 0, absent_at = 0
			WHERE account = ?1 AND unique_id = ?2 AND copy = ?3`
		for m := range moves {
			if err := ctx.Err(); err != nil {
				return err
			}
			result, err := tx.ExecContext(whole, query, account, []byte(m.From.UniqueID), m.From.Copy, []byte(m.To.UniqueID), m.To.Copy, m.To.Octets)
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
	})
	if err != nil {
		return fmt.Errorf("giving records their new unique-ids: %w", err)
	}
	return nil
}
