package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/popfetch/popfetch/seen"
)

// putAside inserts an aside into the table aside, or into another one with these columns.
const putAside = `
	INSERT INTO %s (account, unique_id, copy, reason, listed, count, since, last, text, told_at, max_size, dated, asked)
	VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)`

// onAside says how an aside changes an existing one with the same key.
var onAside = fmt.Sprintf(`
	ON CONFLICT DO UPDATE SET count = count + excluded.count, listed = excluded.listed, last = excluded.last,
		text = excluded.text, told_at = iif(excluded.told_at = 0, told_at, excluded.told_at), absent_at = 0, max_size = excluded.max_size,
		dated = iif(excluded.dated = 0 AND listed = excluded.listed, dated, excluded.dated),
		asked = iif(excluded.asked = 0 AND listed = excluded.listed, asked, excluded.asked),
		since = iif(since = 0 OR reason NOT IN (%[1]d, excluded.reason) AND (reason NOT IN (%[2]d, %[3]d, %[4]d) OR excluded.reason NOT IN (%[2]d, %[3]d, %[4]d)),
			excluded.since, since),
		reason = iif(reason = %[1]d AND excluded.reason IN (%[2]d, %[4]d, %[5]d, %[6]d), reason, excluded.reason)`,
	seen.Wanted, seen.Refused, seen.Quarantined, seen.Suspect, seen.Breaking, seen.Chosen)

// setAside notes messages that were not delivered.
func (s *Store) setAside(ctx context.Context, tx *sql.Conn, table string, account int64, asides []seen.Aside) error {
	query := fmt.Sprintf(putAside, table) + onAside
	now, old := s.now(), false
	for _, a := range asides {
		if a.Reason == 0 {
			return fmt.Errorf("unique-id %q is set aside for no reason", a.UniqueID)
		}
		if a.Last.IsZero() {
			a.Last = now
		}
		if a.Since.IsZero() {
			a.Since = a.Last
		}
		old = old || a.Reason == seen.Old
		_, err := tx.ExecContext(ctx, query, account, []byte(a.UniqueID), a.Copy, a.Reason, a.Listed, a.Count,
			seen.Millis(a.Since), seen.Millis(a.Last), a.Text, seen.Millis(a.ToldAt), a.MaxSize, seen.Millis(a.Dated), seen.Millis(a.Asked))
		if err != nil {
			return err
		}
	}
	if !old {
		return nil
	}
	// What the digest covers is seen or set aside for another reason.
	_, err := tx.ExecContext(ctx, "UPDATE account SET digest = NULL WHERE id = ? AND listed > 0", account)
	return err
}

// Asides reads all asides of the account, except for Old messages.
func (l *ledger) Asides(ctx context.Context) (asides []seen.Aside, err error) {
	err = l.view(ctx, func(q querier) (err error) {
		asides, err = readAsides(ctx, q, l.id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what is set aside: %w", err)
	}
	return asides, nil
}

// Old reads a range of the asides.
func (l *ledger) Old(ctx context.Context, behind seen.Key, limit int) (old []seen.Aside, err error) {
	err = l.view(ctx, func(q querier) (err error) {
		old, err = readOld(ctx, q, l.id, behind, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading which messages are old: %w", err)
	}
	return old, nil
}

func readAsides(ctx context.Context, q querier, account int64) ([]seen.Aside, error) {
	return queryAsides(ctx, q, "reason <> ?2 ORDER BY unique_id, copy", account, seen.Old)
}

func readOld(ctx context.Context, q querier, account int64, behind seen.Key, limit int) ([]seen.Aside, error) {
	return queryAsides(ctx, q, "reason = ?2 AND (unique_id, copy) > (?3, ?4) ORDER BY unique_id, copy LIMIT ?5",
		account, seen.Old, []byte(behind.UniqueID), behind.Copy, limit)
}

// queryAsides reads the asides of the account that which selects. The account is the first of args.
func queryAsides(ctx context.Context, q querier, which string, args ...any) ([]seen.Aside, error) {
	rows, err := q.QueryContext(ctx, `
		SELECT unique_id, copy, reason, listed, count, since, last, text, told_at, absent_at, max_size, dated, asked
		FROM aside WHERE account = ?1 AND `+which, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []seen.Aside
	for rows.Next() {
		var a seen.Aside
		var since, last, toldAt, absentAt, dated, asked int64
		err := rows.Scan(&a.UniqueID, &a.Copy, &a.Reason, &a.Listed, &a.Count, &since, &last, &a.Text, &toldAt, &absentAt, &a.MaxSize, &dated, &asked)
		if err != nil {
			return nil, err
		}
		a.Since, a.Last = seen.FromMillis(since), seen.FromMillis(last)
		a.ToldAt, a.AbsentAt, a.Dated = seen.FromMillis(toldAt), seen.FromMillis(absentAt), seen.FromMillis(dated)
		a.Asked = seen.FromMillis(asked)
		all = append(all, a)
	}
	return all, rows.Err()
}

// tryAfresh resets messages that were set aside for one of the reasons, so that they are retried as
// if they were new.
func tryAfresh(ctx context.Context, tx *sql.Conn, where string, args []any, reasons ...seen.Reason) (int, error) {
	numbers := make([]string, len(reasons))
	for i, reason := range reasons {
		numbers[i] = fmt.Sprintf("%d", reason)
	}
	result, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE aside SET reason = %d, count = 0, since = 0, text = '', told_at = 0, max_size = 0%s AND reason IN (%s)",
		seen.Refused, where, strings.Join(numbers, ", ")), args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
