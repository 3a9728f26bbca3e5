package sqlite

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// oldTable makes a database of schema 4 with so many more records than its file has.
func oldTable(t *testing.T, records int) (dir string) {
	t.Helper()
	file, err := os.ReadFile("testdata/v4.sql")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	path := filepath.Join(dir, fileName)
	execIn(t, path, string(file))
	execIn(t, path, `
		CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 9 + `+strconv.Itoa(records)+`) SELECT i FROM n;
		BEGIN;
		INSERT INTO detail SELECT i, 1000, zeroblob(16), CAST(printf('%032d', i) AS BLOB), printf('1709208000.M%dP1Q%d.host', i, i) FROM n;
		INSERT INTO seen SELECT 1, CAST(printf('%08x5f0c3a2b', i) AS BLOB), 0, 1, 1000, 1709208000000, 0, 0, i FROM n;
		UPDATE account SET records = records + `+strconv.Itoa(records)+`;
		COMMIT;`)
	return dir
}

// After its migration, an old table still has everything it had, and each record has its place.
func TestMigrate_places(t *testing.T) {
	const records = 10_000
	s := openIn(t, oldTable(t, records))
	account := enter(t, s)
	places := map[string]bool{}
	for r, err := range account.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Places) != 1 || r.Places[0].Target != "" || r.Places[0].Sum != r.Came || r.Came.SHA256 == [32]byte{} {
			t.Fatalf("%+v has no place, or octets that it did not have", r)
		}
		places[r.Places[0].Name] = true
	}
	if len(places) != records+3 || account.Account().Records != records+3 {
		t.Errorf("%d places of %d records, want %d", len(places), account.Account().Records, records+3)
	}
	if a := account.Account(); a.Unfinished || !a.FinishedAt.IsZero() || !a.Finished {
		t.Errorf("Account() = %+v, want a finished run at an unknown time", a)
	}
}

// An account is unfinished from the moment when a run begins to deliver until a run is finished.
func TestAccount_Unfinished(t *testing.T) {
	s := open(t)
	l := enter(t, s)
	check := func(step string, unfinished bool, at time.Time) {
		t.Helper()
		if a := enter(t, s).Account(); a.Unfinished != unfinished || !a.FinishedAt.Equal(at) {
			t.Errorf("%s: unfinished %v, finished at %v, want %v, %v", step, a.Unfinished, a.FinishedAt, unfinished, at)
		}
	}
	check("new", false, time.Time{})
	if err := l.Ready(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	check("ready", true, time.Time{})
	listing := listingOf("a")
	if err := l.Apply(t.Context(), seen.Changes{Records: slices.Values([]seen.Record{recordOf(listing[0])})}); err != nil {
		t.Fatal(err)
	}
	check("recorded", true, time.Time{})
	mustFinish(t, l, listing)
	check("finished", false, now)
}
