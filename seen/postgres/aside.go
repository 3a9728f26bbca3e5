package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/popfetch/popfetch/seen"
)

// putAsides notes asides. An existing one with the same key is changed as seen.Changes says.
var putAsides = fmt.Sprintf(`
	INSERT INTO popfetch.aside AS a (account, unique_id, copy, reason, listed, count, since, last,
		text, told_at, max_size, dated, asked)
	SELECT $1, n.* FROM unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
		$7::bigint[], $8::bigint[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[],
		$13::bigint[]) AS n
	ON CONFLICT (account, unique_id, copy) DO UPDATE SET count = a.count + excluded.count,
		listed = excluded.listed, last = excluded.last, text = excluded.text, absent_at = 0,
		max_size = excluded.max_size,
		told_at = CASE WHEN excluded.told_at = 0 THEN a.told_at ELSE excluded.told_at END,
		dated = CASE WHEN excluded.dated = 0 AND a.listed = excluded.listed
			THEN a.dated ELSE excluded.dated END,
		asked = CASE WHEN excluded.asked = 0 AND a.listed = excluded.listed
			THEN a.asked ELSE excluded.asked END,
		since = CASE WHEN a.since = 0 OR a.reason NOT IN (%[1]d, excluded.reason)
				AND (a.reason NOT IN (%[2]d, %[3]d, %[4]d) OR excluded.reason NOT IN (%[2]d, %[3]d, %[4]d))
			THEN excluded.since ELSE a.since END,
		reason = CASE WHEN a.reason = %[1]d AND excluded.reason IN (%[2]d, %[4]d, %[5]d, %[6]d)
			THEN a.reason ELSE excluded.reason END`,
	seen.Wanted, seen.Refused, seen.Quarantined, seen.Suspect, seen.Breaking, seen.Chosen)

// setAside notes messages that were not delivered. All of them have different keys.
func (l *ledger) setAside(ctx context.Context, st *step, asides []seen.Aside) error {
	now, old, n := l.store.now(), false, len(asides)
	ids, copies, reasons := make([][]byte, n), make([]int64, n), make([]int64, n)
	listed, counts := make([]int64, n), make([]int64, n)
	since, last := make([]int64, n), make([]int64, n)
	texts, toldAt := make([]string, n), make([]int64, n)
	maxSizes, dated, asked := make([]int64, n), make([]int64, n), make([]int64, n)
	for i, a := range asides {
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
		ids[i], copies[i], reasons[i] = []byte(a.UniqueID), int64(a.Copy), int64(a.Reason)
		listed[i], counts[i] = a.Listed, int64(a.Count)
		since[i], last[i] = seen.Millis(a.Since), seen.Millis(a.Last)
		texts[i], toldAt[i] = storable(a.Text), seen.Millis(a.ToldAt)
		maxSizes[i], dated[i], asked[i] = a.MaxSize, seen.Millis(a.Dated), seen.Millis(a.Asked)
	}
	err := st.add(ctx, n, putAsides, l.id, ids, copies, reasons, listed, counts, since, last, texts,
		toldAt, maxSizes, dated, asked)
	if err != nil || !old {
		return err
	}
	// What the digest covers is seen or set aside for another reason.
	const noDigest = "UPDATE popfetch.account SET digest = NULL WHERE id = $1 AND listed > 0"
	return st.add(ctx, 0, noDigest, l.id)
}

// Asides reads all asides of the account, except for Old messages.
func (l *ledger) Asides(ctx context.Context) ([]seen.Aside, error) {
	asides, err := l.store.reader(l.id).Asides(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what is set aside: %w", err)
	}
	return asides, nil
}

// Old reads a range of the asides.
func (l *ledger) Old(ctx context.Context, behind seen.Key, limit int) ([]seen.Aside, error) {
	old, err := l.store.reader(l.id).Old(ctx, behind, limit)
	if err != nil {
		return nil, fmt.Errorf("reading which messages are old: %w", err)
	}
	return old, nil
}

const selectAside = `
	SELECT unique_id, copy, reason, listed, count, since, last, text, told_at, absent_at, max_size,
		dated, asked
	FROM popfetch.aside WHERE account = $1 AND `

func scanAside(row pgx.CollectableRow) (a seen.Aside, err error) {
	var id []byte
	var since, last, toldAt, absentAt, dated, asked int64
	err = row.Scan(&id, &a.Copy, &a.Reason, &a.Listed, &a.Count, &since, &last, &a.Text, &toldAt,
		&absentAt, &a.MaxSize, &dated, &asked)
	a.UniqueID = string(id)
	a.Since, a.Last = seen.FromMillis(since), seen.FromMillis(last)
	a.ToldAt, a.AbsentAt = seen.FromMillis(toldAt), seen.FromMillis(absentAt)
	a.Dated = seen.FromMillis(dated)
	a.Asked = seen.FromMillis(asked)
	return a, err
}

// refused are the reasons for which server or target did not take a message.
var refused = []seen.Reason{seen.Refused, seen.Quarantined, seen.Breaking}

// tryAfresh resets messages that were set aside for one of the reasons, so that they are retried as
// if they were new. Without ids, it resets all of them.
func tryAfresh(affected *int, account int64, ids [][]byte, reasons ...seen.Reason) statement {
	numbers := make([]int64, len(reasons))
	for i, reason := range reasons {
		numbers[i] = int64(reason)
	}
	args := []any{account, int64(seen.Refused), numbers, ids}
	return statement{affected: affected, args: args, sql: `
		UPDATE popfetch.aside SET reason = $2, count = 0, since = 0, text = '', told_at = 0, max_size = 0
		WHERE account = $1 AND reason = ANY ($3::bigint[])
			AND ($4::bytea[] IS NULL OR unique_id = ANY ($4::bytea[]))`}
}

// TryAgain resets asides, and leaves the table of records alone. If the database's answer is lost,
// it may be called again: that changes nothing more, and only the number is that of the second
// call. So may Forget.
func (l *ledger) TryAgain(ctx context.Context, reasons ...seen.Reason) (n int, err error) {
	err = l.step(ctx, func(_ context.Context, st *step) error {
		st.queue, st.once = append(st.queue, tryAfresh(&n, l.id, nil, reasons...)), true
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting what was set aside: %w", err)
	}
	return n, nil
}

// Forget turns records into asides.
func (l *ledger) Forget(ctx context.Context, uniqueIDs ...string) (int, error) {
	var ids [][]byte // all of them
	if len(uniqueIDs) > 0 {
		ids = octetsOf(uniqueIDs)
	}
	var again, removed int
	err := l.step(ctx, func(_ context.Context, st *step) error {
		const these = " WHERE account = $1 AND ($2::bytea[] IS NULL OR unique_id = ANY ($2::bytea[]))"
		put := fmt.Sprintf(`
			INSERT INTO popfetch.aside (account, unique_id, copy, reason, listed, count, since, last, text,
				absent_at)
			SELECT account, unique_id, copy, %d, listed, 0, 0, $3, '', absent_at FROM popfetch.seen%s
			ON CONFLICT (account, unique_id, copy) DO UPDATE SET reason = excluded.reason, since = 0,
				text = '', asked = 0`, seen.Wanted, these)
		st.once, st.limit = true, unlimited
		st.queue = append(st.queue, tryAfresh(&again, l.id, ids, refused...),
			statement{sql: put, args: []any{l.id, ids, seen.Millis(l.store.now())}},
			statement{sql: "DELETE FROM popfetch.seen" + these, args: []any{l.id, ids}, affected: &removed})
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting records: %w", err)
	}
	return again + removed, nil
}

// Discarded reads an index that holds only these records, unless Diff has found it empty.
func (l *ledger) Discarded(ctx context.Context) (ids []string, err error) {
	if l.hold != nil && l.noneDiscarded.Load() == l.hold.moments() {
		return nil, nil
	}
	const query = `SELECT unique_id FROM popfetch.seen
		WHERE account = $1 AND kind = 6 AND deleted_at = 0 ORDER BY unique_id`
	err = l.store.each(ctx, query, []any{l.id}, func(row pgx.Rows) error {
		var id []byte
		err := row.Scan(&id)
		ids = append(ids, string(id))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the discarded messages: %w", err)
	}
	return ids, nil
}
