package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/popfetch/popfetch/seen"
)

// Changes that are too many for one transaction are staged: they are written into tables of their
// own, part by part. One small transaction then marks them as complete. From then on they count,
// and are carried out part by part.
//
// A run that is killed before that transaction leaves staged rows, which the next Enter drops. If
// the run is killed later, the next Enter carries the changes out.
//
// The values of account.staged:
const (
	notStaged = 0
	staging   = 1 // the staged changes do not count
	complete  = 2 // the staged changes are to be carried out
)

// errStaged says that staged changes have to be carried out before anything else.
var errStaged = errors.New("staged changes are to be carried out")

// stagedState reads account.staged. An unknown account has nothing staged.
func stagedState(ctx context.Context, q querier, account int64) (state int, err error) {
	err = q.QueryRowContext(ctx, "SELECT staged FROM account WHERE id = ?", account).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return notStaged, nil
	}
	return state, err
}

// stage writes a part into the staged tables.
func (s *Store) stage(ctx context.Context, tx *sql.Conn, account int64, p *part) error {
	if _, err := tx.ExecContext(ctx, "UPDATE account SET staged = ? WHERE id = ?", staging, account); err != nil {
		return err
	}
	for _, id := range p.replace {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO staged_removal SELECT account, unique_id, copy FROM seen WHERE account = ? AND unique_id = ? ON CONFLICT DO NOTHING`,
			account, []byte(id))
		if err != nil {
			return err
		}
	}
	for _, m := range p.moves {
		if err := stageMove(ctx, tx, account, m); err != nil {
			return err
		}
	}
	if _, err := stagedTable.insert(ctx, tx, account, p.records); err != nil {
		return err
	}
	return s.setAside(ctx, tx, "staged_aside", account, p.asides)
}

// stageMove stages a move, and refuses the moves that Changes.Moves calls an error. So carrying it
// out cannot fail.
func stageMove(ctx context.Context, tx *sql.Conn, account int64, m seen.Move) error {
	const query = `
		INSERT INTO staged_move (account, unique_id, copy, to_id, to_copy, listed) SELECT ?1, ?2, ?3, ?4, ?5, ?6
		WHERE EXISTS (SELECT 1 FROM seen WHERE account = ?1 AND unique_id = ?2 AND copy = ?3)
			AND NOT EXISTS (SELECT 1 FROM staged_removal WHERE account = ?1 AND unique_id = ?2 AND copy = ?3)
			AND (NOT EXISTS (SELECT 1 FROM seen WHERE account = ?1 AND unique_id = ?4 AND copy = ?5)
				OR EXISTS (SELECT 1 FROM staged_removal WHERE account = ?1 AND unique_id = ?4 AND copy = ?5))`
	result, err := tx.ExecContext(ctx, query, account, []byte(m.From.UniqueID), m.From.Copy, []byte(m.To.UniqueID), m.To.Copy, m.To.Octets)
	if err != nil {
		return fmt.Errorf("unique-id %q to %q: %w", m.From.UniqueID, m.To.UniqueID, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("unique-id %q has no record to be moved, or %q has one already", m.From.UniqueID, m.To.UniqueID))
	}
	return nil
}

// stagedRows is a table of staged rows, with the statements that carry out those in a keyRange.
type stagedRows struct {
	name     string
	carryOut []string
}

// statements returns the statements that carry rows out and then remove them from the staged table.
func (r *stagedRows) statements() []string {
	return append(r.carryOut[:len(r.carryOut):len(r.carryOut)], "DELETE FROM "+r.name+" WHERE"+keyRange)
}

var (
	stagedRemovals = stagedRows{"staged_removal", []string{
		"DELETE FROM seen WHERE account = ?1 AND (unique_id, copy) IN (SELECT unique_id, copy FROM staged_removal WHERE" + keyRange + ")",
	}}
	// If a key has got a record meanwhile, it keeps that record. No run does that.
	stagedMoves = stagedRows{"staged_move", []string{`
		UPDATE OR IGNORE seen SET unique_id = m.to_id, copy = m.to_copy, listed = m.listed, deleted_at = 0, absent_at = 0
		FROM (SELECT * FROM staged_move WHERE` + keyRange + `) AS m
		WHERE seen.account = ?1 AND seen.unique_id = m.unique_id AND seen.copy = m.copy`,
	}}
	stagedRecords = stagedRows{stagedTable.name, []string{
		`UPDATE account SET
			delivered = max(delivered, EXISTS (SELECT 1 FROM staged_record WHERE` + keyRange + ` AND kind = 1)),
			records = records + (SELECT count(*) FROM (SELECT unique_id, copy FROM staged_record WHERE` + keyRange + `) AS r
				WHERE NOT EXISTS (SELECT 1 FROM seen WHERE account = ?1 AND unique_id = r.unique_id AND copy = r.copy))
		WHERE id = ?1`,
		"DELETE FROM aside WHERE account = ?1 AND (unique_id, copy) IN (SELECT unique_id, copy FROM staged_record WHERE" + keyRange + ")",
		`INSERT INTO seen (account, unique_id, copy, kind, listed, delivered_at, deleted_at, detail)
		SELECT account, unique_id, copy, kind, listed, delivered_at, deleted_at, detail FROM staged_record WHERE` + keyRange + onConflict,
	}}
	stagedAsides = stagedRows{"staged_aside", []string{
		`INSERT INTO aside (account, unique_id, copy, reason, listed, count, since, last, text, told_at, max_size, dated, asked)
		SELECT account, unique_id, copy, reason, listed, count, since, last, text, told_at, max_size, dated, asked FROM staged_aside WHERE` + keyRange + onAside,
	}}
	// In the order of seen.Changes.
	allStaged = []*stagedRows{&stagedRemovals, &stagedMoves, &stagedRecords, &stagedAsides}
)

// completeStaged makes the staged changes count.
func completeStaged(ctx context.Context, tx *sql.Conn, account int64) error {
	result, err := tx.ExecContext(ctx, "UPDATE account SET staged = ? WHERE id = ? AND staged = ?", complete, account, staging)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errors.New("another run has the account at the same time"))
	}
	return nil
}

// settle carries out the changes that are staged and complete. Two processes may do it at the same
// time.
func (s *Store) settle(ctx context.Context, wait waiting, account int64) error {
	for _, rows := range allStaged {
		if err := s.inParts(ctx, wait, rows.name, account, execAll(rows.statements())); err != nil {
			return err
		}
	}
	return s.endStaging(ctx, wait, account)
}

// drop removes the changes that are staged and not complete.
func (s *Store) drop(ctx context.Context, wait waiting, account int64) error {
	for _, rows := range allStaged {
		statements := []string{"DELETE FROM " + rows.name + " WHERE" + keyRange}
		if rows == &stagedRecords {
			statements = append([]string{"DELETE FROM detail WHERE id IN (SELECT detail FROM staged_record WHERE" + keyRange + ")"}, statements...)
		}
		if err := s.inParts(ctx, wait, rows.name, account, execAll(statements)); err != nil {
			return err
		}
	}
	return s.endStaging(ctx, wait, account)
}

func execAll(statements []string) func(context.Context, *sql.Conn, []any) error {
	return func(ctx context.Context, tx *sql.Conn, args []any) error {
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
				return err
			}
		}
		return nil
	}
}

// endStaging notes that nothing is staged, if the staged tables are empty.
func (s *Store) endStaging(ctx context.Context, wait waiting, account int64) error {
	return s.update(ctx, wait, func(ctx context.Context, tx *sql.Conn) error {
		_, err := tx.ExecContext(ctx, `
			UPDATE account SET staged = ?2 WHERE id = ?1 AND staged <> ?2
				AND NOT EXISTS (SELECT 1 FROM staged_removal WHERE account = ?1) AND NOT EXISTS (SELECT 1 FROM staged_move WHERE account = ?1)
				AND NOT EXISTS (SELECT 1 FROM staged_record WHERE account = ?1) AND NOT EXISTS (SELECT 1 FROM staged_aside WHERE account = ?1)`,
			account, notStaged)
		return err
	})
}
