package seentest

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// runImported records messages that another program delivered, and some of each other kind.
func runImported(t *testing.T, harness Harness) {
	l := enter(t, harness.Open(t, t.TempDir(), seen.DefaultTuning))
	record := func(id string, kind seen.Kind, at time.Time) seen.Record {
		return seen.Record{Key: seen.Key{UniqueID: id}, Kind: kind, DeliveredAt: at}
	}
	later := now.Add(time.Hour)
	deleted := record("deleted", seen.Imported, now)
	deleted.DeletedAt = now
	mustApply(t, l, seen.Changes{Records: slices.Values([]seen.Record{
		record("delivered", seen.Delivered, now), record("imported", seen.Imported, now), record("later", seen.Imported, later),
		record("marked", seen.Marked, now), record("sanitized", seen.Sanitized, now), deleted,
	})})
	for until, want := range map[time.Time][]string{
		seen.AnyTime: {"imported", "later", "sanitized"}, now: {"imported", "sanitized"}, now.Add(-time.Millisecond): nil,
	} {
		var got []string
		for r, err := range l.Imported(t.Context(), until) {
			if err != nil || !r.Kind.IsImported() || r.DeliveredAt.IsZero() {
				t.Errorf("Imported() yields %+v, %v", r, err)
			}
			got = append(got, r.UniqueID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("Imported(%v) = %v, want %v", until, got, want)
		}
	}
	listing := entries("imported", 1)
	listing[0].UniqueID = "imported"
	d, err := l.Diff(t.Context(), listing, seen.AnyTime)
	if err != nil || d.Seen != 1 || len(d.Due) != 0 {
		t.Errorf("Diff() = %+v, %v, want the message to be seen, and not due", d, err)
	}
	if err := l.Finish(t.Context(), d, listing, nil, now); err != nil {
		t.Fatal(err)
	}
	listed := slices.DeleteFunc(all(t, l), func(r seen.Record) bool { return !r.AbsentAt.IsZero() })
	if want := []seen.Record{record("imported", seen.Imported, now)}; !reflect.DeepEqual(listed, want) {
		t.Errorf("the listing left %+v, want %+v", listed, want)
	}
}
