package seen

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// SetAside notes messages that were not delivered in one transaction. Of a message that is set aside already, Count is added to
// what was counted, Since stays, and a zero ToldAt leaves the one that is there. A Wanted message that is refused or
// Suspect stays Wanted: the target may hold it still. A zero Since or Last is now; AbsentAt is not looked at.
func (s *Store) SetAside(ctx context.Context, account int64, asides ...Aside) error {
	if len(asides) == 0 {
		return nil
	}
	err := s.update(ctx, func(ctx context.Context, tx *sql.Conn) error {
		const query = `
			INSERT INTO aside (account, unique_id, copy, reason, listed, count, since, last, text, told_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET count = count + excluded.count, listed = excluded.listed, last = excluded.last,
				text = excluded.text, told_at = iif(excluded.told_at = 0, told_at, excluded.told_at), absent_at = 0,
				reason = iif(reason = ? AND excluded.reason IN (?, ?), reason, excluded.reason)`
		now := s.now()
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
			_, err := tx.ExecContext(ctx, query, account, []byte(a.UniqueID), a.Copy, a.Reason, a.Listed, a.Count,
				toMillis(a.Since), toMillis(a.Last), a.Text, toMillis(a.ToldAt), Wanted, Refused, Suspect)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("setting %d messages aside: %w", len(asides), err)
	}
	return nil
}

// Asides returns what is set aside for an account, by unique-id and copy; those with an AbsentAt are not listed any more.
func (s *Store) Asides(ctx context.Context, account int64) ([]Aside, error) {
	var stored []aside
	err := s.view(ctx, func(tx *sql.Conn) (err error) {
		stored, err = readAsides(ctx, tx, account)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what is set aside: %w", err)
	}
	return published(stored), nil
}

func published(stored []aside) []Aside {
	asides := make([]Aside, len(stored))
	for i := range stored {
		asides[i] = stored[i].Aside
	}
	return asides
}

// aside is an Aside whose AbsentAt is changed by Finish.
type aside struct {
	Aside
	absentAt int64
}

func readAsides(ctx context.Context, q querier, account int64) ([]aside, error) {
	rows, err := q.QueryContext(ctx, `
		SELECT unique_id, copy, reason, listed, count, since, last, text, told_at, absent_at
		FROM aside WHERE account = ? ORDER BY unique_id, copy`, account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []aside
	for rows.Next() {
		var a aside
		var since, last, toldAt int64
		err := rows.Scan(&a.UniqueID, &a.Copy, &a.Reason, &a.Listed, &a.Count, &since, &last, &a.Text, &toldAt, &a.absentAt)
		if err != nil {
			return nil, err
		}
		a.Since, a.Last, a.ToldAt, a.AbsentAt = fromMillis(since), fromMillis(last), fromMillis(toldAt), fromMillis(a.absentAt)
		all = append(all, a)
	}
	return all, rows.Err()
}

// tryAfresh lets what server or target refused, however often, be tried as if it never was.
func tryAfresh(ctx context.Context, tx *sql.Conn, where string, args []any) (int, error) {
	result, err := tx.ExecContext(ctx, "UPDATE aside SET reason = ?, count = 0, text = '', told_at = 0"+where+" AND reason IN (?, ?)",
		slices.Concat([]any{Refused}, args, []any{Refused, Quarantined})...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
