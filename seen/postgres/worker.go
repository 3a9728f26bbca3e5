package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Registration is what a worker tells about itself.
type Registration struct {
	Host    string // the machine
	Version string // of the program
	Labels  []string
	Jobs    int // accounts at work at once, at most
}

// Counts are what a worker has counted since it started.
type Counts struct {
	Claims    int64 // accounts claimed
	Polls     int64 // turns that ended
	Delivered int64 // messages; see Next.Delivered
	TakeOvers int64 // accounts claimed from a worker that had not released them
	Lost      int64 // leases that ended before they were released
	Renewals  int64 // statements that renewed all leases
	Unrenewed int64 // and those that failed
	// Late is how long after their time the claimed accounts were claimed, all added up, and Latest is
	// the longest.
	Late, Latest time.Duration
	// PoolWait is how long statements have waited for a free connection, all added up.
	PoolWait time.Duration
}

// claimed counts accounts that were claimed.
func (c *Counts) claimed(turns []*Turn) {
	for _, t := range turns {
		c.Claims++
		c.Late += t.Late
		c.Latest = max(c.Latest, t.Late)
		if t.TakenOver {
			c.TakeOvers++
		}
	}
}

// Worker is a process in the register of workers. The times are those of the database.
type Worker struct {
	Name    string // Options.Worker
	Process int
	Registration
	Started time.Time
	SeenAt  time.Time     // when it noted itself last
	Silent  time.Duration // how long ago that was
	Held    int           // accounts that it holds now
	Counts
}

const (
	// noteEvery is how often a worker notes itself and its counts.
	noteEvery = 5 * time.Second
	// silence is after how long without a note a worker counts as gone.
	silence = 30 * time.Second
	// forgetWorkers is after how long it is removed from the register, and tidyEvery is how often each
	// worker looks for such rows.
	forgetWorkers = "1 day"
	tidyEvery     = time.Hour
)

// Alive reports whether the worker has noted itself lately.
func (w *Worker) Alive() bool { return w.Silent < silence }

const workerTables = `
CREATE TABLE worker (
	id        text PRIMARY KEY,
	name      text NOT NULL,
	process   integer NOT NULL,
	host      text NOT NULL,
	version   text NOT NULL,
	labels    text[] NOT NULL,
	jobs      integer NOT NULL,
	started   timestamptz NOT NULL,
	seen_at   timestamptz NOT NULL,
	claims    bigint NOT NULL,
	polls     bigint NOT NULL,
	delivered bigint NOT NULL,
	takeovers bigint NOT NULL,
	lost      bigint NOT NULL,
	renewals  bigint NOT NULL,
	unrenewed bigint NOT NULL,
	late      interval NOT NULL,
	latest    interval NOT NULL,
	pool_wait interval NOT NULL
) WITH (fillfactor = 50);
`

// register is this process's part in the register of workers.
type register struct {
	mu     sync.Mutex
	id     string        // it has registered; "": it has not
	told   *Registration // what it says
	counts Counts

	changed chan struct{} // gets a value when something new is told; see changes
}

// changes returns the channel changed.
func (r *register) changes() chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{}, 1)
	}
	return r.changed
}

// registered reports whether this process is a worker.
func (s *Store) registered() bool {
	s.register.mu.Lock()
	defer s.register.mu.Unlock()
	return s.register.id != ""
}

// count changes the counts of this process.
func (r *register) count(change func(*Counts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.counts)
}

// Counts returns what this process has counted.
func (s *Store) Counts() Counts {
	s.register.mu.Lock()
	defer s.register.mu.Unlock()
	c := s.register.counts
	c.PoolWait = s.pool.Stat().EmptyAcquireWaitTime()
	return c
}

// Register has this process noted in the register of workers every few seconds, until the store is
// closed. It needs no connection. A second call changes what is told.
func (s *Store) Register(r Registration) {
	s.register.mu.Lock()
	if s.register.id == "" {
		id := make([]byte, 12)
		_, _ = rand.Read(id) // it never fails
		s.register.id = hex.EncodeToString(id)
	}
	s.register.told = &r
	s.register.mu.Unlock()
	s.keep()
	select {
	case s.register.changes() <- struct{}{}:
	default:
	}
}

// Workers lists the register of workers by name. A worker that has ended properly is not in it, and
// one that has not been seen for a day is removed.
func (s *Store) Workers(ctx context.Context) ([]Worker, error) {
	return list(ctx, s, "reading the register of workers", `
		SELECT w.name, w.process, w.host, w.version, w.labels, w.jobs, w.started, w.seen_at,
			now() - w.seen_at,
			CASE row_number() OVER (PARTITION BY w.name ORDER BY w.seen_at DESC)
				WHEN 1 THEN coalesce(h.held, 0) ELSE 0 END,
			w.claims, w.polls, w.delivered, w.takeovers, w.lost, w.renewals, w.unrenewed,
			w.late, w.latest, w.pool_wait
		FROM popfetch.worker AS w LEFT JOIN (
			SELECT holder, count(*)::integer AS held FROM popfetch.turn
			WHERE holder <> '' AND until >= now() GROUP BY holder
		) AS h ON h.holder = w.name
		ORDER BY w.name, w.seen_at DESC`,
		func(row pgx.CollectableRow) (w Worker, err error) {
			return w, row.Scan(&w.Name, &w.Process, &w.Host, &w.Version, &w.Labels, &w.Jobs,
				&w.Started, &w.SeenAt, &w.Silent, &w.Held, &w.Claims, &w.Polls, &w.Delivered, &w.TakeOvers, &w.Lost, &w.Renewals,
				&w.Unrenewed, &w.Late, &w.Latest, &w.PoolWait)
		})
}

// Work is how much there is to do.
type Work struct {
	Scheduled int // accounts that workers poll
	Due       int // those that wait for a worker
	// Overdue is for how long the one has waited that has waited longest, and Longest is its name.
	// Those that are left alone do not count: see Abandoned.
	Overdue time.Duration
	Longest string
	Held    int // accounts at work, those of runs that are no worker's among them
	Resting int // accounts that are left alone: see Abandoned
	// Late is how many of those that wait have waited for longer than LateAfter.
	Late int
}

// LateAfter is after how long an account that waits counts as overdue.
const LateAfter = time.Minute

// Work counts what there is to do. It reads the row of each account.
func (s *Store) Work(ctx context.Context) (Work, error) {
	var w Work
	err := s.quick(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
			WITH state AS (
				SELECT account, due, holder <> '' AND until >= now() AS held, `+resting+` AS resting
				FROM popfetch.turn AS t
			), oldest AS (
				SELECT a.name, now() - s.due AS late
				FROM state AS s JOIN popfetch.account AS a ON a.id = s.account
				WHERE s.due <= now() AND NOT s.held AND NOT s.resting ORDER BY s.due LIMIT 1
			)
			SELECT count(*) FILTER (WHERE due < 'infinity'),
				count(*) FILTER (WHERE due <= now() AND NOT held AND NOT resting),
				coalesce((SELECT late FROM oldest), '0'), coalesce((SELECT name FROM oldest), ''),
				count(*) FILTER (WHERE held), count(*) FILTER (WHERE resting),
				count(*) FILTER (WHERE due < now() - $1 * interval '1 ms' AND NOT held AND NOT resting)
			FROM state`, LateAfter.Milliseconds()).
			Scan(&w.Scheduled, &w.Due, &w.Overdue, &w.Longest, &w.Held, &w.Resting, &w.Late)
	})
	if err != nil {
		return Work{}, fmt.Errorf("counting the accounts that are due: %w", err)
	}
	return w, nil
}

// Held is an account at work.
type Held struct {
	Account string
	Holder  string        // the worker, or another process
	Process int           // its number
	Since   time.Time     // by the clock of the database
	For     time.Duration // since then
}

// Holders lists the accounts at work by name.
func (s *Store) Holders(ctx context.Context) ([]Held, error) {
	return list(ctx, s, "listing the accounts at work", `
		SELECT a.name, t.holder, t.process, t.since, now() - t.since
		FROM popfetch.turn AS t JOIN popfetch.account AS a ON a.id = t.account
		WHERE t.holder <> '' AND t.until >= now() ORDER BY a.name`,
		func(row pgx.CollectableRow) (h Held, err error) {
			return h, row.Scan(&h.Account, &h.Holder, &h.Process, &h.Since, &h.For)
		})
}

// Overdue is an account that waits for a worker.
type Overdue struct {
	Account string
	Label   string // only workers with this label poll it
	Late    time.Duration
}

// Waiting lists accounts that have waited for a worker for longer than the given time, the longest
// first, and limit of them at most.
func (s *Store) Waiting(ctx context.Context, longer time.Duration, limit int) ([]Overdue, error) {
	return list(ctx, s, "listing the accounts that are overdue", `
		SELECT a.name, t.label, now() - t.due
		FROM popfetch.turn AS t JOIN popfetch.account AS a ON a.id = t.account
		WHERE t.due < now() - $1 * interval '1 ms' AND t.until < now() AND NOT (`+resting+`)
		ORDER BY t.due LIMIT $2`,
		func(row pgx.CollectableRow) (o Overdue, err error) {
			return o, row.Scan(&o.Account, &o.Label, &o.Late)
		}, longer.Milliseconds(), limit)
}

// list reads rows. what says for an error what they are for.
func list[T any](
	ctx context.Context, s *Store, what, query string, scan pgx.RowToFunc[T], args ...any,
) ([]T, error) {
	var found []T
	err := s.quick(ctx, func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, query, args...)
		if err == nil {
			found, err = pgx.CollectRows(rows, scan)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return found, nil
}

// note writes the row of this process, if it is a worker.
func (s *Store) note(ctx context.Context, conn *pgx.Conn) error {
	s.register.mu.Lock()
	id, told, c := s.register.id, s.register.told, s.register.counts
	s.register.mu.Unlock()
	if id == "" {
		return nil
	}
	labels := told.Labels
	if labels == nil {
		labels = []string{}
	}
	_, err := conn.Exec(ctx, `
		INSERT INTO popfetch.worker (id, name, process, host, version, labels, jobs, started, seen_at,
			claims, polls, delivered, takeovers, lost, renewals, unrenewed, late, latest, pool_wait)
		VALUES ($1, $2, $3, $4, $5, $6, $7, now(), now(), $8, $9, $10, $11, $12, $13, $14,
			$15 * interval '1 ms', $16 * interval '1 ms', $17 * interval '1 ms')
		ON CONFLICT (id) DO UPDATE SET labels = excluded.labels, jobs = excluded.jobs, seen_at = now(),
			claims = excluded.claims, polls = excluded.polls, delivered = excluded.delivered,
			takeovers = excluded.takeovers, lost = excluded.lost, renewals = excluded.renewals,
			unrenewed = excluded.unrenewed, late = excluded.late, latest = excluded.latest,
			pool_wait = excluded.pool_wait`,
		id, s.worker, s.number, told.Host, told.Version, labels, told.Jobs,
		c.Claims, c.Polls, c.Delivered, c.TakeOvers, c.Lost, c.Renewals, c.Unrenewed,
		c.Late.Milliseconds(), c.Latest.Milliseconds(),
		s.pool.Stat().EmptyAcquireWaitTime().Milliseconds())
	return err
}

// tidy removes workers that have been silent for long.
func (s *Store) tidy(ctx context.Context, conn *pgx.Conn) error {
	const statement = "DELETE FROM popfetch.worker WHERE seen_at < now() - interval '" + forgetWorkers + "'"
	_, err := conn.Exec(ctx, statement)
	return err
}

// unnote removes the row of this process.
func (s *Store) unnote(ctx context.Context, conn *pgx.Conn) error {
	s.register.mu.Lock()
	id := s.register.id
	s.register.mu.Unlock()
	_, err := conn.Exec(ctx, "DELETE FROM popfetch.worker WHERE id = $1", id)
	return err
}
