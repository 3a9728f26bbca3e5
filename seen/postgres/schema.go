package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/popfetch/popfetch/seen"
)

// migrationLock is the advisory lock that lets one process at a time change the schema ("popf").
const migrationLock = 0x706f7066

// found is what there is of the schema.
type found struct {
	role     string // who asks
	schema   bool   // it exists
	version  int    // 0: there are no tables
	readable bool   // the role may read the version
	missing  int    // tables that the role may not read and write
}

// find reads catalogs first, which every role may read.
func find(ctx context.Context, tx pgx.Tx) (f found, err error) {
	var tables bool
	err = tx.QueryRow(ctx, `
		SELECT current_user, n.oid IS NOT NULL, c.oid IS NOT NULL,
			coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), false),
			(SELECT count(*) FROM pg_class AS t WHERE t.relnamespace = n.oid AND t.relkind = 'r'
				AND t.oid <> c.oid AND NOT (
				has_table_privilege(t.oid, 'SELECT') AND has_table_privilege(t.oid, 'INSERT')
				AND has_table_privilege(t.oid, 'UPDATE') AND has_table_privilege(t.oid, 'DELETE')))
		FROM (SELECT 1) AS one LEFT JOIN pg_namespace AS n ON n.nspname = 'popfetch'
			LEFT JOIN pg_class AS c 
				ON c.relnamespace = n.oid AND c.relname = 'version' AND c.relkind = 'r'`).
		Scan(&f.role, &f.schema, &tables, &f.readable, &f.missing)
	if err != nil || !tables || !f.readable {
		return f, err
	}
	return f, tx.QueryRow(ctx, "SELECT version FROM popfetch.version").Scan(&f.version)
}

// fits returns an error if this program cannot use the tables.
func (f found) fits() error {
	switch {
	case f.version > len(migrations):
		return fmt.Errorf("version %d, known up to %d: %w",
			f.version, len(migrations), seen.ErrNewerSchema)
	case f.schema && f.missing > 0 && (f.version > 0 || !f.readable):
		err := fmt.Errorf("%w: role %q may not use all tables of popfetch; have their owner run this",
			ErrRefused, f.role)
		return &sqlError{err, grants(f.role)}
	}
	return nil
}

// look finds the schema, and returns an error if this program cannot use it.
func (s *Store) look(ctx context.Context) (f found, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = s.tx(ctx, func(tx pgx.Tx) (err error) {
		f, err = find(ctx, tx)
		return err
	})
	if err == nil {
		err = f.fits()
	}
	return f, err
}

// checkSchema returns an error if the schema is missing, or of another version.
func (s *Store) checkSchema(ctx context.Context) error {
	f, err := s.look(ctx)
	switch {
	case err == nil && f.version == 0:
		return ErrNoTables
	case err == nil && f.version < len(migrations):
		return fmt.Errorf("the tables of popfetch in the database: %w; run a pass, which makes them",
			seen.ErrCreate)
	}
	return err
}

// longestMigration bounds the time of a change to the schema.
const longestMigration = time.Hour

// migrate makes or updates the tables, all in one transaction. Two processes that start at once do
// so one after the other.
func (s *Store) migrate(ctx context.Context) error {
	f, err := s.look(ctx)
	if err != nil || f.version == len(migrations) {
		return err // so a role that may not make tables is enough
	}
	ctx, cancel := context.WithTimeout(ctx, longestMigration)
	defer cancel()
	err = s.tx(ctx, func(tx pgx.Tx) (err error) {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
			return err
		}
		if f, err = find(ctx, tx); err == nil {
			err = f.fits()
		}
		if err != nil || f.version == len(migrations) {
			return err
		}
		_, err = tx.Conn().PgConn().Exec(ctx, migration(f)).ReadAll()
		return err
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == insufficientPrivilege {
		err := fmt.Errorf("the tables of popfetch %w in the database by role %q: %s; "+
			"have another role run this once",
			seen.ErrCreate, f.role, refused.Message)
		return &sqlError{err, "BEGIN;\n" + migration(f) + grants(f.role) + "COMMIT;\n"}
	}
	return err
}

const insufficientPrivilege = "42501"

// migration returns the SQL that brings the schema to the newest version.
func migration(f found) string {
	var b strings.Builder
	if !f.schema {
		b.WriteString("CREATE SCHEMA popfetch;\n")
	}
	b.WriteString("SET LOCAL search_path = popfetch;\n")
	if f.version == 0 {
		b.WriteString("CREATE TABLE version (version integer NOT NULL);\n" +
			"INSERT INTO version VALUES (0);\n")
	}
	for _, m := range migrations[f.version:] {
		b.WriteString(m)
	}
	fmt.Fprintf(&b, "UPDATE version SET version = %d;\n", len(migrations))
	return b.String()
}

// grants returns the SQL that lets a role use the tables.
func grants(role string) string {
	role = pgx.Identifier{role}.Sanitize()
	return fmt.Sprintf(`GRANT USAGE ON SCHEMA popfetch TO %[1]s;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA popfetch TO %[1]s;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA popfetch TO %[1]s;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA popfetch TO %[1]s;
`, role)
}
