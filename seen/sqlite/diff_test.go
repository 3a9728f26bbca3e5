package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

func TestDiff(t *testing.T) {
	t.Run("unknown account", func(t *testing.T) {
		unknown, err := open(t).look(t.Context(), "work", "pop.example.org:995", "alice")
		if err != nil {
			t.Fatal(err)
		}
		listing := listingOf("b", "a", "b")
		wantDiff(t, unknown, listing, "new [0 1 2], check [], seen 0, aside []")
		if got := []int{listing[0].Copy, listing[1].Copy, listing[2].Copy}; !slices.Equal(got, []int{0, 0, 1}) {
			t.Errorf("copies = %v, want [0 0 1]", got)
		}
	})
	t.Run("nothing new after a run", func(t *testing.T) {
		account := enter(t, open(t))
		listing := listingOf("c", "a", "b")
		d := mustDiff(t, account, listing)
		if len(d.New) != 3 {
			t.Fatalf("Diff() = %s, want 3 new", summary(d))
		}
		deliverAll(t, account, listing)
		mustFinish(t, account, listing)
		d = mustDiff(t, account, listing)
		if d.Seen != 3 || !d.Unchanged {
			t.Errorf("Diff() = %s, unchanged %v, want 3 seen, unchanged", summary(d), d.Unchanged)
		}
	})
	t.Run("C0039/case counts", func(t *testing.T) {
		account := enter(t, open(t))
		listing := listingOf("abc", "ABC")
		wantDiff(t, account, listing, "new [0 1], check [], seen 0, aside []")
		mustCommit(t, account, recordOf(listing[0]))
		wantDiff(t, account, listing, "new [1], check [], seen 1, aside []")
	})
	t.Run("due", func(t *testing.T) {
		account := enter(t, open(t))
		listing := listingOf("old", "marked", "young")
		mustDiff(t, account, listing)
		old, marked, young := recordOf(listing[0]), recordOf(listing[1]), recordOf(listing[2])
		old.DeliveredAt = now.Add(-time.Hour)
		marked.Kind, marked.DeliveredAt = seen.Marked, now.Add(-time.Hour)
		mustCommit(t, account, old, marked, young)
		for _, finished := range []bool{false, true} {
			d, err := account.Diff(t.Context(), listing, now.Add(-time.Hour))
			if err != nil || !slices.Equal(d.Due, []int{0}) || d.Seen != 3 {
				t.Errorf("finished %v: Diff() = %v due, %d seen, %v, want [0] due, 3 seen", finished, d.Due, d.Seen, err)
			}
			mustFinish(t, account, listing)
		}
	})
}

// The memory for a maildrop of 200,000 messages must be small, so Diff and Finish may use only
// little for each message.
func TestDiff_memory(t *testing.T) {
	// Octets for each message, including those that are free again.
	const messages, most = 20_000, 100
	account := enter(t, open(t))
	ids := make([]string, messages)
	for i := range ids {
		ids[i] = fmt.Sprintf("%08x5f0c3a2b", uint32(i)*2654435761)
	}
	listing := listingOf(ids...)
	deliverAll(t, account, listing)
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"Diff by merge", func() { mustDiff(t, account, listing) }},
		{"Finish", func() { mustFinish(t, account, listing) }},
		{"Diff by digest", func() { mustDiff(t, account, listing) }},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		step.do()
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / messages; got > most {
			t.Errorf("%s took %d octets for each message, want at most %d", step.name, got, most)
		}
	}
}

// Diff returns each aside with everything that is known of it, also if it looks up only the end of
// the listing.
func TestDiff_aside(t *testing.T) {
	account := enter(t, open(t))
	ids := make([]string, 50)
	for i := range ids {
		ids[i] = fmt.Sprintf("id-%02d", 50-i)
	}
	listing := listingOf(ids...)
	mustDiff(t, account, listing)
	deliverAll(t, account, listing[1:])
	want := seen.Aside{Key: listing[0].Key, Reason: seen.Refused, Listed: 1000, Count: 1, Since: now, Last: now, Text: "-ERR no"}
	mustSetAside(t, account, want)
	for _, finished := range []bool{false, true} {
		d := mustDiff(t, account, listing)
		if d.Seen != 49 || len(d.Aside) != 1 || d.Unchanged != finished {
			t.Fatalf("finished %v: Diff() = %s, want 49 seen, 1 aside", finished, summary(d))
		}
		got := d.Aside[0]
		if !got.Since.Equal(now) || !got.Last.Equal(now) {
			t.Errorf("finished %v: since %v, last %v, want %v", finished, got.Since, got.Last, now)
		}
		got.Since, got.Last = now, now
		if got != (seen.Match{Index: 0, Aside: want}) {
			t.Errorf("finished %v: Diff().Aside = %+v, want %+v", finished, got, want)
		}
		mustFinish(t, account, listing)
	}
}

// A cancelled Diff returns an error and no result.
func TestDiff_cancelled(t *testing.T) {
	account := enter(t, open(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d, err := account.Diff(ctx, listingOf("a"), time.Time{}); !errors.Is(err, context.Canceled) || d.New != nil {
		t.Errorf("Diff() = %s, %v, want nothing, %v", summary(d), err, context.Canceled)
	}
}
