package main

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/seen"
)

// tellAgain is when a person is told once more of what lasts. cron makes a mail of every line, and
// may run popfetch every five minutes. It is a little less than a day, so that a daily run tells it
// each time.
const tellAgain = 23 * time.Hour

// A line stands for one thing that a person was told: a warning, or the error that ended a run, by
// its code. It is the same as long as the thing lasts.
const (
	warningLine = "warning: "
	errorLine   = "error: "
	heldLine    = errorLine + string(fetch.CodeHeld)
)

// notices decides whether a person was told of something within the last day. It is the
// fetch.Notices of a command that fetches. All that lasts is told again when a day has passed since
// the first of it was told.
type notices struct {
	quiet bool // nobody sees the warnings, so that they do not count as told
	now   func() time.Time

	mu   sync.Mutex
	runs map[string]*noticedRun // by account
}

// noticedRun is what one run of an account has met.
type noticedRun struct {
	left   map[string]bool // the lines that earlier runs left
	told   map[string]bool // the same, unless a day has passed
	met    map[string]bool
	failed bool
	absent bool // the run did not get the account's lock, and so has met nothing else
}

func newNotices(quiet bool) *notices {
	return &notices{quiet: quiet, now: time.Now, runs: make(map[string]*noticedRun)}
}

// Begin implements fetch.Notices.
func (n *notices) Begin(account string, told fetch.Told) {
	run := &noticedRun{left: linesOf(told), met: make(map[string]bool)}
	if n.now().Sub(told.At).Abs() < tellAgain { // a clock that was wrong must not silence anything for years
		run.told = run.left
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.runs[account] = run
}

func linesOf(told fetch.Told) map[string]bool {
	lines := make(map[string]bool)
	for line := range strings.SplitSeq(told.Lines, "\n") {
		lines[line] = line != ""
	}
	return lines
}

// repeats notes an event of a run, and reports whether a person was told of the same thing by an
// earlier run.
func (n *notices) repeats(e fetch.Event) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e.Kind == fetch.Started {
		delete(n.runs, e.Account) // until Begin nothing is known of earlier runs
	}
	run := n.runs[e.Account]
	if run == nil {
		return false
	}
	if e.Kind == fetch.Finished && e.Err != nil {
		run.failed, run.absent = true, phaseOf(e.Err) == fetch.PhaseLock
	}
	line := n.line(e)
	if line == "" {
		return false
	}
	run.met[line] = true
	return run.told[line]
}

// line returns the line of an event, none for what is told in any case. That is what concerns one
// message, and a fault of the state, which may lose what is kept there.
func (n *notices) line(e fetch.Event) string {
	switch {
	case e.Kind == fetch.Warning && e.Number == 0 && !n.quiet:
		return warningLine + string(e.Code)
	case e.Kind == fetch.Finished && e.Err != nil && !isOfState(e.Err):
		return errorLine + string(e.Code)
	}
	return ""
}

func isOfState(err error) bool {
	switch phaseOf(err) {
	case fetch.PhaseLock:
		return !errors.Is(err, seen.ErrLocked)
	case fetch.PhaseState, fetch.PhaseRecord:
		return true
	}
	return false
}

func phaseOf(err error) fetch.Phase {
	var run *fetch.Error
	if !errors.As(err, &run) {
		return ""
	}
	return run.Phase
}

// End implements fetch.Notices. What has lasted keeps the time at which the first of it was told.
func (n *notices) End(account string, before fetch.Told) fetch.Told {
	n.mu.Lock()
	defer n.mu.Unlock()
	run := n.runs[account]
	if run == nil {
		return before
	}
	lines, at := maps.Clone(run.met), n.now()
	for line, there := range linesOf(before) {
		if there && run.keeps(line) {
			lines[line], at = true, before.At
		}
	}
	if len(lines) == 0 {
		return fetch.Told{}
	}
	return fetch.Told{Lines: strings.Join(slices.Sorted(maps.Keys(lines)), "\n"), At: at}
}

// keeps reports whether what a line stands for lasts after the run.
func (r *noticedRun) keeps(line string) bool {
	switch {
	case !r.left[line]: // a run that did not get the lock has left it meanwhile
		return true
	case !r.told[line]: // too long ago
		return false
	case r.met[line], r.absent:
		return true
	case line == heldLine: // where LOGIN-DELAY is longer than the time between two runs, every second run is held
		return true
	}
	return r.failed && strings.HasPrefix(line, warningLine) // the run has not come to all warnings
}
