package seentest

import (
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// runOld sets messages aside as Old. They stay new for Diff, however the listing was compared, and
// are no part of Asides. Finish notes which of them are gone, and forgets them in time.
func runOld(t *testing.T, harness Harness) {
	l := enter(t, harness.Open(t, t.TempDir(), seen.DefaultTuning))
	listing := entries("a", 1100)
	sent := now.Add(-time.Hour)
	var asides []seen.Aside
	for i := range listing {
		if i > 0 {
			asides = append(asides, seen.Aside{Key: listing[i].Key, Reason: seen.Old, Listed: 9, Dated: sent})
		}
	}
	run := func(what string, listing []seen.Entry, at time.Time, wantNew int, change seen.Changes) {
		t.Helper()
		diff, err := l.Diff(t.Context(), listing, time.Time{})
		if err != nil || len(diff.New) != wantNew || len(diff.Aside) > 0 || diff.Unchanged {
			t.Fatalf("%s: Diff() has %d new, %d set aside, unchanged %v, %v, want %d new", what, len(diff.New), len(diff.Aside), diff.Unchanged, err, wantNew)
		}
		mustApply(t, l, change)
		if err := l.Finish(t.Context(), diff, listing, nil, at); err != nil {
			t.Fatalf("%s: Finish() = %v", what, err)
		}
	}
	old := func(what string, want []seen.Entry, absent int) {
		t.Helper()
		var got []seen.Key
		gone := 0
		for behind := (seen.Key{}); ; behind = got[len(got)-1] {
			part, err := l.Old(t.Context(), behind, 1000)
			if err != nil {
				t.Fatalf("%s: Old() = %v", what, err)
			}
			if len(part) == 0 {
				break
			}
			for _, a := range part {
				got = append(got, a.Key)
				if !a.AbsentAt.IsZero() {
					gone++
				}
				if !a.Dated.Equal(sent) || a.Listed != 9 || a.Reason != seen.Old {
					t.Fatalf("%s: Old() has %+v, want what was set aside", what, a)
				}
			}
		}
		keys := make([]seen.Key, 0, len(want))
		for _, e := range want {
			keys = append(keys, e.Key)
		}
		slices.SortFunc(keys, seen.Key.Compare)
		if !slices.Equal(got, keys) || gone != absent {
			t.Errorf("%s: %d are old, %d of them absent, want %d and %d", what, len(got), gone, len(want), absent)
		}
		if all, err := l.Asides(t.Context()); err != nil || len(all) > 0 {
			t.Errorf("%s: Asides() = %v, %v, want none", what, all, err)
		}
	}
	run("first", listing, now, len(listing), seen.Changes{Records: slices.Values(recordsOf(listing[:1])), Asides: asides})
	old("first", listing[1:], 0)
	run("one is delivered", listing, now, len(listing)-1, seen.Changes{Records: slices.Values(recordsOf(listing[1:2]))})
	old("one is delivered", listing[2:], 0)
	fewer := slices.Clone(listing[:900])
	run("some are gone", fewer, now, len(fewer)-2, seen.Changes{})
	old("some are gone", listing[2:], 200)
	run("they stay away", fewer, now.Add(seen.GraceTime+time.Hour), len(fewer)-2, seen.Changes{})
	old("they stay away", listing[2:900], 0)

	// What was set aside for another reason, and then as Old, is new from then on.
	few := slices.Clone(listing[:2])
	few = append(few, entries("b", 1)...)
	mustApply(t, l, seen.Changes{Asides: []seen.Aside{{Key: few[2].Key, Reason: seen.TooLarge, Listed: 9}}})
	diff, err := l.Diff(t.Context(), few, time.Time{})
	if err != nil || len(diff.Aside) != 1 {
		t.Fatalf("Diff() = %+v, %v, want one set aside", diff, err)
	}
	if err := l.Finish(t.Context(), diff, few, nil, now); err != nil {
		t.Fatal(err)
	}
	mustApply(t, l, seen.Changes{Asides: []seen.Aside{{Key: few[2].Key, Reason: seen.Old, Listed: 9, Dated: sent}}})
	run("it was too large before", few, now, 1, seen.Changes{})
}
