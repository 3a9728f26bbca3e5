package fetch

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/popfetch/popfetch/seen"
)

// copiesOf makes n records of one unique-id, and the listing of their messages with one more
// before them. Where alike, all headers are equal.
func copiesOf(n int, alike bool) ([]item, []seen.Record) {
	digest := func(i int) (d seen.Digest) {
		d[15] = 1
		if !alike {
			binary.BigEndian.PutUint32(d[:], uint32(i))
		}
		return d
	}
	records := make([]seen.Record, n)
	listing := make([]seen.Entry, n+1)
	for i := range listing {
		listing[i] = entry(i+1, "same", i, 100)
	}
	d := newMaildrop(listing, seen.Diff{}, false)
	listed := slices.Collect(d.all())
	for i := range listed {
		d.digests[int32(i)] = digest(n - i) // in the reverse order of the records
		if i < n {
			records[i] = seen.Record{Key: seen.Key{UniqueID: "same", Copy: i}, Kind: seen.Delivered, Listed: 100, Digest: digest(i)}
			records[i].Came.SHA256[0] = 1
		}
	}
	return listed, records
}

// Copies are matched in a number of steps that grows as theirs, and not as its square.
func TestJudgeCopies_growth(t *testing.T) {
	for _, alike := range []bool{false, true} {
		for _, doubt := range []bool{false, true} {
			steps := func(n int) (count int) {
				listed, records := copiesOf(n, alike)
				m := newMatching(listed, records, doubt)
				for _, p := range passes {
					m.match(pass{
						markOf: func(it item) any { count++; return p.markOf(it) },
						markIn: func(r *seen.Record) any { count++; return p.markIn(r) },
						differ: p.differ,
					})
				}
				return count
			}
			if few, many := steps(100), steps(2000); many > 22*few {
				t.Errorf("alike %v, doubt %v: %d steps for 100 copies and %d for 2,000, want 20 times as many", alike, doubt, few, many)
			}
		}
	}
}

// Of many copies and one message more, all but that one are known.
func TestJudgeCopies_many(t *testing.T) {
	for _, alike := range []bool{false, true} {
		listed, records := copiesOf(10_000, alike)
		present := judgeCopies(listed, records, false)
		fresh := 0
		for _, it := range listed {
			if it.fate() != isSeen {
				fresh++
			}
		}
		if fresh != 1 || alike != (present == nil) || !alike && len(present) != len(records) {
			t.Errorf("alike %v: %d are new and %d records are renewed, want 1, and none where nothing moved", alike, fresh, len(present))
		}
	}
}

// BenchmarkJudgeCopies tells the time for each copy.
func BenchmarkJudgeCopies(b *testing.B) {
	for _, n := range []int{20_000, 100_000} {
		b.Run(map[bool]string{true: "many", false: "few"}[n > 20_000], func(b *testing.B) {
			listed, records := copiesOf(n, false)
			for b.Loop() {
				judgeCopies(listed, records, false)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/copy")
		})
	}
}
