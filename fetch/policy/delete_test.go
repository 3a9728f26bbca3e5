package policy

import (
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

var (
	now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	day = 24 * time.Hour
)

func TestDelete_Rule(t *testing.T) {
	once, month := Delete{Enabled: true}, Delete{Enabled: true, After: 30 * day}
	old := Message{Kind: seen.Delivered, Octets: 100, DeliveredAt: now.Add(-31 * day)}
	with := func(m Message, change func(*Message)) Message {
		change(&m)
		return m
	}
	kind := func(k seen.Kind) Message { return with(old, func(m *Message) { m.Kind = k }) }
	at := func(age time.Duration) Message {
		return with(old, func(m *Message) { m.DeliveredAt = now.Add(-age) })
	}
	newest := func(m *Message) { m.Newest = true }
	removed := func(m *Message) { m.Removed = true }
	named := func(m *Message) { m.Named = true }
	everything := Delete{Enabled: true, Larger: 1, Removed: true, Imported: true}
	for _, test := range []struct {
		name  string
		rules Delete
		m     Message
		want  Rule
	}{
		{"no rule", Delete{}, with(old, removed), None},
		{"delivered", once, at(0), Delivered},
		{"delivered, at an unknown time", once, kindAt(seen.Delivered, time.Time{}), Delivered},
		{"delivered, an hour ahead", once, at(-time.Hour), Delivered},
		{"delivered, in the future", once, at(-25 * time.Hour), None},
		{"after", month, at(30 * day), After},
		{"after, too early", month, at(30*day - time.Second), None},
		{"after, at an unknown time", month, kindAt(seen.Delivered, time.Time{}), None},
		{"after, in the future", month, at(-31 * day), None},
		{"larger", Delete{Larger: 99}, at(0), Larger},
		{"larger, the limit itself", Delete{Larger: 100}, at(0), None},
		{"larger, of unknown size", Delete{Larger: 99}, with(old, func(m *Message) { m.Octets = 0 }), None},
		{"larger, in the future", Delete{Larger: 99}, at(-25 * time.Hour), None},
		{"removed", Delete{Removed: true}, with(old, removed), Removed},
		{"not removed", Delete{Removed: true}, old, None},
		{"removed, without the rule", Delete{Larger: 1000}, with(old, removed), None},
		{"removed, dropped", Delete{Removed: true}, with(kind(seen.Dropped), removed), None},
		{"removed, imported", Delete{Removed: true, Imported: true}, with(kind(seen.Imported), removed), None},
		{"removed, marked", Delete{Removed: true}, with(kind(seen.Marked), removed), None},
		{"newest wins", everything, with(with(old, removed), newest), None},
		{"newest, discarded", everything, with(kind(seen.Discarded), newest), Discarded},
		{"newest, --delete", Delete{All: true}, with(old, newest), Asked},
		{"dropped", month, kind(seen.Dropped), After},
		{"dropped, larger", Delete{Larger: 1}, kind(seen.Dropped), Larger},
		{"imported", Delete{Enabled: true, After: day, Imported: true}, kind(seen.Imported), Imported},
		{"imported, delivered", Delete{Enabled: true, Imported: true}, kind(seen.Imported), Imported},
		{"imported, not said so", once, kind(seen.Imported), None},
		{"imported, --delete, not said so", Delete{All: true}, kind(seen.Imported), None},
		{"imported, larger", Delete{Larger: 1, Imported: true}, kind(seen.Imported), Larger},
		{"sanitized", everything, kind(seen.Sanitized), None},
		{"marked", everything, kind(seen.Marked), None},
		{"marked, named", everything, with(kind(seen.Marked), named), None},
		{"marked, --delete", Delete{All: true}, kind(seen.Marked), None},
		{"marked, named, --delete", Delete{All: true}, with(kind(seen.Marked), named), Asked},
		{"of a later version", Delete{All: true, Enabled: true, Imported: true}, kind(99), None},
		{"discarded", Delete{}, kind(seen.Discarded), Discarded},
		{"discarded, in the future", Delete{}, kindAt(seen.Discarded, now.Add(99*day)), Discarded},
		{"--delete, in the future", Delete{All: true}, at(-99 * day), Asked},
		{"--keep", Delete{Enabled: true, Larger: 1, Keep: true}, with(old, removed), None},
		{"--keep, discarded", Delete{Keep: true}, kind(seen.Discarded), None},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.rules.Rule(&test.m, Clock{Now: now, AsOf: now}); got != test.want {
				t.Errorf("Rule() = %q, want %q", got, test.want)
			}
		})
	}
	held := at(365 * day)
	if got := month.Rule(&held, Clock{Now: now}); got != None {
		t.Errorf("while deletions wait, Rule() = %q, want none", got)
	}
}

func kindAt(kind seen.Kind, at time.Time) Message {
	return Message{Kind: kind, Octets: 100, DeliveredAt: at}
}

func TestDelete_AtOnce(t *testing.T) {
	for _, test := range []struct {
		name   string
		rules  Delete
		newest bool
		want   Rule
	}{
		{"no rule", Delete{}, false, None},
		{"delivered", Delete{Enabled: true}, false, Delivered},
		{"delivered, newest", Delete{Enabled: true, Newest: 1}, true, None},
		{"after", Delete{Enabled: true, After: day}, false, None},
		{"after and larger", Delete{Enabled: true, After: day, Larger: 99}, false, Larger},
		{"removed", Delete{Removed: true}, false, None},
		{"--delete", Delete{Enabled: true, After: day, All: true}, true, Asked},
		{"--keep", Delete{Enabled: true, Keep: true}, false, None},
	} {
		if got := test.rules.AtOnce(100, test.newest); got != test.want {
			t.Errorf("%s: AtOnce() = %q, want %q", test.name, got, test.want)
		}
	}
}

func TestDelete_Due(t *testing.T) {
	for _, test := range []struct {
		name   string
		rules  Delete
		listed int
		want   time.Time
	}{
		{"no rule", Delete{Larger: 1, Removed: true}, 9, time.Time{}},
		{"delivered", Delete{Enabled: true}, 9, seen.AnyTime},
		{"after", Delete{Enabled: true, After: day}, 9, now.Add(-day)},
		{"all listed messages stay", Delete{Enabled: true, Newest: 9}, 9, time.Time{}},
		{"all but one stay", Delete{Enabled: true, Newest: 8}, 9, seen.AnyTime},
		{"--delete", Delete{All: true, Newest: 9, After: day, Enabled: true}, 9, seen.AnyTime},
		{"--keep", Delete{Enabled: true, Keep: true}, 9, time.Time{}},
	} {
		if got := test.rules.Due(now, test.listed); !got.Equal(test.want) {
			t.Errorf("%s: Due() = %v, want %v", test.name, got, test.want)
		}
	}
	month := Delete{Enabled: true, After: 30 * day}
	if got := month.Due(time.Time{}, 9); !got.IsZero() {
		t.Errorf("while deletions wait, Due() = %v, want none", got)
	}
}

func TestDelete_NeedsProof(t *testing.T) {
	verify := Delete{Verify: true}
	for _, test := range []struct {
		rules Delete
		rule  Rule
		kind  seen.Kind
		want  bool
	}{
		{verify, Delivered, seen.Delivered, true}, {verify, Asked, seen.Delivered, true}, {verify, Imported, seen.Imported, true},
		{verify, Larger, seen.Delivered, true}, {verify, Removed, seen.Delivered, false}, {verify, Discarded, seen.Discarded, false},
		{verify, After, seen.Dropped, false}, {verify, Asked, seen.Marked, false}, {Delete{}, Delivered, seen.Delivered, false},
	} {
		if got := test.rules.NeedsProof(test.rule, test.kind); got != test.want {
			t.Errorf("NeedsProof(%s, %d) = %v, want %v", test.rule, test.kind, got, test.want)
		}
	}
}

func TestKept_Doubt(t *testing.T) {
	for _, test := range []struct {
		before, now int
		doubt       bool
	}{{0, 0, true}, {0, 1, false}, {10, 10, false}, {10, 5, false}, {10, 4, true}, {11, 5, true}, {11, 6, false}, {1, 0, true}, {5, 50, false}} {
		if err := (Kept{Messages: test.before}).Doubt(test.now); (err != nil) != test.doubt {
			t.Errorf("before %d, now %d: Doubt() = %v, want doubt %v", test.before, test.now, err, test.doubt)
		}
	}
}

func TestKept_Renew(t *testing.T) {
	k := Kept{"a", now.Add(-day), 5}
	for _, test := range []struct {
		name, identity string
		at             time.Time
		want           Kept
	}{
		{"same", "a", now, k},
		{"another folder", "b", now, Kept{"b", now, 9}},
		{"the clock was ahead", "a", now.Add(-2 * day), Kept{"a", now.Add(-2 * day), 9}},
	} {
		if got := k.Renew(test.identity, 9, test.at); got != test.want {
			t.Errorf("%s: Renew() = %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestKept_Covers(t *testing.T) {
	k := Kept{Since: now.Add(500 * time.Microsecond)}
	for _, test := range []struct {
		name string
		kind seen.Kind
		at   time.Time
		want bool
	}{
		{"since then", seen.Delivered, now.Add(time.Hour), true},
		{"in that millisecond", seen.Delivered, now, true},
		{"before", seen.Delivered, now.Add(-time.Millisecond), false},
		{"unknown", seen.Delivered, time.Time{}, false},
		{"in the future", seen.Delivered, now.Add(25 * time.Hour), false},
		{"dropped", seen.Dropped, now.Add(time.Hour), false},
		{"imported", seen.Imported, now.Add(time.Hour), false},
	} {
		r := &seen.Record{Kind: test.kind, DeliveredAt: test.at}
		if got := k.Covers(r, now.Add(day)); got != test.want {
			t.Errorf("%s: Covers() = %v, want %v", test.name, got, test.want)
		}
	}
}

func TestIsRemoved(t *testing.T) {
	for _, test := range []struct {
		at   []PlaceState
		want bool
	}{
		{nil, false}, {[]PlaceState{CannotTell}, false}, {[]PlaceState{IsThere}, false}, {[]PlaceState{IsGone}, true},
		{[]PlaceState{IsGone, IsThere}, false}, {[]PlaceState{IsGone, CannotTell}, true}, {[]PlaceState{IsGone, IsGone}, true},
	} {
		if got := IsRemoved(test.at); got != test.want {
			t.Errorf("IsRemoved(%v) = %v, want %v", test.at, got, test.want)
		}
	}
}
