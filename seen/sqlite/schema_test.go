package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/popfetch/popfetch/seen"
)

// Each old schema file holds the account "work" as its version left it after a finished run: "a",
// two copies of "x", and "large" set aside.
func TestOpen_oldSchemas(t *testing.T) {
	files, err := filepath.Glob("testdata/v*.sql")
	if err != nil || len(files) != len(migrations) {
		t.Fatalf("%d schema files, %v, want one for each of %d versions", len(files), err, len(migrations))
	}
	const sections = "testdata/v4.sql" // from this version on, digests are of sections
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			dump, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			execIn(t, filepath.Join(dir, fileName), string(dump))
			s := openIn(t, dir)
			account := enter(t, s)
			listing := listingOf("a", "x", "x", "large")
			wantDiff(t, account, listing, "new [], check [], seen 3, aside [3]")
			if d := mustDiff(t, account, listing); d.Unchanged != (file >= sections) {
				t.Errorf("unchanged = %v, want digests since %s alone to count", d.Unchanged, sections)
			}
			records, err := account.Records(t.Context(), []string{"x"})
			want := []seen.Record{recordOf(listing[1]), recordOf(listing[2])}
			if err != nil || !sameRecords(records, want) {
				t.Errorf("Records() = %v, %v, want %v", records, err, want)
			}
			if got, want := schemaOf(t, s), schemaOf(t, open(t)); !maps.Equal(got, want) {
				t.Errorf("schema = %v, want that of a new database, %v", got, want)
			}
		})
	}
}

// After a migration it is still known that a run over an empty maildrop was finished. Otherwise the
// next messages would be taken for those that a first run leaves out (initial).
func TestOpen_oldSchemaEmpty(t *testing.T) {
	for _, file := range []string{"testdata/v1.sql", "testdata/v2.sql", "testdata/v3.sql"} {
		dump, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		execIn(t, filepath.Join(dir, fileName), string(dump)+`
			INSERT INTO account (name, server, user, since, digest) VALUES
				('empty', 'pop.example.org:995', 'bob', 0, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'),
				('begun', 'pop.example.org:995', 'carol', 0, NULL);`)
		s := openIn(t, dir)
		for name, want := range map[string]bool{"work": true, "empty": true, "begun": false} {
			l, err := s.look(t.Context(), name, "", "")
			if err != nil || l.account.Finished != want {
				t.Errorf("%s: %s is %+v, %v, want a run of it finished: %v", file, name, l.account, err, want)
			}
			if d := mustDiff(t, l, nil); name != "work" && d.Unchanged != want {
				t.Errorf("%s: the empty listing of %s was found unchanged: %v, want %v", file, name, d.Unchanged, want)
			}
		}
	}
}

// schemaOf returns the statements that made the database, by name.
func schemaOf(t *testing.T, s *Store) map[string]string {
	t.Helper()
	rows, err := s.read.QueryContext(t.Context(), "SELECT name, coalesce(sql, '') FROM sqlite_schema")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	schema := map[string]string{}
	for rows.Next() {
		var name, statement string
		if err := rows.Scan(&name, &statement); err != nil {
			t.Fatal(err)
		}
		schema[name] = statement
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return schema
}

// If a migration fails, the database of the version before stays intact.
func TestMigrate_fails(t *testing.T) {
	s := open(t)
	before := schemaOf(t, s)
	released := migrations
	t.Cleanup(func() { migrations = released })
	migrations = append(released[:len(released):len(released)], "CREATE TABLE more (id INTEGER); CREATE TABLE seen (id INTEGER)")
	if err := s.migrate(t.Context(), s.write); err == nil {
		t.Error("migrate() = nil, want an error")
	}
	if got := schemaOf(t, s); !maps.Equal(got, before) {
		t.Errorf("schema = %v, want %v", got, before)
	}
	var version int
	err := s.write.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&version)
	if err != nil || version != len(released) {
		t.Errorf("version = %d, %v, want %d", version, err, len(released))
	}
}

func TestTransact_error(t *testing.T) {
	s := open(t)
	refusal := errors.New("refused")
	err := s.update(t.Context(), patience, func(_ context.Context, tx *sql.Conn) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO account (name, server, user, since) VALUES ('x', '', '', 0)")
		return errors.Join(err, refusal)
	})
	if !errors.Is(err, refusal) {
		t.Errorf("update() = %v, want %v", err, refusal)
	}
	accounts, err := s.Accounts(t.Context())
	if err != nil || len(accounts) != 0 {
		t.Errorf("Accounts() = %v, %v, want none", accounts, err)
	}
	if _, err := s.read.ExecContext(t.Context(), "DELETE FROM account"); err == nil {
		t.Error(fmt.Errorf("a reader wrote"))
	}
}
