package sqlite

import (
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// The log is kept for a year. Older entries go when others come, and a clock that is far ahead costs
// no more than twice as many as it adds.
func TestDeletions_year(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("a", "b", "c", "d", "e", "f", "g", "h")
	mustDiff(t, account, listing)
	deliverAll(t, account, listing)
	finish := func(at time.Time, left []seen.Entry, keys ...seen.Key) {
		t.Helper()
		if err := account.Finish(t.Context(), seen.Diff{}, left, deletedBy("after", keys...), at); err != nil {
			t.Fatal(err)
		}
	}
	logged := func() (ids string) {
		for d, err := range account.Deletions(t.Context(), time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
			ids += d.UniqueID
		}
		return ids
	}
	for i, step := range []struct {
		after time.Duration
		want  string
	}{{0, "a"}, {time.Hour, "ab"}, {2 * time.Hour, "abc"}, {seen.LogTime, "abcd"}, {seen.LogTime + time.Minute, "bcde"}, {100 * seen.LogTime, "def"}} {
		finish(now.Add(step.after), listing[i+1:], listing[i].Key)
		if got := logged(); got != step.want {
			t.Errorf("step %d: the log has %q, want %q", i, got, step.want)
		}
	}
	finish(now.Add(200*seen.LogTime), nil) // nothing is added, and nothing goes
	if got := logged(); got != "def" {
		t.Errorf("after a run without deletions, the log has %q", got)
	}
}
