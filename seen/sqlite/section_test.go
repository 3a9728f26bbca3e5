package sqlite

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// ascendingListing has the unique-ids id-00 to id-39.
func ascendingListing() []seen.Entry {
	ids := make([]string, 40)
	for i := range ids {
		ids[i] = fmt.Sprintf("id-%02d", i)
	}
	return listingOf(ids...)
}

// Messages that vanished from the middle or changed there are found by reading only their sections.
func TestDiff_sections(t *testing.T) {
	for _, test := range []struct {
		name    string
		change  func(listing []seen.Entry) []seen.Entry
		want    string
		looked  []string
		notDone bool
	}{
		{"some gone from the middle", func(l []seen.Entry) []seen.Entry { return slices.Delete(l, 18, 21) },
			"new [], check [], seen 37, aside []", []string{"id-18", "id-19", "id-20"}, false},
		{"a whole section gone", func(l []seen.Entry) []seen.Entry { return slices.Delete(l, 10, 20) },
			"new [], check [], seen 30, aside []", []string{"id-10", "id-11", "id-12", "id-13", "id-14", "id-15", "id-16", "id-17", "id-18", "id-19"}, false},
		{"first and last gone", func(l []seen.Entry) []seen.Entry { return slices.Delete(slices.Delete(l, 39, 40), 0, 1) },
			"new [], check [], seen 38, aside []", []string{"id-00", "id-39"}, false},
		{"others in between and behind", func(l []seen.Entry) []seen.Entry {
			return append(slices.Insert(l, 5, listingOf("id-04+")...), listingOf("id-40", "id-41")...)
		}, "new [5 41 42], check [], seen 40, aside []", []string{"id-04+", "id-40", "id-41"}, false},
		{"other octets", func(l []seen.Entry) []seen.Entry { l[7].Octets *= 2; return l },
			"new [], check [7], seen 39, aside []", []string{"id-07"}, false},
		{"another order", func(l []seen.Entry) []seen.Entry { l[7], l[8] = l[8], l[7]; return l },
			"new [], check [], seen 40, aside []", nil, true},
		{"a copy", func(l []seen.Entry) []seen.Entry { return slices.Insert(l, 8, listingOf("id-07")...) },
			"new [], check [7 8], seen 39, aside []", nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			s.tuning.SectionSize = 10
			account := enter(t, s)
			listing := ascendingListing()
			deliverAll(t, account, listing)
			mustFinish(t, account, listing)
			listing = test.change(listing)
			s.tuning.Sections = true
			for i := range listing {
				listing[i].Copy = 7
			}
			d := mustDiff(t, account, listing)
			done := d.Effort().Sections
			if done == test.notDone {
				t.Fatalf("it was compared by sections: %v, want %v", done, !test.notDone)
			}
			if done && !slices.Equal(d.Effort().IDs, test.looked) {
				t.Errorf("Finish is to look at %v, want %v", d.Effort().IDs, test.looked)
			}
			if done && slices.ContainsFunc(listing, func(e seen.Entry) bool { return e.Copy != 0 }) {
				t.Errorf("the copies are %v, want each to be the first", listing)
			}
			if summary(d) != test.want {
				t.Errorf("Diff() = %s, want %s", summary(d), test.want)
			}
			s.tuning.Sections = false
			wantDiff(t, account, listing, test.want)
		})
	}
}

// An unchanged section is not read from the table.
func TestDiff_sectionsUnread(t *testing.T) {
	s := open(t)
	s.tuning.SectionSize = 10
	account := enter(t, s)
	listing := ascendingListing()
	deliverAll(t, account, listing)
	mustFinish(t, account, listing)
	// The triggers do not run, so only a reader of the row notices this change.
	_, err := s.write.ExecContext(t.Context(), "DROP TRIGGER seen_changed; UPDATE seen SET deleted_at = 1 WHERE unique_id IN (CAST('id-15' AS BLOB), CAST('id-35' AS BLOB))")
	if err != nil {
		t.Fatal(err)
	}
	wantDiff(t, account, slices.Delete(slices.Clone(listing), 37, 38), "new [], check [35], seen 38, aside []")
}

// A record may be where Diff does not look: it was made by a run that broke off, or its message is
// now listed in another section. The number of records shows that it is gone.
func TestFinish_sections(t *testing.T) {
	ascending := ascendingListing()
	// id-15 is in the last section.
	behind := slices.Insert(slices.Delete(slices.Clone(ascending), 15, 16), 38, ascending[15])
	for _, test := range []struct {
		name    string
		left    []seen.Entry // of the run before
		more    []seen.Entry // recorded by a run that broke off
		listing []seen.Entry
		gone    string
	}{
		{"broke off", ascending, listingOf("id-15+"), slices.Delete(slices.Clone(ascending), 35, 36), "id-15+"},
		{"another order", behind, nil, slices.Delete(slices.Clone(ascending), 15, 16), "id-15"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			s.tuning.SectionSize = 10
			s.tuning.LookupCost = 2
			account := enter(t, s)
			deliverAll(t, account, test.left)
			mustFinish(t, account, test.left)
			deliverAll(t, account, test.more)
			d := mustDiff(t, account, test.listing)
			if d.Seen != 39 || !d.Effort().Few || slices.Contains(d.Effort().IDs, test.gone) {
				t.Fatalf("Diff() = %s, which has Finish look at %v, want 39 seen, and not to look at %s", summary(d), d.Effort().IDs, test.gone)
			}
			if err := account.Finish(t.Context(), d, test.listing, nil, now); err != nil {
				t.Fatal(err)
			}
			records, err := account.Records(t.Context(), []string{test.gone})
			if err != nil || len(records) != 1 || !records[0].AbsentAt.Equal(now) {
				t.Errorf("Records() = %+v, %v, want one of %s, absent since %v", records, err, test.gone, now)
			}
		})
	}
}

// When the earliest delivered message is gone, only one run reads the whole table to find that out:
// the first one for which that message would have been due.
func TestDiff_sectionsOldest(t *testing.T) {
	s := open(t)
	s.tuning.SectionSize = 10
	account := enter(t, s)
	var records []seen.Record
	listing := ascendingListing()
	for i, e := range listing {
		r := recordOf(e)
		r.DeliveredAt = now.Add(time.Duration(i) * time.Minute)
		records = append(records, r)
	}
	mustCommit(t, account, records...)
	finish := func(d seen.Diff, left []seen.Entry) {
		t.Helper()
		if err := account.Finish(t.Context(), d, left, nil, now); err != nil {
			t.Fatal(err)
		}
	}
	finish(seen.Diff{}, listing)
	listing = listing[1:]
	finish(mustDiff(t, account, listing), listing)
	for _, unchanged := range []bool{false, true} {
		d, err := account.Diff(t.Context(), listing, now.Add(30*time.Second))
		if err != nil || len(d.Due) != 0 || d.Unchanged != unchanged {
			t.Fatalf("Diff() = %s, %v due, unchanged %v, %v, want none due and unchanged %v", summary(d), d.Due, d.Unchanged, err, unchanged)
		}
		finish(d, listing)
	}
}
