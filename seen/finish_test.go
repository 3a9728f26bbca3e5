package seen

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// A message that was deleted, and whose id is listed again, may be another one (C0040).
func TestFinish_deleted(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("a", "b")
	mustDiff(t, s, account, listing)
	deliverAll(t, s, account, listing)
	mustFinish(t, s, account, listing[1:], listing[0].Key)

	wantDiff(t, s, account, listingOf("b"), "new [], check [], seen 1, aside []")
	wantDiff(t, s, account, listingOf("a", "b"), "new [], check [0], seen 1, aside []")
	records, err := s.Records(t.Context(), account, []string{"a"})
	if err != nil || len(records) != 1 || !records[0].DeletedAt.Equal(now) {
		t.Errorf("Records() = %v, %v, want one deleted at %v", records, err, now)
	}
	again := recordOf(listingOf("a")[0])
	mustCommit(t, s, account, again)
	wantDiff(t, s, account, listingOf("a", "b"), "new [], check [], seen 2, aside []")
}

// The story that conformance.md tells of two messages with one id.
func TestFinish_copies(t *testing.T) {
	twice := func(t *testing.T) (*Store, int64, []Entry) {
		s := open(t)
		account := enter(t, s)
		listing := listingOf("x", "x")
		wantDiff(t, s, account, listing, "new [0 1], check [], seen 0, aside []")
		return s, account, listing
	}
	t.Run("C0041/delivered, none on the next run", func(t *testing.T) {
		s, account, listing := twice(t)
		deliverAll(t, s, account, listing)
		mustFinish(t, s, account, listing)
		d := mustDiff(t, s, account, listing)
		if d.Seen != 2 || !d.Unchanged {
			t.Errorf("Diff() = %s, unchanged %v, want 2 seen, unchanged", summary(d), d.Unchanged)
		}
	})
	t.Run("C0041/one removed, then two again", func(t *testing.T) {
		s, account, listing := twice(t)
		deliverAll(t, s, account, listing)
		mustFinish(t, s, account, listing)
		one := listingOf("x")
		wantDiff(t, s, account, one, "new [], check [0], seen 0, aside []")
		mustFinish(t, s, account, one)
		wantDiff(t, s, account, one, "new [], check [], seen 1, aside []")
		wantDiff(t, s, account, listingOf("x", "x"), "new [], check [0 1], seen 0, aside []")
	})
	t.Run("C0041/first delivered and deleted, second refused", func(t *testing.T) {
		s, account, listing := twice(t)
		mustCommit(t, s, account, recordOf(listing[0]))
		mustSetAside(t, s, account, Aside{Key: listing[1].Key, Reason: Refused, Listed: 1000})
		wantDiff(t, s, account, listing, "new [], check [], seen 1, aside [1]")
		mustFinish(t, s, account, listing[1:], listing[0].Key)
		// What is listed now has the key of the deleted message, but is the other one.
		wantDiff(t, s, account, listingOf("x"), "new [], check [0], seen 0, aside []")
	})
	t.Run("C0041/crash after the first", func(t *testing.T) {
		s, account, listing := twice(t)
		mustCommit(t, s, account, recordOf(listing[0]))
		wantDiff(t, s, account, listing, "new [], check [0 1], seen 0, aside []")
	})
	t.Run("C0041/another copy behind what was left", func(t *testing.T) {
		s, account, listing := twice(t)
		deliverAll(t, s, account, listing)
		others := make([]string, 40)
		for i := range others {
			others[i] = string(rune('A' + i))
		}
		listing = listingOf(append(others, "x", "x")...)
		mustDiff(t, s, account, listing)
		deliverAll(t, s, account, listing)
		mustFinish(t, s, account, listing)
		more := listingOf(append(others, "x", "x", "x")...)
		wantDiff(t, s, account, more, "new [], check [40 41 42], seen 40, aside []")
		if got := more[42].Copy; got != 2 {
			t.Errorf("copy of the third = %d, want 2", got)
		}
	})
}

func TestFinish_grace(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("here", "hidden", "refused")
	mustDiff(t, s, account, listing)
	deliverAll(t, s, account, listing[:2])
	mustSetAside(t, s, account, Aside{Key: listing[2].Key, Reason: Refused})
	here := listing[:1]
	const grace = 90 * 24 * time.Hour // spelled out, so that a change of graceTime fails here
	for _, step := range []struct {
		after   time.Duration
		records int
		left    []Entry
	}{
		{0, 2, here},
		{grace, 2, here},             // not longer than the grace time
		{grace + time.Hour, 1, here}, // longer
	} {
		if err := s.Finish(t.Context(), account, Diff{}, step.left, nil, now.Add(step.after)); err != nil {
			t.Fatalf("Finish() = %v", err)
		}
		a, err := s.Lookup(t.Context(), "work", "", "")
		if err != nil || a.Records != step.records {
			t.Errorf("after %v: %d records, %v, want %d", step.after, a.Records, err, step.records)
		}
	}
	wantDiff(t, s, account, listing, "new [1 2], check [], seen 1, aside []")
	var details int
	if err := s.read.QueryRowContext(t.Context(), "SELECT count(*) FROM detail").Scan(&details); err != nil || details != 1 {
		t.Errorf("%d details, %v, want 1", details, err)
	}
}

// Of a first run nothing needs to be compared; what it has left out shows all the same.
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
			d := mustDiff(t, s, account, listing)
			deliverAll(t, s, account, listing[:test.recorded])
			for _, e := range listing[4-test.aside:] {
				mustSetAside(t, s, account, Aside{Key: e.Key, Reason: Refused, Listed: e.Octets})
			}
			var deleted []Key
			for _, e := range listing[:test.deleted] {
				deleted = append(deleted, e.Key)
			}
			left := listing[test.deleted:]
			if err := s.Finish(t.Context(), account, d, left, deleted, now); err != nil {
				t.Fatal(err)
			}
			known, oldest := dump(t, s, account)
			if err := s.Finish(t.Context(), account, Diff{}, left, deleted, now); err != nil {
				t.Fatal(err)
			}
			if again, wantOldest := dump(t, s, account); known != again || oldest != wantOldest {
				t.Errorf("Finish() left\n%s, oldest %d\nand after looking at everything\n%s, oldest %d", known, oldest, again, wantOldest)
			}
			wantDiff(t, s, account, left, test.wantedNextAsSeen)
		})
	}
}

// A run that broke off has recorded a message that is gone when the next one lists: the listing does not tell that it was ever there.
func TestFinish_goneUnlisted(t *testing.T) {
	s := open(t)
	s.lookupCost = 1
	account := enter(t, s)
	left := listingOf("a", "b", "c")
	mustCommit(t, s, account, recordOf(left[0]), recordOf(left[1]), recordOf(left[2]), recordOf(listingOf("gone")[0]))
	if err := s.Finish(t.Context(), account, Diff{}, left, nil, now); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, account, recordOf(listingOf("unlisted")[0]))
	listing := listingOf("a", "b", "c", "d")
	d := mustDiff(t, s, account, listing)
	if !d.rest.few {
		t.Errorf("Diff() = %s, which leaves Finish all to look at, want little", summary(d))
	}
	mustCommit(t, s, account, recordOf(listing[3]))
	if err := s.Finish(t.Context(), account, d, listing, nil, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	records, err := s.Records(t.Context(), account, []string{"gone", "unlisted"})
	if err != nil || len(records) != 2 || !records[0].AbsentAt.Equal(now) || !records[1].AbsentAt.Equal(now.Add(time.Hour)) {
		t.Errorf("Records() = %+v, %v, want one absent since %v and one an hour later", records, err, now)
	}
}

// A server that shows an empty maildrop once must not make popfetch forget, nor take the messages for others (behaviour 44).
func TestFinish_hiddenForAWhile(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("a", "b", "c")
	mustDiff(t, s, account, listing)
	deliverAll(t, s, account, listing)
	mustFinish(t, s, account, listing)
	mustFinish(t, s, account, nil)
	if d := mustDiff(t, s, account, nil); !d.Unchanged {
		t.Error("the empty listing was not found unchanged")
	}
	wantDiff(t, s, account, listing, "new [], check [], seen 3, aside []")
}

func TestFinish_unknownAccount(t *testing.T) {
	s := open(t)
	if err := s.Finish(t.Context(), 7, Diff{}, nil, nil, now); !errors.Is(err, ErrUnknown) {
		t.Errorf("Finish() = %v, want %v", err, ErrUnknown)
	}
	if _, err := s.Diff(t.Context(), 7, nil, time.Time{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("Diff() = %v, want %v", err, ErrUnknown)
	}
}

// The digest that spares the look-ups must go with whatever makes a message it covers doubtful.
func TestFinish_digestGoes(t *testing.T) {
	ids := []string{"a", "b", "c"}
	sql := func(query string) func(*testing.T, *Store, int64) {
		return func(t *testing.T, s *Store, _ int64) {
			if _, err := s.write.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name string
		do   func(t *testing.T, s *Store, account int64)
		stay bool
	}{
		{"nothing", func(*testing.T, *Store, int64) {}, true},
		{"a new record", func(t *testing.T, s *Store, account int64) {
			mustCommit(t, s, account, recordOf(listingOf("d")[0]))
		}, true},
		{"the same server and user", func(t *testing.T, s *Store, _ int64) { enter(t, s) }, true},
		{"another server", func(t *testing.T, s *Store, _ int64) {
			if _, err := s.Enter(t.Context(), "work", "pop.example.net:995", "alice"); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"another user", func(t *testing.T, s *Store, _ int64) {
			if _, err := s.Enter(t.Context(), "work", "pop.example.org:995", "bob"); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"forgotten", func(t *testing.T, s *Store, account int64) {
			if _, err := s.Forget(t.Context(), account, "b"); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"replaced", func(t *testing.T, s *Store, account int64) {
			mustCommit(t, s, account, recordOf(listingOf("b")[0]))
		}, false},
		{"an aside delivered", func(t *testing.T, s *Store, account int64) {
			mustCommit(t, s, account, recordOf(listingOf("c")[0]))
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
			mustDiff(t, s, account, listing)
			deliverAll(t, s, account, listing[:2])
			mustSetAside(t, s, account, Aside{Key: listing[2].Key, Reason: TooLarge})
			mustFinish(t, s, account, listing)
			if d := mustDiff(t, s, account, listing); !d.Unchanged {
				t.Fatal("the listing was not found unchanged before")
			}
			test.do(t, s, account)
			if d := mustDiff(t, s, account, listing); d.Unchanged != test.stay {
				t.Errorf("unchanged = %v, want %v", d.Unchanged, test.stay)
			}
		})
	}
}

// Finish must not keep a digest over what the next Diff could not call seen.
func TestFinish_doubtful(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, s *Store, account int64, listing []Entry) (left []Entry, deleted []Key)
	}{
		{"not retrieved", func(t *testing.T, s *Store, account int64, listing []Entry) ([]Entry, []Key) {
			deliverAll(t, s, account, listing[:2])
			return listing, nil
		}},
		{"C0041/a copy not retrieved", func(t *testing.T, s *Store, account int64, listing []Entry) ([]Entry, []Key) {
			deliverAll(t, s, account, slices.Delete(slices.Clone(listing), 2, 3))
			return listing, nil
		}},
		{"C0040/other octets", func(t *testing.T, s *Store, account int64, listing []Entry) ([]Entry, []Key) {
			deliverAll(t, s, account, listing)
			listing[0].Octets *= 2
			return listing, nil
		}},
		{"C0041/the first copy deleted", func(t *testing.T, s *Store, account int64, listing []Entry) ([]Entry, []Key) {
			deliverAll(t, s, account, listing)
			return slices.Delete(slices.Clone(listing), 1, 2), []Key{listing[1].Key}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			account := enter(t, s)
			listing := listingOf("a", "x", "x", "b")
			mustDiff(t, s, account, listing)
			left, deleted := test.do(t, s, account, listing)
			mustFinish(t, s, account, left, deleted...)
			d := mustDiff(t, s, account, slices.Clone(left))
			if d.Unchanged || len(d.New)+len(d.Check) == 0 {
				t.Errorf("Diff() = %s, unchanged %v, want doubt", summary(d), d.Unchanged)
			}
		})
	}
}

// What was due and is deleted is not the earliest that is left: else every later listing would be compared with the whole table.
func TestFinish_oldest(t *testing.T) {
	s := open(t)
	s.lookupCost = 1
	account := enter(t, s)
	listing := listingOf("a", "b", "c")
	for i, e := range listing {
		r := recordOf(e)
		r.DeliveredAt = now.Add(time.Duration(i) * time.Hour)
		mustCommit(t, s, account, r)
	}
	mustFinish(t, s, account, listing)
	d, err := s.Diff(t.Context(), account, listing, now)
	if err != nil || !slices.Equal(d.Due, []int{0}) || !d.rest.few {
		t.Fatalf("Diff() = %+v, %v, want the first due, and little to look at", d, err)
	}
	if err := s.Finish(t.Context(), account, d, listing[1:], []Key{listing[0].Key}, now); err != nil {
		t.Fatal(err)
	}
	if _, oldest := dump(t, s, account); oldest != toMillis(now.Add(time.Hour)) {
		t.Errorf("the earliest delivery noted is %d, want that of b, %d", oldest, toMillis(now.Add(time.Hour)))
	}
}
