package main

import (
	"fmt"
	"time"

	"github.com/popfetch/popfetch/internal/report"
)

const (
	// longTrouble is how long trouble may last that popfetch hopes to see pass.
	longTrouble = 24 * time.Hour
	// longWait is how long an account may wait for a worker.
	longWait = 10 * time.Minute
	// missedPolls is how many intervals may pass without a poll before a person is told.
	missedPolls = 3
)

// judgePage says how an account is, and what to do about it.
func (s *shownSetting) judgePage(a *report.Account, from *accountState, now time.Time) {
	h := &from.history
	switch {
	case from.shared != nil && from.shared.Abandoned != nil:
		gone := from.shared.Abandoned
		a.State, a.Since = report.NeedsPerson, gone.Ended
		a.Problem = fmt.Sprintf("workers leave it alone: %d times in a row it was not given back, by %s last", gone.Times, gone.Holder)
		a.Advice = fmt.Sprintf("Whoever fetches it seems to be killed. Look into the journals of the workers. They try it again in %s. This does so now:", inWords(gone.Again))
		a.Command = s.aboutAccount(from, "--once", from.name)
	case from.shared != nil && from.lateForLong():
		a.State, a.Since = report.NeedsPerson, from.shared.Due
		a.Problem = "no worker has taken it for " + inWords(-from.shared.In)
		a.Advice = "Do workers run, and are there enough? This fetches the account now:"
		if from.shared.Label != "" {
			a.Advice = fmt.Sprintf("Does a worker with %s run? This fetches the account now:", labelWords(from.shared.Label))
		}
		a.Command = s.aboutAccount(from, "--once", from.name)
	case h.RanAt.IsZero():
		a.State = report.Unknown
	case from.fails():
		s.judgeFault(a, from, now)
	case from.overdue(now):
		a.State, a.Since, a.Problem = report.NeedsPerson, h.RanAt, fmt.Sprintf("it was not fetched for %s", inWords(now.Sub(h.RanAt)))
		a.Advice = "Does popfetch still run, or does cron still start it? This fetches the account now:"
		a.Command = s.aboutAccount(from, "--once", from.name)
	default:
		a.State = report.Well
	}
}

// lateForLong reports whether an account has waited for a worker for several intervals, and long.
func (a *accountState) lateForLong() bool {
	if a.config == nil || !a.shared.IsWaiting() {
		return false
	}
	return -a.shared.In > max(longWait, missedPolls*a.config.Interval)
}

// judgeFault is judgePage for an account whose last run has failed.
func (s *shownSetting) judgeFault(a *report.Account, from *accountState, now time.Time) {
	e := &from.history.Error
	a.State, a.Problem, a.Since = report.NeedsPerson, e.Text, e.Since
	examine := s.aboutAccount(from, "check", from.name)
	lasted := now.Sub(e.Since)
	switch {
	case e.Status == exitTempFail && lasted < longTrouble:
		a.State = report.Retrying
		return
	case e.Status == exitTempFail:
		a.Advice = fmt.Sprintf("This has lasted for %s. It examines the account:", inWords(lasted))
	case e.Status == exitQuarantined:
		a.Advice = "Look at the reasons below. This tries the messages again:"
		a.Command = s.commandLine("seen", "forget", from.state, "--quarantined")
		return
	case e.Status == exitNoPerm:
		a.Advice = "Look at user and password, and at what the message says. This examines the account:"
	case e.Status == exitSoftware:
		a.Advice = "This is a fault in popfetch. Please report it."
		return
	default:
		a.Advice = "Look at what the message says. This examines the account:"
	}
	if a.Command = examine; examine == "" {
		a.Advice = "Look at what the message says."
	}
}

// aboutAccount returns a command line for an account, or "" if none can name it: it was made of
// options, or stands in no configuration.
func (s *shownSetting) aboutAccount(a *accountState, words ...string) string {
	if a.config == nil || s.oneShot {
		return ""
	}
	return s.commandLine(words...)
}

// overdue reports whether an account that is polled was not polled for long.
func (a *accountState) overdue(now time.Time) bool {
	if a.config == nil || !a.config.Enabled || a.isManual() || a.holder != nil {
		return false
	}
	return now.Sub(a.history.RanAt) > max(longTrouble, missedPolls*a.config.Interval)
}
