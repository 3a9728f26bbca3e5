package sqlite

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

func sameRecords(a, b []seen.Record) bool {
	return slices.EqualFunc(a, b, func(a, b seen.Record) bool {
		same := a.DeliveredAt.Equal(b.DeliveredAt) && a.DeletedAt.Equal(b.DeletedAt)
		for _, r := range []*seen.Record{&a, &b} {
			r.DeliveredAt, r.DeletedAt, r.AbsentAt = time.Time{}, time.Time{}, time.Time{}
		}
		places := slices.Equal(a.Places, b.Places)
		a.Places, b.Places = nil, nil
		return same && places && reflect.DeepEqual(a, b)
	})
}

func all(t *testing.T, account *ledger) []seen.Record {
	t.Helper()
	var records []seen.Record
	for r, err := range account.All(t.Context()) {
		if err != nil {
			t.Fatalf("All() = %v", err)
		}
		records = append(records, r)
	}
	return records
}

// Records come back unchanged, in the order of the octets of their unique-ids.
func TestStore_Commit_roundTrip(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	at := func(name string) []seen.Place { return []seen.Place{{Name: name}} }
	want := []seen.Record{
		{Key: seen.Key{UniqueID: "!"}, Kind: seen.Marked, DeliveredAt: now},
		{Key: seen.Key{UniqueID: "' OR 1=1 --"}, Kind: seen.Delivered, Places: at("new/\xff\x00\n'\""), DeliveredAt: now.Add(time.Millisecond)},
		{Key: seen.Key{UniqueID: "10"}, Kind: seen.Delivered},
		{Key: seen.Key{UniqueID: "9"}, Kind: seen.Delivered, Listed: 1 << 40, Came: seen.Sum{Octets: 1<<40 - 1}},
		{Key: seen.Key{UniqueID: "A"}, Kind: seen.Delivered, Digest: seen.Digest{1}, Came: seen.Sum{SHA256: [32]byte{2}}},
		{Key: seen.Key{UniqueID: "A", Copy: 1}, Kind: seen.Delivered},
		{Key: seen.Key{UniqueID: "A", Copy: 10}, Kind: seen.Delivered},
		{Key: seen.Key{UniqueID: "a"}, Kind: seen.Delivered, DeletedAt: now},
		{Key: seen.Key{UniqueID: "\x80 \xff"}, Kind: seen.Delivered, Places: at("new/1")},
		{Key: seen.Key{UniqueID: "é"}, Kind: seen.Delivered},
	}
	slices.SortFunc(want, func(a, b seen.Record) int { return a.Key.Compare(b.Key) })
	backwards := slices.Clone(want)
	slices.Reverse(backwards)
	mustCommit(t, account, backwards...)
	if got := all(t, account); !sameRecords(got, want) {
		t.Errorf("All() = %+v, want %+v", got, want)
	}
	var ids []string
	for _, r := range want {
		ids = append(ids, r.UniqueID)
	}
	got, err := account.Records(t.Context(), ids)
	if err != nil || !sameRecords(got, want) {
		t.Errorf("Records() = %+v, %v, want %+v", got, err, want)
	}
	got, err = account.Records(t.Context(), []string{"A", "none", "A"})
	if err != nil || len(got) != 3 {
		t.Errorf("Records() = %+v, %v, want the 3 copies of A", got, err)
	}
	if got, err := account.Records(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("Records() of no id = %v, %v, want none", got, err)
	}
}

// A unique-id may hold any octets, even those that separate the fields of a packed row. Many ids
// may be read at once.
func TestStore_Diff_anyOctets(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	var ids []string
	for c := range 256 {
		ids = append(ids, string([]byte{byte(c)}), fmt.Sprintf("%c%c", c, c), fmt.Sprintf("1 2 3 %d ", c))
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	ids = append(ids, string(make([]byte, 1024)))
	listing := listingOf(ids...)
	mustDiff(t, account, listing)
	deliverAll(t, account, listing)
	want := fmt.Sprintf("new [], check [], seen %d, aside []", len(ids))
	for cost := range 2 {
		s.tuning.LookupCost = 1 + 1_000_000*cost
		wantDiff(t, account, listing, want)
	}
	records, err := account.Records(t.Context(), ids)
	if err != nil || len(records) != len(ids) {
		t.Errorf("Records() has %d, %v, want %d", len(records), err, len(ids))
	}
	n, err := account.Forget(t.Context(), ids...)
	if err != nil || n != len(ids) {
		t.Errorf("Forget() = %d, %v, want %d", n, err, len(ids))
	}
}

// A row is read unchanged together with many others, whatever its kind.
func TestRows_anyKind(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	mustCommit(t, account, recordOf(listingOf("a")[0]))
	for _, kind := range []seen.Kind{0, seen.Delivered, seen.Marked, 3, 4, 9, -1} {
		if _, err := s.write.ExecContext(t.Context(), "UPDATE seen SET kind = ?", int(kind)); err != nil {
			t.Fatal(err)
		}
		var r, none seen.Row
		reader := &reader{account: account.id, read: account.view}
		rows := reader.Of(t.Context(), []string{"a"})
		if found, err := rows.Next(&r); err != nil || !found {
			t.Fatalf("Next() = %v, %v, want one record", found, err)
		}
		if found, err := rows.Next(&none); err != nil || found {
			t.Fatalf("Next() = %v, %v, want no other record", found, err)
		}
		if r.Kind != kind || r.DeliveredAt != now.UnixMilli() {
			t.Errorf("of kind %d, delivered at %d: read as of kind %d, delivered at %d", kind, now.UnixMilli(), r.Kind, r.DeliveredAt)
		}
	}
}

func TestStore_Commit_replaces(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	first := recordOf(listingOf("a")[0])
	first.DeletedAt = now
	mustCommit(t, account, first)
	mustSetAside(t, account, seen.Aside{Key: first.Key, Reason: seen.Refused})
	second := first
	second.Came.Octets, second.DeletedAt = 7, time.Time{}
	second.Places = []seen.Place{{Name: "new/other", Sum: second.Came}}
	mustCommit(t, account, second)
	if got := all(t, account); !sameRecords(got, []seen.Record{second}) {
		t.Errorf("All() = %+v, want %+v", got, second)
	}
	if asides, err := account.Asides(t.Context()); err != nil || len(asides) != 0 {
		t.Errorf("Asides() = %v, %v, want none", asides, err)
	}
	var details int
	if err := s.read.QueryRowContext(t.Context(), "SELECT count(*) FROM detail").Scan(&details); err != nil || details != 1 {
		t.Errorf("%d details, %v, want 1", details, err)
	}
}

// A batch is recorded completely or not at all.
func TestStore_Commit_refused(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("a", "b")
	bad := recordOf(listing[1])
	bad.Kind = 0
	if err := commit(t.Context(), account, recordOf(listing[0]), bad); err == nil {
		t.Error("Commit() of a record without kind = nil, want an error")
	}
	if err := commit(t.Context(), &ledger{store: s, id: account.id + 1}, recordOf(listing[0])); err == nil {
		t.Error("Commit() to an unknown account = nil, want an error")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := commit(cancelled, account, recordOf(listing[0])); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit() = %v, want %v", err, context.Canceled)
	}
	if err := commit(t.Context(), account); err != nil {
		t.Errorf("Commit() of nothing = %v", err)
	}
	if got := all(t, account); len(got) != 0 {
		t.Errorf("All() = %+v, want none", got)
	}
}

// Equal unique-ids of two accounts are different messages.
func TestStore_Commit_accounts(t *testing.T) {
	s := open(t)
	first := enter(t, s)
	second := enterAs(t, s, "home", "pop.example.org:995", "bob")
	listing := listingOf("a")
	mustCommit(t, first, recordOf(listing[0]))
	wantDiff(t, second, listing, "new [0], check [], seen 0, aside []")
	mustFinish(t, second, nil)
	wantDiff(t, first, listing, "new [], check [], seen 1, aside []")
}

// A caller that reads all records may write meanwhile, and stop at any time.
func TestStore_All_whileWriting(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	deliverAll(t, account, listingOf("a", "b", "c"))
	read := 0
	for r, err := range account.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := account.Forget(t.Context(), r.UniqueID); err != nil {
			t.Fatalf("Forget() = %v", err)
		}
		if read++; read == 2 {
			break
		}
	}
	if got := all(t, account); len(got) != 1 || got[0].UniqueID != "c" {
		t.Errorf("All() = %+v, want c", got)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range account.All(cancelled) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("All() yielded %v, want %v", err, context.Canceled)
		}
	}
}

// Records are added many at a time. If one of a group replaces an older one, all are correct, and
// so is their number.
func TestStore_Commit_manyAndSomeAgain(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	ids := make([]string, 2*rowsAtOnce+3)
	for i := range ids {
		ids[i] = fmt.Sprintf("id-%03d", i)
	}
	listing := listingOf(ids...)
	mustDiff(t, account, listing)
	old := []int{0, rowsAtOnce + 1, 2*rowsAtOnce + 2}
	for _, i := range old {
		r := recordOf(listing[i])
		r.Places[0].Name, r.DeletedAt = "new/old", now
		mustCommit(t, account, r)
	}
	deliverAll(t, account, listing)
	records, err := account.Records(t.Context(), ids)
	if err != nil || len(records) != len(ids) {
		t.Fatalf("Records() = %d of them, %v, want %d", len(records), err, len(ids))
	}
	for i, r := range records {
		if want := recordOf(listing[i]); !sameRecords([]seen.Record{r}, []seen.Record{want}) {
			t.Errorf("record %d = %v, want %v", i, r, want)
		}
	}
	if a, err := look(t, s, "work", "pop.example.org:995", "alice"); err != nil || a.Records != len(ids) {
		t.Errorf("Lookup() = %+v, %v, want %d records", a, err, len(ids))
	}
	var details int
	if err := s.read.QueryRowContext(t.Context(), "SELECT count(*) FROM detail").Scan(&details); err != nil || details != len(ids) {
		t.Errorf("%d details, %v, want %d", details, err, len(ids))
	}
}
