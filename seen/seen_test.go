package seen

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// now is when the tests happen.
var now = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

func open(t testing.TB) *Store {
	t.Helper()
	return openIn(t, t.TempDir())
}

func openIn(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	s.now = func() time.Time { return now }
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return s
}

// hold begins a transaction as another process would hold it, and returns what ends it.
func hold(t *testing.T, s *Store) (letGo func() error) {
	t.Helper()
	if _, err := s.write.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() error {
		_, err := s.write.ExecContext(context.Background(), "ROLLBACK")
		return err
	}
}

// enter makes the account "work".
func enter(t testing.TB, s *Store) int64 {
	t.Helper()
	a, err := s.Enter(t.Context(), "work", "pop.example.org:995", "alice")
	if err != nil {
		t.Fatalf("Enter() = %v", err)
	}
	return a.ID
}

// listingOf makes a listing in which each message has 1000 octets.
func listingOf(ids ...string) []Entry {
	listing := make([]Entry, len(ids))
	for i, id := range ids {
		listing[i] = Entry{Number: i + 1, Octets: 1000, Key: Key{UniqueID: id}}
	}
	return listing
}

// recordOf is what a run commits for a delivered message.
func recordOf(e Entry) Record {
	return Record{Key: e.Key, Kind: Delivered, Listed: e.Octets, Octets: e.Octets - 10, Digest: Digest{1, 2, byte(e.Number)},
		SHA256: [32]byte{3, 4, byte(e.Number)}, Place: fmt.Sprintf("new/%d", e.Number), DeliveredAt: now}
}

func mustDiff(t testing.TB, s *Store, account int64, listing []Entry) Diff {
	t.Helper()
	d, err := s.Diff(t.Context(), account, listing, time.Time{})
	if err != nil {
		t.Fatalf("Diff() = %v", err)
	}
	return d
}

func mustCommit(t testing.TB, s *Store, account int64, records ...Record) {
	t.Helper()
	if err := s.Commit(t.Context(), account, records...); err != nil {
		t.Fatalf("Commit() = %v", err)
	}
}

func mustSetAside(t testing.TB, s *Store, account int64, asides ...Aside) {
	t.Helper()
	if err := s.SetAside(t.Context(), account, asides...); err != nil {
		t.Fatalf("SetAside() = %v", err)
	}
}

func mustFinish(t testing.TB, s *Store, account int64, left []Entry, deleted ...Key) {
	t.Helper()
	if err := s.Finish(t.Context(), account, Diff{}, left, deleted, now); err != nil {
		t.Fatalf("Finish() = %v", err)
	}
}

// deliverAll commits every entry of a listing that Diff has numbered.
func deliverAll(t testing.TB, s *Store, account int64, listing []Entry) {
	t.Helper()
	records := make([]Record, len(listing))
	for i, e := range listing {
		records[i] = recordOf(e)
	}
	mustCommit(t, s, account, records...)
}

// summary is a Diff in one line, for comparison.
func summary(d Diff) string {
	var aside []int
	for _, m := range d.Aside {
		aside = append(aside, m.Index)
	}
	return fmt.Sprintf("new %v, check %v, seen %d, aside %v", d.New, d.Check, d.Seen, aside)
}

func wantDiff(t testing.TB, s *Store, account int64, listing []Entry, want string) {
	t.Helper()
	if got := summary(mustDiff(t, s, account, listing)); got != want {
		t.Errorf("Diff() = %s, want %s", got, want)
	}
}
