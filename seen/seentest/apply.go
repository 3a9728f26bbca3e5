package seentest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

func entries(prefix string, n int) []seen.Entry {
	listing := make([]seen.Entry, n)
	for i := range listing {
		listing[i] = seen.Entry{Number: i + 1, Octets: 1000, Key: seen.Key{UniqueID: fmt.Sprintf("%s-%04d", prefix, i)}}
	}
	return listing
}

func recordsOf(listing []seen.Entry) []seen.Record {
	records := make([]seen.Record, len(listing))
	for i, e := range listing {
		records[i] = recordOf(e)
	}
	return records
}

func mustApply(t testing.TB, l seen.Ledger, c seen.Changes) {
	t.Helper()
	if err := l.Apply(t.Context(), c); err != nil {
		t.Fatalf("Apply() = %v", err)
	}
}

// all returns every record; times are in UTC.
func all(t testing.TB, l seen.Ledger) []seen.Record {
	t.Helper()
	var records []seen.Record
	for r, err := range l.All(t.Context()) {
		if err != nil {
			t.Fatalf("All() = %v", err)
		}
		for _, at := range []*time.Time{&r.DeliveredAt, &r.DeletedAt, &r.AbsentAt} {
			if !at.IsZero() {
				*at = at.UTC()
			}
		}
		records = append(records, r)
	}
	return records
}

// runApply applies changes of every kind in one step, n of most kinds.
func runApply(t *testing.T, harness Harness, n int) {
	l := enter(t, harness.Open(t, t.TempDir(), seen.DefaultTuning))
	old, moved, fresh, refused := entries("old", n), entries("moved", n), entries("fresh", n), entries("refused", n)
	copies := slices.Clone(old[:2])
	for i := range copies {
		copies[i].Copy = 1
	}
	mustApply(t, l, seen.Changes{Records: slices.Values(recordsOf(slices.Concat(old, copies, moved)))})
	mustApply(t, l, seen.Changes{Asides: []seen.Aside{{Key: fresh[0].Key, Reason: seen.Refused, Count: 1}, {Key: refused[0].Key, Reason: seen.Refused, Count: 1, Last: now}}})
	c := seen.Changes{}
	for _, e := range old {
		c.Replace = append(c.Replace, e.UniqueID)
	}
	var moves []seen.Move
	var asides []seen.Aside
	for i := range moved {
		to := seen.Entry{Octets: 1005, Key: old[i].Key} // a key whose record is replaced
		if i%2 == 0 {
			to.UniqueID = "to-" + moved[i].UniqueID
		}
		moves = append(moves, seen.Move{From: moved[i].Key, To: to})
		asides = append(asides, seen.Aside{Key: refused[i].Key, Reason: seen.TooLarge, Listed: 9, MaxSize: 8, Count: 1, Last: now})
	}
	c.Moves, c.Records, c.Asides = slices.Values(moves), slices.Values(recordsOf(fresh)), asides
	mustApply(t, l, c)

	want := recordsOf(fresh)
	for i, r := range recordsOf(moved) {
		r.Key, r.Listed = moves[i].To.Key, 1005
		want = append(want, r)
	}
	slices.SortFunc(want, func(a, b seen.Record) int { return a.Key.Compare(b.Key) })
	if got := all(t, l); !reflect.DeepEqual(got, want) {
		t.Errorf("All() has %d records, want %d: of the new ones and those that were moved", len(got), len(want))
	}
	got, err := l.Asides(t.Context())
	if err != nil || len(got) != n || got[0].Count != 2 || got[0].MaxSize != 8 || got[0].Reason != seen.TooLarge {
		t.Errorf("Asides() has %d, %v, want %d, the first of which is counted twice", len(got), err, n)
	}
}

// runApplyRefused applies steps whose last change is an error. Nothing of such a step may be left.
func runApplyRefused(t *testing.T, harness Harness, n int) {
	listing := entries("a", n)
	bad := recordOf(listing[n-1])
	bad.Kind = 0
	to := func(id string) seen.Entry { return seen.Entry{Key: seen.Key{UniqueID: id}} }
	var moves []seen.Move
	for _, e := range listing[:n-1] {
		moves = append(moves, seen.Move{From: e.Key, To: to("to-" + e.UniqueID)})
	}
	last := listing[n-1].Key
	for name, c := range map[string]seen.Changes{
		"record without a kind":           {Records: slices.Values(append(recordsOf(entries("b", n-1)), bad))},
		"aside without a reason":          {Records: slices.Values(recordsOf(entries("b", n))), Asides: []seen.Aside{{Key: last}}},
		"move to a key with a record":     {Moves: slices.Values(append(slices.Clone(moves), seen.Move{From: last, To: to("taken")}))},
		"moves to one key":                {Moves: slices.Values(append(slices.Clone(moves), seen.Move{From: last, To: to("to-" + listing[0].UniqueID)}))},
		"moves from one key":              {Moves: slices.Values(append(slices.Clone(moves), seen.Move{From: listing[0].Key, To: to("x")}))},
		"move of no record":               {Moves: slices.Values(append(slices.Clone(moves), seen.Move{From: to("none").Key, To: to("x")}))},
		"move of a record that gives way": {Replace: []string{last.UniqueID}, Moves: slices.Values(append(slices.Clone(moves), seen.Move{From: last, To: to("x")}))},
	} {
		t.Run(name, func(t *testing.T) {
			l := enter(t, harness.Open(t, t.TempDir(), seen.DefaultTuning))
			mustApply(t, l, seen.Changes{Records: slices.Values(recordsOf(append(slices.Clone(listing), to("taken"))))})
			before := all(t, l)
			if err := l.Apply(t.Context(), c); err == nil {
				t.Error("Apply() = nil, want an error")
			}
			if got := all(t, l); !reflect.DeepEqual(got, before) {
				t.Errorf("All() has %d records, want the %d that were there", len(got), len(before))
			}
			mustApply(t, l, seen.Changes{Records: slices.Values(recordsOf(entries("later", 2*n)))})
			if got, want := len(all(t, l)), len(before)+2*n; got != want {
				t.Errorf("after a later step there are %d records, want %d", got, want)
			}
		})
	}
}

// runApplyCancelled cancels the context while a step is being written. Nothing of the step may be
// left.
func runApplyCancelled(t *testing.T, harness Harness) {
	l := enter(t, harness.Open(t, t.TempDir(), seen.DefaultTuning))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	err := l.Apply(ctx, seen.Changes{Records: func(yield func(seen.Record) bool) {
		for _, e := range entries("a", 3*harness.Many) {
			if asked++; asked == 2*harness.Many {
				cancel()
			}
			if !yield(recordOf(e)) {
				return
			}
		}
	}})
	if !errors.Is(err, context.Canceled) || asked == 3*harness.Many {
		t.Errorf("Apply() = %v after %d records, want %v before all", err, asked, context.Canceled)
	}
	if got := all(t, l); len(got) != 0 {
		t.Errorf("All() has %d records, want none", len(got))
	}
	again := enter(t, harness.Open(t, t.TempDir(), seen.DefaultTuning))
	mustApply(t, again, seen.Changes{Records: slices.Values(recordsOf(entries("a", 1)))})
}

// runTryAgain has messages retried that were set aside for some reasons. Those that were set aside
// for other reasons, and all records, stay as they are.
func runTryAgain(t *testing.T, harness Harness) {
	for name, test := range map[string]struct {
		reasons []seen.Reason
		want    []seen.Reason // of the messages set aside as refused, quarantined, too large and suspect
	}{
		"quarantined": {[]seen.Reason{seen.Quarantined}, []seen.Reason{seen.Refused, seen.Refused, seen.TooLarge, seen.Suspect}},
		"too large":   {[]seen.Reason{seen.TooLarge}, []seen.Reason{seen.Refused, seen.Quarantined, seen.Refused, seen.Suspect}},
		"both":        {[]seen.Reason{seen.TooLarge, seen.Quarantined}, []seen.Reason{seen.Refused, seen.Refused, seen.Refused, seen.Suspect}},
	} {
		t.Run(name, func(t *testing.T) {
			l := enter(t, harness.Open(t, t.TempDir(), seen.DefaultTuning))
			delivered, aside := entries("delivered", 3), entries("aside", 4)
			var asides []seen.Aside
			for i, reason := range []seen.Reason{seen.Refused, seen.Quarantined, seen.TooLarge, seen.Suspect} {
				asides = append(asides, seen.Aside{Key: aside[i].Key, Reason: reason, Listed: 1000, Count: 3, Last: now, Text: "no", ToldAt: now, MaxSize: 5})
			}
			mustApply(t, l, seen.Changes{Records: slices.Values(recordsOf(delivered)), Asides: asides})
			records := all(t, l)
			if n, err := l.TryAgain(t.Context(), test.reasons...); err != nil || n != len(test.reasons) {
				t.Errorf("TryAgain() = %d, %v, want %d", n, err, len(test.reasons))
			}
			if got := all(t, l); !reflect.DeepEqual(got, records) {
				t.Errorf("All() = %+v, want %+v as before", got, records)
			}
			got, err := l.Asides(t.Context())
			if err != nil || len(got) != len(asides) {
				t.Fatalf("Asides() = %+v, %v, want %d", got, err, len(asides))
			}
			for i, a := range got {
				again := slices.Contains(test.reasons, asides[i].Reason)
				fresh := a.Count == 0 && a.Text == "" && a.ToldAt.IsZero() && a.MaxSize == 0
				if a.Reason != test.want[i] || fresh != again {
					t.Errorf("%s is %+v, want reason %d, as if it were new: %v", a.UniqueID, a, test.want[i], again)
				}
			}
		})
	}
}

// runChosen keeps what a filter of headers has said of a message, whatever happens to it later. A
// message of another size is another one, and what is forgotten is asked about again.
func runChosen(t *testing.T, harness Harness) {
	l := enter(t, harness.Open(t, t.TempDir(), seen.DefaultTuning))
	listing := entries("a", 4)
	chosen := func(e seen.Entry) seen.Aside {
		return seen.Aside{Key: e.Key, Reason: seen.Chosen, Listed: e.Octets, Last: now, Asked: now}
	}
	check := func(what string, want ...seen.Aside) {
		t.Helper()
		got, err := l.Asides(t.Context())
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: Asides() = %+v, %v, want %d", what, got, err, len(want))
		}
		for i, a := range got {
			if a.Key != want[i].Key || a.Reason != want[i].Reason || !a.Asked.Equal(want[i].Asked) {
				t.Errorf("%s: %+v is set aside, want %+v", what, a, want[i])
			}
		}
	}
	refused, other, wanted, done := chosen(listing[0]), chosen(listing[1]), chosen(listing[2]), chosen(listing[3])
	mustApply(t, l, seen.Changes{Records: slices.Values(recordsOf(listing[2:3]))})
	if _, err := l.Forget(t.Context(), wanted.UniqueID); err != nil {
		t.Fatal(err)
	}
	mustApply(t, l, seen.Changes{Asides: []seen.Aside{refused, other, wanted, done}})
	wanted.Reason = seen.Wanted
	check("chosen", refused, other, wanted, done)

	refused.Reason, other.Reason = seen.Refused, seen.Refused
	later, larger := refused, other
	later.Asked, larger.Asked, larger.Listed = time.Time{}, time.Time{}, other.Listed+1
	mustApply(t, l, seen.Changes{Asides: []seen.Aside{later, larger}, Records: slices.Values(recordsOf(listing[3:]))})
	check("refused", refused, larger, wanted)

	mustApply(t, l, seen.Changes{Records: slices.Values(recordsOf(listing[:1]))})
	mustApply(t, l, seen.Changes{Asides: []seen.Aside{refused}})
	if _, err := l.Forget(t.Context(), refused.UniqueID); err != nil {
		t.Fatal(err)
	}
	refused.Reason, refused.Asked = seen.Wanted, time.Time{}
	check("forgotten", refused, larger, wanted)
}

// runPlaces records messages with no, one and several places, unchanged and changed.
func runPlaces(t *testing.T, harness Harness) {
	l := enter(t, harness.Open(t, t.TempDir(), seen.DefaultTuning))
	came, other := seen.Sum{Octets: 7, SHA256: [32]byte{7}}, seen.Sum{Octets: 8, SHA256: [32]byte{8}}
	var want []seen.Record
	for i, places := range [][]seen.Place{
		nil,
		{{Name: "new/1", Sum: came}},
		{{Sum: came}},
		{{Name: "new/1", Sum: other}},
		{{Name: "new/1"}},
		{{Target: "archive", Name: "new/1", Sum: came}},
		{{Name: "new/1", Sum: came}, {Target: "archive", Name: "new/2", Sum: other}, {Target: "archive", Name: "new/2", Sum: came}},
	} {
		r := recordOf(seen.Entry{Key: seen.Key{UniqueID: fmt.Sprint("id-", i)}})
		r.Came, r.Places = came, places
		want = append(want, r)
	}
	for range 2 { // the second time each record replaces itself
		mustApply(t, l, seen.Changes{Records: slices.Values(want)})
		if got := all(t, l); !reflect.DeepEqual(got, want) {
			t.Errorf("All() = %+v, want %+v", got, want)
		}
	}
}
