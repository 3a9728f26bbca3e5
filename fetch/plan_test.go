package fetch

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch/policy"
	"github.com/popfetch/popfetch/seen"
)

func entry(number int, id string, copy int, octets int64) seen.Entry {
	return seen.Entry{Number: number, Octets: octets, Key: seen.Key{UniqueID: id, Copy: copy}}
}

// itemOf makes an item whose header has the digest.
func itemOf(e seen.Entry, digest byte) item {
	it := newMaildrop([]seen.Entry{e}, seen.Diff{}, false).item(0)
	it.drop.digests[0] = seen.Digest{digest}
	return it
}

// numbers returns the message-numbers of the messages at indexes of a listing 1, 2, 3, …
func numbers(indexes []int32) []int {
	var n []int
	for _, i := range indexes {
		n = append(n, int(i)+1)
	}
	return n
}

func TestMakePlan(t *testing.T) {
	listing := []seen.Entry{
		entry(1, "new", 0, 10), entry(2, "seen", 0, 10), entry(3, "doubt", 0, 10),
		entry(4, "due", 0, 10), entry(5, "refused", 0, 10), entry(6, "large", 0, 99),
	}
	refused := seen.Aside{Key: listing[4].Key, Reason: seen.Refused, Listed: 10}
	diff := seen.Diff{New: []int{0, 5}, Check: []int{2}, Due: []int{3}, Likely: []int{1, 3}, Seen: 2,
		Aside: []seen.Match{{Index: 4, Aside: refused}}, AllAside: []seen.Aside{refused}}
	for _, test := range []struct {
		name       string
		fates      map[int]fate // by message-number, as judged
		policy     Policy
		retrieve   []int
		skip       []int
		recognised int
		seen       int
	}{
		{"as the store says, what was refused last", nil, Policy{}, []int{1, 3, 6, 5}, nil, 0, 2},
		{"newest first", nil, Policy{Newest: true}, []int{6, 3, 1, 5}, nil, 0, 2},
		{"too large", nil, Policy{MaxSize: 50}, []int{1, 3, 5}, []int{6}, 0, 2},
		{"doubt is settled", map[int]fate{3: isSeen}, Policy{}, []int{1, 6, 5}, nil, 0, 3},
		{"C0040/a due one is another message", map[int]fate{4: isNew}, Policy{}, []int{1, 3, 4, 6, 5}, nil, 0, 1},
		{"C0041/one alike is another message", map[int]fate{2: isNew}, Policy{}, []int{1, 2, 3, 6, 5}, nil, 0, 1},
		{"C0041/alike and due, another message", map[int]fate{2: isSeen, 4: isNew}, Policy{}, []int{1, 3, 4, 6, 5}, nil, 0, 1},
		{"left out of a first run", map[int]fate{1: isOld}, Policy{}, []int{3, 6, 5}, nil, 0, 2},
		{"the target holds it", map[int]fate{1: isRecorded}, Policy{}, []int{3, 6, 5}, nil, 1, 2},
		{"all", nil, Policy{All: true}, []int{1, 2, 3, 4, 6, 5}, nil, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newMaildrop(slices.Clone(listing), diff, test.policy.All)
			for number, f := range test.fates {
				d.states[number-1].fate = f
			}
			p := makePlan(d, &test.policy, newHistory())
			if got := numbers(p.retrieve); !reflect.DeepEqual(got, test.retrieve) {
				t.Errorf("retrieve = %v, want %v", got, test.retrieve)
			}
			if got := numbers(p.skip); !reflect.DeepEqual(got, test.skip) {
				t.Errorf("skip = %v, want %v", got, test.skip)
			}
			if left := test.fates[1] == isOld; left != slices.Equal(numbers(p.mark), []int{1}) {
				t.Errorf("mark = %v, want the first %v", numbers(p.mark), left)
			}
			if len(p.recognised) != test.recognised || p.seen != test.seen {
				t.Errorf("recognised, seen = %d, %d, want %d, %d", len(p.recognised), p.seen, test.recognised, test.seen)
			}
		})
	}
}

// A message that was found larger than LIST announced is looked at again when the limit changes, or
// what LIST announces.
func TestMakePlan_provedTooLarge(t *testing.T) {
	for _, test := range []struct {
		name            string
		listed, maxSize int64
		skipped         bool
	}{
		{"as it was", 10, 50, true},
		{"another limit", 10, 60, false},
		{"no limit", 10, 0, false},
		{"another size", 11, 50, false},
	} {
		large := seen.Aside{Key: seen.Key{UniqueID: "x"}, Reason: seen.TooLarge, Listed: 10, MaxSize: 50}
		diff := seen.Diff{Aside: []seen.Match{{Aside: large}}, AllAside: []seen.Aside{large}}
		d := newMaildrop([]seen.Entry{entry(1, "x", 0, test.listed)}, diff, false)
		p := makePlan(d, &Policy{MaxSize: test.maxSize}, newHistory())
		if skipped := len(p.skip) == 1; skipped != test.skipped || len(p.skip)+len(p.retrieve) != 1 {
			t.Errorf("%s: %d skipped, %d retrieved, want it skipped: %v", test.name, len(p.skip), len(p.retrieve), test.skipped)
		}
	}
}

// day0 is when the tests' messages were delivered.
var day0 = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func delivered(id string, copy int, octets int64, digest byte) seen.Record {
	return seen.Record{Key: seen.Key{UniqueID: id, Copy: copy}, Kind: seen.Delivered, Listed: octets, Digest: seen.Digest{digest},
		Came: seen.Sum{SHA256: [32]byte{digest}}, DeliveredAt: day0}
}

// ruleBy judges messages by rules alone.
func ruleBy(rules DeletePolicy, now time.Time) func(item, *seen.Record) policy.Rule {
	return func(it item, r *seen.Record) policy.Rule {
		return rules.Rule(&policy.Message{Kind: r.Kind, Octets: it.Octets, DeliveredAt: r.DeliveredAt}, policy.Clock{Now: now, AsOf: now})
	}
}

func TestPlanDeletion(t *testing.T) {
	now := day0.Add(time.Hour)
	once := DeletePolicy{Enabled: true}
	x := entry(1, "x", 0, 10)
	rec := delivered("x", 0, 10, 1)
	marked, stamped := rec, rec
	marked.Kind, marked.Digest = seen.Marked, seen.Digest{}
	stamped.DeletedAt = now
	retrieved := func() item {
		it := itemOf(x, 0)
		it.decide(isRecorded)
		return it
	}
	earlier := func(digest byte) item {
		it := itemOf(x, digest)
		it.decide(isSeen)
		return it
	}
	records := func(r ...seen.Record) policy.Records { return policy.NewRecords(r) }
	for _, test := range []struct {
		name   string
		c      candidate
		policy DeletePolicy
		want   bool
	}{
		{"C0024/retrieved and recorded", candidate{item: retrieved(), records: records(rec), alike: 0}, once, true},
		{"C0024/retrieved, no record", candidate{item: retrieved(), records: records(), alike: 0}, once, false},
		{"C0024/policy never", candidate{item: retrieved(), records: records(rec), alike: 0}, DeletePolicy{}, false},
		{"C0024/not old enough", candidate{item: retrieved(), records: records(rec), alike: 0}, DeletePolicy{Enabled: true, After: 2 * time.Hour}, false},
		{"C0024/just old enough", candidate{item: retrieved(), records: records(rec), alike: 0}, DeletePolicy{Enabled: true, After: time.Hour}, true},
		{"earlier, same digest", candidate{item: earlier(1), records: records(rec), alike: 1}, once, true},
		{"C0040/earlier, another digest", candidate{item: earlier(2), records: records(rec), alike: 1}, once, false},
		{"C0030/stamped, same digest", candidate{item: earlier(1), records: records(stamped), alike: 1}, once, true},
		{"C0041/two copies alike are listed", candidate{item: earlier(1), records: records(rec), alike: 2}, once, false},
		{"C0041/two records alike", candidate{item: earlier(1), records: records(rec, delivered("x", 1, 10, 1)), alike: 1}, once, false},
		{"C0041/the other copy's record", candidate{item: earlier(1), records: records(delivered("x", 1, 10, 1)), alike: 1}, once, true},
		{"marked by the operator", candidate{item: earlier(0), records: records(marked), alike: 1}, once, false},
		{"no TOP, so that the octets must be had first", candidate{item: earlier(0), records: records(rec), alike: 1}, once, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := planDeletion([]candidate{test.c}, ruleBy(test.policy, now))
			if (len(got) == 1) != test.want {
				t.Errorf("planDeletion() = %v, want deletion %v", got, test.want)
			}
		})
	}
}

// TestPlanDeletionSafe draws candidates at random: what is chosen was retrieved in this session and
// has its record, or has a record whose digest TOP has just shown, or an imported record and a header
// that is older. Its record is of kind Delivered, Dropped or Discarded, or Imported if the policy says
// so.
func TestPlanDeletionSafe(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	chosen := 0
	for round := range 20000 {
		it := itemOf(entry(1, "x", r.IntN(2), int64(r.IntN(3))), byte(r.IntN(3)))
		it.decide(isSeen)
		if r.IntN(4) == 0 {
			it.decide(isRecorded)
		}
		var records []seen.Record
		for copy := range r.IntN(3) {
			rec := delivered("x", copy, int64(r.IntN(3)), byte(r.IntN(3)))
			rec.Kind = []seen.Kind{seen.Delivered, seen.Delivered, seen.Marked, seen.Imported, seen.Sanitized, seen.Dropped, seen.Discarded}[r.IntN(7)]
			if r.IntN(3) == 0 {
				rec.DeletedAt = day0
			}
			records = append(records, rec)
		}
		if r.IntN(2) == 0 {
			it.set(flags(r.IntN(2))*isDue | flags(r.IntN(2))*isOlder)
		}
		c := candidate{item: it, records: policy.NewRecords(records), alike: 1 + r.IntN(2)}
		rules := DeletePolicy{Enabled: true, Imported: r.IntN(2) == 0}
		if len(planDeletion([]candidate{c}, ruleBy(rules, day0.Add(time.Hour)))) == 0 {
			continue
		}
		chosen++
		safe := false
		for _, rec := range records {
			ok := rec.Kind == seen.Delivered || rec.Kind == seen.Dropped || rec.Kind == seen.Discarded || rec.Kind == seen.Imported && rules.Imported
			byKey := it.fate() == isRecorded && rec.Key == it.Key
			byDigest := it.identified() && rec.Digest == it.digest()
			byAge := rec.Kind == seen.Imported && rec.Digest == seen.Digest{} && len(records) == 1 && it.is(isDue) && it.is(isOlder) && c.alike == 1
			safe = safe || ok && (byKey || byDigest || byAge)
		}
		if !safe {
			t.Fatalf("round %d: planDeletion() chose %+v", round, c)
		}
	}
	if chosen == 0 {
		t.Error("no candidate was ever chosen, so nothing was tested")
	}
}

func TestJudgeCopies(t *testing.T) {
	a, b := delivered("x", 0, 10, 1), delivered("x", 1, 20, 2)
	marked := seen.Record{Key: seen.Key{UniqueID: "x"}, Kind: seen.Marked}
	known := marked
	known.Digest = seen.Digest{1}
	dropped, discarded := a, known
	dropped.Kind, discarded.Kind = seen.Dropped, seen.Discarded
	listed := func(copies ...item) []item { return copies }
	one := func(copy int, octets int64, digest byte) item {
		return itemOf(entry(copy+1, "x", copy, octets), digest)
	}
	for _, test := range []struct {
		name    string
		listed  []item
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
		{"C0041/dropped, in doubt", listed(one(0, 10, 1)), []seen.Record{dropped}, true, "c"},
		{"C0041/discarded, in doubt", listed(one(0, 10, 1)), []seen.Record{discarded}, true, "s"},
		{"no TOP", listed(one(0, 10, 0)), []seen.Record{a}, false, "c"},
		{"marked", listed(one(0, 10, 1)), []seen.Record{marked}, false, "s"},
		{"marked by a first run", listed(one(0, 10, 1)), []seen.Record{known}, false, "s"},
		{"C0040/marked by a first run, reused", listed(one(0, 10, 2)), []seen.Record{known}, false, "n"},
		{"marked, a further copy", listed(one(0, 10, 1), one(1, 10, 2)), []seen.Record{marked}, false, "sn"},
	} {
		t.Run(test.name, func(t *testing.T) {
			judgeCopies(test.listed, test.records, test.doubt)
			got := ""
			for _, it := range test.listed {
				switch {
				case it.fate() == isSeen:
					got += "s"
				case len(it.twins()) > 0:
					got += "c"
				default:
					got += "n"
				}
			}
			if got != test.want {
				t.Errorf("judgeCopies() = %q, want %q", got, test.want)
			}
		})
	}
}

func ExampleDeletePolicy() {
	month := DeletePolicy{Enabled: true, After: 30 * 24 * time.Hour}
	fmt.Println(month.Enabled, month.After)
	// Output: true 720h0m0s
}
