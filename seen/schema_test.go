package seen

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// Each old schema file holds the account "work" as its version left it after a finished run: "a", two copies of "x", and
// "large" set aside.
func TestOpen_oldSchemas(t *testing.T) {
	files, err := filepath.Glob("testdata/v*.sql")
	if err != nil || len(files) != len(migrations) {
		t.Fatalf("%d schema files, %v, want one for each of %d versions", len(files), err, len(migrations))
	}
	newest := files[len(files)-1]
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
			wantDiff(t, s, account, listing, "new [], check [], seen 3, aside [3]")
			if d := mustDiff(t, s, account, listing); d.Unchanged != (file == newest) {
				t.Errorf("unchanged = %v, want digests of this version alone to count", d.Unchanged)
			}
			records, err := s.Records(t.Context(), account, []string{"x"})
			want := []Record{recordOf(listing[1]), recordOf(listing[2])}
			if err != nil || !sameRecords(records, want) {
				t.Errorf("Records() = %v, %v, want %v", records, err, want)
			}
			if got, want := schemaOf(t, s), schemaOf(t, open(t)); !maps.Equal(got, want) {
				t.Errorf("schema = %v, want that of a new database, %v", got, want)
			}
		})
	}
}

// schemaOf is what the database is made of, by name.
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

// A migration that fails leaves the version before it, whole.
func TestMigrate_fails(t *testing.T) {
	s := open(t)
	before := schemaOf(t, s)
	released := migrations
	t.Cleanup(func() { migrations = released })
	migrations = append(released[:len(released):len(released)], "CREATE TABLE more (id INTEGER); CREATE TABLE seen (id INTEGER)")
	if err := migrate(t.Context(), s.write); err == nil {
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
	err := s.update(t.Context(), func(_ context.Context, tx *sql.Conn) error {
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
