package sqlite

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// now is the time at which the tests happen.
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

// hold begins a transaction as another process would, and returns a function that ends it.
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

// enter enters the account "work".
func enter(t testing.TB, s *Store) *ledger {
	t.Helper()
	return enterAs(t, s, "work", "pop.example.org:995", "alice")
}

func enterAs(t testing.TB, s *Store, name, server, user string) *ledger {
	t.Helper()
	l, err := s.enter(t.Context(), name, server, user)
	if err != nil {
		t.Fatalf("Enter() = %v", err)
	}
	return l
}

// look returns what is known of an account.
func look(t testing.TB, s *Store, name, server, user string) (seen.Account, error) {
	t.Helper()
	l, err := s.Look(t.Context(), name, server, user)
	if err != nil {
		return seen.Account{}, err
	}
	return l.Account(), nil
}

// listingOf makes a listing in which each message has 1000 octets.
func listingOf(ids ...string) []seen.Entry {
	listing := make([]seen.Entry, len(ids))
	for i, id := range ids {
		listing[i] = seen.Entry{Number: i + 1, Octets: 1000, Key: seen.Key{UniqueID: id}}
	}
	return listing
}

// recordOf returns what a run records for a delivered message.
func recordOf(e seen.Entry) seen.Record {
	came := seen.Sum{Octets: e.Octets - 10, SHA256: [32]byte{3, 4, byte(e.Number)}}
	return seen.Record{Key: e.Key, Kind: seen.Delivered, Listed: e.Octets, Digest: seen.Digest{1, 2, byte(e.Number)}, Came: came,
		Places: []seen.Place{{Name: fmt.Sprintf("new/%d", e.Number), Sum: came}}, DeliveredAt: now}
}

func mustDiff(t testing.TB, l *ledger, listing []seen.Entry) seen.Diff {
	t.Helper()
	d, err := l.Diff(t.Context(), listing, time.Time{})
	if err != nil {
		t.Fatalf("Diff() = %v", err)
	}
	return d
}

func commit(ctx context.Context, l *ledger, records ...seen.Record) error {
	return l.Apply(ctx, seen.Changes{Records: slices.Values(records)})
}

func mustCommit(t testing.TB, l *ledger, records ...seen.Record) {
	t.Helper()
	if err := commit(t.Context(), l, records...); err != nil {
		t.Fatalf("Apply() of records = %v", err)
	}
}

func mustSetAside(t testing.TB, l *ledger, asides ...seen.Aside) {
	t.Helper()
	if err := l.Apply(t.Context(), seen.Changes{Asides: asides}); err != nil {
		t.Fatalf("Apply() of asides = %v", err)
	}
}

func mustFinish(t testing.TB, l *ledger, left []seen.Entry, deleted ...seen.Key) {
	t.Helper()
	mustFinishBy(t, l, left, deletedBy("rule", deleted...))
}

func mustFinishBy(t testing.TB, l *ledger, left []seen.Entry, deleted []seen.Deleted) {
	t.Helper()
	if err := l.Finish(t.Context(), seen.Diff{}, left, deleted, now); err != nil {
		t.Fatalf("Finish() = %v", err)
	}
}

// deletedBy are messages that one rule has deleted.
func deletedBy(rule string, keys ...seen.Key) (deleted []seen.Deleted) {
	for _, k := range keys {
		deleted = append(deleted, seen.Deleted{Key: k, Rule: rule})
	}
	return deleted
}

// deliverAll records every entry of a listing that Diff has numbered.
func deliverAll(t testing.TB, l *ledger, listing []seen.Entry) {
	t.Helper()
	records := make([]seen.Record, len(listing))
	for i, e := range listing {
		records[i] = recordOf(e)
	}
	mustCommit(t, l, records...)
}

// summary returns a Diff as one line, for comparison.
func summary(d seen.Diff) string {
	var aside []int
	for _, m := range d.Aside {
		aside = append(aside, m.Index)
	}
	return fmt.Sprintf("new %v, check %v, seen %d, aside %v", d.New, d.Check, d.Seen, aside)
}

func wantDiff(t testing.TB, l *ledger, listing []seen.Entry, want string) {
	t.Helper()
	if got := summary(mustDiff(t, l, listing)); got != want {
		t.Errorf("Diff() = %s, want %s", got, want)
	}
}
