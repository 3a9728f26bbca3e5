package seen_test

import (
	"slices"
	"testing"

	"github.com/popfetch/popfetch/seen"
)

// TestRestore finds the messages of records whose unique-ids have "-" in the place of "/".
func TestRestore(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name           string
		listed         []string
		sanitized      []string
		first          bool
		known, unknown []int
		replaced       []string
	}{
		{"none", []string{"a/b"}, nil, true, nil, nil, nil},
		{"one", []string{"x", "a/b-c"}, []string{"a-b-c"}, true, []int{1}, nil, []string{"a-b-c"}},
		{"as it is", []string{"a-b"}, []string{"a-b"}, true, []int{0}, nil, []string{"a-b"}},
		{"not listed", []string{"x"}, []string{"a-b"}, true, nil, nil, nil},
		{"two fit", []string{"a/b-c", "a-b/c"}, []string{"a-b-c"}, true, nil, nil, nil},
		{"one of two is as it is", []string{"a/b", "a-b"}, []string{"a-b"}, true, nil, []int{1}, []string{"a-b"}},
		{"later that one is the record's", []string{"a/b", "a-b"}, []string{"a-b"}, false, nil, nil, nil},
		{"in the order of the listing", []string{"z/", "y/"}, []string{"y-", "z-"}, true, []int{0, 1}, nil, []string{"y-", "z-"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var listing []seen.Entry
			for i, id := range test.listed {
				listing = append(listing, seen.Entry{Number: i + 1, Octets: 100, Key: seen.Key{UniqueID: id}})
			}
			var records []seen.Record
			for _, id := range test.sanitized {
				records = append(records, seen.Record{Key: seen.Key{UniqueID: id}, Kind: seen.Sanitized})
			}
			got := seen.Restore(listing, records, test.first)
			if !slices.Equal(got.Known, test.known) || !slices.Equal(got.Unknown, test.unknown) || !slices.Equal(got.Changes.Replace, test.replaced) {
				t.Errorf("Restore() = %+v, want known %v, unknown %v, replaced %v", got, test.known, test.unknown, test.replaced)
			}
			if got.Changes.Records == nil {
				return
			}
			for r := range got.Changes.Records {
				if r.Kind != seen.Imported || r.Listed != 100 || !slices.Contains(test.listed, r.UniqueID) {
					t.Errorf("a message is recorded as %+v", r)
				}
			}
		})
	}
}
