package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/popfetch/popfetch/seen"
)

// Overview is what a person is shown of an account.
type Overview struct {
	History     seen.History
	Refusals    int       // refused log-ins in a row
	NotBefore   time.Time // until then no log-in is tried; zero: it is tried
	Asides      int       // messages that are set aside, but for Old ones
	Quarantined int       // those of them that are quarantined and listed
	Place

	id int64 // of the account
}

// Place is the place of an account in the schedule. Its times are those of the database.
type Place struct {
	Due   time.Time     // when it is polled next; zero: no worker polls it
	In    time.Duration // until then; it is negative if that time is over
	Label string        // only workers with this label poll it
	// Holder is who has the account now; nil: nobody has.
	Holder *seen.LockedError
	// Abandoned is why workers leave the account alone; nil: they do not, or try it now.
	Abandoned *Abandonment
}

// IsWaiting reports whether the account is due, and waits for a worker.
func (p *Place) IsWaiting() bool {
	return !p.Due.IsZero() && p.In <= 0 && p.Holder == nil && p.Abandoned == nil
}

// overviewsAtOnce is how many accounts a statement reads, so that none takes long.
const overviewsAtOnce = 1000

// Overviews reads what is known of many accounts, with the last so many days up to now, by two
// statements for each thousand. What is not known is not in the answer.
func (s *Store) Overviews(
	ctx context.Context, names []string, days int,
) (map[string]*Overview, error) {
	all := make(map[string]*Overview, len(names))
	for some := range slices.Chunk(names, overviewsAtOnce) {
		err := s.readPlaces(ctx, some, all)
		if err == nil {
			err = s.readHistories(ctx, some, days, all)
		}
		if err != nil {
			return nil, fmt.Errorf("reading what is known of the accounts: %w", err)
		}
	}
	return all, nil
}

// readPlaces reads all but the histories.
func (s *Store) readPlaces(ctx context.Context, names []string, all map[string]*Overview) error {
	query := fmt.Sprintf(`
		SELECT a.name, a.id, coalesce(s.refusals, 0), coalesce(s.not_before, 0), q.asides, q.quarantined,
			CASE WHEN isfinite(t.due) THEN t.due END,
			CASE WHEN isfinite(t.due) THEN t.due - now() ELSE '0' END, coalesce(t.label, ''),
			coalesce(t.holder <> '' AND t.until >= now(), false), coalesce(%s, false),
			coalesce(t.holder, ''), coalesce(t.process, 0),
			CASE WHEN isfinite(t.since) THEN t.since END, coalesce(t.abandoned, 0) + 1,
			CASE WHEN isfinite(t.until) THEN t.until END,
			CASE WHEN isfinite(t.until) THEN t.until + $4 * interval '1 ms' - now() ELSE '0' END
		FROM popfetch.account AS a
		LEFT JOIN popfetch.turn AS t ON t.account = a.id
		LEFT JOIN popfetch.standing AS s ON s.account = a.id
		CROSS JOIN LATERAL (
			SELECT count(*) AS asides, count(*) FILTER (WHERE reason = $3 AND absent_at = 0) AS quarantined
			FROM popfetch.aside WHERE account = a.id AND reason <> $2
		) AS q
		WHERE a.name = ANY ($1)`, resting)
	args := []any{names, int(seen.Old), int(seen.Quarantined), AbandonedRest.Milliseconds()}
	return s.each(ctx, query, args, func(rows pgx.Rows) error {
		var o Overview
		var name, holder string
		var notBefore int64
		var isHeld, isResting bool
		var process, times int
		var due, since, until *time.Time
		var again time.Duration
		err := rows.Scan(&name, &o.id, &o.Refusals, &notBefore, &o.Asides, &o.Quarantined, &due, &o.In,
			&o.Label, &isHeld, &isResting, &holder, &process, &since, &times, &until, &again)
		if err != nil {
			return err
		}
		o.NotBefore = seen.FromMillis(notBefore)
		if due != nil {
			o.Due = *due
		}
		switch {
		case isHeld:
			o.Holder = s.lockedBy(holder, process, since)
		case isResting:
			o.Abandoned = &Abandonment{
				Account: name, Times: times, Holder: holder, Ended: *until, Again: again,
			}
		}
		all[name] = &o
		return nil
	})
}

// readHistories adds the histories to what readPlaces has read.
func (s *Store) readHistories(
	ctx context.Context, names []string, days int, all map[string]*Overview,
) error {
	today := dayOf(s.now())
	byID := make(map[int64]*Overview, len(names))
	for _, name := range names {
		if o := all[name]; o != nil {
			byID[o.id] = o
		}
	}
	args := []any{slices.Collect(maps.Keys(byID)), today - int64(days) + 1, today}
	query := selectHistory + "h.account = ANY ($1::bigint[]) ORDER BY h.account, d.day"
	return s.each(ctx, query, args, func(rows pgx.Rows) error {
		return scanHistory(rows, func(account int64) *seen.History { return &byID[account].History })
	})
}

// lockedBy describes who has a lease. A process of this machine is named by its number alone.
func (s *Store) lockedBy(holder string, process int, since *time.Time) *seen.LockedError {
	locked := &seen.LockedError{Process: process}
	if host := hostOf(holder, process); host != hostOf(s.worker, s.number) {
		locked.Host = host
	}
	if since != nil {
		locked.Since = *since
	}
	return locked
}

// hostOf returns the machine of a holder, which Options.Worker names with the process.
func hostOf(holder string, process int) string {
	return strings.TrimSuffix(holder, fmt.Sprintf(" (process %d)", process))
}

// Counting says which deliveries of an account are counted.
type Counting struct {
	Account string
	Until   time.Time // the latest; AnyTime: all, those of an unknown time too
}

// CountsDue is Ledger.CountDue for many accounts. It reads all rows of them.
func (s *Store) CountsDue(ctx context.Context, countings []Counting) (map[string]int, error) {
	due := make(map[string]int, len(countings))
	for some := range slices.Chunk(countings, overviewsAtOnce) {
		names := make([]string, len(some))
		firsts, lasts := make([]int64, len(some)), make([]int64, len(some))
		for i, c := range some {
			names[i], lasts[i] = c.Account, seen.Millis(c.Until)
			if !c.Until.Equal(seen.AnyTime) {
				firsts[i] = 1 // an unknown time of delivery is 0
			}
		}
		const query = `
			SELECT c.name, count(*) FROM unnest($1::text[], $2::bigint[], $3::bigint[]) 
				AS c (name, first, last)
			JOIN popfetch.account AS a ON a.name = c.name JOIN popfetch.seen AS s ON s.account = a.id
			WHERE s.kind = ANY ($4::bigint[]) AND s.absent_at = 0 AND s.deleted_at = 0
				AND s.delivered_at BETWEEN c.first AND c.last GROUP BY c.name`
		args := []any{names, firsts, lasts, []int64{int64(seen.Delivered), int64(seen.Dropped)}}
		err := s.each(ctx, query, args, func(rows pgx.Rows) error {
			var name string
			var n int
			err := rows.Scan(&name, &n)
			due[name] = n
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("counting the messages that are due: %w", err)
		}
	}
	return due, nil
}

// Deleting returns the names of the accounts that have deletions in their log from since on.
func (s *Store) Deleting(ctx context.Context, since time.Time) (map[string]bool, error) {
	names := make(map[string]bool)
	err := s.each(ctx, `SELECT name FROM popfetch.account AS a
		WHERE EXISTS (SELECT FROM popfetch.deletion WHERE account = a.id AND deleted_at >= $1)`,
		[]any{seen.Millis(since)}, func(rows pgx.Rows) error {
			var name string
			err := rows.Scan(&name)
			names[name] = true
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("reading the log of deletions: %w", err)
	}
	return names, nil
}
