package main

import (
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/report"
	"github.com/popfetch/popfetch/seen"
)

// TestJudgePage says how accounts are, and what a person may type.
func TestJudgePage(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	ran := func(ago time.Duration) seen.History {
		return seen.History{RanAt: now.Add(-ago), SucceededAt: now.Add(-ago)}
	}
	failed := func(status int, since time.Duration) seen.History {
		h := ran(time.Minute)
		h.Error = seen.LastError{At: h.RanAt, Since: now.Add(-since), Status: status, Text: "text"}
		return h
	}
	every := func(interval time.Duration) *config.Account {
		return &config.Account{Name: "work", Interval: interval, Enabled: true}
	}
	disabled := every(time.Minute)
	disabled.Enabled = false
	const check, once, again = "popfetch check work --state-dir /s", "popfetch --once work --state-dir /s", "popfetch seen forget work --quarantined --state-dir /s"
	for _, test := range []struct {
		name    string
		history seen.History
		config  *config.Account
		busy    bool
		state   report.State
		command string
	}{
		{"never fetched", seen.History{}, every(time.Minute), false, report.Unknown, ""},
		{"well", ran(time.Minute), every(time.Minute), false, report.Well, ""},
		{"over a weekend", ran(60 * time.Hour), every(24 * time.Hour), false, report.Well, ""},
		{"not for a day", ran(23 * time.Hour), every(time.Minute), false, report.Well, ""},
		{"not any more", ran(25 * time.Hour), every(time.Minute), false, report.NeedsPerson, once},
		{"at work for long", ran(25 * time.Hour), every(time.Minute), true, report.Well, ""},
		{"manual", ran(500 * time.Hour), every(0), false, report.Well, ""},
		{"not enabled", ran(500 * time.Hour), disabled, false, report.Well, ""},
		{"in no configuration", ran(500 * time.Hour), nil, false, report.Well, ""},
		{"down", failed(exitTempFail, time.Hour), every(time.Minute), false, report.Retrying, ""},
		{"down for long", failed(exitTempFail, 25*time.Hour), every(time.Minute), false, report.NeedsPerson, check},
		{"refused", failed(exitNoPerm, time.Minute), every(time.Minute), false, report.NeedsPerson, check},
		{"refused, in no configuration", failed(exitNoPerm, time.Minute), nil, false, report.NeedsPerson, ""},
		{"no place", failed(exitCantCreate, time.Minute), every(time.Minute), false, report.NeedsPerson, check},
		{"quarantined", failed(exitQuarantined, time.Minute), every(time.Minute), false, report.NeedsPerson, again},
		{"own fault", failed(exitSoftware, time.Minute), every(time.Minute), false, report.NeedsPerson, ""},
	} {
		s := &shownSetting{setting: &setting{Config: new(config.Config), options: []string{"--state-dir", "/s"}}}
		from := &accountState{shownAccount: shownAccount{"work", "work", test.config}, history: test.history}
		if test.busy {
			from.holder = new(seen.LockedError)
		}
		var a report.Account
		s.judgePage(&a, from, now)
		if a.State != test.state || a.Command != test.command {
			t.Errorf("%s: the account %s, and a person may type %q; want %s and %q", test.name, a.State, a.Command, test.state, test.command)
		}
		if (a.Problem == "") != (a.State == report.Well || a.State == report.Unknown) {
			t.Errorf("%s: the account %s, and the problem is %q", test.name, a.State, a.Problem)
		}
		if a.State == report.NeedsPerson && a.Advice == "" {
			t.Errorf("%s: nobody says what to do", test.name)
		}
	}
}
