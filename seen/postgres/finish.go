package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// Finish reads the rows of the account, and makes the changes of seen.Conclude in one step. Nobody
// else changes these rows meanwhile: otherwise the lease is lost, and the step is nothing.
func (l *ledger) Finish(
	ctx context.Context, diff seen.Diff, left []seen.Entry, deleted []seen.Deleted, at time.Time,
) error {
	if l.hold == nil {
		return errNotEntered
	}
	err := l.store.repeated(ctx, l.hold,
		func() error { return l.finish(ctx, diff, left, deleted, at) })
	if err != nil {
		return fmt.Errorf("finishing a run in the seen-table: %w", err)
	}
	return nil
}

func (l *ledger) finish(
	ctx context.Context, diff seen.Diff, left []seen.Entry, deleted []seen.Deleted, at time.Time,
) error {
	return l.step(ctx, func(ctx context.Context, st *step) error {
		f := finishing{ledger: l, step: st, at: at}
		run := seen.Conclusion{Diff: diff, Left: left, Deleted: deleted, At: at}
		end, err := seen.Conclude(ctx, l.store.reader(l.id), run, l.store.tuning,
			func(c seen.RowChange) error { return f.add(ctx, c) })
		if err == nil {
			err = f.flush(ctx)
		}
		if err != nil {
			return err
		}
		// The digest is noted after all changes, because they remove it.
		return st.add(ctx, 1, `
			UPDATE popfetch.account SET listed = $2, digest = $3, oldest = $4, unfinished = false,
				finished_at = $5 WHERE id = $1`,
			l.id, end.Listed, end.Digest, end.Oldest, seen.Millis(at))
	})
}

// finishing collects the changes of one Finish. Changes of one kind, to one table, that follow each
// other are one statement.
type finishing struct {
	ledger *ledger
	step   *step
	at     time.Time

	kind   seen.ChangeKind
	aside  bool
	ids    [][]byte
	copies []int64
	times  []int64
	rules  []string
}

// add collects a change.
func (f *finishing) add(ctx context.Context, c seen.RowChange) error {
	isFull := len(f.ids) >= f.ledger.store.rowsAtOnce
	if len(f.ids) > 0 && (c.Kind != f.kind || c.Aside != f.aside || isFull) {
		if err := f.flush(ctx); err != nil {
			return err
		}
	}
	f.kind, f.aside = c.Kind, c.Aside
	f.ids, f.copies = append(f.ids, []byte(c.UniqueID)), append(f.copies, int64(c.Copy))
	f.times, f.rules = append(f.times, c.At), append(f.rules, c.Rule)
	return nil
}

const (
	markRows = `
		UPDATE popfetch.%s AS t SET absent_at = c.at
			FROM unnest($2::bytea[], $3::bigint[], $4::bigint[]) AS c (unique_id, copy, at)
		WHERE t.account = $1 AND t.unique_id = c.unique_id AND t.copy = c.copy`
	removeRows = `
		DELETE FROM popfetch.%s AS t USING unnest($2::bytea[], $3::bigint[]) AS c (unique_id, copy)
		WHERE t.account = $1 AND t.unique_id = c.unique_id AND t.copy = c.copy`
	// A message that never came has only the octets of LIST, and no SHA-256.
	stampRows = `
		WITH stamped AS (
			UPDATE popfetch.seen AS t SET deleted_at = c.at
			FROM unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::text[])
				WITH ORDINALITY AS c (unique_id, copy, at, rule, number)
			WHERE t.account = $1 AND t.unique_id = c.unique_id AND t.copy = c.copy
			RETURNING t.unique_id, CASE WHEN t.sha256 = '' THEN t.listed ELSE t.octets END AS octets,
				t.sha256, c.rule, t.delivered_at, c.at, c.number
		)
		INSERT INTO popfetch.deletion (account, unique_id, octets, sha256, rule, delivered_at, deleted_at)
		SELECT $1, unique_id, octets, sha256, rule, delivered_at, at FROM stamped ORDER BY number`
	// A clock that is far ahead must not empty the log, so no more than twice as many go as come.
	trimLog = `
		DELETE FROM popfetch.deletion WHERE id IN (
			SELECT id FROM popfetch.deletion WHERE account = $1 AND deleted_at < $2
				ORDER BY deleted_at LIMIT $3)`
)

// flush adds what was collected to the step.
func (f *finishing) flush(ctx context.Context) error {
	n, account := len(f.ids), f.ledger.id
	if n == 0 {
		return nil
	}
	ids, copies, times, rules := f.ids, f.copies, f.times, f.rules
	f.ids, f.copies, f.times, f.rules = nil, nil, nil, nil
	table := "seen"
	if f.aside {
		table = "aside"
	}
	switch f.kind {
	case seen.Stamp:
		err := f.step.add(ctx, 0, trimLog, account, seen.Millis(f.at.Add(-seen.LogTime)), 2*n)
		if err != nil {
			return err
		}
		return f.step.add(ctx, n, stampRows, account, ids, copies, times, rules)
	case seen.Mark:
		return f.step.add(ctx, n, fmt.Sprintf(markRows, table), account, ids, copies, times)
	case seen.Remove:
		return f.step.add(ctx, n, fmt.Sprintf(removeRows, table), account, ids, copies)
	}
	return nil
}
