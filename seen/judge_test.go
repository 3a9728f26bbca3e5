package seen

import (
	"math"
	"testing"
)

func TestKnown_judge(t *testing.T) {
	const octets = 1000
	record := func(ordinal int, change ...func(*Row)) Row {
		r := Row{Key: Key{UniqueID: "x", Copy: ordinal}, Kind: Delivered, Listed: octets, DeliveredAt: 1}
		for _, c := range change {
			c(&r)
		}
		return r
	}
	refused := func(ordinal int) aside {
		return aside{Aside: Aside{Key: Key{UniqueID: "x", Copy: ordinal}, Reason: Refused}}
	}
	absent := func(r *Row) { r.AbsentAt = 5 }
	deleted := func(r *Row) { r.DeletedAt = 5 }
	absentAside := refused(1)
	absentAside.absentAt = 5
	rows := func(r ...Row) []Row { return r }
	asides := func(a ...aside) []aside { return a }
	for _, test := range []struct {
		name    string
		records []Row
		asides  []aside
		ordinal int
		listed  int
		octets  int64
		want    verdict
	}{
		{"nothing known", nil, nil, 0, 1, octets, isNew},
		{"a record", rows(record(0)), nil, 0, 1, octets, isSeen},
		{"set aside", nil, asides(refused(0)), 0, 1, octets, isAside},
		{"set aside, and another", nil, asides(refused(0)), 1, 2, octets, isNew},
		{"set aside, one of two", nil, asides(refused(0), refused(1)), 0, 1, octets, isAside},
		{"hidden for a while", rows(record(0, absent)), nil, 0, 1, octets, isLikely},
		{"C0040/deleted, listed again", rows(record(0, deleted)), nil, 0, 1, octets, isCheck},
		{"C0040/deleted and absent, listed again", rows(record(0, deleted, absent)), nil, 0, 1, octets, isCheck},
		{"C0040/clearly more octets", rows(record(0)), nil, 0, 1, octets + 79, isCheck},
		{"C0040/clearly fewer octets", rows(record(0)), nil, 0, 1, octets - 79, isCheck},
		{"C0040/somewhat more octets", rows(record(0)), nil, 0, 1, octets + 78, isSeen},
		{"C0040/unknown octets now", rows(record(0)), nil, 0, 1, 0, isSeen},
		{"C0040/unknown octets then", rows(record(0, func(r *Row) { r.Listed = 0 })), nil, 0, 1, octets, isSeen},
		{"C0040/the most octets", rows(record(0)), nil, 0, 1, math.MaxInt64, isCheck},
		{"C0041/two", rows(record(0), record(1)), nil, 1, 2, octets, isLikely},
		{"C0041/two, one gone", rows(record(0), record(1)), nil, 0, 1, octets, isCheck},
		{"C0041/one, another comes: the first", rows(record(0)), nil, 0, 2, octets, isCheck},
		{"C0041/one, another comes: the second", rows(record(0)), nil, 1, 2, octets, isCheck},
		{"C0041/two, one absent already", rows(record(0), record(1, absent)), nil, 0, 1, octets, isLikely},
		{"C0041/two, the other absent already", rows(record(0, absent), record(1)), nil, 0, 1, octets, isCheck},
		{"C0041/two absent, one comes back", rows(record(0, absent), record(1, absent)), nil, 0, 1, octets, isCheck},
		{"C0041/only the second is recorded", rows(record(1)), nil, 0, 1, octets, isCheck},
		{"C0041/one seen, one refused: the first", rows(record(0)), asides(refused(1)), 0, 2, octets, isLikely},
		{"C0041/one seen, one refused: the second", rows(record(0)), asides(refused(1)), 1, 2, octets, isAside},
		{"C0041/one seen, one refused, one gone", rows(record(0)), asides(refused(1)), 0, 1, octets, isCheck},
		{"C0041/one refused, one seen, one gone", rows(record(1)), asides(refused(0)), 0, 1, octets, isCheck},
		{"C0041/one seen, one refused and gone before", rows(record(0)), asides(absentAside), 0, 1, octets, isLikely},
		{"C0041/another message refused under a recorded key", rows(record(0)), asides(refused(0)), 0, 1, octets, isCheck},
		{"C0041/the same, in equal number", rows(record(0), record(1, absent)), asides(refused(0)), 0, 2, octets, isCheck},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := known{uniqueID: "x", records: test.records, asides: test.asides}
			k.count()
			if got, _, _ := k.judge(test.ordinal, test.listed, test.octets); got != test.want {
				t.Errorf("judge(%d of %d, %d octets) = %v, want %v", test.ordinal, test.listed, test.octets, got, test.want)
			}
		})
	}
}
