package main

import (
	"fmt"
	"time"
)

// judge says for a monitor whether every account had a success within a time. If not, the exit
// status is that of the fault that a person must act on first. Each account that had none gets a
// line on standard output, unless the output is JSON.
func (p *program) judge(all []accountState, limit time.Duration, now time.Time) error {
	if len(all) == 0 {
		return p.judgeNothing()
	}
	var statuses []int
	judged := 0
	for i := range all {
		a := &all[i]
		if a.isManual() && len(p.words) == 0 {
			continue // it is fetched only if somebody names it
		}
		judged++
		if a.hasSucceeded(limit, now) {
			continue
		}
		statuses = append(statuses, a.faultStatus())
		if p.view.json {
			continue
		}
		if err := p.term.printf("%s: %s\n", printable(a.name), a.tooOld(limit, now)); err != nil {
			return err
		}
	}
	switch {
	case len(statuses) > 0:
		return &runError{statuses}
	case judged == 0:
		return usagef("--max-age: every account has interval = \"manual\"; " +
			"name those that it shall judge")
	}
	if p.view.json || p.view.quiet {
		return nil
	}
	return p.term.printf("OK: %s had a success within %s\n", accountsOf(judged), *p.maxAge)
}

// judgeNothing is for a monitor that runs as another user, or without the environment of popfetch.
func (p *program) judgeNothing() error {
	if !p.view.json {
		err := p.term.printf("%d: no account is known: there is no configuration, and no state\n",
			exitTempFail)
		if err != nil {
			return err
		}
	}
	return &runError{[]int{exitTempFail}}
}

// isManual reports whether an account is fetched only if somebody names it.
func (a *accountState) isManual() bool { return a.config != nil && a.config.Interval == 0 }

// faultStatus returns the status for an account that had no success: that of its last fault if it
// lasts, and otherwise that it may work again.
func (a *accountState) faultStatus() int {
	if a.fails() && a.history.Error.Status != exitOK {
		return a.history.Error.Status
	}
	return exitTempFail
}

// tooOld says why an account had no success within a time.
func (a *accountState) tooOld(limit time.Duration, now time.Time) string {
	h := &a.history
	var text string
	switch {
	case h.RanAt.IsZero() && a.holder != nil:
		return fmt.Sprintf("%d: the first run is at work", exitTempFail)
	case h.RanAt.IsZero():
		return fmt.Sprintf("%d: it was never polled", exitTempFail)
	case h.SucceededAt.IsZero():
		text = "no success yet"
	case h.SucceededAt.After(now):
		text = "the last success is in the future, at " + h.SucceededAt.UTC().Format(time.RFC3339) + "; is the clock right?"
	default:
		text = fmt.Sprintf("no success for %s", inWords(now.Sub(h.SucceededAt)))
	}
	if a.holder != nil {
		text += ", a run is at work"
	}
	if a.fails() {
		return fmt.Sprintf("%d: %s: %s", a.faultStatus(), text, h.Error.Text)
	}
	if now.Sub(h.RanAt) > limit && a.holder == nil {
		return fmt.Sprintf("%d: %s, and no run either", exitTempFail, text)
	}
	return fmt.Sprintf("%d: %s", exitTempFail, text)
}
