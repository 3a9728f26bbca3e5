package main

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
)

// TestHooked_turn takes an account through runs, one a minute. What a run leaves is written and read
// back, as the state does it.
func TestHooked_turn(t *testing.T) {
	failed := func(phase fetch.Phase, err error, r fetch.Result) fetch.Event {
		r.Err = &fetch.Error{Account: "work", Phase: phase, Err: err}
		return fetch.Event{Kind: fetch.Finished, Err: r.Err, Code: fetch.CodeOf(r.Err), Result: &r}
	}
	ended := func(r fetch.Result) fetch.Event { return fetch.Event{Kind: fetch.Finished, Result: &r} }
	good := ended(fetch.Result{})
	down := failed(fetch.PhaseOpen, syscall.ECONNREFUSED, fetch.Result{})
	late := failed(fetch.PhaseOpen, syscall.ETIMEDOUT, fetch.Result{})
	broken := failed(fetch.PhaseTarget, syscall.EIO, fetch.Result{})
	signal := failed(fetch.PhaseRetrieve, signalError{syscall.SIGTERM}, fetch.Result{Failed: 1})
	refusing := ended(fetch.Result{Failed: 2})
	aside := ended(fetch.Result{Quarantined: 1})
	asideDown := failed(fetch.PhaseRetrieve, syscall.ECONNRESET, fetch.Result{Quarantined: 1})
	type step struct {
		run  fetch.Event
		want string // E: on_error is due; R and a number: on_recovered is, since that run
		left string // the faults that count afterwards
	}
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"once at its beginning, once at its end", []step{
			{good, "", ""}, {down, "E", "75"}, {late, "", "75"}, {down, "", "75"}, {good, "R1", ""}, {good, "", ""}, {down, "E", "75"},
		}},
		{"another status", []step{{down, "E", "75"}, {broken, "E", "74 75"}, {down, "", "74 75"}, {good, "R0", ""}}},
		{"stopped by a signal", []step{{signal, "", ""}, {down, "E", "75"}, {signal, "", "75"}, {good, "R1", ""}, {signal, "", ""}}},
		{"refused messages", []step{{refusing, "E", "refused"}, {refusing, "", "refused"}, {good, "R0", ""}}},
		{"refused, then quarantined", []step{{refusing, "E", "refused"}, {aside, "ER0", "quarantined"}, {aside, "", "quarantined"}}},
		{"works, but refuses", []step{{down, "E", "75"}, {refusing, "E", "refused"}, {good, "R1", ""}}},
		{"quarantined for long", []step{
			{aside, "E", "quarantined"}, {down, "E", "75 quarantined"}, {aside, "R1", "quarantined"}, {down, "E", "75 quarantined"},
			{asideDown, "", "75 quarantined"}, {aside, "R3", "quarantined"}, {good, "R0", ""},
		}},
	} {
		start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
		var before hooked
		for i, s := range test.steps {
			due, after, _ := before.turn(s.run, start.Add(time.Duration(i)*time.Minute))
			got := ""
			if due.failed {
				got = "E"
			}
			if due.recovered {
				got += "R" + string('0'+rune(due.since.Sub(start)/time.Minute))
			}
			left := strings.Join(slices.Sorted(maps.Keys(after)), " ")
			if got != s.want || left != s.left {
				t.Errorf("%s, run %d: %q is due, and %q is left; want %q and %q", test.name, i, got, left, s.want, s.left)
			}
			var others string
			if others, before = cutHooked(after.join([]string{"warning: x"})); others != "warning: x" || !maps.EqualFunc(before, after, time.Time.Equal) {
				t.Errorf("%s, run %d: reading back gives %q and %v, want %v", test.name, i, others, before, after)
			}
		}
	}
	if due, after, passing := (hooked{"75": {}}).turn(failed(fetch.PhaseOpen, signalError{syscall.SIGINT}, fetch.Result{}), time.Now()); !passing || due != (hookTurn{}) || len(after) != 1 {
		t.Errorf("a signal makes %v due, and leaves %v", due, after)
	}
	if !errors.As(broken.Err, new(*fetch.Error)) {
		t.Error("the events of this test are not as a run makes them")
	}
}

// TestFactOf has texts of strangers, and what a hook gets of them.
func TestFactOf(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"  plain \t text ":                 "plain text",
		"a\r\nPOPFETCH_USER=root\x00b":     "a POPFETCH_USER=root b",
		"\u202egpj.exe\u2069 \u200f\u061c": "gpj.exe",
		"a\u2028b\u2029c\u0085d\x1b[31m":   "a b c d [31m",
		"\xff\xfebytes":                    "bytes",
		"👩\u200d👩\u200d👧 क्\u200dष": "👩\u200d👩\u200d👧 क्\u200dष", // joiners are letters' parts
		strings.Repeat("ü", 3000):   strings.Repeat("ü", hookFact),
		strings.Repeat("x ", 3000):  strings.Repeat("x ", hookFact/2-1) + "x",
	} {
		if got := factOf(text); got != want {
			t.Errorf("factOf(%.60q) = %.60q, want %.60q", text, got, want)
		}
	}
}

// TestSenderOf reads addresses out of From fields, also of broken ones.
func TestSenderOf(t *testing.T) {
	for from, want := range map[string]string{
		"":                                     "",
		"alice@example.org":                    "alice@example.org",
		"Alice <alice@example.org>, bob@b.org": "alice@example.org",
		`"Al, ice" <alice@example.org>`:        "alice@example.org",
		"=?utf-8?Q?J=C3=BCrgen?= <j@example.org>": "j@example.org",
		"Alice [x] <alice@example.org":            "alice@example.org",
		"Alice [x] <alice@example.org> trailing":  "alice@example.org",
		"J\xfcrgen <j@example.org>":               "j@example.org",
		"(comment alice@example.org":              "alice@example.org",
		"undisclosed":                             "",
		"<a\u202e@example.org>":                   "a@example.org",
		"team: a@example.org, b@example.org;":     "a@example.org",
	} {
		if got := senderOf(from); got != want {
			t.Errorf("senderOf(%q) = %q, want %q", from, got, want)
		}
	}
}
