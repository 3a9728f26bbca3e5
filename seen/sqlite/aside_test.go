package sqlite

import (
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

func TestStore_Forget(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	listing := listingOf("a", "b", "b", "c")
	mustDiff(t, account, listing)
	deliverAll(t, account, listing)
	mustFinish(t, account, listing)
	n, err := account.Forget(t.Context(), "b", "unknown")
	if err != nil || n != 2 {
		t.Errorf("Forget() = %d, %v, want 2", n, err)
	}
	d := mustDiff(t, account, listing)
	if got, want := summary(d), "new [], check [], seen 2, aside [1 2]"; got != want || d.Aside[0].Reason != seen.Wanted {
		t.Errorf("Diff() = %s, reason %v, want %s, Wanted", got, d.Aside, want)
	}
	mustSetAside(t, account, seen.Aside{Key: listing[1].Key, Reason: seen.Refused, Count: 1, Text: "451 later"})
	asides, err := account.Asides(t.Context())
	if err != nil || len(asides) != 2 || asides[0].Reason != seen.Wanted || asides[0].Count != 1 || asides[0].Text != "451 later" {
		t.Errorf("Asides() = %+v, %v, want it wanted still, and refused once", asides, err)
	}
	if n, err = account.Forget(t.Context()); err != nil || n != 2 {
		t.Errorf("Forget() = %d, %v, want 2", n, err)
	}
	wantDiff(t, account, listing, "new [], check [], seen 0, aside [0 1 2 3]")
	deliverAll(t, account, listing)
	wantDiff(t, account, listing, "new [], check [], seen 4, aside []")
}

// Refused and quarantined messages are retried as if they were new in two cases: the operator says
// so, or the account gets another maildrop, whose unique-ids mean other messages.
func TestStore_quarantine(t *testing.T) {
	listing := listingOf("a", "b", "c")
	begin := func(t *testing.T) (*Store, *ledger) {
		s := open(t)
		account := enter(t, s)
		mustDiff(t, account, listing)
		mustSetAside(t, account,
			seen.Aside{Key: listing[0].Key, Reason: seen.Quarantined, Listed: 1000, Count: 5, Text: "no", ToldAt: now},
			seen.Aside{Key: listing[1].Key, Reason: seen.Refused, Listed: 1000, Count: 2, Text: "no", ToldAt: now},
			seen.Aside{Key: listing[2].Key, Reason: seen.TooLarge, Listed: 1000})
		wantDiff(t, account, listing, "new [], check [], seen 0, aside [0 1 2]")
		return s, account
	}
	afresh := func(t *testing.T, account *ledger, want ...seen.Reason) {
		t.Helper()
		for i, m := range mustDiff(t, account, listing).Aside {
			if fresh := m.Count == 0 && m.Text == "" && m.ToldAt.IsZero() && m.Since.IsZero() == (want[i] == seen.Refused); m.Reason != want[i] || !fresh {
				t.Errorf("%s is %+v, want reason %v, never refused", m.UniqueID, m.Aside, want[i])
			}
		}
	}
	t.Run("forgotten", func(t *testing.T) {
		_, account := begin(t)
		for _, test := range []struct {
			ids  []string
			want int
		}{{[]string{"a"}, 1}, {[]string{"c"}, 0}, {nil, 2}} {
			if n, err := account.Forget(t.Context(), test.ids...); err != nil || n != test.want {
				t.Errorf("Forget(%q) = %d, %v, want %d", test.ids, n, err, test.want)
			}
		}
		afresh(t, account, seen.Refused, seen.Refused, seen.TooLarge)
	})
	t.Run("another maildrop", func(t *testing.T) {
		s, account := begin(t)
		if a := enterAs(t, s, "work", "pop.example.net:995", "alice"); a.id != account.id {
			t.Fatalf("Enter() = %+v", a)
		}
		afresh(t, account, seen.Refused, seen.Refused, seen.TooLarge)
	})
	t.Run("C0040/another message has the unique-id", func(t *testing.T) {
		_, account := begin(t)
		listing := listingOf("a", "b", "c")
		for i := range listing {
			listing[i].Octets = 5000
		}
		wantDiff(t, account, listing, "new [0], check [], seen 0, aside [1 2]")
	})
}

func TestStore_SetAside(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	key := seen.Key{UniqueID: "a"}
	steps := []struct{ set, want seen.Aside }{
		{seen.Aside{Key: key, Reason: seen.Refused, Listed: 5, Count: 1, Last: now, Text: "first", ToldAt: now},
			seen.Aside{Key: key, Reason: seen.Refused, Listed: 5, Count: 1, Since: now, Last: now, Text: "first", ToldAt: now}},
		{seen.Aside{Key: key, Reason: seen.Refused, Listed: 5, Count: 1, Last: now.Add(time.Hour), Text: "second", ToldAt: now.Add(time.Hour)},
			seen.Aside{Key: key, Reason: seen.Refused, Listed: 5, Count: 2, Since: now, Last: now.Add(time.Hour), Text: "second", ToldAt: now.Add(time.Hour)}},
		{seen.Aside{Key: key, Reason: seen.Refused, Listed: 5, Last: now.Add(time.Hour), Text: "for now"}, // it has no Count
			seen.Aside{Key: key, Reason: seen.Refused, Listed: 5, Count: 2, Since: now, Last: now.Add(time.Hour), Text: "for now", ToldAt: now.Add(time.Hour)}},
		{seen.Aside{Key: key, Reason: seen.TooLarge, Listed: 6},
			seen.Aside{Key: key, Reason: seen.TooLarge, Listed: 6, Count: 2, Since: now, Last: now, ToldAt: now.Add(time.Hour)}},
		// Another reason begins another time. Refused, Suspect and Quarantined are one.
		{seen.Aside{Key: key, Reason: seen.Breaking, Last: now.Add(2 * time.Hour)},
			seen.Aside{Key: key, Reason: seen.Breaking, Count: 2, Since: now.Add(2 * time.Hour), Last: now.Add(2 * time.Hour), ToldAt: now.Add(time.Hour)}},
		{seen.Aside{Key: key, Reason: seen.Refused, Last: now.Add(3 * time.Hour)},
			seen.Aside{Key: key, Reason: seen.Refused, Count: 2, Since: now.Add(3 * time.Hour), Last: now.Add(3 * time.Hour), ToldAt: now.Add(time.Hour)}},
		{seen.Aside{Key: key, Reason: seen.Suspect, Last: now.Add(4 * time.Hour)},
			seen.Aside{Key: key, Reason: seen.Suspect, Count: 2, Since: now.Add(3 * time.Hour), Last: now.Add(4 * time.Hour), ToldAt: now.Add(time.Hour)}},
		{seen.Aside{Key: key, Reason: seen.Quarantined, Last: now.Add(4 * time.Hour)},
			seen.Aside{Key: key, Reason: seen.Quarantined, Count: 2, Since: now.Add(3 * time.Hour), Last: now.Add(4 * time.Hour), ToldAt: now.Add(time.Hour)}},
	}
	for _, step := range steps {
		mustSetAside(t, account, step.set)
		asides, err := account.Asides(t.Context())
		if err != nil || len(asides) != 1 {
			t.Fatalf("Asides() = %+v, %v, want one", asides, err)
		}
		got := asides[0]
		if !got.Since.Equal(step.want.Since) || !got.Last.Equal(step.want.Last) || !got.ToldAt.Equal(step.want.ToldAt) {
			t.Errorf("since %v, last %v, told %v, want %v, %v, %v", got.Since, got.Last, got.ToldAt, step.want.Since, step.want.Last, step.want.ToldAt)
		}
		got.Since, got.Last, got.ToldAt = step.want.Since, step.want.Last, step.want.ToldAt
		if got != step.want {
			t.Errorf("Asides() = %+v, want %+v", got, step.want)
		}
	}
	if err := account.Apply(t.Context(), seen.Changes{Asides: []seen.Aside{{Key: key}}}); err == nil {
		t.Error("Apply() without a reason = nil, want an error")
	}
	if err := account.Apply(t.Context(), seen.Changes{}); err != nil {
		t.Errorf("Apply() of nothing = %v", err)
	}
	mustFinish(t, account, nil)
	if asides, err := account.Asides(t.Context()); err != nil || len(asides) != 1 || !asides[0].AbsentAt.Equal(now) {
		t.Errorf("Asides() of what is not listed any more = %v, %v, want one absent at %v", asides, err, now)
	}
}
