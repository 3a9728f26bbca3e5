package seen

import (
	"slices"
	"testing"
)

func remaining(t *testing.T, s *Store, account int64) []string {
	t.Helper()
	var ids []string
	for r, err := range s.Remaining(t.Context(), account) {
		if err != nil {
			t.Fatalf("Remaining() = %v", err)
		}
		ids = append(ids, r.UniqueID)
	}
	return ids
}

// What was deleted with the server's consent is not in the maildrop any more; what is only absent may be, and so may everything
// of an account whose server has changed (C0040).
func TestStore_Remaining(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("deleted", "hidden", "left")
	deliverAll(t, s, account, listing)
	if err := s.Finish(t.Context(), account, Diff{}, listing[2:], []Key{listing[0].Key}, now); err != nil {
		t.Fatalf("Finish() = %v", err)
	}
	mustCommit(t, s, account, recordOf(Entry{Number: 4, Key: Key{UniqueID: "since"}}))
	if got, want := remaining(t, s, account), []string{"hidden", "left", "since"}; !slices.Equal(got, want) {
		t.Errorf("Remaining() = %q, want %q", got, want)
	}
	for r, err := range s.All(t.Context(), account) {
		if absent := r.UniqueID == "deleted" || r.UniqueID == "hidden"; err != nil || absent == r.AbsentAt.IsZero() {
			t.Errorf("%s is absent since %v, error %v", r.UniqueID, r.AbsentAt, err)
		}
	}
	if _, err := s.Enter(t.Context(), "work", "elsewhere:995", "mrose"); err != nil {
		t.Fatalf("Enter() = %v", err)
	}
	if got, want := remaining(t, s, account), []string{"left", "since"}; !slices.Equal(got, want) {
		t.Errorf("after the server changed, Remaining() = %q, want %q", got, want)
	}
}

// A record goes to its new key with all that it tells, and nothing is left at the old one.
func TestStore_Move(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("a", "b", "b", "c")
	mustDiff(t, s, account, listing)
	deliverAll(t, s, account, listing)
	mustFinish(t, s, account, listing)
	if _, err := s.Enter(t.Context(), "work", "elsewhere:995", "mrose"); err != nil { // so that all count as deleted
		t.Fatalf("Enter() = %v", err)
	}
	before := all(t, s, account)
	to := func(id string, copy int) Entry { return Entry{Octets: 1005, Key: Key{UniqueID: id, Copy: copy}} }
	moves := []Move{{From: Key{UniqueID: "a"}, To: to("z", 0)}, {From: Key{UniqueID: "b"}, To: to("y", 1)}, {From: Key{UniqueID: "b", Copy: 1}, To: to("y", 0)}}
	if err := s.Move(t.Context(), account, slices.Values(moves)); err != nil {
		t.Fatalf("Move() = %v", err)
	}
	want := []Record{before[3], before[2], before[1], before[0]}
	for i, key := range []Key{{UniqueID: "c"}, {UniqueID: "y"}, {UniqueID: "y", Copy: 1}, {UniqueID: "z"}} {
		want[i].Key = key
		if i > 0 {
			want[i].Listed, want[i].DeletedAt = 1005, before[0].AbsentAt
		}
	}
	if got := all(t, s, account); !sameRecords(got, want) {
		t.Errorf("All() = %+v, want %+v", got, want)
	}
	if a, err := s.Lookup(t.Context(), "work", "", ""); err != nil || a.Records != 4 {
		t.Errorf("Lookup() = %d records, %v, want 4", a.Records, err)
	}
	moved := []Entry{to("z", 0), to("y", 0), to("y", 0)}
	if d := mustDiff(t, s, account, moved); d.Seen != 3 {
		t.Errorf("Diff() = %s, want 3 seen", summary(d))
	}
}

// A move that cannot be is none, and takes the others with it.
func TestStore_Move_refused(t *testing.T) {
	for _, test := range []struct {
		name string
		move Move
	}{
		{"a key that is taken", Move{From: Key{UniqueID: "b"}, To: Entry{Key: Key{UniqueID: "c"}}}},
		{"a key that is named twice", Move{From: Key{UniqueID: "b"}, To: Entry{Key: Key{UniqueID: "new"}}}},
		{"no such record", Move{From: Key{UniqueID: "b", Copy: 1}, To: Entry{Key: Key{UniqueID: "other"}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			account := enter(t, s)
			listing := listingOf("a", "b", "c")
			deliverAll(t, s, account, listing)
			before := all(t, s, account)
			moves := []Move{{From: Key{UniqueID: "a"}, To: Entry{Key: Key{UniqueID: "new"}}}, test.move}
			if err := s.Move(t.Context(), account, slices.Values(moves)); err == nil {
				t.Error("Move() = nil, want an error")
			}
			if got := all(t, s, account); !sameRecords(got, before) {
				t.Errorf("All() = %+v, want all as they were: %+v", got, before)
			}
		})
	}
}

// Parts are recorded together, or not at all.
func TestStore_CommitParts(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("a", "b", "c")
	part := func(entries ...Entry) []Record {
		var records []Record
		for _, e := range entries {
			records = append(records, recordOf(e))
		}
		return records
	}
	unfit := part(listing[2])
	unfit[0].Kind = 0
	if err := s.CommitParts(t.Context(), account, slices.Values([][]Record{part(listing[:2]...), unfit})); err == nil {
		t.Error("CommitParts() = nil, want an error for a record without a kind")
	}
	if got := all(t, s, account); len(got) != 0 {
		t.Errorf("%d records after an error, want none", len(got))
	}
	if err := s.CommitParts(t.Context(), account, slices.Values([][]Record{part(listing[:2]...), part(listing[2])})); err != nil {
		t.Errorf("CommitParts() = %v", err)
	}
	if a, err := s.Lookup(t.Context(), "work", "", ""); err != nil || a.Records != 3 || len(all(t, s, account)) != 3 {
		t.Errorf("Lookup() = %d records, %v, want 3", a.Records, err)
	}
}

// An account counts as finished once a run of it was, though the maildrop was empty or everything is forgotten since.
func TestAccount_Finished(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	finished := func() bool {
		t.Helper()
		a, err := s.Lookup(t.Context(), "work", "", "")
		if err != nil {
			t.Fatalf("Lookup() = %v", err)
		}
		return a.Finished
	}
	deliverAll(t, s, account, listingOf("a"))
	if finished() {
		t.Error("Finished before any Finish, want not")
	}
	mustFinish(t, s, account, listingOf("a"))
	if _, err := s.Forget(t.Context(), account); err != nil {
		t.Fatalf("Forget() = %v", err)
	}
	if !finished() {
		t.Error("not Finished, though a run was finished")
	}
	empty, err := s.Enter(t.Context(), "other", "pop.example.org:995", "bob")
	if err != nil {
		t.Fatalf("Enter() = %v", err)
	}
	mustFinish(t, s, empty.ID, nil)
	if a, err := s.Lookup(t.Context(), "other", "", ""); err != nil || !a.Finished {
		t.Errorf("Lookup() = finished %v, %v, want finished by an empty listing", a.Finished, err)
	}
}
