package sqlite

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// If the id of a deleted message is listed again, it may name another message (C0040).
func TestFinish_deleted(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("a", "b")
	mustDiff(t, account, listing)
	deliverAll(t, account, listing)
	mustFinish(t, account, listing[1:], listing[0].Key)

	wantDiff(t, account, listingOf("b"), "new [], check [], seen 1, aside []")
	wantDiff(t, account, listingOf("a", "b"), "new [], check [0], seen 1, aside []")
	records, err := account.Records(t.Context(), []string{"a"})
	if err != nil || len(records) != 1 || !records[0].DeletedAt.Equal(now) {
		t.Errorf("Records() = %v, %v, want one deleted at %v", records, err, now)
	}
	again := recordOf(listingOf("a")[0])
	mustCommit(t, account, again)
	wantDiff(t, account, listingOf("a", "b"), "new [], check [], seen 2, aside []")
}

// The example that conformance.md gives of two messages with one id.
func TestFinish_copies(t *testing.T) {
	twice := func(t *testing.T) (*ledger, []seen.Entry) {
		s := open(t)
		account := enter(t, s)
		listing := listingOf("x", "x")
		wantDiff(t, account, listing, "new [0 1], check [], seen 0, aside []")
		return account, listing
	}
	t.Run("C0041/delivered, none on the next run", func(t *testing.T) {
		account, listing := twice(t)
		deliverAll(t, account, listing)
		mustFinish(t, account, listing)
		d := mustDiff(t, account, listing)
		if d.Seen != 2 || !d.Unchanged {
			t.Errorf("Diff() = %s, unchanged %v, want 2 seen, unchanged", summary(d), d.Unchanged)
		}
	})
	t.Run("C0041/one removed, then two again", func(t *testing.T) {
		account, listing := twice(t)
		deliverAll(t, account, listing)
		mustFinish(t, account, listing)
		one := listingOf("x")
		wantDiff(t, account, one, "new [], check [0], seen 0, aside []")
		mustFinish(t, account, one)
		wantDiff(t, account, one, "new [], check [], seen 1, aside []")
		wantDiff(t, account, listingOf("x", "x"), "new [], check [0 1], seen 0, aside []")
	})
	t.Run("C0041/first delivered and deleted, second refused", func(t *testing.T) {
		account, listing := twice(t)
		mustCommit(t, account, recordOf(listing[0]))
		mustSetAside(t, account, seen.Aside{Key: listing[1].Key, Reason: seen.Refused, Listed: 1000})
		wantDiff(t, account, listing, "new [], check [], seen 1, aside [1]")
		mustFinish(t, account, listing[1:], listing[0].Key)
		// The listed message has the key of the deleted one, but is the other one.
		wantDiff(t, account, listingOf("x"), "new [], check [0], seen 0, aside []")
	})
	t.Run("C0041/crash after the first", func(t *testing.T) {
		account, listing := twice(t)
		mustCommit(t, account, recordOf(listing[0]))
		wantDiff(t, account, listing, "new [], check [0 1], seen 0, aside []")
	})
	t.Run("C0041/another copy behind what was left", func(t *testing.T) {
		account, listing := twice(t)
		deliverAll(t, account, listing)
		others := make([]string, 40)
		for i := range others {
			others[i] = string(rune('A' + i))
		}
		listing = listingOf(append(others, "x", "x")...)
		mustDiff(t, account, listing)
		deliverAll(t, account, listing)
		mustFinish(t, account, listing)
		more := listingOf(append(others, "x", "x", "x")...)
		wantDiff(t, account, more, "new [], check [40 41 42], seen 40, aside []")
		if got := more[42].Copy; got != 2 {
			t.Errorf("copy of the third = %d, want 2", got)
		}
	})
}

func TestFinish_grace(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("here", "hidden", "refused")
	mustDiff(t, account, listing)
	deliverAll(t, account, listing[:2])
	mustSetAside(t, account, seen.Aside{Key: listing[2].Key, Reason: seen.Refused})
	here := listing[:1]
	const grace = 90 * 24 * time.Hour // written out, so that a change of GraceTime fails here
	for _, step := range []struct {
		after   time.Duration
		records int
		left    []seen.Entry
	}{
		{0, 2, here},
		{grace, 2, here},             // not longer than the grace time
		{grace + time.Hour, 1, here}, // longer
	} {
		if err := account.Finish(t.Context(), seen.Diff{}, step.left, nil, now.Add(step.after)); err != nil {
			t.Fatalf("Finish() = %v", err)
		}
		a, err := look(t, s, "work", "", "")
		if err != nil || a.Records != step.records {
			t.Errorf("after %v: %d records, %v, want %d", step.after, a.Records, err, step.records)
		}
	}
	wantDiff(t, account, listing, "new [1 2], check [], seen 1, aside []")
	var details int
	if err := s.read.QueryRowContext(t.Context(), "SELECT count(*) FROM detail").Scan(&details); err != nil || details != 1 {
		t.Errorf("%d details, %v, want 1", details, err)
	}
}

// After a first run nothing needs to be compared. Messages that the run has left out are noticed
// all the same.
func TestFinish_first(t *testing.T) {
	for _, test := range []struct {
		name             string
		recorded, aside  int // of four messages, two of them copies of one
		deleted          int
		wantedNextAsSeen string
	}{
		{"all", 4, 0, 0, "new [], check [], seen 4, aside []"},
		{"all but one", 3, 0, 0, "new [3], check [], seen 3, aside []"},
		{"one set aside", 3, 1, 0, "new [], check [], seen 3, aside [3]"},
		{"none", 0, 0, 0, "new [0 1 2 3], check [], seen 0, aside []"},
		{"some deleted", 4, 0, 2, "new [], check [], seen 2, aside []"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			account := enter(t, s)
			listing := listingOf("x", "x", "b", "a")
			d := mustDiff(t, account, listing)
			deliverAll(t, account, listing[:test.recorded])
			for _, e := range listing[4-test.aside:] {
				mustSetAside(t, account, seen.Aside{Key: e.Key, Reason: seen.Refused, Listed: e.Octets})
			}
			var deleted []seen.Deleted
			for _, e := range listing[:test.deleted] {
				deleted = append(deleted, deletedBy("rule", e.Key)...)
			}
			left := listing[test.deleted:]
			if err := account.Finish(t.Context(), d, left, deleted, now); err != nil {
				t.Fatal(err)
			}
			known, oldest := dump(t, account)
			if err := account.Finish(t.Context(), seen.Diff{}, left, deleted, now); err != nil {
				t.Fatal(err)
			}
			if again, wantOldest := dump(t, account); known != again || oldest != wantOldest {
				t.Errorf("Finish() left\n%s, oldest %d\nand after looking at everything\n%s, oldest %d", known, oldest, again, wantOldest)
			}
			wantDiff(t, account, left, test.wantedNextAsSeen)
		})
	}
}

// A run that broke off has recorded a message. The message is gone in the next listing, so that
// listing does not show that it ever existed.
func TestFinish_goneUnlisted(t *testing.T) {
	s := open(t)
	s.tuning.LookupCost = 1
	account := enter(t, s)
	left := listingOf("a", "b", "c")
	mustCommit(t, account, recordOf(left[0]), recordOf(left[1]), recordOf(left[2]), recordOf(listingOf("gone")[0]))
	if err := account.Finish(t.Context(), seen.Diff{}, left, nil, now); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, account, recordOf(listingOf("unlisted")[0]))
	listing := listingOf("a", "b", "c", "d")
	d := mustDiff(t, account, listing)
	if !d.Effort().Few {
		t.Errorf("Diff() = %s, which leaves Finish all to look at, want little", summary(d))
	}
	mustCommit(t, account, recordOf(listing[3]))
	if err := account.Finish(t.Context(), d, listing, nil, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	records, err := account.Records(t.Context(), []string{"gone", "unlisted"})
	if err != nil || len(records) != 2 || !records[0].AbsentAt.Equal(now) || !records[1].AbsentAt.Equal(now.Add(time.Hour)) {
		t.Errorf("Records() = %+v, %v, want one absent since %v and one an hour later", records, err, now)
	}
}

// If a server once shows an empty maildrop, popfetch must neither forget the messages nor take them
// for others (behaviour 44).
func TestFinish_hiddenForAWhile(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("a", "b", "c")
	mustDiff(t, account, listing)
	deliverAll(t, account, listing)
	mustFinish(t, account, listing)
	mustFinish(t, account, nil)
	if d := mustDiff(t, account, nil); !d.Unchanged {
		t.Error("the empty listing was not found unchanged")
	}
	wantDiff(t, account, listing, "new [], check [], seen 3, aside []")
}

func TestFinish_unknownAccount(t *testing.T) {
	s := open(t)
	account := &ledger{store: s, id: 7}
	if err := account.Finish(t.Context(), seen.Diff{}, nil, nil, now); !errors.Is(err, seen.ErrUnknown) {
		t.Errorf("Finish() = %v, want %v", err, seen.ErrUnknown)
	}
	if _, err := account.Diff(t.Context(), nil, time.Time{}); !errors.Is(err, seen.ErrUnknown) {
		t.Errorf("Diff() = %v, want %v", err, seen.ErrUnknown)
	}
}

// The digest spares look-ups. It must be removed with every change that makes one of its messages
// doubtful.
func TestFinish_digestGoes(t *testing.T) {
	ids := []string{"a", "b", "c"}
	sql := func(query string) func(*testing.T, *Store, *ledger) {
		return func(t *testing.T, s *Store, _ *ledger) {
			if _, err := s.write.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name string
		do   func(t *testing.T, _ *Store, account *ledger)
		stay bool
	}{
		{"nothing", func(*testing.T, *Store, *ledger) {}, true},
		{"a new record", func(t *testing.T, _ *Store, account *ledger) {
			mustCommit(t, account, recordOf(listingOf("d")[0]))
		}, true},
		{"the same server and user", func(t *testing.T, s *Store, _ *ledger) { enter(t, s) }, true},
		{"another server", func(t *testing.T, s *Store, _ *ledger) {
			if _, err := s.Enter(t.Context(), "work", "pop.example.net:995", "alice"); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"another user", func(t *testing.T, s *Store, _ *ledger) {
			if _, err := s.Enter(t.Context(), "work", "pop.example.org:995", "bob"); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"forgotten", func(t *testing.T, _ *Store, account *ledger) {
			if _, err := account.Forget(t.Context(), "b"); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"replaced", func(t *testing.T, _ *Store, account *ledger) {
			mustCommit(t, account, recordOf(listingOf("b")[0]))
		}, false},
		{"an aside delivered", func(t *testing.T, _ *Store, account *ledger) {
			mustCommit(t, account, recordOf(listingOf("c")[0]))
		}, false},
		{"a record removed", sql("DELETE FROM seen WHERE unique_id = x'61'"), false},
		{"a key changed", sql("UPDATE seen SET unique_id = x'7a' WHERE unique_id = x'61'"), false},
		{"an aside removed", sql("DELETE FROM aside"), false},
		{"an aside's key changed", sql("UPDATE aside SET copy = 1"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			account := enter(t, s)
			listing := listingOf(ids...)
			mustDiff(t, account, listing)
			deliverAll(t, account, listing[:2])
			mustSetAside(t, account, seen.Aside{Key: listing[2].Key, Reason: seen.TooLarge})
			mustFinish(t, account, listing)
			if d := mustDiff(t, account, listing); !d.Unchanged {
				t.Fatal("the listing was not found unchanged before")
			}
			test.do(t, s, account)
			if d := mustDiff(t, account, listing); d.Unchanged != test.stay {
				t.Errorf("unchanged = %v, want %v", d.Unchanged, test.stay)
			}
		})
	}
}

// Finish must not keep a digest over messages that the next Diff could not call seen.
func TestFinish_doubtful(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, _ *Store, account *ledger, listing []seen.Entry) (left []seen.Entry, deleted []seen.Deleted)
	}{
		{"not retrieved", func(t *testing.T, _ *Store, account *ledger, listing []seen.Entry) ([]seen.Entry, []seen.Deleted) {
			deliverAll(t, account, listing[:2])
			return listing, nil
		}},
		{"C0041/a copy not retrieved", func(t *testing.T, _ *Store, account *ledger, listing []seen.Entry) ([]seen.Entry, []seen.Deleted) {
			deliverAll(t, account, slices.Delete(slices.Clone(listing), 2, 3))
			return listing, nil
		}},
		{"C0040/other octets", func(t *testing.T, _ *Store, account *ledger, listing []seen.Entry) ([]seen.Entry, []seen.Deleted) {
			deliverAll(t, account, listing)
			listing[0].Octets *= 2
			return listing, nil
		}},
		{"C0041/the first copy deleted", func(t *testing.T, _ *Store, account *ledger, listing []seen.Entry) ([]seen.Entry, []seen.Deleted) {
			deliverAll(t, account, listing)
			return slices.Delete(slices.Clone(listing), 1, 2), deletedBy("rule", listing[1].Key)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			account := enter(t, s)
			listing := listingOf("a", "x", "x", "b")
			mustDiff(t, account, listing)
			left, deleted := test.do(t, s, account, listing)
			mustFinishBy(t, account, left, deleted)
			d := mustDiff(t, account, slices.Clone(left))
			if d.Unchanged || len(d.New)+len(d.Check) == 0 {
				t.Errorf("Diff() = %s, unchanged %v, want doubt", summary(d), d.Unchanged)
			}
		})
	}
}

// A message that was due and is deleted no longer counts as the earliest. Otherwise every later
// listing would be compared with the whole table.
func TestFinish_oldest(t *testing.T) {
	s := open(t)
	s.tuning.LookupCost = 1
	account := enter(t, s)
	listing := listingOf("a", "b", "c")
	for i, e := range listing {
		r := recordOf(e)
		r.DeliveredAt = now.Add(time.Duration(i) * time.Hour)
		mustCommit(t, account, r)
	}
	mustFinish(t, account, listing)
	d, err := account.Diff(t.Context(), listing, now)
	if err != nil || !slices.Equal(d.Due, []int{0}) || !d.Effort().Few {
		t.Fatalf("Diff() = %+v, %v, want the first due, and little to look at", d, err)
	}
	if err := account.Finish(t.Context(), d, listing[1:], deletedBy("rule", listing[0].Key), now); err != nil {
		t.Fatal(err)
	}
	if _, oldest := dump(t, account); oldest != seen.Millis(now.Add(time.Hour)) {
		t.Errorf("the earliest delivery noted is %d, want that of b, %d", oldest, seen.Millis(now.Add(time.Hour)))
	}
}
