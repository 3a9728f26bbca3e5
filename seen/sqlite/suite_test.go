package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/seentest"
)

func TestStore_suite(t *testing.T) {
	t.Run("whole", func(t *testing.T) { runSuite(t, partRows) })
	t.Run("in parts", func(t *testing.T) { runSuite(t, 3) })
}

// runSuite runs the suite with transactions of so many rows.
func runSuite(t *testing.T, rows int) {
	seentest.Run(t, seentest.Harness{
		Many: rows + 10,
		Open: func(t testing.TB, folder string, tuning seen.Tuning) seen.Store {
			s := openIn(t, folder)
			s.tuning, s.partRows = tuning, rows
			return s
		},
		Inspect: func(t testing.TB, folder, account string) (string, int64) {
			db, err := sql.Open("sqlite3", dsn(filepath.Join(folder, fileName), "mode=rw&_query_only=1"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			return inspect(t, db, account)
		},
	})
}

func dump(t *testing.T, l *ledger) (text string, oldest int64) {
	t.Helper()
	return inspect(t, l.store.read, l.account.Name)
}

// inspect returns all that is stored of an account as text, but account.oldest separately.
func inspect(t testing.TB, db *sql.DB, account string) (text string, oldest int64) {
	t.Helper()
	err := db.QueryRowContext(t.Context(), `
		SELECT concat_ws(char(10), records, listed, hex(digest),
			(SELECT group_concat(concat_ws(' ', unique_id, copy, listed, delivered_at, absent_at, deleted_at), char(10)) FROM seen WHERE account = account.id),
			(SELECT group_concat(concat_ws(' ', unique_id, copy, reason, absent_at), char(10)) FROM aside WHERE account = account.id)), oldest
		FROM account WHERE name = ?`, account).Scan(&text, &oldest)
	if err != nil {
		t.Fatal(err)
	}
	return text, oldest
}
