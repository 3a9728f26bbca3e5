package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/popfetch/popfetch/seen"
)

// NoteRun reads the history and its last day by one statement, and writes both at once.
func (s *Store) NoteRun(ctx context.Context, name string, run seen.RunNote) error {
	ctx = context.WithoutCancel(ctx) // a run that a signal has ended is noted too
	if err := s.noteRun(ctx, name, run); err != nil {
		return fmt.Errorf("noting a run of account %q: %w", name, err)
	}
	return nil
}

func (s *Store) noteRun(ctx context.Context, name string, run seen.RunNote) error {
	hold, err := s.held(name)
	if err != nil {
		return err
	}
	return s.repeated(ctx, hold, func() error { return s.noteRunOnce(ctx, hold, run) })
}

func (s *Store) noteRunOnce(ctx context.Context, hold *hold, run seen.RunNote) error {
	number := dayOf(run.At)
	var h seen.History
	err := s.quick(ctx, func(ctx context.Context) (err error) {
		h, err = readHistory(ctx, s.pool, "h.account = $1", hold.id, number, number)
		return err
	})
	if err != nil {
		return err
	}
	isNew := len(h.Days) == 0
	day := seen.Day{Date: seen.DateOf(run.At)}
	if !isNew {
		day = h.Days[0]
	}
	h.Note(run)
	day.Note(run)
	history, err := putHistory(hold.id, &h)
	if err != nil {
		return err
	}
	today, err := putDay(hold.id, number, &day)
	if err != nil {
		return err
	}
	todo := []statement{history, today}
	if isNew { // a clock may make any number of days
		todo = append(todo, statement{args: []any{hold.id, seen.HistoryDays}, sql: `
			DELETE FROM popfetch.history_day WHERE account = $1 AND day <= (
				SELECT day FROM popfetch.history_day WHERE account = $1 ORDER BY day DESC LIMIT 1 OFFSET $2)`})
	}
	return s.fenced(ctx, hold, todo...)
}

// putHistory writes a history. The time of the next run stays, because NoteNext may have changed
// it, unless a run has ended later.
func putHistory(account int64, h *seen.History) (statement, error) {
	durations, err := json.Marshal(h.Durations)
	return statement{args: []any{account, seen.Millis(h.RanAt), seen.Millis(h.SucceededAt),
		seen.Millis(h.Error.At), seen.Millis(h.Error.Since), h.Error.Status, storable(h.Error.Code),
		storable(h.Error.Text),
		seen.Millis(h.MaildropAt), h.Maildrop.Listed, h.Maildrop.Backlog, h.Maildrop.Quarantined,
		h.Total.Runs, h.Total.Failed, h.Total.Delivered, h.Total.Octets, h.Total.Deleted,
		h.Total.RefusedLogins, h.Total.Took.Milliseconds(), string(durations)},
		sql: `
		INSERT INTO popfetch.history AS h (account, ran_at, succeeded_at, error_at, error_since,
			error_status, error_code, error_text, maildrop_at, listed, backlog, quarantined, runs, failed,
			delivered, octets, deleted, refused, took, durations)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
		ON CONFLICT (account) DO UPDATE SET ran_at = excluded.ran_at,
			succeeded_at = excluded.succeeded_at, error_at = excluded.error_at,
			error_since = excluded.error_since, error_status = excluded.error_status,
			error_code = excluded.error_code, error_text = excluded.error_text,
			maildrop_at = excluded.maildrop_at, listed = excluded.listed, backlog = excluded.backlog,
			quarantined = excluded.quarantined, runs = excluded.runs, failed = excluded.failed,
			delivered = excluded.delivered, octets = excluded.octets, deleted = excluded.deleted,
			refused = excluded.refused, took = excluded.took, durations = excluded.durations,
			next_at = CASE WHEN h.next_at < excluded.ran_at THEN 0 ELSE h.next_at END`}, err
}

func putDay(account, number int64, d *seen.Day) (statement, error) {
	var texts [3]string
	for i, value := range []any{d.Sizes, d.Durations, d.Errors} {
		text, err := json.Marshal(value)
		if err != nil {
			return statement{}, err
		}
		texts[i] = string(text)
	}
	return statement{args: []any{account, number, d.Runs, d.Failed, d.Delivered, d.Octets, d.Deleted,
		d.Quarantined, d.Largest, d.Took.Milliseconds(), d.Longest.Milliseconds(), texts[0], texts[1],
		texts[2]},
		sql: `
		INSERT INTO popfetch.history_day (account, day, runs, failed, delivered, octets, deleted,
			quarantined, largest, took, longest, sizes, durations, errors)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (account, day) DO UPDATE SET runs = excluded.runs, failed = excluded.failed,
			delivered = excluded.delivered, octets = excluded.octets, deleted = excluded.deleted,
			quarantined = excluded.quarantined, largest = excluded.largest, took = excluded.took,
			longest = excluded.longest, sizes = excluded.sizes, durations = excluded.durations,
			errors = excluded.errors`}, nil
}

// NoteNext writes one column. The account may be one that nobody has locked or entered yet.
func (s *Store) NoteNext(ctx context.Context, name string, next time.Time) error {
	err := s.quick(context.WithoutCancel(ctx), func(ctx context.Context) error {
		return run(ctx, s.pool, []statement{
			{sql: "INSERT INTO popfetch.account (name) VALUES ($1) ON CONFLICT DO NOTHING",
				args: []any{name}},
			{sql: `INSERT INTO popfetch.history (account, next_at)
				SELECT id, $2 FROM popfetch.account WHERE name = $1
				ON CONFLICT (account) DO UPDATE SET next_at = excluded.next_at`,
				args: []any{name, seen.Millis(next)}},
		})
	})
	if err != nil {
		return fmt.Errorf("noting the next run of account %q: %w", name, err)
	}
	return nil
}

// History reads the history and its days by one statement.
func (s *Store) History(ctx context.Context, name string, days int) (h seen.History, err error) {
	today := dayOf(s.now())
	err = s.quick(ctx, func(ctx context.Context) (err error) {
		const named = "h.account = (SELECT id FROM popfetch.account WHERE name = $1)"
		h, err = readHistory(ctx, s.pool, named, name, today-int64(days)+1, today)
		return err
	})
	if err != nil {
		return seen.History{}, fmt.Errorf("reading the history of account %q: %w", name, err)
	}
	return h, nil
}

// dayOf returns the number of a day since 1970.
func dayOf(at time.Time) int64 { return seen.DateOf(at).Unix() / int64(24*time.Hour/time.Second) }

// selectHistory reads a history, with the days from $2 to $3. A row has the history itself, which
// each row of an account repeats, and one of its days.
const selectHistory = `
	SELECT h.account, h.ran_at, h.succeeded_at, h.error_at, h.error_since, h.error_status,
		h.error_code, h.error_text, h.next_at, h.maildrop_at, h.listed, h.backlog, h.quarantined, h.runs,
		h.failed, h.delivered, h.octets, h.deleted, h.refused, h.took, h.durations, d.day,
		coalesce(d.runs, 0), coalesce(d.failed, 0), coalesce(d.delivered, 0), coalesce(d.octets, 0),
		coalesce(d.deleted, 0), coalesce(d.quarantined, 0), coalesce(d.largest, 0), coalesce(d.took, 0),
		coalesce(d.longest, 0), coalesce(d.sizes, 'null'), coalesce(d.durations, '[]'),
		coalesce(d.errors, 'null')
	FROM popfetch.history AS h LEFT JOIN popfetch.history_day AS d ON d.account = h.account
		AND d.day BETWEEN $2 AND $3
	WHERE `

// readHistory reads the history that which selects by $1, with the days from first to last.
func readHistory(
	ctx context.Context, from querier, which string, account any, first, last int64,
) (h seen.History, err error) {
	rows, err := from.Query(ctx, selectHistory+which+" ORDER BY d.day", account, first, last)
	if err != nil {
		return h, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scanHistory(rows, func(int64) *seen.History { return &h }); err != nil {
			return seen.History{}, err
		}
	}
	return h, rows.Err()
}

// scanHistory reads a row of selectHistory into the history that of returns for its account.
func scanHistory(rows pgx.Rows, of func(account int64) *seen.History) error {
	var account int64
	var h seen.History
	var ranAt, succeededAt, errorAt, errorSince, nextAt, maildropAt, took int64
	var durations string
	var number *int64 // nil: none of these days
	var dayTook, longest int64
	var d seen.Day
	var texts [3]string
	err := rows.Scan(&account, &ranAt, &succeededAt, &errorAt, &errorSince, &h.Error.Status,
		&h.Error.Code, &h.Error.Text, &nextAt, &maildropAt, &h.Maildrop.Listed, &h.Maildrop.Backlog,
		&h.Maildrop.Quarantined, &h.Total.Runs, &h.Total.Failed, &h.Total.Delivered, &h.Total.Octets,
		&h.Total.Deleted, &h.Total.RefusedLogins, &took, &durations, &number, &d.Runs, &d.Failed,
		&d.Delivered, &d.Octets, &d.Deleted, &d.Quarantined, &d.Largest, &dayTook, &longest, &texts[0],
		&texts[1], &texts[2])
	if err != nil {
		return err
	}
	h.RanAt, h.SucceededAt = seen.FromMillis(ranAt), seen.FromMillis(succeededAt)
	h.NextAt, h.MaildropAt = seen.FromMillis(nextAt), seen.FromMillis(maildropAt)
	h.Error.At, h.Error.Since = seen.FromMillis(errorAt), seen.FromMillis(errorSince)
	h.Total.Took = time.Duration(took) * time.Millisecond
	errs := json.Unmarshal([]byte(durations), &h.Durations)
	into := of(account)
	h.Days = into.Days
	*into = h
	if number == nil {
		return errs
	}
	for i, value := range []any{&d.Sizes, &d.Durations, &d.Errors} {
		errs = errors.Join(errs, json.Unmarshal([]byte(texts[i]), value))
	}
	d.Date = time.Unix(*number*int64(24*time.Hour/time.Second), 0).UTC()
	d.Took = time.Duration(dayTook) * time.Millisecond
	d.Longest = time.Duration(longest) * time.Millisecond
	into.Days = append(into.Days, d)
	return errs
}
