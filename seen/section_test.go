package seen

import (
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"
)

// ascendingListing has the unique-ids id-00 to id-39.
func ascendingListing() []Entry {
	ids := make([]string, 40)
	for i := range ids {
		ids[i] = fmt.Sprintf("id-%02d", i)
	}
	return listingOf(ids...)
}

// What has vanished from the middle, and what has changed there, is found by looking at its sections alone.
func TestDiff_sections(t *testing.T) {
	for _, test := range []struct {
		name    string
		change  func(listing []Entry) []Entry
		want    string
		looked  []string
		notDone bool
	}{
		{"some gone from the middle", func(l []Entry) []Entry { return slices.Delete(l, 18, 21) },
			"new [], check [], seen 37, aside []", []string{"id-18", "id-19", "id-20"}, false},
		{"a whole section gone", func(l []Entry) []Entry { return slices.Delete(l, 10, 20) },
			"new [], check [], seen 30, aside []", []string{"id-10", "id-11", "id-12", "id-13", "id-14", "id-15", "id-16", "id-17", "id-18", "id-19"}, false},
		{"first and last gone", func(l []Entry) []Entry { return slices.Delete(slices.Delete(l, 39, 40), 0, 1) },
			"new [], check [], seen 38, aside []", []string{"id-00", "id-39"}, false},
		{"others in between and behind", func(l []Entry) []Entry {
			return append(slices.Insert(l, 5, listingOf("id-04+")...), listingOf("id-40", "id-41")...)
		}, "new [5 41 42], check [], seen 40, aside []", []string{"id-04+", "id-40", "id-41"}, false},
		{"other octets", func(l []Entry) []Entry { l[7].Octets *= 2; return l },
			"new [], check [7], seen 39, aside []", []string{"id-07"}, false},
		{"another order", func(l []Entry) []Entry { l[7], l[8] = l[8], l[7]; return l },
			"new [], check [], seen 40, aside []", nil, true},
		{"a copy", func(l []Entry) []Entry { return slices.Insert(l, 8, listingOf("id-07")...) },
			"new [], check [7 8], seen 39, aside []", nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			s.sectionSize = 10
			account := enter(t, s)
			listing := ascendingListing()
			deliverAll(t, s, account, listing)
			mustFinish(t, s, account, listing)
			left := unpackSections(packSections(listing, s.sectionSize))
			listing = test.change(listing)
			c := comparison{account: account, listing: listing, lookupCost: s.lookupCost}
			c.diff.rest = rest{few: true, most: len(listing)}
			for i := range listing {
				listing[i].Copy = 7
			}
			var done bool
			err := s.view(t.Context(), func(tx *sql.Conn) (err error) {
				done, err = c.runSections(t.Context(), tx, nil, left)
				return err
			})
			if err != nil || done == test.notDone {
				t.Fatalf("runSections() = %v, %v, want it done: %v", done, err, !test.notDone)
			}
			if done && !slices.Equal(c.diff.rest.ids, test.looked) {
				t.Errorf("Finish is to look at %v, want %v", c.diff.rest.ids, test.looked)
			}
			if done && slices.ContainsFunc(listing, func(e Entry) bool { return e.Copy != 0 }) {
				t.Errorf("the copies are %v, want each to be the first", listing)
			}
			if done && summary(c.diff) != test.want {
				t.Errorf("runSections() tells %s, want %s", summary(c.diff), test.want)
			}
			wantDiff(t, s, account, listing, test.want)
		})
	}
}

// A section that is as it was left is not read from the table.
func TestDiff_sectionsUnread(t *testing.T) {
	s := open(t)
	s.sectionSize = 10
	account := enter(t, s)
	listing := ascendingListing()
	deliverAll(t, s, account, listing)
	mustFinish(t, s, account, listing)
	// Behind the back of the triggers, so that only who reads the row sees it.
	_, err := s.write.ExecContext(t.Context(), "DROP TRIGGER seen_changed; UPDATE seen SET deleted_at = 1 WHERE unique_id IN (CAST('id-15' AS BLOB), CAST('id-35' AS BLOB))")
	if err != nil {
		t.Fatal(err)
	}
	wantDiff(t, s, account, slices.Delete(slices.Clone(listing), 37, 38), "new [], check [35], seen 38, aside []")
}

// A record of a run that broke off, and one of a section of the last listing that is listed elsewhere, may be where nothing is looked at.
// Counting shows that they are gone.
func TestFinish_sections(t *testing.T) {
	ascending := ascendingListing()
	behind := slices.Insert(slices.Delete(slices.Clone(ascending), 15, 16), 38, ascending[15]) // id-15 is in the last section
	for _, test := range []struct {
		name    string
		left    []Entry // of the run before
		more    []Entry // recorded by one that broke off
		listing []Entry
		gone    string
	}{
		{"broke off", ascending, listingOf("id-15+"), slices.Delete(slices.Clone(ascending), 35, 36), "id-15+"},
		{"another order", behind, nil, slices.Delete(slices.Clone(ascending), 15, 16), "id-15"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			s.sectionSize = 10
			s.lookupCost = 2
			account := enter(t, s)
			deliverAll(t, s, account, test.left)
			mustFinish(t, s, account, test.left)
			deliverAll(t, s, account, test.more)
			d := mustDiff(t, s, account, test.listing)
			if d.Seen != 39 || !d.rest.few || slices.Contains(d.rest.ids, test.gone) {
				t.Fatalf("Diff() = %s, which has Finish look at %v, want 39 seen, and not to look at %s", summary(d), d.rest.ids, test.gone)
			}
			if err := s.Finish(t.Context(), account, d, test.listing, nil, now); err != nil {
				t.Fatal(err)
			}
			records, err := s.Records(t.Context(), account, []string{test.gone})
			if err != nil || len(records) != 1 || !records[0].AbsentAt.Equal(now) {
				t.Errorf("Records() = %+v, %v, want one of %s, absent since %v", records, err, test.gone, now)
			}
		})
	}
}

// When the message that was delivered earliest is gone, a run finds that out when it would have been due, and not each one from then on.
func TestDiff_sectionsOldest(t *testing.T) {
	s := open(t)
	s.sectionSize = 10
	account := enter(t, s)
	var records []Record
	listing := ascendingListing()
	for i, e := range listing {
		r := recordOf(e)
		r.DeliveredAt = now.Add(time.Duration(i) * time.Minute)
		records = append(records, r)
	}
	mustCommit(t, s, account, records...)
	finish := func(d Diff, left []Entry) {
		t.Helper()
		if err := s.Finish(t.Context(), account, d, left, nil, now); err != nil {
			t.Fatal(err)
		}
	}
	finish(Diff{}, listing)
	listing = listing[1:]
	finish(mustDiff(t, s, account, listing), listing)
	for _, unchanged := range []bool{false, true} {
		d, err := s.Diff(t.Context(), account, listing, now.Add(30*time.Second))
		if err != nil || len(d.Due) != 0 || d.Unchanged != unchanged {
			t.Fatalf("Diff() = %s, %v due, unchanged %v, %v, want none due and unchanged %v", summary(d), d.Due, d.Unchanged, err, unchanged)
		}
		finish(d, listing)
	}
}

// What is damaged gives sections as far as it is whole.
func TestUnpackSections(t *testing.T) {
	packed := packSections(listingOf("a", "b", "c"), 2)
	all := unpackSections(packed)
	if len(all) != 2 || string(all[0].last) != "b" || string(all[1].last) != "c" || all[0].digest == all[1].digest {
		t.Fatalf("unpackSections() = %v, want two that end with b and c", all)
	}
	for n := range len(packed) {
		if got := unpackSections(packed[:n]); len(got) != n*2/len(packed) {
			t.Errorf("the first %d octets of %d give %v", n, len(packed), got)
		}
	}
	tooLong := append(make([]byte, 16), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)
	if got := unpackSections(tooLong); len(got) > 0 {
		t.Errorf("a length of 2^64-1 gives %v, want nothing", got)
	}
}
