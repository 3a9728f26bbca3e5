package postgres

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/seentest"
)

// now is the time at which the tests happen.
var now = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

func TestStore_suite(t *testing.T) {
	t.Run("whole", func(t *testing.T) { runSuite(t, 100, pgtest.Database) })
	t.Run("in parts", func(t *testing.T) { runSuite(t, 3, pgtest.Database) })
}

// runSuite runs the suite with so many rows in a round trip. A folder of the suite is a database.
func runSuite(t *testing.T, rows int, database func(testing.TB) string) {
	var mu sync.Mutex
	urls, inspectors := make(map[string]string), make(map[string]*Store)
	urlOf := func(t testing.TB, folder string) string {
		mu.Lock()
		defer mu.Unlock()
		if urls[folder] == "" {
			urls[folder] = database(t)
		}
		return urls[folder]
	}
	seentest.Run(t, seentest.Harness{
		Many: 2*rows + 10,
		Open: func(t testing.TB, folder string, tuning seen.Tuning) seen.Store {
			s := openStore(t, urlOf(t, folder))
			s.tuning, s.rowsAtOnce = tuning, rows
			return s
		},
		Inspect: func(t testing.TB, folder, account string) (string, int64) {
			mu.Lock()
			s := inspectors[folder]
			mu.Unlock()
			if s == nil {
				s = openStore(t, urlOf(t, folder))
				mu.Lock()
				inspectors[folder] = s
				mu.Unlock()
			}
			return inspect(t, s, account)
		},
	})
}

func openStore(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: url, Worker: t.Name(), Process: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return now }
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// inspect returns all that is stored of an account as text, but account.oldest separately.
func inspect(t testing.TB, s *Store, account string) (text string, oldest int64) {
	t.Helper()
	err := s.pool.QueryRow(t.Context(), `
		SELECT concat_ws(chr(10), records, listed, encode(digest, 'hex'),
			(SELECT string_agg(concat_ws(' ', encode(unique_id, 'escape'), copy, listed, delivered_at, absent_at, deleted_at), chr(10) ORDER BY unique_id, copy)
				FROM popfetch.seen WHERE account = a.id),
			(SELECT string_agg(concat_ws(' ', encode(unique_id, 'escape'), copy, reason, absent_at), chr(10) ORDER BY unique_id, copy)
				FROM popfetch.aside WHERE account = a.id)), oldest
		FROM popfetch.account AS a WHERE name = $1`, account).Scan(&text, &oldest)
	if err != nil {
		t.Fatal(err)
	}
	var records, rows int
	if err := s.pool.QueryRow(t.Context(), "SELECT records, (SELECT count(*) FROM popfetch.seen WHERE account = a.id) FROM popfetch.account AS a WHERE name = $1", account).
		Scan(&records, &rows); err != nil || records != rows {
		t.Fatal(fmt.Errorf("%d records are counted, and there are %d: %w", records, rows, err))
	}
	return text, oldest
}

// PgBouncer in transaction mode gives each transaction another connection to the server.
func TestStore_bouncer(t *testing.T) {
	bouncer := pgtest.StartBouncer(t, pgtest.Shared(t))
	runSuite(t, 100, bouncer.Database)
}

// Writes of many stores at once change connections behind PgBouncer.
func TestBouncer(t *testing.T) {
	database := pgtest.StartBouncer(t, pgtest.Shared(t)).Database(t)
	for _, write := range writes {
		t.Run(write.name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, database)
			for i := range 3 {
				account := fmt.Sprint(write.name, i)
				l := prepare(t, s, account)
				if err := write.do(t.Context(), s, l, account); err != nil {
					t.Errorf("%s: %v", account, err)
				}
			}
		})
	}
}

// PgBouncer may be restarted while stores write through it. Holds last, and what is written waits.
func TestBouncer_restart(t *testing.T) {
	bouncer := pgtest.StartBouncer(t, pgtest.Shared(t))
	s := openAs(t, bouncer.Database(t), "worker", 10*time.Second)
	l := enterIn(t, s, "work")
	hold, err := s.held("work")
	if err != nil {
		t.Fatal(err)
	}
	schedule(t, s, Scheduled{Account: "due"})
	for i := range 3 {
		bouncer.Stop()
		written := make(chan error, 1)
		go func() {
			records := recordsOf(listingOf(fmt.Sprint("a", i), 1), "new/1")
			written <- l.Apply(t.Context(), seen.Changes{Records: slices.Values(records)})
		}()
		if _, err := s.Claim(t.Context(), Claiming{Free: 1}); !errors.Is(err, ErrAway) {
			t.Errorf("Claim() without PgBouncer = %v, want ErrAway", err)
		}
		bouncer.Start(t)
		if err := <-written; err != nil {
			t.Errorf("Apply() across a restart = %v", err)
		}
		if n := len(allOf(t, s, "work")); n != i+1 {
			t.Errorf("%d records are there, want %d", n, i+1)
		}
	}
	renewed := s.renewals()
	within(t, 10*time.Second, "two more renewals", func() bool { return s.renewals() >= renewed+2 })
	if err := hold.Err(); err != nil {
		t.Errorf("the hold, after the restarts: %v", err)
	}
	var turns []*Turn
	within(t, 10*time.Second, "the account can be claimed", func() bool {
		turns, err = s.Claim(t.Context(), Claiming{Free: 1})
		return err == nil && len(turns) == 1 && !turns[0].TakenOver
	})
	if err := turns[0].End(t.Context(), Next{In: time.Hour}); err != nil {
		t.Error(err)
	}
}
