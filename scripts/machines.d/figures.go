package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	busyAccounts = 1000 // more than are polled in a second
	warmUp       = 15 * time.Second
	measured     = 20 * time.Second
	records      = 1000 // of each account
)

// figures prints what workers and their database can do, and what they need. Nothing is disturbed.
func (s *sim) figures(ctx context.Context) error {
	filled := s.plan.accounts
	s.plan.accounts, s.jobs, s.interval, s.hosts, s.lease = busyAccounts, 50, time.Second, 20, time.Minute
	if err := s.setUp(); err != nil {
		return err
	}
	s.provider.delay = 1
	err := s.pg.Exec("postgres", "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
	if err != nil {
		return err
	}
	s.pg.Stop(syscall.SIGINT)
	if err := s.pg.Start(); err != nil {
		return err
	}
	if err := s.pg.Exec(s.database, "CREATE EXTENSION pg_stat_statements"); err != nil {
		return err
	}
	if err := s.firstPolls(ctx); err != nil {
		return err
	}
	fmt.Printf("%-8s %8s %11s %13s %11s %9s\n", "workers", "polls/s", "statements", "WAL octets", "connections", "memory")
	for _, n := range []int{1, 2, 4} {
		if err := s.rate(ctx, n); err != nil {
			return err
		}
	}
	return s.size(ctx, filled)
}

// firstPolls has each account polled. The first poll costs more than the others.
func (s *sim) firstPolls(ctx context.Context) error {
	s.workers = 2
	if err := s.startWorkers(); err != nil {
		return err
	}
	if err := s.settle(ctx, "at the beginning"); err != nil {
		return err
	}
	for _, f := range s.faults {
		return fmt.Errorf("%s", f.text)
	}
	return s.endWorkers()
}

// endWorkers ends the workers, and their ways to the database.
func (s *sim) endWorkers() error {
	for _, p := range s.places {
		if err := p.end(); err != nil {
			return fmt.Errorf("%s: %w: %s", p.describe(), err, p.said())
		}
		p.wire.close()
	}
	s.places = nil
	return nil
}

// rate prints how many polls a second so many workers make that bring nothing, and what one costs.
func (s *sim) rate(ctx context.Context, n int) error {
	s.workers = n
	if err := s.startWorkers(); err != nil {
		return err
	}
	if err := s.pause(ctx, warmUp); err != nil {
		return err
	}
	before, err := s.usage(ctx)
	if err != nil {
		return err
	}
	if err := s.pause(ctx, measured); err != nil {
		return err
	}
	after, err := s.usage(ctx)
	if err != nil {
		return err
	}
	polls := float64(after.polls - before.polls)
	if polls == 0 {
		return fmt.Errorf("%d workers made no poll", n)
	}
	var memory []string
	for _, p := range s.places {
		memory = append(memory, p.memory())
	}
	if err := s.endWorkers(); err != nil {
		return err
	}
	fmt.Printf("%-8d %8.0f %11.1f %13.0f %11d  %s\n", n, polls/after.at.Sub(before.at).Seconds(),
		float64(after.statements-before.statements)/polls, float64(after.wal-before.wal)/polls,
		after.connections, strings.Join(memory, ", "))
	return nil
}

// usage is what the database and the servers have counted up to a time.
type usage struct {
	at                                  time.Time
	polls, statements, wal, connections int
}

// usage counts the statements of popfetch without those that begin and end transactions.
func (s *sim) usage(ctx context.Context) (usage, error) {
	found, err := ask(ctx, s, `SELECT
		(SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE toplevel
			AND userid = 'popfetch'::regrole AND query !~* '^(begin|commit|rollback|set local)')::bigint,
		pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
		(SELECT count(*) FROM pg_stat_activity WHERE usename = 'popfetch')`,
		func(r pgx.CollectableRow) (u usage, err error) {
			return u, r.Scan(&u.statements, &u.wal, &u.connections)
		})
	if err != nil {
		return usage{}, err
	}
	u := found[0]
	u.at = time.Now()
	for _, d := range s.drops {
		u.polls += len(d.polls())
	}
	return u, nil
}

// memory returns the most memory that a worker has had, as the kernel tells it.
func (n *process) memory() string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.pid))
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// size fills the database, and prints how large it is: with a hundredth of the accounts, a tenth, and
// all. Each account and record is like one that a worker has made.
func (s *sim) size(ctx context.Context, accounts int) error {
	sample := s.drops[0]
	sample.arrive(20)
	s.workers, s.limit = 1, time.Now().Add(3*time.Hour)
	if err := s.startWorkers(); err != nil {
		return err
	}
	made := 0
	for made == 0 {
		if err := s.pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		var err error
		if made, err = s.count(ctx, "SELECT count(*)::integer FROM popfetch.seen"); err != nil {
			return err
		}
	}
	if err := s.endWorkers(); err != nil {
		return err
	}
	fmt.Printf("\n%-10s %14s %14s %18s %18s\n", "accounts", "records", "octets", "octets a record", "without records")
	from := 0
	for _, to := range []int{accounts / 100, accounts / 10, accounts} {
		if err := s.fill(ctx, from, to); err != nil {
			return err
		}
		from = to
		if err := s.tellSize(ctx, to); err != nil {
			return err
		}
	}
	return nil
}

// copies makes the rows of an account like those of the first one. %[1]d and %[2]d are numbers.
const copies = `
SET session_replication_role = replica;
INSERT INTO popfetch.account OVERRIDING SYSTEM VALUE
	SELECT (jsonb_populate_record(a, jsonb_build_object('id', 1000000 + g, 'name', 'filled' || g, 'records', %[3]d))).*
	FROM popfetch.account AS a, generate_series(%[1]d, %[2]d) AS g WHERE a.id = (SELECT account FROM popfetch.seen ORDER BY account LIMIT 1);
INSERT INTO popfetch.spec SELECT (jsonb_populate_record(s, jsonb_build_object('name', 'filled' || g))).*
	FROM popfetch.spec AS s, generate_series(%[1]d, %[2]d) AS g WHERE s.name = 'a00000';
`

const copiesOf = `
INSERT INTO popfetch.%[4]s SELECT (jsonb_populate_record(t, jsonb_build_object('account', 1000000 + g))).*
	FROM popfetch.%[4]s AS t, generate_series(%[1]d, %[2]d) AS g WHERE t.account = (SELECT account FROM popfetch.seen ORDER BY account LIMIT 1);
`

const copiedRecords = `
INSERT INTO popfetch.seen (account, listed, delivered_at, deleted_at, absent_at, octets, copy, kind, unique_id, digest, sha256, place, places)
	SELECT 1000000 + g, s.listed, s.delivered_at + n, s.deleted_at, s.absent_at, s.octets, s.copy, s.kind,
		convert_to(substr(md5(g || '/' || n), 1, 16), 'UTF8'), substr(sha256(convert_to(n || '/' || g, 'UTF8')), 1, octet_length(s.digest)),
		substr(sha256(convert_to(g || '/' || n, 'UTF8')), 1, octet_length(s.sha256)), s.place, s.places
	FROM (SELECT * FROM popfetch.seen ORDER BY account LIMIT 1) AS s, generate_series(%[1]d, %[2]d) AS g, generate_series(1, %[3]d) AS n;
`

// fill adds accounts. Their records come a hundred accounts at a time.
func (s *sim) fill(ctx context.Context, from, to int) error {
	statements := copies
	for _, table := range []string{"turn", "standing", "history", "history_day"} {
		statements += strings.ReplaceAll(copiesOf, "%[4]s", table)
	}
	conn, err := pgx.Connect(ctx, s.pg.URL("postgres", s.database))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the statements are done
	do := func(text string) error {
		_, err := conn.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol)
		return err
	}
	if err := do(fmt.Sprintf(statements, from+1, to, records)); err != nil {
		return err
	}
	for at := from; at < to; at += 100 {
		if err := do(fmt.Sprintf(copiedRecords, at+1, min(at+100, to), records)); err != nil {
			return err
		}
	}
	return do("VACUUM (ANALYZE)")
}

func (s *sim) tellSize(ctx context.Context, accounts int) error {
	type sizes struct{ all, seen, rows int }
	found, err := ask(ctx, s, `SELECT pg_database_size(current_database()), pg_total_relation_size('popfetch.seen'),
		(SELECT count(*) FROM popfetch.seen)`,
		func(r pgx.CollectableRow) (z sizes, err error) { return z, r.Scan(&z.all, &z.seen, &z.rows) })
	if err != nil {
		return err
	}
	z := found[0]
	fmt.Printf("%-10d %14d %14d %18.1f %18d\n", accounts, z.rows, z.all, float64(z.seen)/float64(z.rows), z.all-z.seen)
	return nil
}
