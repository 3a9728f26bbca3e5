package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/popfetch/popfetch/seen"
)

// migrationLock is the advisory lock that lets one process at a time change the schema ("popf").
const migrationLock = 0x706f7066

// version reads the version of the schema; 0: it is missing.
func version(ctx context.Context, tx pgx.Tx) (int, error) {
	var there bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass('popfetch.version') IS NOT NULL").Scan(&there); err != nil || !there {
		return 0, err
	}
	var v int
	err := tx.QueryRow(ctx, "SELECT version FROM popfetch.version").Scan(&v)
	return v, err
}

// checkSchema returns an error if the schema is missing, or of another version.
func (s *Store) checkSchema(ctx context.Context) error {
	var v int
	err := s.tx(ctx, func(tx pgx.Tx) (err error) {
		v, err = version(ctx, tx)
		return err
	})
	switch {
	case err != nil:
		return err
	case v > len(migrations):
		return seen.ErrNewerSchema
	case v == 0:
		return ErrNoTables
	case v < len(migrations):
		return fmt.Errorf("the tables of popfetch in the database: %w; run a pass, which makes them", seen.ErrCreate)
	}
	return nil
}

// migrate makes or updates the tables. Two processes that start at once do so one after the other.
func (s *Store) migrate(ctx context.Context) error {
	err := s.tx(ctx, func(tx pgx.Tx) error {
		if v, err := version(ctx, tx); err != nil || v == len(migrations) {
			return err // so a role that may not make tables is enough
		}
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
			return err
		}
		v, err := version(ctx, tx)
		switch {
		case err != nil || v == len(migrations):
			return err
		case v > len(migrations):
			return seen.ErrNewerSchema
		}
		_, err = tx.Conn().PgConn().Exec(ctx, migration(v)).ReadAll()
		return err
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == insufficientPrivilege {
		return fmt.Errorf("the tables of popfetch %w in the database: %w; have a role that may make them run popfetch once, "+
			"or run this:\n%s", seen.ErrCreate, err, migration(0))
	}
	return err
}

const insufficientPrivilege = "42501"

// migration returns the SQL that brings the schema from a version to the newest one.
func migration(from int) string {
	var b strings.Builder
	b.WriteString("CREATE SCHEMA IF NOT EXISTS popfetch;\nSET LOCAL search_path = popfetch;\n")
	if from == 0 {
		b.WriteString("CREATE TABLE version (version integer NOT NULL);\nINSERT INTO version VALUES (0);\n")
	}
	for _, m := range migrations[from:] {
		b.WriteString(m)
	}
	fmt.Fprintf(&b, "UPDATE version SET version = %d;\n", len(migrations))
	return b.String()
}
