package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/seen"
)

func listingOf(prefix string, n int) []seen.Entry {
	listing := make([]seen.Entry, n)
	for i := range listing {
		listing[i] = seen.Entry{Number: i + 1, Octets: 1000, Key: seen.Key{UniqueID: fmt.Sprintf("%s-%04d", prefix, i)}}
	}
	return listing
}

// recordsOf are those of delivered messages, with a place that says more.
func recordsOf(listing []seen.Entry, place string) []seen.Record {
	records := make([]seen.Record, len(listing))
	for i, e := range listing {
		came := seen.Sum{Octets: 990, SHA256: [32]byte{1, byte(i)}}
		records[i] = seen.Record{Key: e.Key, Kind: seen.Delivered, Listed: e.Octets, Digest: seen.Digest{2, byte(i)}, Came: came,
			Places: []seen.Place{{Name: place, Sum: came}}, DeliveredAt: now}
	}
	return records
}

// lockIn takes an account until the test ends.
func lockIn(t testing.TB, s *Store, name string) seen.Hold {
	t.Helper()
	hold, err := s.Lock(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return hold
}

// enterIn locks and enters an account.
func enterIn(t testing.TB, s *Store, name string) seen.Ledger {
	t.Helper()
	lockIn(t, s, name)
	l, err := s.Enter(t.Context(), name, "pop.example.org:995", "alice")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// writes are all methods that write for an account which prepare has made. None of them has an
// effect of its own that another one could hide.
var writes = []struct {
	name string
	do   func(ctx context.Context, s *Store, l seen.Ledger, account string) error
}{
	{"records", func(ctx context.Context, _ *Store, l seen.Ledger, _ string) error {
		return l.Apply(ctx, seen.Changes{Records: slices.Values(recordsOf(listingOf("new", 5), "new/1"))})
	}},
	{"records in parts", func(ctx context.Context, s *Store, l seen.Ledger, _ string) error {
		return l.Apply(ctx, seen.Changes{Records: slices.Values(recordsOf(listingOf("new", 5*s.rowsAtOnce), "new/1"))})
	}},
	{"all kinds of changes", func(ctx context.Context, _ *Store, l seen.Ledger, _ string) error {
		moves := []seen.Move{{From: seen.Key{UniqueID: "old-0002"}, To: seen.Entry{Key: seen.Key{UniqueID: "moved"}}}}
		asides := []seen.Aside{{Key: seen.Key{UniqueID: "refused"}, Reason: seen.Refused, Count: 1}, {Key: seen.Key{UniqueID: "large"}, Reason: seen.Old, Count: 1}}
		return l.Apply(ctx, seen.Changes{Replace: []string{"old-0001"}, Moves: slices.Values(moves),
			Records: slices.Values(recordsOf(listingOf("new", 2), "new/1")), Asides: asides})
	}},
	{"ready", func(ctx context.Context, _ *Store, l seen.Ledger, _ string) error { return l.Ready(ctx, 9) }},
	{"finish", func(ctx context.Context, _ *Store, l seen.Ledger, _ string) error {
		deleted := []seen.Deleted{{Key: seen.Key{UniqueID: "old-0003"}, Rule: "rule"}, {Key: seen.Key{UniqueID: "old-0001"}, Rule: "rule"}}
		return l.Finish(ctx, seen.Diff{}, listingOf("old", 1), deleted, now)
	}},
	{"forget some", func(ctx context.Context, _ *Store, l seen.Ledger, _ string) error {
		_, err := l.Forget(ctx, "old-0001", "refused")
		return err
	}},
	{"forget all", func(ctx context.Context, _ *Store, l seen.Ledger, _ string) error {
		_, err := l.Forget(ctx)
		return err
	}},
	{"try again", func(ctx context.Context, _ *Store, l seen.Ledger, _ string) error {
		_, err := l.TryAgain(ctx, seen.Refused)
		return err
	}},
	{"standing", func(ctx context.Context, _ *Store, l seen.Ledger, _ string) error {
		return l.ChangeStanding(ctx, func(st *seen.Standing) { st.Refusals++ })
	}},
	{"enter", func(ctx context.Context, s *Store, _ seen.Ledger, account string) error {
		_, err := s.Enter(ctx, account, "other.example.org:995", "alice")
		return err
	}},
	{"run", func(ctx context.Context, s *Store, _ seen.Ledger, account string) error {
		return s.NoteRun(ctx, account, seen.RunNote{At: now, Verdict: seen.Succeeded})
	}},
	{"rename", func(ctx context.Context, s *Store, _ seen.Ledger, account string) error {
		return s.Rename(ctx, account, "to "+account)
	}},
}

// prepare makes an account for writes.
func prepare(t testing.TB, s *Store, account string) seen.Ledger {
	t.Helper()
	lockIn(t, s, "to "+account)
	l := enterIn(t, s, account)
	listing := listingOf("old", 5)
	err := l.Apply(t.Context(), seen.Changes{Records: slices.Values(recordsOf(listing, "new/0")),
		Asides: []seen.Aside{{Key: seen.Key{UniqueID: "refused"}, Reason: seen.Refused, Count: 1}}})
	if err == nil {
		err = l.Finish(t.Context(), seen.Diff{}, listing, nil, now)
	}
	if err == nil {
		err = l.ChangeStanding(t.Context(), func(st *seen.Standing) { st.Refusals = 1 })
	}
	if err == nil {
		err = s.NoteRun(t.Context(), account, seen.RunNote{At: now, Verdict: seen.Succeeded})
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// contents returns all that the database holds of an account and of its other name, as text.
func contents(t testing.TB, s *Store, account string) string {
	t.Helper()
	var all []string
	for _, name := range []string{account, "to " + account} {
		for _, table := range []string{"account", "seen", "aside", "deletion", "standing", "history", "history_day"} {
			key := "account"
			if table == "account" {
				key = "id"
			}
			rows, err := s.pool.Query(t.Context(), `
				SELECT (to_jsonb(t) - 'id' - 'account' - 'name' - 'step' - 'step_epoch' - 'version')::text FROM popfetch.`+table+` AS t
				WHERE `+key+` = (SELECT id FROM popfetch.account WHERE name = $1) ORDER BY 1`, name)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var text string
				if err := rows.Scan(&text); err != nil {
					t.Fatal(err)
				}
				all = append(all, table+" "+text)
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return strings.Join(all, "\n")
}
