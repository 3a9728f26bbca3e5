package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// accountTables are the accounts that the database itself has, and who changed them.
//
// # specs, spec
//
// A row of spec is an account as it was put: TOML without any secret, and the secrets, sealed. It
// is complete in itself. version is that of the whole (specs) when the row changed last. Whoever
// changes rows locks the only row of specs first. So versions are committed in their order, and a
// reader who has seen one misses nothing before it.
//
// A removed account stays, without secrets, until its records are removed.
//
// # audit
//
// There is one row for each account that a change concerns. It names keys, one a line, and never their
// values.
//
// # token
//
// A row has what a provider has given an account, sealed. revision counts its writes. Who refreshes
// it has the claim until then.
const accountTables = `
CREATE TABLE specs (version bigint NOT NULL);
INSERT INTO specs VALUES (0);
CREATE TABLE spec (
	name       text PRIMARY KEY,
	version    bigint NOT NULL,
	changed    timestamptz NOT NULL DEFAULT now(),
	toml       text NOT NULL,
	sealed     bytea,
	host       text NOT NULL,
	label      text NOT NULL,
	period     bigint NOT NULL,
	enabled    boolean NOT NULL,
	removed    timestamptz,
	removed_by text NOT NULL DEFAULT ''
);
CREATE INDEX spec_version ON spec (version);
CREATE INDEX spec_removed ON spec (removed) WHERE removed IS NOT NULL;
CREATE TABLE audit (
	id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at      timestamptz NOT NULL DEFAULT now(),
	who     text NOT NULL,
	machine text NOT NULL,
	action  text NOT NULL,
	account text NOT NULL,
	keys    text NOT NULL
);
CREATE INDEX audit_account ON audit (account, id);
CREATE TABLE token (
	account  text PRIMARY KEY,
	sealed   bytea,
	revision bigint NOT NULL DEFAULT 0,
	claim    text NOT NULL DEFAULT '',
	until    timestamptz NOT NULL DEFAULT '-infinity'
);
`

// Spec is an account as the database has it.
type Spec struct {
	Name   string
	TOML   string // complete in itself; secrets are masked
	Sealed []byte // the secrets; nil: it has none
	// Host and Label are those of Scheduled.
	Host, Label string
	Interval    time.Duration // 0: no worker polls it
	Enabled     bool

	// The database fills in the rest.
	Version   int64     // that of all accounts, when this one changed last
	Changed   time.Time // when that was
	Removed   time.Time // zero: it is not removed
	RemovedBy string    // user and machine
}

// IsRemoved reports whether the account was removed. Its records are kept for RecordsStay.
func (s *Spec) IsRemoved() bool { return !s.Removed.IsZero() }

// By says who changes accounts.
type By struct{ User, Machine string }

func (b By) String() string { return b.User + "@" + b.Machine }

// Put says what PutAccounts does.
type Put struct {
	Specs   []Spec
	Replace bool // remove all other accounts
	// Keys returns the names of the keys in which two specifications differ, for the audit. The
	// first is nil for a new account.
	Keys func(old, changed *Spec) []string
}

// Outcome is what a change of accounts has done. The lists have names.
type Outcome struct {
	Added, Changed, Unchanged, Removed []string
	Version                            int64 // of all accounts, after the change
}

// UnknownAccountsError says that the database has no accounts of these names.
type UnknownAccountsError struct{ Names, Known []string }

func (e *UnknownAccountsError) Error() string {
	return fmt.Sprintf("the database has no account %s", quoteAll(e.Names))
}

// RecordsStay is how long the records of a removed account are kept.
const RecordsStay = 90 * 24 * time.Hour

// Entry is one row of the audit.
type Entry struct {
	At      time.Time
	By      By
	Action  string // put, remove, disable, enable, reseal or expire
	Account string
	Keys    []string // in which a put account differs from before
}

// PutAccounts adds and replaces accounts, all or none. It schedules those that workers poll. An
// account that is as it was before is not changed. One that has secrets counts as changed, since
// secrets cannot be compared.
func (s *Store) PutAccounts(ctx context.Context, by By, p Put) (Outcome, error) {
	var o Outcome
	err := s.change(ctx, by, func(c *change) error {
		o = Outcome{}
		return c.put(ctx, p, &o)
	}, &o)
	return o, wrap("putting accounts", err)
}

// RemoveAccounts removes accounts, all or none. Their secrets and tokens are removed at once.
// SweepAccounts removes their records. If a name is unknown, the error is an *UnknownAccountsError.
func (s *Store) RemoveAccounts(ctx context.Context, by By, names []string) (Outcome, error) {
	var o Outcome
	err := s.change(ctx, by, func(c *change) error {
		o = Outcome{Removed: slices.Compact(slices.Sorted(slices.Values(names)))}
		if err := c.known(ctx, o.Removed); err != nil {
			return err
		}
		return c.remove(ctx, o.Removed)
	}, &o)
	return o, wrap("removing accounts", err)
}

// EnableAccounts enables or disables accounts, all or none. If a name is unknown, the error is an
// *UnknownAccountsError.
func (s *Store) EnableAccounts(ctx context.Context, by By, names []string, enabled bool) (Outcome, error) {
	var o Outcome
	err := s.change(ctx, by, func(c *change) error {
		o = Outcome{}
		names := slices.Compact(slices.Sorted(slices.Values(names)))
		if err := c.known(ctx, names); err != nil {
			return err
		}
		return c.enable(ctx, names, enabled, &o)
	}, &o)
	return o, wrap("changing accounts", err)
}

// ResealAccounts replaces the sealed secrets of accounts. An account whose version has changed
// since keeps its own.
func (s *Store) ResealAccounts(ctx context.Context, by By, specs []Spec) (Outcome, error) {
	var o Outcome
	err := s.change(ctx, by, func(c *change) error {
		o = Outcome{}
		return c.reseal(ctx, specs, &o)
	}, &o)
	return o, wrap("sealing accounts", err)
}

// AccountSpecs returns accounts that are not removed, sorted by name: all, if none is named. Names
// that are unknown are left out.
func (s *Store) AccountSpecs(ctx context.Context, names ...string) ([]Spec, error) {
	specs, err := s.specs(ctx, "removed IS NULL AND (cardinality($1::text[]) = 0 OR name = ANY ($1)) ORDER BY name COLLATE \"C\"", nonNil(names))
	return specs, wrap("reading accounts", err)
}

// AccountChanges returns the accounts that changed after version since, removed ones too, and the
// version that they bring a reader to. Version 0 is before all. Without changes it reads one row. A
// version before since means that the database was restored: the reader begins again.
func (s *Store) AccountChanges(ctx context.Context, since int64) (changed []Spec, version int64, err error) {
	version, err = s.AccountsVersion(ctx)
	if err != nil || version <= since {
		return nil, version, err
	}
	changed, err = s.specs(ctx, "version > $1 AND version <= $2 ORDER BY name COLLATE \"C\"", since, version)
	return changed, version, wrap("reading accounts", err)
}

// AccountsVersion returns the version of all accounts. It reads one row.
func (s *Store) AccountsVersion(ctx context.Context) (version int64, err error) {
	err = s.pool.QueryRow(ctx, "SELECT version FROM popfetch.specs").Scan(&version)
	return version, wrap("reading accounts", s.explain(err))
}

// Audit returns who changed accounts, the newest first, at most limit rows: all accounts, if none
// is named.
func (s *Store) Audit(ctx context.Context, limit int, names ...string) ([]Entry, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT at, who, machine, action, account, keys FROM popfetch.audit
		WHERE cardinality($1::text[]) = 0 OR account = ANY ($1) ORDER BY id DESC LIMIT $2`, nonNil(names), limit)
	if err != nil {
		return nil, wrap("reading the audit", s.explain(err))
	}
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Entry, err error) {
		var keys string
		err = row.Scan(&e.At, &e.By.User, &e.By.Machine, &e.Action, &e.Account, &keys)
		e.Keys = strings.FieldsFunc(keys, func(r rune) bool { return r == '\n' })
		return e, err
	})
	return entries, wrap("reading the audit", s.explain(err))
}

func (s *Store) specs(ctx context.Context, where string, args ...any) ([]Spec, error) {
	rows, err := s.pool.Query(ctx, "SELECT "+specColumns+" FROM popfetch.spec WHERE "+where, args...)
	if err != nil {
		return nil, s.explain(err)
	}
	specs, err := pgx.CollectRows(rows, scanSpec)
	return specs, s.explain(err)
}

const specColumns = "name, toml, sealed, host, label, period, enabled, version, changed, removed, removed_by"

func scanSpec(row pgx.CollectableRow) (Spec, error) {
	var s Spec
	var period int64
	var removed *time.Time
	err := row.Scan(&s.Name, &s.TOML, &s.Sealed, &s.Host, &s.Label, &period, &s.Enabled, &s.Version, &s.Changed, &removed, &s.RemovedBy)
	s.Interval = time.Duration(period) * time.Millisecond
	if removed != nil {
		s.Removed = *removed
	}
	return s, err
}

// nonNil returns a list that is no NULL in the database.
func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// wrap says what failed. An error about unknown accounts says so itself.
func wrap(what string, err error) error {
	if err == nil || errors.As(err, new(*UnknownAccountsError)) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = fmt.Sprintf("%q", word)
	}
	return strings.Join(quoted, ", ")
}

// deadlock is the code of a transaction that PostgreSQL ended so that others can go on.
const deadlock = "40P01"

func isDeadlock(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == deadlock
}

// SweepAccounts removes the records of accounts that were removed longer than RecordsStay ago, and
// returns their names. A worker does so from time to time. An account that is in use all the same
// keeps its records: one that is at work, or in the schedule, or has run when it was removed for a
// day. A file has it then.
func (s *Store) SweepAccounts(ctx context.Context) ([]string, error) {
	var names []string
	err := s.tx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT s.name FROM popfetch.spec AS s
			WHERE s.removed < now() - $1 * interval '1 ms' AND NOT EXISTS (
				SELECT FROM popfetch.account AS a JOIN popfetch.turn AS t ON t.account = a.id
				WHERE a.name = s.name
					AND (t.holder <> '' AND t.until >= now() OR t.due < 'infinity')
			) AND NOT EXISTS (
				SELECT FROM popfetch.account AS a JOIN popfetch.history AS h ON h.account = a.id
				WHERE a.name = s.name AND h.ran_at > extract(epoch FROM s.removed) * 1000
					+ extract(epoch FROM interval '1 day') * 1000)
			ORDER BY s.name FOR UPDATE OF s SKIP LOCKED LIMIT 100`, RecordsStay.Milliseconds())
		if err != nil {
			return err
		}
		if names, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(names) == 0 {
			return err
		}
		for _, statement := range []string{
			"DELETE FROM popfetch.account WHERE name = ANY ($1)",
			"DELETE FROM popfetch.spec WHERE name = ANY ($1)",
			`INSERT INTO popfetch.audit (who, machine, action, account, keys)
				SELECT '', '', 'expire', n, '' FROM unnest($1::text[]) AS n`,
		} {
			if _, err := tx.Exec(ctx, statement, names); err != nil {
				return err
			}
		}
		return nil
	})
	return names, wrap("removing the records of removed accounts", err)
}
