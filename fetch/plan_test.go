package fetch

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

func entry(number int, id string, copy int, octets int64) seen.Entry {
	return seen.Entry{Number: number, Octets: octets, Key: seen.Key{UniqueID: id, Copy: copy}}
}

func pointed(entries []*seen.Entry) (all []seen.Entry) {
	for _, e := range entries {
		all = append(all, *e)
	}
	return all
}

func numbers(entries []seen.Entry) []int {
	var n []int
	for _, e := range entries {
		n = append(n, e.Number)
	}
	return n
}

func TestPlanRetrieval(t *testing.T) {
	listing := []seen.Entry{
		entry(1, "new", 0, 10), entry(2, "seen", 0, 10), entry(3, "doubt", 0, 10),
		entry(4, "due", 0, 10), entry(5, "refused", 0, 10), entry(6, "large", 0, 99),
	}
	diff := seen.Diff{New: []int{0, 5}, Check: []int{2}, Due: []int{3}, Likely: []int{1, 3}, Seen: 2, Aside: []seen.Match{{Index: 4}}}
	for _, test := range []struct {
		name      string
		verdicts  map[int]*verdict
		account   Account
		retrieve  []int
		skip      []int
		recognise int
		seen      int
	}{
		{"as the store says, what was refused last", nil, Account{}, []int{1, 3, 6, 5}, nil, 0, 2},
		{"newest first", nil, Account{Newest: true}, []int{6, 3, 1, 5}, nil, 0, 2},
		{"too large", nil, Account{MaxSize: 50}, []int{1, 3, 5}, []int{6}, 0, 2},
		{"doubt is settled", map[int]*verdict{2: {seen: true}}, Account{}, []int{1, 6, 5}, nil, 0, 3},
		{"C0040/a due one is another message", map[int]*verdict{3: {}}, Account{}, []int{1, 3, 4, 6, 5}, nil, 0, 1},
		{"C0041/one alike is another message", map[int]*verdict{1: {}}, Account{}, []int{1, 2, 3, 6, 5}, nil, 0, 1},
		{"C0041/alike and due, another message", map[int]*verdict{1: isSeen, 3: {known: []*twin{{}}}}, Account{}, []int{1, 3, 4, 6, 5}, nil, 0, 1},
		{"left out of a first run", map[int]*verdict{0: isOld}, Account{}, []int{3, 6, 5}, nil, 0, 2},
		{"the target holds it", map[int]*verdict{0: isHeld}, Account{}, []int{3, 6, 5}, nil, 1, 2},
		{"all", nil, Account{All: true}, []int{1, 2, 3, 4, 6, 5}, nil, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := planRetrieval(listing, diff, test.verdicts, &test.account)
			if got := numbers(pointed(p.Retrieve)); !reflect.DeepEqual(got, test.retrieve) {
				t.Errorf("Retrieve = %v, want %v", got, test.retrieve)
			}
			if got := numbers(p.Skip); !reflect.DeepEqual(got, test.skip) {
				t.Errorf("Skip = %v, want %v", got, test.skip)
			}
			if left := test.verdicts[0] == isOld; left != slices.Equal(numbers(p.Mark), []int{1}) {
				t.Errorf("Mark = %v, want the first %v", numbers(p.Mark), left)
			}
			if len(p.Recognise) != test.recognise || p.Seen != test.seen {
				t.Errorf("Recognise, Seen = %d, %d, want %d, %d", len(p.Recognise), p.Seen, test.recognise, test.seen)
			}
		})
	}
}

// day0 is when the tests' messages were delivered.
var day0 = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func delivered(id string, copy int, octets int64, digest byte) seen.Record {
	return seen.Record{Key: seen.Key{UniqueID: id, Copy: copy}, Kind: seen.Delivered, Listed: octets, Digest: seen.Digest{digest}, Came: seen.Sum{SHA256: [32]byte{digest}}, DeliveredAt: day0}
}

func TestPlanDeletion(t *testing.T) {
	now := day0.Add(time.Hour)
	once := DeletePolicy{Enabled: true}
	x := entry(1, "x", 0, 10)
	rec := delivered("x", 0, 10, 1)
	marked, stamped := rec, rec
	marked.Kind, marked.Digest = seen.Marked, seen.Digest{}
	stamped.DeletedAt = now
	for _, test := range []struct {
		name   string
		c      candidate
		policy DeletePolicy
		want   bool
	}{
		{"C0024/retrieved and recorded", candidate{Entry: x, retrieved: true, records: []seen.Record{rec}}, once, true},
		{"C0024/retrieved, no record", candidate{Entry: x, retrieved: true}, once, false},
		{"C0024/policy never", candidate{Entry: x, retrieved: true, records: []seen.Record{rec}}, DeletePolicy{}, false},
		{"C0024/not old enough", candidate{Entry: x, retrieved: true, records: []seen.Record{rec}}, DeletePolicy{Enabled: true, After: 2 * time.Hour}, false},
		{"C0024/just old enough", candidate{Entry: x, retrieved: true, records: []seen.Record{rec}}, DeletePolicy{Enabled: true, After: time.Hour}, true},
		{"earlier, same digest", candidate{Entry: x, records: []seen.Record{rec}, digest: seen.Digest{1}, alike: 1}, once, true},
		{"C0040/earlier, another digest", candidate{Entry: x, records: []seen.Record{rec}, digest: seen.Digest{2}, alike: 1}, once, false},
		{"C0030/stamped, same digest", candidate{Entry: x, records: []seen.Record{stamped}, digest: seen.Digest{1}, alike: 1}, once, true},
		{"C0041/two copies alike are listed", candidate{Entry: x, records: []seen.Record{rec}, digest: seen.Digest{1}, alike: 2}, once, false},
		{"C0041/two records alike", candidate{Entry: x, records: []seen.Record{rec, delivered("x", 1, 10, 1)}, digest: seen.Digest{1}, alike: 1}, once, false},
		{"C0041/the other copy's record", candidate{Entry: x, records: []seen.Record{delivered("x", 1, 10, 1)}, digest: seen.Digest{1}, alike: 1}, once, true},
		{"marked by the operator", candidate{Entry: x, records: []seen.Record{marked}, alike: 1}, once, false},
		{"no TOP, so that the octets must be had first", candidate{Entry: x, records: []seen.Record{rec}, alike: 1}, once, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := planDeletion([]candidate{test.c}, test.policy, now)
			if (len(got) == 1) != test.want {
				t.Errorf("planDeletion() = %v, want deletion %v", got, test.want)
			}
		})
	}
}

// TestPlanDeletionSafe draws candidates at random: what is chosen was retrieved in this session and has its record, or has
// a record of kind Delivered whose digest TOP has just shown.
func TestPlanDeletionSafe(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	chosen := 0
	for round := range 20000 {
		c := candidate{Entry: entry(1, "x", r.IntN(2), int64(r.IntN(3))), retrieved: r.IntN(4) == 0, digest: seen.Digest{byte(r.IntN(3))}}
		c.alike = 1 + r.IntN(2)
		for copy := range r.IntN(3) {
			rec := delivered("x", copy, int64(r.IntN(3)), byte(r.IntN(3)))
			if r.IntN(3) == 0 {
				rec.Kind = seen.Marked
			}
			if r.IntN(3) == 0 {
				rec.DeletedAt = day0
			}
			c.records = append(c.records, rec)
		}
		if len(planDeletion([]candidate{c}, DeletePolicy{Enabled: true}, day0.Add(time.Hour))) == 0 {
			continue
		}
		chosen++
		safe := false
		for _, rec := range c.records {
			ok := rec.Kind == seen.Delivered
			byKey := c.retrieved && rec.Key == c.Key
			byDigest := c.digest != seen.Digest{} && rec.Digest == c.digest
			safe = safe || ok && (byKey || byDigest)
		}
		if !safe {
			t.Fatalf("round %d: planDeletion() chose %+v", round, c)
		}
	}
	if chosen == 0 {
		t.Error("no candidate was ever chosen, so nothing was tested")
	}
}

func TestJudge(t *testing.T) {
	a, b := delivered("x", 0, 10, 1), delivered("x", 1, 20, 2)
	marked := seen.Record{Key: seen.Key{UniqueID: "x"}, Kind: seen.Marked}
	known := marked
	known.Digest = seen.Digest{1}
	listed := func(copies ...listedCopy) []listedCopy { return copies }
	one := func(copy int, octets int64, digest byte) listedCopy {
		return listedCopy{entry(copy+1, "x", copy, octets), seen.Digest{digest}}
	}
	for _, test := range []struct {
		name    string
		listed  []listedCopy
		records []seen.Record
		doubt   bool
		want    string // a letter for each copy: seen, new, or compared by its octets
	}{
		{"C0040/same message", listed(one(0, 10, 1)), []seen.Record{a}, false, "s"},
		{"C0040/reused", listed(one(0, 10, 3)), []seen.Record{a}, false, "n"},
		{"C0041/both", listed(one(0, 10, 1), one(1, 20, 2)), []seen.Record{a, b}, false, "ss"},
		{"C0041/in another order", listed(one(0, 20, 2), one(1, 10, 1)), []seen.Record{a, b}, false, "ss"},
		{"C0041/one is left", listed(one(0, 20, 2)), []seen.Record{a, b}, false, "s"},
		{"C0041/second is another", listed(one(0, 10, 1), one(1, 20, 9)), []seen.Record{a, b}, false, "sn"},
		{"C0041/one record, two alike", listed(one(0, 10, 1), one(1, 10, 1)), []seen.Record{a}, false, "sn"},
		{"C0041/one of two was refused", listed(one(0, 10, 1)), []seen.Record{a}, true, "c"},
		{"C0041/the refused one is left", listed(one(0, 20, 2)), []seen.Record{a}, true, "n"},
		{"C0041/one of two was refused, both alike", listed(one(0, 10, 1), one(1, 10, 1)), []seen.Record{a}, true, "cc"},
		{"no TOP", listed(one(0, 10, 0)), []seen.Record{a}, false, "c"},
		{"marked", listed(one(0, 10, 1)), []seen.Record{marked}, false, "s"},
		{"marked by a first run", listed(one(0, 10, 1)), []seen.Record{known}, false, "s"},
		{"C0040/marked by a first run, reused", listed(one(0, 10, 2)), []seen.Record{known}, false, "n"},
		{"marked, a further copy", listed(one(0, 10, 1), one(1, 10, 2)), []seen.Record{marked}, false, "sn"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			for _, v := range verdictsOf(judge(test.listed, test.records, test.doubt)) {
				switch {
				case v.seen:
					got += "s"
				case len(v.known) > 0:
					got += "c"
				default:
					got += "n"
				}
			}
			if got != test.want {
				t.Errorf("judge() = %q, want %q", got, test.want)
			}
		})
	}
}

func ExampleDeletePolicy() {
	month := DeletePolicy{Enabled: true, After: 30 * 24 * time.Hour}
	fmt.Println(month.Enabled, month.After)
	// Output: true 720h0m0s
}

func verdictsOf(v []verdict, _ []seen.Record) []verdict { return v }
