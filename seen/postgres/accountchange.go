package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// change is a transaction that changes accounts. Only one is at work at once.
type change struct {
	pgx.Tx
	by      By
	version int64 // that changed rows get
	changed int   // how many rows are changed
}

// ScheduleStored makes the schedule agree with the accounts of the database. Each change of them does
// that already, so this only mends what a person or a backup has broken.
func (s *Store) ScheduleStored(ctx context.Context) error {
	err := s.tx(ctx, func(tx pgx.Tx) error {
		// No change is under way meanwhile.
		if _, err := tx.Exec(ctx, "SELECT FROM popfetch.specs FOR UPDATE"); err != nil {
			return err
		}
		c := &change{Tx: tx}
		const count = "SELECT count(*) FROM popfetch.spec"
		if err := tx.QueryRow(ctx, count).Scan(&c.changed); err != nil {
			return err
		}
		return c.schedule(ctx)
	})
	return wrap("scheduling the accounts of the database", err)
}

// mostAttempts is how often a change is tried that PostgreSQL ends because of a deadlock with
// workers.
const mostAttempts = 3

// change runs do in a transaction. Then it puts what is changed into the schedule, and counts the
// version.
//
// Workers wait for the rows of turn that a change has written. So these are written last, and the
// database ends a change that stands still.
func (s *Store) change(ctx context.Context, by By, do func(*change) error, o *Outcome) error {
	for attempt := 1; ; attempt++ {
		err := s.tx(ctx, func(tx pgx.Tx) error {
			const still = "SELECT set_config('idle_in_transaction_session_timeout', '5s', true)"
			if _, err := tx.Exec(ctx, still); err != nil {
				return err
			}
			c := &change{Tx: tx, by: by}
			if err := tx.QueryRow(ctx, "SELECT version + 1 FROM popfetch.specs FOR UPDATE").Scan(&c.version); err != nil {
				return err
			}
			if err := do(c); err != nil {
				return err
			}
			if o.Version = c.version; c.changed == 0 {
				o.Version--
				return nil
			}
			if _, err := tx.Exec(ctx, "UPDATE popfetch.specs SET version = $1", c.version); err != nil {
				return err
			}
			return c.schedule(ctx)
		})
		if !isDeadlock(err) || attempt == mostAttempts {
			return err
		}
	}
}

// put writes the accounts that are new or differ.
func (c *change) put(ctx context.Context, p Put, o *Outcome) error {
	names := make([]string, len(p.Specs))
	for i := range p.Specs {
		names[i] = p.Specs[i].Name
	}
	rows, err := c.Query(ctx, "SELECT "+specColumns+" FROM popfetch.spec WHERE removed IS NULL AND ($2 OR name = ANY ($1))", names, p.Replace)
	if err != nil {
		return err
	}
	there, err := pgx.CollectRows(rows, scanSpec)
	if err != nil {
		return err
	}
	others := make(map[string]*Spec, len(there))
	for i := range there {
		others[there[i].Name] = &there[i]
	}
	var written []*Spec
	var keys [][]string
	for i := range p.Specs {
		spec := &p.Specs[i]
		old := others[spec.Name]
		delete(others, spec.Name)
		switch {
		case old == nil:
			o.Added = append(o.Added, spec.Name)
		case old.isLike(spec):
			o.Unchanged = append(o.Unchanged, spec.Name)
			continue
		default:
			o.Changed = append(o.Changed, spec.Name)
		}
		written, keys = append(written, spec), append(keys, p.Keys(old, spec))
	}
	if err := c.write(ctx, written, keys); err != nil || !p.Replace {
		return err
	}
	o.Removed = slices.Sorted(maps.Keys(others))
	return c.remove(ctx, o.Removed)
}

// isLike reports whether two specifications say the same for certain.
func (s *Spec) isLike(o *Spec) bool {
	return s.TOML == o.TOML && s.Sealed == nil && o.Sealed == nil && s.Host == o.Host && s.Label == o.Label &&
		s.Interval == o.Interval && s.Enabled == o.Enabled
}

// write inserts or replaces accounts.
func (c *change) write(ctx context.Context, specs []*Spec, keys [][]string) error {
	n := len(specs)
	if n == 0 {
		return nil
	}
	names, tomls, hosts, labels := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	sealed, periods, enabled := make([][]byte, n), make([]int64, n), make([]bool, n)
	for i, s := range specs {
		names[i], tomls[i], hosts[i], labels[i] = s.Name, s.TOML, s.Host, s.Label
		sealed[i], periods[i], enabled[i] = s.Sealed, s.Interval.Milliseconds(), s.Enabled
	}
	_, err := c.Exec(ctx, `
		INSERT INTO popfetch.spec (name, version, toml, sealed, host, label, period, enabled)
		SELECT name, $1, toml, sealed, host, label, period, enabled
		FROM unnest($2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::bigint[], $8::boolean[])
			AS s (name, toml, sealed, host, label, period, enabled)
		ON CONFLICT (name) DO UPDATE SET version = excluded.version, changed = now(), toml = excluded.toml,
			sealed = excluded.sealed, host = excluded.host, label = excluded.label, period = excluded.period,
			enabled = excluded.enabled, removed = NULL, removed_by = ''`,
		c.version, names, tomls, sealed, hosts, labels, periods, enabled)
	if err != nil {
		return err
	}
	c.changed += n
	return c.audit(ctx, "put", names, keys)
}

// audit notes what was done with accounts. keys may be nil.
func (c *change) audit(ctx context.Context, action string, names []string, keys [][]string) error {
	listed := make([]string, len(names))
	for i := range keys {
		listed[i] = strings.Join(keys[i], "\n")
	}
	_, err := c.Exec(ctx, `
		INSERT INTO popfetch.audit (who, machine, action, account, keys)
		SELECT $1, $2, $3, account, keys FROM unnest($4::text[], $5::text[]) AS a (account, keys)`,
		c.by.User, c.by.Machine, action, names, listed)
	return err
}

// known returns an error if names are unknown.
func (c *change) known(ctx context.Context, names []string) error {
	rows, err := c.Query(ctx, "SELECT name FROM popfetch.spec WHERE removed IS NULL")
	if err != nil {
		return err
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(known))
	for _, name := range known {
		there[name] = true
	}
	unknown := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return there[name] })
	if len(unknown) > 0 {
		return &UnknownAccountsError{unknown, known}
	}
	return nil
}

// remove removes accounts with their secrets.
func (c *change) remove(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	_, err := c.Exec(ctx, `
		UPDATE popfetch.spec SET version = $1, changed = now(), sealed = NULL, removed = now(), removed_by = $2
		WHERE name = ANY ($3)`, c.version, c.by.String(), names)
	if err != nil {
		return err
	}
	if _, err := c.Exec(ctx, "DELETE FROM popfetch.token WHERE account = ANY ($1)", names); err != nil {
		return err
	}
	c.changed += len(names)
	return c.audit(ctx, "remove", names, nil)
}

// enable enables or disables accounts that are not so already.
func (c *change) enable(ctx context.Context, names []string, enabled bool, o *Outcome) error {
	rows, err := c.Query(ctx, `
		UPDATE popfetch.spec SET version = $1, changed = now(), enabled = $2
		WHERE name = ANY ($3) AND enabled <> $2 RETURNING name`, c.version, enabled, names)
	if err != nil {
		return err
	}
	if o.Changed, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return err
	}
	slices.Sort(o.Changed)
	o.Unchanged = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(o.Changed, name) })
	if len(o.Changed) == 0 {
		return nil
	}
	c.changed += len(o.Changed)
	action := map[bool]string{true: "enable", false: "disable"}[enabled]
	return c.audit(ctx, action, o.Changed, nil)
}

// reseal replaces the secrets of accounts that have not changed.
func (c *change) reseal(ctx context.Context, specs []Spec, o *Outcome) error {
	n := len(specs)
	names, versions, sealed := make([]string, n), make([]int64, n), make([][]byte, n)
	for i := range specs {
		names[i], versions[i], sealed[i] = specs[i].Name, specs[i].Version, specs[i].Sealed
	}
	rows, err := c.Query(ctx, `
		UPDATE popfetch.spec AS s SET version = $1, changed = now(), sealed = r.sealed
		FROM unnest($2::text[], $3::bigint[], $4::bytea[]) AS r (name, version, sealed)
		WHERE s.name = r.name AND s.version = r.version AND s.removed IS NULL RETURNING s.name`, c.version, names, versions, sealed)
	if err != nil {
		return err
	}
	if o.Changed, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(o.Changed) == 0 {
		return err
	}
	slices.Sort(o.Changed)
	c.changed += len(o.Changed)
	return c.audit(ctx, "reseal", o.Changed, nil)
}

// spreadEach is how far the first polls of accounts that are put together lie apart, unless that
// would be more than their interval.
const spreadEach = "interval '100 ms'"

// schedule has workers poll what the change has made, and no more what it has ended. An account
// keeps its time, unless it was to wait for longer than its interval, for example after refused
// log-ins.
//
// If c.version is zero, it does so for all accounts. What is in the schedule then keeps its time.
func (c *change) schedule(ctx context.Context) error {
	const (
		of     = "($1 = 0 OR s.version = $1)"
		polled = of + " AND s.removed IS NULL AND s.enabled AND s.period > 0"
		// What was not changed may wait for longer than its interval: its server is to be left alone.
		late = "(o.due = 'infinity' OR $1 > 0 AND o.due > now() + s.period * interval '1 ms')"
		know = `
			INSERT INTO popfetch.account (name) SELECT s.name FROM popfetch.spec AS s WHERE ` + polled + `
				AND NOT EXISTS (SELECT FROM popfetch.account AS a WHERE a.name = s.name)
			ORDER BY s.name ON CONFLICT DO NOTHING`
		// The rows are locked in their order, as renewals do.
		end = `
			UPDATE popfetch.turn AS t SET due = 'infinity' FROM (
				SELECT t.account FROM popfetch.turn AS t JOIN popfetch.account AS a ON a.id = t.account
				JOIN popfetch.spec AS s ON s.name = a.name
				WHERE ` + of + ` AND NOT (` + polled + `) AND t.due < 'infinity'
				ORDER BY t.account FOR NO KEY UPDATE OF t
			) AS o WHERE t.account = o.account`
		begin = `
			INSERT INTO popfetch.turn AS t (account, due, host, label)
			SELECT a.id, CASE WHEN NOT (` + late + `) THEN o.due
				ELSE now() + random() * least(s.period * interval '1 ms', $2 * ` + spreadEach + `) END, s.host, s.label
			FROM popfetch.spec AS s JOIN popfetch.account AS a ON a.name = s.name
			LEFT JOIN popfetch.turn AS o ON o.account = a.id
			WHERE ` + polled + ` AND (o.account IS NULL OR o.host <> s.host OR o.label <> s.label
				OR ` + late + `)
			ORDER BY a.id
			ON CONFLICT (account) DO UPDATE SET host = excluded.host, label = excluded.label, due = least(t.due, excluded.due)`
	)
	if _, err := c.Exec(ctx, know, c.version); err != nil {
		return fmt.Errorf("scheduling them: %w", err)
	}
	if _, err := c.Exec(ctx, end, c.version); err != nil {
		return fmt.Errorf("scheduling them: %w", err)
	}
	if _, err := c.Exec(ctx, begin, c.version, c.changed); err != nil {
		return fmt.Errorf("scheduling them: %w", err)
	}
	return nil
}
