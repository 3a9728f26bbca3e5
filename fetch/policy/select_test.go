package policy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestSelect_Cut(t *testing.T) {
	for _, test := range []struct {
		name   string
		rules  Select
		octets []int64
		taken  Taken
		want   string // now, next and wait
	}{
		{"no rule", Select{}, []int64{1, 2, 3}, Taken{}, "3 0 0"},
		{"nothing", Select{Messages: 1, Octets: 1, Session: 1}, nil, Taken{}, "0 0 0"},
		{"messages", Select{Messages: 2}, []int64{1, 2, 3}, Taken{}, "2 0 1"},
		{"messages of earlier sessions", Select{Messages: 2}, []int64{1, 2, 3}, Taken{1, 9}, "1 0 2"},
		{"messages, all taken", Select{Messages: 2}, []int64{1, 2, 3}, Taken{2, 9}, "0 0 3"},
		{"octets that just fit", Select{Octets: 3}, []int64{1, 2, 1}, Taken{}, "2 0 1"},
		{"the first always goes", Select{Octets: 3}, []int64{9, 0}, Taken{}, "1 0 1"},
		{"the first of the pass, not of the session", Select{Octets: 3}, []int64{9}, Taken{1, 1}, "0 0 1"},
		{"a later one that would fit waits too", Select{Octets: 5}, []int64{1, 9, 1}, Taken{}, "1 0 2"},
		{"unknown octets", Select{Octets: 3}, []int64{0, 0, 0}, Taken{}, "3 0 0"},
		{"negative octets", Select{Octets: 3}, []int64{-9, 3, 1}, Taken{}, "2 0 1"},
		{"octets that overflow", Select{Octets: math.MaxInt64}, []int64{math.MaxInt64, math.MaxInt64}, Taken{}, "1 0 1"},
		{"octets before messages", Select{Messages: 3, Octets: 3}, []int64{1, 2, 1}, Taken{}, "2 0 1"},
		{"sessions", Select{Session: 2}, []int64{1, 1, 1, 1, 1}, Taken{}, "2 3 0"},
		{"sessions, the last", Select{Session: 2}, []int64{1, 1}, Taken{4, 4}, "2 0 0"},
		{"sessions within messages", Select{Session: 2, Messages: 3}, []int64{1, 1, 1, 1, 1}, Taken{}, "2 1 2"},
		{"messages within a session", Select{Session: 4, Messages: 3}, []int64{1, 1, 1, 1, 1}, Taken{}, "3 0 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			queue := make([]int32, len(test.octets))
			for i := range queue {
				queue[i] = int32(i)
			}
			now, next, wait := test.rules.Cut(slices.Clone(queue), func(i int32) int64 { return test.octets[i] }, test.taken)
			if got := fmt.Sprint(len(now), len(next), len(wait)); got != test.want {
				t.Errorf("Cut() has %s, want %s", got, test.want)
			}
			if got := slices.Concat(now, next, wait); !slices.Equal(got, queue) {
				t.Errorf("Cut() = %v, want %v in that order", got, queue)
			}
		})
	}
}

// Passes that follow each other retrieve every message, in order, and none is beyond its limits.
func TestSelect_Cut_passes(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		rules := Select{Messages: random.IntN(4), Octets: int64(random.IntN(20)), Session: random.IntN(3)}
		octets := make([]int64, random.IntN(12))
		var queue, got []int32
		for i := range octets {
			octets[i] = int64(random.IntN(15))
			queue = append(queue, int32(i))
		}
		want := slices.Clone(queue)
		for passes := 0; len(queue) > 0; passes++ {
			var taken Taken
			for sessions := 0; ; sessions++ {
				now, next, wait := rules.Cut(queue, func(i int32) int64 { return octets[i] }, taken)
				for _, i := range now {
					taken.Add(octets[i])
				}
				if sessions == 0 && len(now) == 0 || rules.Session > 0 && len(now) > rules.Session {
					t.Fatalf("%+v: a session retrieves %d of %v", rules, len(now), octets)
				}
				got, queue = append(got, now...), slices.Concat(next, wait)
				if len(next) == 0 {
					break
				}
			}
			if rules.Messages > 0 && taken.Messages > rules.Messages || rules.Octets > 0 && taken.Octets > rules.Octets && taken.Messages > 1 {
				t.Fatalf("%+v: a pass retrieves %+v of %v", rules, taken, octets)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%+v: retrieved %v, want %v", rules, got, want)
		}
	}
}

func TestSelect_Names(t *testing.T) {
	all, some := Select{}, Select{Only: map[string]bool{"a": true}, Within: 1}
	if !all.Names("a") || !some.Names("a") || some.Names("b") {
		t.Error("Names() names others than a, or not a")
	}
	if some.ByDate() {
		t.Error("ByDate() = true, though messages are named")
	}
}

func TestSelect_Cutoff(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	week, day := now.Add(-7*24*time.Hour), 24*time.Hour
	for name, test := range map[string]struct {
		rules  Select
		byDate bool
		want   time.Time
	}{
		"nothing":             {Select{}, false, time.Time{}},
		"within":              {Select{Within: day}, true, now.Add(-day)},
		"since":               {Select{Since: week}, true, week},
		"both":                {Select{Within: day, Since: week}, true, now.Add(-day)},
		"both, the other way": {Select{Within: 30 * day, Since: week}, true, week},
	} {
		if got := test.rules.Cutoff(now); !got.Equal(test.want) || test.rules.ByDate() != test.byDate {
			t.Errorf("%s: Cutoff() = %v, want %v; ByDate() = %v", name, got, test.want, test.rules.ByDate())
		}
	}
}
