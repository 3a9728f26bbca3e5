package sqlite

import (
	"slices"
	"testing"

	"github.com/popfetch/popfetch/seen"
)

func remaining(t *testing.T, account *ledger) []string {
	t.Helper()
	var ids []string
	for r, err := range account.Remaining(t.Context()) {
		if err != nil {
			t.Fatalf("Remaining() = %v", err)
		}
		ids = append(ids, r.UniqueID)
	}
	return ids
}

// A message that was deleted with the server's consent is no longer in the maildrop. An absent one
// may still be there, and so may all messages of an account whose server has changed (C0040).
func TestStore_Remaining(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("deleted", "hidden", "left")
	deliverAll(t, account, listing)
	if err := account.Finish(t.Context(), seen.Diff{}, listing[2:], deletedBy("rule", listing[0].Key), now); err != nil {
		t.Fatalf("Finish() = %v", err)
	}
	mustCommit(t, account, recordOf(seen.Entry{Number: 4, Key: seen.Key{UniqueID: "since"}}))
	if got, want := remaining(t, account), []string{"hidden", "left", "since"}; !slices.Equal(got, want) {
		t.Errorf("Remaining() = %q, want %q", got, want)
	}
	for r, err := range account.All(t.Context()) {
		if absent := r.UniqueID == "deleted" || r.UniqueID == "hidden"; err != nil || absent == r.AbsentAt.IsZero() {
			t.Errorf("%s is absent since %v, error %v", r.UniqueID, r.AbsentAt, err)
		}
	}
	if _, err := s.Enter(t.Context(), "work", "elsewhere:995", "mrose"); err != nil {
		t.Fatalf("Enter() = %v", err)
	}
	if got, want := remaining(t, account), []string{"left", "since"}; !slices.Equal(got, want) {
		t.Errorf("after the server changed, Remaining() = %q, want %q", got, want)
	}
}

// A record moves to its new key with all its values, and nothing is left at the old one.
func TestStore_Move(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("a", "b", "b", "c")
	mustDiff(t, account, listing)
	deliverAll(t, account, listing)
	mustFinish(t, account, listing)
	// So that all records count as deleted.
	if _, err := s.Enter(t.Context(), "work", "elsewhere:995", "mrose"); err != nil {
		t.Fatalf("Enter() = %v", err)
	}
	before := all(t, account)
	to := func(id string, copy int) seen.Entry {
		return seen.Entry{Octets: 1005, Key: seen.Key{UniqueID: id, Copy: copy}}
	}
	moves := []seen.Move{{From: seen.Key{UniqueID: "a"}, To: to("z", 0)}, {From: seen.Key{UniqueID: "b"}, To: to("y", 1)}, {From: seen.Key{UniqueID: "b", Copy: 1}, To: to("y", 0)}}
	if err := account.Apply(t.Context(), seen.Changes{Moves: slices.Values(moves)}); err != nil {
		t.Fatalf("Move() = %v", err)
	}
	want := []seen.Record{before[3], before[2], before[1], before[0]}
	for i, key := range []seen.Key{{UniqueID: "c"}, {UniqueID: "y"}, {UniqueID: "y", Copy: 1}, {UniqueID: "z"}} {
		want[i].Key = key
		if i > 0 {
			want[i].Listed, want[i].DeletedAt = 1005, before[0].AbsentAt
		}
	}
	if got := all(t, account); !sameRecords(got, want) {
		t.Errorf("All() = %+v, want %+v", got, want)
	}
	if a, err := look(t, s, "work", "", ""); err != nil || a.Records != 4 {
		t.Errorf("Lookup() = %d records, %v, want 4", a.Records, err)
	}
	moved := []seen.Entry{to("z", 0), to("y", 0), to("y", 0)}
	if d := mustDiff(t, account, moved); d.Seen != 3 {
		t.Errorf("Diff() = %s, want 3 seen", summary(d))
	}
}

// A move that is not possible is an error, and none of the other moves is made.
func TestStore_Move_refused(t *testing.T) {
	for _, test := range []struct {
		name string
		move seen.Move
	}{
		{"a key that is taken", seen.Move{From: seen.Key{UniqueID: "b"}, To: seen.Entry{Key: seen.Key{UniqueID: "c"}}}},
		{"a key that is named twice", seen.Move{From: seen.Key{UniqueID: "b"}, To: seen.Entry{Key: seen.Key{UniqueID: "new"}}}},
		{"no such record", seen.Move{From: seen.Key{UniqueID: "b", Copy: 1}, To: seen.Entry{Key: seen.Key{UniqueID: "other"}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			account := enter(t, s)
			listing := listingOf("a", "b", "c")
			deliverAll(t, account, listing)
			before := all(t, account)
			moves := []seen.Move{{From: seen.Key{UniqueID: "a"}, To: seen.Entry{Key: seen.Key{UniqueID: "new"}}}, test.move}
			if err := account.Apply(t.Context(), seen.Changes{Moves: slices.Values(moves)}); err == nil {
				t.Error("Move() = nil, want an error")
			}
			if got := all(t, account); !sameRecords(got, before) {
				t.Errorf("All() = %+v, want all as they were: %+v", got, before)
			}
		})
	}
}

// An account counts as finished once a run of it was finished, even if the maildrop was empty or
// all records are forgotten since.
func TestAccount_Finished(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	finished := func() bool {
		t.Helper()
		a, err := look(t, s, "work", "", "")
		if err != nil {
			t.Fatalf("Lookup() = %v", err)
		}
		return a.Finished
	}
	deliverAll(t, account, listingOf("a"))
	if finished() {
		t.Error("Finished before any Finish, want not")
	}
	mustFinish(t, account, listingOf("a"))
	if _, err := account.Forget(t.Context()); err != nil {
		t.Fatalf("Forget() = %v", err)
	}
	if !finished() {
		t.Error("not Finished, though a run was finished")
	}
	mustFinish(t, enterAs(t, s, "other", "pop.example.org:995", "bob"), nil)
	if a, err := look(t, s, "other", "", ""); err != nil || !a.Finished {
		t.Errorf("Lookup() = finished %v, %v, want finished by an empty listing", a.Finished, err)
	}
}
