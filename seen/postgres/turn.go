package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/popfetch/popfetch/seen"
)

// Scheduled is an account that workers poll.
type Scheduled struct {
	Account string
	Host    string // of its server: see Claiming.Hosts
	Label   string // only workers with this label poll it; "": all do
	// Spread is by how much its first poll is put off, so that new accounts are not all polled at once.
	Spread time.Duration
}

// Schedule puts accounts into the schedule, or changes their host and label. An account that is in it
// already keeps its time.
func (s *Store) Schedule(ctx context.Context, accounts []Scheduled) error {
	n := len(accounts)
	names, hosts, labels, spreads := make([]string, n), make([]string, n), make([]string, n), make([]int64, n)
	for i, a := range accounts {
		names[i], hosts[i], labels[i], spreads[i] = a.Account, a.Host, a.Label, a.Spread.Milliseconds()
	}
	err := s.tx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO popfetch.account (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", names)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO popfetch.turn AS t (account, due, host, label)
			SELECT a.id, now() + s.spread * interval '1 ms', s.host, s.label
			FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS s (name, host, label, spread)
			JOIN popfetch.account AS a ON a.name = s.name
			ON CONFLICT (account) DO UPDATE SET host = excluded.host, label = excluded.label, due = least(t.due, excluded.due)
			WHERE t.host <> excluded.host OR t.label <> excluded.label OR t.due = 'infinity'`,
			names, hosts, labels, spreads)
		return err
	})
	if err != nil {
		return fmt.Errorf("scheduling accounts: %w", err)
	}
	return nil
}

// Unschedule has workers poll accounts no more. A poll at work goes on.
func (s *Store) Unschedule(ctx context.Context, accounts []string) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE popfetch.turn SET due = 'infinity'
		WHERE account IN (SELECT id FROM popfetch.account WHERE name = ANY ($1)) AND due < 'infinity'`, accounts)
	if err != nil {
		return fmt.Errorf("taking accounts out of the schedule: %w", s.explain(err))
	}
	return nil
}

// Claiming says what a worker can take.
type Claiming struct {
	Free   int      // how many accounts at most
	Labels []string // of the worker
	// Hosts bounds how many accounts of one host all workers together have at work; zero: no bound.
	Hosts int
	// Accounts are those that the worker knows; nil: all.
	Accounts []string
}

// mostAbandoned is after how many leases in a row that ended without a release an account is left
// alone: it seems to kill whoever works on it. It then waits for abandonedRest.
const (
	mostAbandoned = 3
	abandonedRest = time.Hour
)

// Turn is an account that this process has claimed. Store.Lock gives its hold to a run, whose release
// gives the account back to the turn. End ends the turn.
type Turn struct {
	Account   string
	Due       time.Time // when it was due, by the clock of the database
	Late      time.Duration
	Fruitless int  // polls in a row, before this one
	Abandoned int  // leases in a row that ended without a release, before this one
	TakenOver bool // from a worker that has not released it

	hold *hold
}

// Claim takes accounts that are due, those first that have waited longest.
func (s *Store) Claim(ctx context.Context, c Claiming) ([]*Turn, error) {
	began := time.Now()
	rows, err := s.pool.Query(ctx, `
		WITH free AS (
			SELECT t.account FROM popfetch.turn AS t
			WHERE t.due <= now() AND t.until < now() AND (t.label = '' OR t.label = ANY ($5))
				AND ($6::text[] IS NULL OR t.account IN (SELECT id FROM popfetch.account WHERE name = ANY ($6)))
				AND ($7 = 0 OR (SELECT count(*) FROM popfetch.turn AS o WHERE o.host = t.host AND o.until >= now()) < $7)
			ORDER BY t.due LIMIT $1 FOR UPDATE SKIP LOCKED
		), old AS (
			SELECT t.account, t.holder, t.abandoned FROM popfetch.turn AS t JOIN free USING (account)
		)
		UPDATE popfetch.turn AS t SET holder = $2, process = $3, since = now(), until = now() + $4 * interval '1 ms',
			epoch = t.epoch + 1, abandoned = CASE WHEN t.holder = '' THEN 0 ELSE t.abandoned + 1 END
		FROM old JOIN popfetch.account AS a ON a.id = old.account
		WHERE t.account = old.account
		RETURNING a.name, t.account, t.epoch, t.due, now() - t.due, t.fruitless, t.abandoned, old.holder <> ''`,
		c.Free, s.worker, s.number, s.lease.Milliseconds(), slices.Concat(c.Labels, []string{""}), c.Accounts, c.Hosts)
	if err != nil {
		return nil, fmt.Errorf("claiming accounts: %w", s.explain(err))
	}
	var holds []*hold
	turns, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Turn, error) {
		t := new(Turn)
		var id, epoch int64
		if err := row.Scan(&t.Account, &id, &epoch, &t.Due, &t.Late, &t.Fruitless, &t.Abandoned, &t.TakenOver); err != nil {
			return nil, err
		}
		t.hold = s.newHold(t.Account, id, epoch, began)
		t.hold.turn = t
		holds = append(holds, t.hold)
		return t, nil
	})
	if err != nil {
		return nil, fmt.Errorf("claiming accounts: %w", s.explain(err))
	}
	s.keep(holds...)
	return turns, nil
}

// Hold is the lease of the turn.
func (t *Turn) Hold() seen.Hold { return t.hold }

// Next says when an account is polled again after a turn.
type Next struct {
	In        time.Duration // from now on, by the clock of the database
	Fruitless int           // polls in a row
	Delivered int           // messages in this turn; it is only counted (Counts.Delivered)
}

// Abandonment is an account that workers leave alone, because each of them that held it ended without
// a release.
type Abandonment struct {
	Account string
	Times   int           // leases in a row
	Holder  string        // the last one that had it
	Ended   time.Time     // the last lease, by the clock of the database
	Again   time.Duration // workers try it again so much later; zero: it is tried now
}

// resting is the condition, for a row of turn AS t, that the account is left alone.
const resting = `(t.holder <> '' AND t.until < now() AND t.abandoned + 1 >= 3 AND t.until >= now() - interval '1 hour')`

// Abandoned lists the accounts whose last leases ended without a release, mostAbandoned of them or more,
// by name. The next release takes an account from the list.
func (s *Store) Abandoned(ctx context.Context) ([]Abandonment, error) {
	return list(ctx, s, "listing abandoned accounts", `
		SELECT a.name, t.abandoned + 1, t.holder, t.until, greatest('0', t.until + $2 * interval '1 ms' - now())
		FROM popfetch.turn AS t JOIN popfetch.account AS a ON a.id = t.account
		WHERE t.holder <> '' AND t.until < now() AND t.abandoned + 1 >= $1 ORDER BY a.name`,
		func(row pgx.CollectableRow) (a Abandonment, err error) {
			return a, row.Scan(&a.Account, &a.Times, &a.Holder, &a.Ended, &a.Again)
		}, mostAbandoned, abandonedRest.Milliseconds())
}

// End releases the account and says when it is due again. If the lease was lost, the time is for
// whoever has it now: ErrLost.
func (t *Turn) End(_ context.Context, next Next) error {
	return t.hold.release("holder = '', until = '-infinity', abandoned = 0, fruitless = $3, due = CASE WHEN due = 'infinity' THEN due ELSE now() + $4 * interval '1 ms' END",
		next.Fruitless, next.In.Milliseconds())
}

// GiveUp releases the account at once, so that another worker may take it. It stays due.
func (t *Turn) GiveUp(context.Context) error {
	return t.hold.release("holder = '', until = '-infinity', abandoned = 0")
}

// Hurry makes accounts due now, all scheduled ones if none is named.
func (s *Store) Hurry(ctx context.Context, accounts ...string) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE popfetch.turn SET due = now()
		WHERE due > now() AND due < 'infinity'
			AND (cardinality($1::text[]) = 0 OR account IN (SELECT id FROM popfetch.account WHERE name = ANY ($1)))`, accounts)
	if err != nil {
		return fmt.Errorf("making accounts due: %w", s.explain(err))
	}
	return nil
}
