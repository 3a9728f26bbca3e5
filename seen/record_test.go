package seen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func sameRecords(a, b []Record) bool {
	return slices.EqualFunc(a, b, func(a, b Record) bool {
		same := a.DeliveredAt.Equal(b.DeliveredAt) && a.DeletedAt.Equal(b.DeletedAt)
		for _, r := range []*Record{&a, &b} {
			r.DeliveredAt, r.DeletedAt, r.AbsentAt = time.Time{}, time.Time{}, time.Time{}
		}
		return same && a == b
	})
}

func all(t *testing.T, s *Store, account int64) []Record {
	t.Helper()
	var records []Record
	for r, err := range s.All(t.Context(), account) {
		if err != nil {
			t.Fatalf("All() = %v", err)
		}
		records = append(records, r)
	}
	return records
}

// Everything that is recorded comes back as it was, in the order of the octets of the unique-ids.
func TestStore_Commit_roundTrip(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	want := []Record{
		{Key: Key{UniqueID: "!"}, Kind: Marked, DeliveredAt: now},
		{Key: Key{UniqueID: "' OR 1=1 --"}, Kind: Delivered, Place: "new/\xff\x00\n'\"", DeliveredAt: now.Add(time.Millisecond)},
		{Key: Key{UniqueID: "10"}, Kind: Delivered},
		{Key: Key{UniqueID: "9"}, Kind: Delivered, Listed: 1 << 40, Octets: 1<<40 - 1},
		{Key: Key{UniqueID: "A"}, Kind: Delivered, Digest: Digest{1}, SHA256: [32]byte{2}},
		{Key: Key{UniqueID: "A", Copy: 1}, Kind: Delivered},
		{Key: Key{UniqueID: "A", Copy: 10}, Kind: Delivered},
		{Key: Key{UniqueID: "a"}, Kind: Delivered, DeletedAt: now},
		{Key: Key{UniqueID: "\x80 \xff"}, Kind: Delivered, Place: "new/1"},
		{Key: Key{UniqueID: "é"}, Kind: Delivered},
	}
	slices.SortFunc(want, func(a, b Record) int { return compareKeys(a.Key, b.Key) })
	backwards := slices.Clone(want)
	slices.Reverse(backwards)
	mustCommit(t, s, account, backwards...)
	if got := all(t, s, account); !sameRecords(got, want) {
		t.Errorf("All() = %+v, want %+v", got, want)
	}
	var ids []string
	for _, r := range want {
		ids = append(ids, r.UniqueID)
	}
	got, err := s.Records(t.Context(), account, ids)
	if err != nil || !sameRecords(got, want) {
		t.Errorf("Records() = %+v, %v, want %+v", got, err, want)
	}
	got, err = s.Records(t.Context(), account, []string{"A", "none", "A"})
	if err != nil || len(got) != 3 {
		t.Errorf("Records() = %+v, %v, want the 3 copies of A", got, err)
	}
	if got, err := s.Records(t.Context(), account, nil); err != nil || len(got) != 0 {
		t.Errorf("Records() of no id = %v, %v, want none", got, err)
	}
}

// Any octets may be in a unique-id, also those that separate the fields of a packed row, and many may be asked for at once.
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
	mustDiff(t, s, account, listing)
	deliverAll(t, s, account, listing)
	want := fmt.Sprintf("new [], check [], seen %d, aside []", len(ids))
	for cost := range 2 {
		s.lookupCost = 1 + 1_000_000*cost
		wantDiff(t, s, account, listing, want)
	}
	records, err := s.Records(t.Context(), account, ids)
	if err != nil || len(records) != len(ids) {
		t.Errorf("Records() has %d, %v, want %d", len(records), err, len(ids))
	}
	n, err := s.Forget(t.Context(), account, ids...)
	if err != nil || n != len(ids) {
		t.Errorf("Forget() = %d, %v, want %d", n, err, len(ids))
	}
}

// A row says the same when it is read with many others, whatever its kind.
func TestTable_anyKind(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	mustCommit(t, s, account, recordOf(listingOf("a")[0]))
	conn, err := s.read.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, kind := range []Kind{0, Delivered, Marked, 3, 4, 9, -1} {
		if _, err := s.write.ExecContext(t.Context(), "UPDATE seen SET kind = ?", int(kind)); err != nil {
			t.Fatal(err)
		}
		k, err := tableOf(t.Context(), conn, account, nil, []string{"a"}).next()
		if err != nil || k == nil || len(k.records) != 1 {
			t.Fatalf("next() = %+v, %v, want one record", k, err)
		}
		if r := k.records[0]; r.kind != kind || r.deliveredAt != now.UnixMilli() {
			t.Errorf("of kind %d, delivered at %d: read as of kind %d, delivered at %d", kind, now.UnixMilli(), r.kind, r.deliveredAt)
		}
	}
}

func TestStore_Commit_replaces(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	first := recordOf(listingOf("a")[0])
	first.DeletedAt = now
	mustCommit(t, s, account, first)
	mustSetAside(t, s, account, Aside{Key: first.Key, Reason: Refused})
	second := first
	second.Place, second.DeletedAt, second.Octets = "new/other", time.Time{}, 7
	mustCommit(t, s, account, second)
	if got := all(t, s, account); !sameRecords(got, []Record{second}) {
		t.Errorf("All() = %+v, want %+v", got, second)
	}
	if asides, err := s.Asides(t.Context(), account); err != nil || len(asides) != 0 {
		t.Errorf("Asides() = %v, %v, want none", asides, err)
	}
	var details int
	if err := s.read.QueryRowContext(t.Context(), "SELECT count(*) FROM detail").Scan(&details); err != nil || details != 1 {
		t.Errorf("%d details, %v, want 1", details, err)
	}
}

// A batch is recorded whole or not at all.
func TestStore_Commit_refused(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("a", "b")
	bad := recordOf(listing[1])
	bad.Kind = 0
	if err := s.Commit(t.Context(), account, recordOf(listing[0]), bad); err == nil {
		t.Error("Commit() of a record without kind = nil, want an error")
	}
	if err := s.Commit(t.Context(), account+1, recordOf(listing[0])); err == nil {
		t.Error("Commit() to an unknown account = nil, want an error")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Commit(cancelled, account, recordOf(listing[0])); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit() = %v, want %v", err, context.Canceled)
	}
	if err := s.Commit(t.Context(), account); err != nil {
		t.Errorf("Commit() of nothing = %v", err)
	}
	if got := all(t, s, account); len(got) != 0 {
		t.Errorf("All() = %+v, want none", got)
	}
}

// Equal unique-ids of two accounts are different messages.
func TestStore_Commit_accounts(t *testing.T) {
	s := open(t)
	first := enter(t, s)
	second, err := s.Enter(t.Context(), "home", "pop.example.org:995", "bob")
	if err != nil {
		t.Fatal(err)
	}
	listing := listingOf("a")
	mustCommit(t, s, first, recordOf(listing[0]))
	wantDiff(t, s, second.ID, listing, "new [0], check [], seen 0, aside []")
	mustFinish(t, s, second.ID, nil)
	wantDiff(t, s, first, listing, "new [], check [], seen 1, aside []")
}

// Whoever reads all records may write meanwhile, and stop at any time.
func TestStore_All_whileWriting(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	deliverAll(t, s, account, listingOf("a", "b", "c"))
	read := 0
	for r, err := range s.All(t.Context(), account) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Forget(t.Context(), account, r.UniqueID); err != nil {
			t.Fatalf("Forget() = %v", err)
		}
		if read++; read == 2 {
			break
		}
	}
	if got := all(t, s, account); len(got) != 1 || got[0].UniqueID != "c" {
		t.Errorf("All() = %+v, want c", got)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.All(cancelled, account) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("All() yielded %v, want %v", err, context.Canceled)
		}
	}
}

func TestStore_Forget(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("a", "b", "b", "c")
	mustDiff(t, s, account, listing)
	deliverAll(t, s, account, listing)
	mustFinish(t, s, account, listing)
	n, err := s.Forget(t.Context(), account, "b", "unknown")
	if err != nil || n != 2 {
		t.Errorf("Forget() = %d, %v, want 2", n, err)
	}
	d := mustDiff(t, s, account, listing)
	if got, want := summary(d), "new [], check [], seen 2, aside [1 2]"; got != want || d.Aside[0].Reason != Wanted {
		t.Errorf("Diff() = %s, reason %v, want %s, Wanted", got, d.Aside, want)
	}
	mustSetAside(t, s, account, Aside{Key: listing[1].Key, Reason: Refused, Count: 1, Text: "451 later"})
	asides, err := s.Asides(t.Context(), account)
	if err != nil || len(asides) != 2 || asides[0].Reason != Wanted || asides[0].Count != 1 || asides[0].Text != "451 later" {
		t.Errorf("Asides() = %+v, %v, want it wanted still, and refused once", asides, err)
	}
	if n, err = s.Forget(t.Context(), account); err != nil || n != 2 {
		t.Errorf("Forget() = %d, %v, want 2", n, err)
	}
	wantDiff(t, s, account, listing, "new [], check [], seen 0, aside [0 1 2 3]")
	deliverAll(t, s, account, listing)
	wantDiff(t, s, account, listing, "new [], check [], seen 4, aside []")
}

// What was refused or quarantined is tried as if it never was: when the operator says so, and when the account gets another
// maildrop, whose unique-ids mean other messages.
func TestStore_quarantine(t *testing.T) {
	listing := listingOf("a", "b", "c")
	begin := func(t *testing.T) (*Store, int64) {
		s := open(t)
		account := enter(t, s)
		mustDiff(t, s, account, listing)
		mustSetAside(t, s, account,
			Aside{Key: listing[0].Key, Reason: Quarantined, Listed: 1000, Count: 5, Text: "no", ToldAt: now},
			Aside{Key: listing[1].Key, Reason: Refused, Listed: 1000, Count: 2, Text: "no", ToldAt: now},
			Aside{Key: listing[2].Key, Reason: TooLarge, Listed: 1000})
		wantDiff(t, s, account, listing, "new [], check [], seen 0, aside [0 1 2]")
		return s, account
	}
	afresh := func(t *testing.T, s *Store, account int64, want ...Reason) {
		t.Helper()
		for i, m := range mustDiff(t, s, account, listing).Aside {
			if fresh := m.Count == 0 && m.Text == "" && m.ToldAt.IsZero(); m.Reason != want[i] || !fresh {
				t.Errorf("%s is %+v, want reason %v, never refused", m.UniqueID, m.Aside, want[i])
			}
		}
	}
	t.Run("forgotten", func(t *testing.T) {
		s, account := begin(t)
		for _, test := range []struct {
			ids  []string
			want int
		}{{[]string{"a"}, 1}, {[]string{"c"}, 0}, {nil, 2}} {
			if n, err := s.Forget(t.Context(), account, test.ids...); err != nil || n != test.want {
				t.Errorf("Forget(%q) = %d, %v, want %d", test.ids, n, err, test.want)
			}
		}
		afresh(t, s, account, Refused, Refused, TooLarge)
	})
	t.Run("another maildrop", func(t *testing.T) {
		s, account := begin(t)
		if a, err := s.Enter(t.Context(), "work", "pop.example.net:995", "alice"); err != nil || a.ID != account {
			t.Fatalf("Enter() = %+v, %v", a, err)
		}
		afresh(t, s, account, Refused, Refused, TooLarge)
	})
	t.Run("C0040/another message has the unique-id", func(t *testing.T) {
		s, account := begin(t)
		listing := listingOf("a", "b", "c")
		for i := range listing {
			listing[i].Octets = 5000
		}
		wantDiff(t, s, account, listing, "new [0], check [], seen 0, aside [1 2]")
	})
}

func TestStore_SetAside(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	key := Key{UniqueID: "a"}
	steps := []struct{ set, want Aside }{
		{Aside{Key: key, Reason: Refused, Listed: 5, Count: 1, Last: now, Text: "first", ToldAt: now},
			Aside{Key: key, Reason: Refused, Listed: 5, Count: 1, Since: now, Last: now, Text: "first", ToldAt: now}},
		{Aside{Key: key, Reason: Refused, Listed: 5, Count: 1, Last: now.Add(time.Hour), Text: "second", ToldAt: now.Add(time.Hour)},
			Aside{Key: key, Reason: Refused, Listed: 5, Count: 2, Since: now, Last: now.Add(time.Hour), Text: "second", ToldAt: now.Add(time.Hour)}},
		{Aside{Key: key, Reason: Refused, Listed: 5, Last: now.Add(time.Hour), Text: "for now"}, // it counts for nothing
			Aside{Key: key, Reason: Refused, Listed: 5, Count: 2, Since: now, Last: now.Add(time.Hour), Text: "for now", ToldAt: now.Add(time.Hour)}},
		{Aside{Key: key, Reason: TooLarge, Listed: 6},
			Aside{Key: key, Reason: TooLarge, Listed: 6, Count: 2, Since: now, Last: now, ToldAt: now.Add(time.Hour)}},
	}
	for _, step := range steps {
		mustSetAside(t, s, account, step.set)
		asides, err := s.Asides(t.Context(), account)
		if err != nil || len(asides) != 1 {
			t.Fatalf("Asides() = %+v, %v, want one", asides, err)
		}
		got := asides[0]
		if !got.Since.Equal(step.want.Since) || !got.Last.Equal(step.want.Last) || !got.ToldAt.Equal(step.want.ToldAt) {
			t.Errorf("since %v, last %v, told %v, want %v, %v, %v", got.Since, got.Last, got.ToldAt, step.want.Since, step.want.Last, step.want.ToldAt)
		}
		got.Since, got.Last, got.ToldAt = step.want.Since, step.want.Last, step.want.ToldAt
		if got != step.want {
			t.Errorf("Asides() = %+v, want %+v", got, step.want)
		}
	}
	if err := s.SetAside(t.Context(), account, Aside{Key: key}); err == nil {
		t.Error("SetAside() without a reason = nil, want an error")
	}
	if err := s.SetAside(t.Context(), account); err != nil {
		t.Errorf("SetAside() of nothing = %v", err)
	}
	mustFinish(t, s, account, nil)
	if asides, err := s.Asides(t.Context(), account); err != nil || len(asides) != 1 || !asides[0].AbsentAt.Equal(now) {
		t.Errorf("Asides() of what is not listed any more = %v, %v, want one absent at %v", asides, err, now)
	}
}

// Records are added many at a time; where one of a group replaces an older one, all are right, and counted right.
func TestStore_Commit_manyAndSomeAgain(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	ids := make([]string, 2*rowsAtOnce+3)
	for i := range ids {
		ids[i] = fmt.Sprintf("id-%03d", i)
	}
	listing := listingOf(ids...)
	mustDiff(t, s, account, listing)
	old := []int{0, rowsAtOnce + 1, 2*rowsAtOnce + 2}
	for _, i := range old {
		r := recordOf(listing[i])
		r.Place, r.DeletedAt = "new/old", now
		mustCommit(t, s, account, r)
	}
	deliverAll(t, s, account, listing)
	records, err := s.Records(t.Context(), account, ids)
	if err != nil || len(records) != len(ids) {
		t.Fatalf("Records() = %d of them, %v, want %d", len(records), err, len(ids))
	}
	for i, r := range records {
		if want := recordOf(listing[i]); !sameRecords([]Record{r}, []Record{want}) {
			t.Errorf("record %d = %v, want %v", i, r, want)
		}
	}
	if a, err := s.Lookup(t.Context(), "work", "pop.example.org:995", "alice"); err != nil || a.Records != len(ids) {
		t.Errorf("Lookup() = %+v, %v, want %d records", a, err, len(ids))
	}
	var details int
	if err := s.read.QueryRowContext(t.Context(), "SELECT count(*) FROM detail").Scan(&details); err != nil || details != len(ids) {
		t.Errorf("%d details, %v, want %d", details, err, len(ids))
	}
}

// Many records can be given up in the middle: none of them is there then.
func TestCommitParts_cancelled(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	parts := 0
	err := s.CommitParts(ctx, account, func(yield func([]Record) bool) {
		for _, e := range listingOf("a", "b", "c") {
			if parts++; parts == 2 {
				cancel()
			}
			if !yield([]Record{recordOf(e)}) {
				return
			}
		}
	})
	if !errors.Is(err, context.Canceled) || parts != 2 {
		t.Errorf("CommitParts() = %v after %d parts, want context.Canceled after 2", err, parts)
	}
	if found, err := s.Records(t.Context(), account, []string{"a", "b", "c"}); err != nil || len(found) != 0 {
		t.Errorf("Records() = %v, %v, want none", found, err)
	}
}
