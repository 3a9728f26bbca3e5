package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/resident"
	"github.com/popfetch/popfetch/seen"
)

// polledEvery returns accounts, a1 and so on, with these intervals.
func polledEvery(intervals ...time.Duration) (accounts []config.Account, polled []resident.Account) {
	for i, interval := range intervals {
		name := fmt.Sprint("a", i+1)
		accounts = append(accounts, config.Account{Name: name, Interval: interval})
		polled = append(polled, resident.Account{Name: name, Interval: interval})
	}
	return accounts, polled
}

func TestPlan(t *testing.T) {
	t.Parallel()
	const m, h = time.Minute, time.Hour
	for _, test := range []struct {
		intervals []time.Duration
		want      string
	}{
		{[]time.Duration{5 * m}, "a1 every 5m"},
		{[]time.Duration{5 * m, 0, 90 * m}, "2 accounts, a1 every 5m, a3 every 90m"},
		{[]time.Duration{10 * time.Second, 24 * h}, "2 accounts, a1 every 10s, a2 every 1d"},
		{[]time.Duration{h, h, h, h, h, h}, "6 accounts every 1h"},
		{[]time.Duration{h, h, 5 * m, h, 48 * h, h, 0}, "6 accounts, each every 5m to 2d"},
	} {
		accounts, _ := polledEvery(test.intervals...)
		if got := plan(&setting{accounts: accounts}); got != test.want {
			t.Errorf("plan(%v) = %q, want %q", test.intervals, got, test.want)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	h := newHealth()
	_, polled := polledEvery(time.Hour, time.Hour, time.Hour, 0)
	h.keep(polled)
	is := func(want string) {
		t.Helper()
		if got := h.text(); got != want {
			t.Errorf("text() = %q, want %q", got, want)
		}
	}
	is("3 accounts; 0 well")
	morning := time.Now().Truncate(24 * time.Hour)
	failed := func(account string, phase fetch.Phase, err error) *fetch.Result {
		return &fetch.Result{Account: account, Err: &fetch.Error{Account: account, Phase: phase, Err: err}}
	}
	timedOut := fmt.Errorf("timed out")
	for _, test := range []struct {
		result  *fetch.Result
		changed bool
	}{
		{&fetch.Result{Account: "a1"}, true},
		{&fetch.Result{Account: "a1"}, false},
		{failed("a2", fetch.PhaseOpen, timedOut), true},
		{failed("a2", fetch.PhaseOpen, timedOut), false},
		{failed("a3", fetch.PhaseLogin, &login.Error{Fault: login.Refused, Err: timedOut}), true},
	} {
		if got := h.note(test.result, morning); got != test.changed {
			t.Errorf("note(%+v) = %v, want %v", test.result, got, test.changed)
		}
		morning = morning.Add(time.Second) // the trouble is as old as its first error
	}
	day := ""
	if at := morning.Local(); at.Format(time.DateOnly) != time.Now().Format(time.DateOnly) {
		day = at.Format(time.DateOnly) + " "
	}
	at := day + morning.Local().Format("15:04")
	is("3 accounts; 1 well; a2: server unreachable since " + at + "; a3: refused by the server, or not trusted since " + at)
	h.note(failed("a2", fetch.PhaseLock, seen.ErrLocked), morning)
	h.keep(polled[1:2])
	is("1 account; 0 well; a2: fetched by another popfetch since " + at)
	h.note(&fetch.Result{Account: "a2"}, morning)
	is("1 account; 1 well")

	_, many := polledEvery(make([]time.Duration, 8)...)
	for i := range many {
		many[i].Interval = time.Hour
	}
	h.keep(many)
	for _, a := range many {
		h.note(failed(a.Name, fetch.PhaseTarget, timedOut), morning)
	}
	text := "8 accounts; 0 well"
	for i := range mostNamed {
		text += fmt.Sprintf("; a%d: mail cannot be delivered since %s", i+1, at)
	}
	is(text + "; 3 more in trouble")
}
