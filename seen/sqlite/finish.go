package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// Finish reads the rows of the account in chunks, and writes the changes of seen.Conclude in parts.
// Between two parts it holds no transaction, so that no other account waits long. If one
// transaction is enough, there is only one.
func (l *ledger) Finish(ctx context.Context, diff seen.Diff, left []seen.Entry, deleted []seen.Deleted, at time.Time) error {
	f := finishing{ledger: l, at: at, pace: l.store.pace()}
	r := &reader{account: l.id, read: func(ctx context.Context, do func(querier) error) error {
		return l.view(ctx, do)
	}}
	run := seen.Conclusion{Diff: diff, Left: left, Deleted: deleted, At: at}
	end, err := seen.Conclude(ctx, r, run, l.store.tuning, func(c seen.RowChange) error {
		f.changes = append(f.changes, c)
		if len(f.changes) < f.pace.rows {
			return nil
		}
		return f.write(ctx, nil)
	})
	if err == nil {
		err = f.write(ctx, &end)
	}
	if err != nil {
		return fmt.Errorf("finishing a run in the seen-table: %w", err)
	}
	return nil
}

// finishing does the writing of one Finish.
type finishing struct {
	ledger  *ledger
	at      time.Time
	pace    *pace
	changes []seen.RowChange // not written yet
	begun   bool
}

// write makes the changes collected so far. With end, it also notes what the run left.
func (f *finishing) write(ctx context.Context, end *seen.Finished) error {
	began := time.Now()
	err := f.ledger.update(ctx, patience, func(ctx context.Context, tx *sql.Conn) error {
		if !f.begun && end == nil {
			// Until all changes are made, the digest would be wrong. If nothing was listed, it only
			// says that a run was finished, so it stays.
			if _, err := tx.ExecContext(ctx, "UPDATE account SET digest = NULL WHERE id = ? AND listed > 0", f.ledger.id); err != nil {
				return err
			}
		}
		if err := f.trimLog(ctx, tx); err != nil {
			return err
		}
		for _, c := range f.changes {
			if err := change(ctx, tx, f.ledger.id, c); err != nil {
				return err
			}
		}
		if end == nil {
			return nil
		}
		return f.note(ctx, tx, end)
	})
	f.changes, f.begun = f.changes[:0], true
	f.pace.took(time.Since(began))
	if err == nil && end == nil {
		time.Sleep(partPause)
	}
	return err
}

// trimLog removes deletions that were logged long ago, before others are added. A clock that is far
// ahead must not empty the log, so no more than twice as many go as come.
func (f *finishing) trimLog(ctx context.Context, tx *sql.Conn) error {
	added := 0
	for _, c := range f.changes {
		if c.Kind == seen.Stamp {
			added++
		}
	}
	if added == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `
		DELETE FROM deletion WHERE id IN (
			SELECT id FROM deletion WHERE account = ? AND deleted_at < ? ORDER BY deleted_at LIMIT ?)`,
		f.ledger.id, seen.Millis(f.at.Add(-seen.LogTime)), 2*added)
	return err
}

// note writes the digest after all changes, because changes remove it.
func (f *finishing) note(ctx context.Context, tx *sql.Conn, end *seen.Finished) error {
	result, err := tx.ExecContext(ctx, "UPDATE account SET listed = ?, digest = ?, oldest = ?, unfinished = 0, finished_at = ? WHERE id = ?",
		end.Listed, end.Digest, end.Oldest, seen.Millis(f.at), f.ledger.id)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); n == 0 {
		return cmp.Or(err, seen.ErrUnknown)
	}
	return nil
}

// Statements that change a row: the first of each pair is for seen, the second for aside.
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

// logRow logs a deletion. A message that never came has only the octets of LIST, and no SHA-256.
const logRow = `
	INSERT INTO deletion (account, unique_id, octets, sha256, rule, delivered_at, deleted_at)
	SELECT ?1, unique_id, iif(sha256 = zeroblob(32), listed, octets), sha256, ?5, delivered_at, ?4
	FROM seen JOIN detail ON detail.id = seen.detail WHERE account = ?1 AND unique_id = ?2 AND copy = ?3`

// change makes one change that seen.Conclude asks for.
func change(ctx context.Context, tx *sql.Conn, account int64, c seen.RowChange) error {
	table := 0
	if c.Aside {
		table = 1
	}
	var err error
	switch c.Kind {
	case seen.Stamp:
		if _, err = tx.ExecContext(ctx, stampRow, account, []byte(c.UniqueID), c.Copy, c.At); err == nil {
			_, err = tx.ExecContext(ctx, logRow, account, []byte(c.UniqueID), c.Copy, c.At, c.Rule)
		}
	case seen.Mark:
		_, err = tx.ExecContext(ctx, markRow[table], account, []byte(c.UniqueID), c.Copy, c.At)
	case seen.Remove:
		_, err = tx.ExecContext(ctx, removeRow[table], account, []byte(c.UniqueID), c.Copy)
	}
	return err
}
