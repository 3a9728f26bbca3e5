package seen

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"testing"
)

// What has vanished from the middle, and what has changed there, is found by looking at its sections alone.
func TestDiff_sections(t *testing.T) {
	const size = 40
	without := func(listing []Entry, from, to int) []Entry { return slices.Delete(listing, from, to) }
	for _, test := range []struct {
		name    string
		change  func(listing []Entry) []Entry
		want    string
		looked  []string
		notDone bool
	}{
		{"some gone from the middle", func(l []Entry) []Entry { return without(l, 18, 21) },
			"new [], check [], seen 37, aside []", []string{"id-18", "id-19", "id-20"}, false},
		{"a whole section gone", func(l []Entry) []Entry { return without(l, 10, 20) },
			"new [], check [], seen 30, aside []", []string{"id-10", "id-11", "id-12", "id-13", "id-14", "id-15", "id-16", "id-17", "id-18", "id-19"}, false},
		{"first and last gone", func(l []Entry) []Entry { return without(without(l, 39, 40), 0, 1) },
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
			var ids []string
			for i := range size {
				ids = append(ids, fmt.Sprintf("id-%02d", i))
			}
			listing := listingOf(ids...)
			deliverAll(t, s, account, listing)
			mustFinish(t, s, account, listing)
			left := unpackSections(appendSections(nil, listing, s.sectionSize))
			listing = test.change(listing)
			c := comparison{account: account, listing: listing, lookupCost: s.lookupCost}
			c.diff.rest = rest{few: true, most: size}
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
	var ids []string
	for i := range 40 {
		ids = append(ids, fmt.Sprintf("id-%02d", i))
	}
	listing := listingOf(ids...)
	deliverAll(t, s, account, listing)
	mustFinish(t, s, account, listing)
	// Behind the back of the triggers, so that only who reads the row sees it.
	mustExec(t, s, "DROP TRIGGER seen_changed", "UPDATE seen SET deleted_at = 1 WHERE unique_id IN (CAST('id-15' AS BLOB), CAST('id-35' AS BLOB))")
	wantDiff(t, s, account, slices.Delete(slices.Clone(listing), 37, 38), "new [], check [35], seen 38, aside []")
}

// What is damaged gives sections as far as it is whole.
func TestUnpackSections(t *testing.T) {
	packed := appendSections(nil, listingOf("a", "b", "c"), 2)
	all := unpackSections(packed)
	if len(all) != 2 || all[0].last != "b" || all[1].last != "c" || all[0].digest == all[1].digest {
		t.Fatalf("unpackSections() = %v, want two that end with b and c", all)
	}
	for n := range len(packed) {
		if got := unpackSections(packed[:n]); !slices.Equal(got, all[:n*2/len(packed)]) {
			t.Errorf("the first %d octets of %d give %v", n, len(packed), got)
		}
	}
	tooLong := append(make([]byte, 16), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)
	if got := unpackSections(tooLong); got != nil {
		t.Errorf("a length of 2^64-1 gives %v, want nothing", got)
	}
}

func mustExec(t *testing.T, s *Store, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := s.write.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
			t.Fatal(err)
		}
	}
}
