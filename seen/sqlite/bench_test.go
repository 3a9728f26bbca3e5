package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/popfetch/popfetch/seen"
)

// benchSize is how many unique-ids the benchmarks use: POPFETCH_BENCH_IDS, or 1,000,000, or 10,000
// with -short.
func benchSize(b *testing.B) int {
	b.Helper()
	if text := os.Getenv("POPFETCH_BENCH_IDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return 10_000
	}
	return 1_000_000
}

// benchListing makes ids as Dovecot does. With shuffled, their order is not that of the table.
func benchListing(size int, shuffled bool) []seen.Entry {
	listing := make([]seen.Entry, size)
	for i := range listing {
		n := uint32(i)
		if shuffled {
			n *= 2654435761
		}
		listing[i] = seen.Entry{Number: i + 1, Octets: 4000 + int64(i%1000), Key: seen.Key{UniqueID: fmt.Sprintf("%08x5f0c3a2b", n)}}
	}
	return listing
}

// benchStore makes a store in which every entry is recorded and the run is finished.
func benchStore(b testing.TB, listing []seen.Entry) (*Store, *ledger) {
	b.Helper()
	s := open(b)
	account := enter(b, s)
	// The records are applied in the order of the table: for so many at once, any other order is
	// many times slower.
	sorted := slices.SortedFunc(slices.Values(listing), func(a, b seen.Entry) int { return a.Key.Compare(b.Key) })
	for chunk := range slices.Chunk(sorted, 50_000) {
		deliverAll(b, account, chunk)
	}
	mustFinish(b, account, listing)
	return s, account
}

// If nothing in a listing is new, Diff needs no memory for its entries. Each new record needs a
// constant amount.
func TestAllocations(t *testing.T) {
	measure := func(size int) float64 {
		listing := benchListing(size, false)
		_, account := benchStore(t, listing)
		return testing.AllocsPerRun(10, func() { mustDiff(t, account, listing) })
	}
	few, many := measure(100), measure(10_000)
	if many > few+10 {
		t.Errorf("Diff() with nothing new allocates %v times for 100 entries and %v times for 10,000, want the same", few, many)
	}

	s := open(t)
	account := enter(t, s)
	const batch, batches = 640, 5
	var records []seen.Record
	for _, e := range benchListing((batches+1)*batch, false) {
		records = append(records, recordOf(e))
	}
	each := testing.AllocsPerRun(batches, func() {
		mustCommit(t, account, records[:batch]...)
		records = records[batch:]
	}) / batch
	if each > 14 {
		t.Errorf("Commit() allocates %v times for each record, want 13", each)
	}
}

func BenchmarkDiff(b *testing.B) {
	size := benchSize(b)
	for _, order := range []string{"sorted", "unsorted"} {
		listing := benchListing(size, order == "unsorted")
		s, account := benchStore(b, listing)
		newer := slices.Clone(listing)
		for i := range 10 {
			newer = append(newer, seen.Entry{Number: size + i + 1, Octets: 1, Key: seen.Key{UniqueID: fmt.Sprint("new-", i)}})
		}
		changed := slices.Concat([]seen.Entry{{Number: 1, Octets: 1, Key: seen.Key{UniqueID: "first"}}}, listing)
		for _, c := range []struct {
			name    string
			listing []seen.Entry
			isNew   int
		}{
			{"nothing new", listing, 0},
			{"tail of 10", newer, 10},
			{"some gone", slices.Delete(slices.Clone(listing), size/2, size/2+min(size/200, 1000)), 0},
			{"merge", changed, 1},
			{"lookups of 1%", listing[:size/100], 0},
		} {
			b.Run(order+"/"+c.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					d := mustDiff(b, account, c.listing)
					if len(d.New) != c.isNew || d.Seen != len(c.listing)-c.isNew {
						b.Fatalf("Diff() = %s", summary(d))
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms/op")
			})
		}
		b.Run(order+"/Finish with 10 more", func(b *testing.B) {
			b.ReportAllocs()
			mustDiff(b, account, newer)
			deliverAll(b, account, newer[size:])
			for b.Loop() {
				mustFinish(b, account, newer)
			}
		})
		reportSize(b, s, size)
	}
}

func reportSize(b *testing.B, s *Store, size int) {
	b.Helper()
	info, err := os.Stat(filepath.Join(s.dir, fileName))
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d octets a record on disk", info.Size()/int64(size))
}

func BenchmarkCommit(b *testing.B) {
	s := open(b)
	account := enter(b, s)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		batch := make([]seen.Record, 64)
		for i := range batch {
			n++
			batch[i] = recordOf(seen.Entry{Number: n, Octets: 1000, Key: seen.Key{UniqueID: fmt.Sprintf("%08x5f0c3a2b", n)}})
		}
		mustCommit(b, account, batch...)
	}
	b.ReportMetric(float64(64*b.N)/b.Elapsed().Seconds(), "records/s")
}
