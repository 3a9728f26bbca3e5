package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// auditing has the database note each lease, and for each record under which lease it is when its
// transaction is committed. The writer is the application_name of its connection, and not what
// popfetch believes. A command that is no worker has no number here, and is judged by its epoch alone.
const auditing = `
CREATE SCHEMA audit;
CREATE TABLE audit.lease (
	account bigint, epoch bigint, process integer, abandoned integer, ended boolean, overtakes boolean,
	at timestamptz DEFAULT clock_timestamp()
);
CREATE TABLE audit.record (
	account bigint, unique_id bytea, writer text, writer_epoch bigint, epoch bigint, process integer,
	at timestamptz DEFAULT clock_timestamp()
);
CREATE FUNCTION audit.leased() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	INSERT INTO audit.lease VALUES (NEW.account, NEW.epoch,
		CASE WHEN NEW.holder = '' THEN OLD.process ELSE NEW.process END, NEW.abandoned, NEW.holder = '',
		OLD.holder <> '' AND NEW.holder <> '');
	RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER UPDATE ON popfetch.turn FOR EACH ROW
	WHEN (OLD.epoch <> NEW.epoch OR OLD.holder <> NEW.holder) EXECUTE FUNCTION audit.leased();
CREATE FUNCTION audit.recorded() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	INSERT INTO audit.record SELECT NEW.account, NEW.unique_id, current_setting('application_name'),
		a.step_epoch, t.epoch, CASE WHEN t.holder = '' THEN 0 ELSE t.process END
	FROM popfetch.account AS a JOIN popfetch.turn AS t ON t.account = a.id WHERE a.id = NEW.account;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE ON popfetch.seen
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit.recorded();
`

// ask runs a query as the superuser. It waits for a database that is away.
func ask[T any](ctx context.Context, s *sim, query string, scan pgx.RowToFunc[T], args ...any) ([]T, error) {
	for {
		found, err := askOnce(ctx, s, query, scan, args...)
		if err == nil || ctx.Err() != nil || time.Now().After(s.limit) {
			return found, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func askOnce[T any](ctx context.Context, s *sim, query string, scan pgx.RowToFunc[T], args ...any) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.pg.URL("postgres", s.database))
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it only reads
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}

// count runs a query that finds a number.
func (s *sim) count(ctx context.Context, query string, args ...any) (int, error) {
	found, err := ask(ctx, s, query, pgx.RowTo[int], args...)
	if err != nil {
		return 0, err
	}
	return found[0], nil
}

// mayDie reports whether the worker may be disturbed so that it loses its leases. An account whose
// workers die three times in a row rests for an hour, as it should. So the simulation spares a worker
// that holds an account that another one has lost before.
func (s *sim) mayDie(ctx context.Context, n *process) bool {
	spared, err := s.count(ctx, `SELECT count(*)::integer FROM popfetch.turn
		WHERE process = $1 AND holder <> '' AND abandoned > 0`, n.pid)
	return err == nil && spared == 0
}

// anyAbandoned reports whether an account was lost by its worker, and is not given back yet.
func (s *sim) anyAbandoned(ctx context.Context) bool {
	n, err := s.count(ctx, `SELECT count(*)::integer FROM popfetch.turn
		WHERE holder <> '' AND (abandoned > 0 OR until < now())`)
	return err != nil || n > 0
}

// lease is a time for which a worker had an account.
type lease struct {
	epoch          int64
	process        int
	abandoned      int // leases before it that were lost
	from, to       time.Time
	overtaken      bool // another worker got the account before it was given back
	overtakesOther bool
}

// leases returns the leases of each account, in order.
func (s *sim) leases(ctx context.Context) (map[string][]*lease, error) {
	type row struct {
		name string
		lease
		ended bool
	}
	rows, err := ask(ctx, s, `SELECT a.name, l.epoch, l.process, l.abandoned, l.ended, l.overtakes, l.at
		FROM audit.lease AS l JOIN popfetch.account AS a ON a.id = l.account ORDER BY l.at`,
		func(r pgx.CollectableRow) (w row, err error) {
			return w, r.Scan(&w.name, &w.epoch, &w.process, &w.abandoned, &w.ended, &w.overtakesOther, &w.from)
		})
	if err != nil {
		return nil, err
	}
	all := make(map[string][]*lease)
	for _, r := range rows {
		of := all[r.name]
		if len(of) > 0 && of[len(of)-1].to.IsZero() {
			last := of[len(of)-1]
			last.to, last.overtaken = r.from, r.overtakesOther
		}
		if !r.ended {
			l := r.lease
			all[r.name] = append(of, &l)
		}
	}
	return all, nil
}

// checkRecords finds the records that were written by a worker that did not have the account, or
// under another epoch.
func (s *sim) checkRecords(ctx context.Context) (records int, err error) {
	type row struct {
		account, id, writer string
		writerEpoch, epoch  int64
		process             int
		at                  time.Time
	}
	rows, err := ask(ctx, s, `SELECT a.name, convert_from(r.unique_id, 'UTF8'), r.writer, r.writer_epoch, r.epoch, r.process, r.at
		FROM audit.record AS r JOIN popfetch.account AS a ON a.id = r.account`,
		func(c pgx.CollectableRow) (r row, err error) {
			return r, c.Scan(&r.account, &r.id, &r.writer, &r.writerEpoch, &r.epoch, &r.process, &r.at)
		})
	for _, r := range rows {
		if pid := s.pidOf(r.writer); r.writerEpoch != r.epoch || pid != 0 && pid != r.process {
			s.fault("stale", r.at, "%s: %s was recorded by worker %s (process %d, epoch %d), but process %d had the account (epoch %d)",
				r.account, r.id, r.writer, pid, r.writerEpoch, r.process, r.epoch)
		}
	}
	return len(rows), err
}

// describe tells of a worker for a message.
func (n *process) describe() string { return fmt.Sprintf("worker %s (process %d)", n.name, n.pid) }
