package postgres

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
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
	// Spread is by how much its first poll is put off, so that new accounts are not all polled at
	// once.
	Spread time.Duration
}

// Schedule puts accounts into the schedule, or changes their host and label. An account that is in
// it already keeps its time. Rows that stay as they are are not written. Each transaction writes
// some, in one order, so that workers may do this at the same time.
func (s *Store) Schedule(ctx context.Context, accounts []Scheduled) error {
	for some := range slices.Chunk(accounts, s.rowsAtOnce) {
		err := s.quick(ctx, func(ctx context.Context) error {
			return run(ctx, s.pool, scheduling(some))
		})
		if err != nil {
			return fmt.Errorf("scheduling accounts: %w", err)
		}
	}
	return nil
}

func scheduling(accounts []Scheduled) []statement {
	n := len(accounts)
	names, hosts, labels := make([]string, n), make([]string, n), make([]string, n)
	spreads := make([]int64, n)
	for i, a := range accounts {
		names[i], hosts[i], labels[i], spreads[i] = a.Account, a.Host, a.Label, a.Spread.Milliseconds()
	}
	return []statement{
		{args: []any{names}, sql: `
			INSERT INTO popfetch.account (name) SELECT n FROM unnest($1::text[]) AS n
			WHERE NOT EXISTS (SELECT FROM popfetch.account WHERE name = n)
			ORDER BY n ON CONFLICT DO NOTHING`},
		{args: []any{names, hosts, labels, spreads}, sql: `
			INSERT INTO popfetch.turn AS t (account, due, host, label)
			SELECT a.id, now() + s.spread * interval '1 ms', s.host, s.label
			FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS s (name, host, label, spread)
			JOIN popfetch.account AS a ON a.name = s.name LEFT JOIN popfetch.turn AS o ON o.account = a.id
			WHERE o.account IS NULL OR o.host <> s.host OR o.label <> s.label OR o.due = 'infinity'
			ORDER BY a.id
			ON CONFLICT (account) DO UPDATE
			SET host = excluded.host, label = excluded.label, due = least(t.due, excluded.due)
			WHERE t.host <> excluded.host OR t.label <> excluded.label OR t.due = 'infinity'`},
	}
}

// Unschedule has workers poll accounts no more. A poll at work goes on.
func (s *Store) Unschedule(ctx context.Context, accounts []string) error {
	err := s.exec(ctx, `
		UPDATE popfetch.turn AS t SET due = 'infinity' FROM (
			SELECT account FROM popfetch.turn WHERE due < 'infinity'
				AND account IN (SELECT id FROM popfetch.account WHERE name = ANY ($1))
			ORDER BY account FOR NO KEY UPDATE
		) AS o WHERE t.account = o.account`, accounts)
	if err != nil {
		return fmt.Errorf("taking accounts out of the schedule: %w", err)
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
// alone: it seems to kill whoever works on it. It then waits for AbandonedRest.
const mostAbandoned = 3

// AbandonedRest is how long workers leave an account alone that seems to kill them.
const AbandonedRest = time.Hour

// Turn is an account that this process has claimed. Store.Lock gives its hold to a run, whose
// release gives the account back to the turn. End ends the turn.
type Turn struct {
	Account   string
	Due       time.Time // when it was due, by the clock of the database
	Late      time.Duration
	Fruitless int  // polls in a row, before this one
	Abandoned int  // leases in a row that ended without a release, before this one
	TakenOver bool // from a worker that has not released it

	hold *hold
}

// claimFunction claims accounts in the order of their due times.
//
// With a bound, it counts the accounts at work for each host. An advisory lock lets no other claim
// do so at the same time. It must be taken in a function: a single statement would count by a
// snapshot from before it had the lock. In several statements the lock would stay for as long as a
// worker stands still between them. Rows of hosts at their bound are read, but not locked.
//
// Older programs call it beside newer ones. So a function that differs in what it takes or returns
// gets another name.
//
// The answer is small (mostClaimed): a worker that stands still while it gets it must not hold up
// the database before the claim is committed.
const claimFunction = `
CREATE FUNCTION claim(
	a_worker text, a_process integer, a_lease interval, a_free integer, a_labels text[],
	a_names text[], a_mine bigint[], a_bound integer, a_most integer, a_rest interval,
	a_claim bigint
) RETURNS TABLE (
	name text, account bigint, epoch bigint, due timestamptz, late interval, fruitless integer,
	abandoned integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	ids  bigint[] := '{}';
	busy jsonb;
	n    integer;
	r    record;
BEGIN
	IF a_bound <= 0 THEN
		ids := ARRAY(SELECT t.account FROM popfetch.turn AS t WHERE ` + claimable + `
			ORDER BY t.due LIMIT a_free FOR UPDATE SKIP LOCKED);
	ELSE
		PERFORM pg_advisory_xact_lock(` + claimLock + `);
		busy := coalesce((SELECT jsonb_object_agg(h.host, h.n) FROM (
			SELECT t.host, count(*) AS n FROM popfetch.turn AS t
			WHERE t.holder <> '' AND t.until >= now() AND t.host <> '' GROUP BY t.host) AS h), '{}');
		FOR r IN SELECT t.account, t.host FROM popfetch.turn AS t
			WHERE ` + claimable + `
				AND t.host <> ALL (ARRAY(
					SELECT b.key FROM jsonb_each_text(busy) AS b WHERE b.value::integer >= a_bound))
			ORDER BY t.due LIMIT ` + claimWindow + `
		LOOP
			EXIT WHEN cardinality(ids) >= a_free;
			n := coalesce((busy ->> r.host)::integer, 0);
			CONTINUE WHEN r.host <> '' AND n >= a_bound;
			PERFORM FROM popfetch.turn AS t
			WHERE t.account = r.account AND ` + claimable + ` FOR UPDATE SKIP LOCKED;
			CONTINUE WHEN NOT FOUND;
			ids := ids || r.account;
			busy := busy || jsonb_build_object(r.host, n + 1);
		END LOOP;
	END IF;
	RETURN QUERY UPDATE popfetch.turn AS t SET holder = a_worker, process = a_process, since = now(),
			until = now() + a_lease, claim = a_claim,
			epoch = ` + nextEpoch + `, abandoned = ` + abandonedNow + `
		FROM popfetch.account AS a WHERE t.account = ANY (ids) AND a.id = t.account
		RETURNING a.name, t.account, t.epoch, t.due, now() - t.due, t.fruitless, t.abandoned;
END $$;
`

const (
	// claimable is the condition, for a row of turn AS t, that the account can be claimed.
	claimable = `t.due <= now() AND t.until < now()
		AND (t.holder = '' OR t.abandoned + 1 < a_most OR t.until < now() - a_rest)
		AND (t.label = '' OR t.label = ANY (a_labels)) AND t.account <> ALL (a_mine)
		AND (a_names IS NULL OR (SELECT a.name FROM popfetch.account AS a WHERE a.id = t.account)
			IN (SELECT unnest(a_names)))`
	// abandonedNow is what a new lease sets.
	abandonedNow = "CASE WHEN t.holder = '' THEN 0 ELSE t.abandoned + 1 END"
	// claimLock is the advisory lock of claims with a bound ("popc").
	claimLock = "1886351459"
	// claimWindow is how many accounts a claim with a bound looks at.
	claimWindow = "1000"
	// mostClaimed is how many accounts one claim takes at most.
	mostClaimed = 100
)

// Claim takes accounts that are due, those first that have waited longest: Free, but 100 at most.
// It does not take what this process already has, even if the lease was lost: the run may still be
// ending. If the answer does not come, the claim is void. The next one gives back what it took.
func (s *Store) Claim(ctx context.Context, c Claiming) ([]*Turn, error) {
	if c.Free <= 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.polite()/2) // a later answer would be of little use
	defer cancel()
	labels := c.Labels
	if labels == nil {
		labels = []string{}
	}
	if err := s.giveBackVoid(ctx, s.pool); err != nil {
		return nil, err
	}
	number := rand.Int64N(math.MaxInt64) + 1 //nolint:gosec // only another one than all others
	began := time.Now()
	turns, err := list(ctx, s, "claiming accounts", `
		SELECT name, account, epoch, due, late, fruitless, abandoned
		FROM popfetch.claim($1, $2, $3 * interval '1 ms', $4, $5, $6, $7, $8, $9,
			$10 * interval '1 ms', $11)`,
		func(row pgx.CollectableRow) (*Turn, error) {
			t := new(Turn)
			var id, epoch int64
			err := row.Scan(&t.Account, &id, &epoch, &t.Due, &t.Late, &t.Fruitless, &t.Abandoned)
			if err != nil {
				return nil, err
			}
			t.TakenOver = t.Abandoned > 0
			t.hold = s.newHold(t.Account, id, epoch, began)
			t.hold.claimed = true
			return t, nil
		},
		s.worker, s.number, s.lease.Milliseconds(), min(c.Free, mostClaimed), labels, c.Accounts,
		s.mine(), c.Hosts, mostAbandoned, AbandonedRest.Milliseconds(), number)
	if err != nil {
		s.voided(number)
		return nil, err
	}
	if len(turns) == 0 {
		return nil, nil
	}
	slices.SortFunc(turns, func(a, b *Turn) int { return a.Due.Compare(b.Due) })
	holds := make([]*hold, len(turns))
	for i, t := range turns {
		holds[i] = t.hold
	}
	s.keep(holds...)
	s.register.count(func(c *Counts) { c.claimed(turns) })
	return turns, nil
}

// mine lists the accounts that this process has, or had and has not given back.
func (s *Store) mine() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]int64, 0, len(s.holds))
	for _, h := range s.holds {
		ids = append(ids, h.id)
	}
	return ids
}

// Hold is the lease of the turn. Its Release does nothing: see End and GiveUp.
func (t *Turn) Hold() seen.Hold { return turnHold{t.hold} }

type turnHold struct{ *hold }

func (turnHold) Release() error { return nil }

// Next says when an account is polled again after a turn.
type Next struct {
	In        time.Duration // from now on, by the clock of the database
	Fruitless int           // polls in a row
	// Refused is for how long from now on its server refuses a log-in. Until then, Hurry does not make
	// the account due. Zero or less: it does not refuse one.
	Refused   time.Duration
	Delivered int // messages in this turn; it is only counted (Counts.Delivered)
}

// Abandonment is an account that workers leave alone, because each of them that held it ended
// without a release.
type Abandonment struct {
	Account string
	Times   int           // leases in a row
	Holder  string        // the last one that had it
	Ended   time.Time     // the last lease, by the clock of the database
	Again   time.Duration // workers try it again so much later; zero: it is tried now
}

// resting is the condition, for a row of turn AS t, that the account is left alone.
var resting = fmt.Sprintf(`(t.holder <> '' AND t.until < now() AND t.abandoned + 1 >= %d
	AND t.until >= now() - %d * interval '1 ms')`, mostAbandoned, AbandonedRest.Milliseconds())

// Abandoned lists the accounts whose last leases ended without a release, mostAbandoned of them or
// more, by name. The next release takes an account from the list.
func (s *Store) Abandoned(ctx context.Context) ([]Abandonment, error) {
	return list(ctx, s, "listing abandoned accounts", `
		SELECT a.name, t.abandoned + 1, t.holder, t.until,
			greatest(interval '0', t.until + $2 * interval '1 ms' - now())
		FROM popfetch.turn AS t JOIN popfetch.account AS a ON a.id = t.account
		WHERE t.holder <> '' AND t.until < now() AND t.abandoned + 1 >= $1 ORDER BY a.name`,
		func(row pgx.CollectableRow) (a Abandonment, err error) {
			return a, row.Scan(&a.Account, &a.Times, &a.Holder, &a.Ended, &a.Again)
		}, mostAbandoned, AbandonedRest.Milliseconds())
}

// End releases the account and says when it is due again. If another process has it by now, the
// time is that one's to say: ErrLost, and nothing is changed. The database decides that: a hold may
// be lost by the clock of this process while nobody has taken the account. If the database does not
// answer, End may be called again; otherwise the lease runs out. It does not end when ctx is
// cancelled, but at its deadline.
func (t *Turn) End(ctx context.Context, next Next) error {
	err := t.hold.release(ctx, released+`, fruitless = $3,
		due = CASE WHEN due = 'infinity' THEN due ELSE now() + $4 * interval '1 ms' END,
		hold_until = CASE WHEN $5::bigint <= 0 THEN '-infinity' ELSE now() + $5 * interval '1 ms' END`,
		next.Fruitless, next.In.Milliseconds(), next.Refused.Milliseconds())
	if err == nil {
		t.hold.store.register.count(func(c *Counts) {
			c.Polls++
			c.Delivered += int64(next.Delivered)
		})
	}
	return err
}

// GiveUp releases the account at once, so that another worker may take it. It stays due. Otherwise
// it is like End.
func (t *Turn) GiveUp(ctx context.Context) error { return t.hold.release(ctx, released) }

// Hurry makes accounts due now, all scheduled ones if none is named. An account whose server refuses
// log-ins (Next.Refused) becomes due when that is over, unless it is due earlier.
func (s *Store) Hurry(ctx context.Context, accounts ...string) error {
	if accounts == nil {
		accounts = []string{}
	}
	err := s.exec(ctx, `
		UPDATE popfetch.turn AS t SET due = greatest(now(), t.hold_until) FROM (
			SELECT account FROM popfetch.turn
			WHERE due > greatest(now(), hold_until) AND due < 'infinity' AND (cardinality($1::text[]) = 0
				OR account IN (SELECT id FROM popfetch.account WHERE name = ANY ($1)))
			ORDER BY account FOR NO KEY UPDATE
		) AS o WHERE t.account = o.account`, accounts)
	if err != nil {
		return fmt.Errorf("making accounts due: %w", err)
	}
	return nil
}
