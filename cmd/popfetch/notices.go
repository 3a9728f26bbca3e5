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

// tellAgain is the time after which a lasting fault is reported again. cron makes a mail of every
// line, and may run popfetch every five minutes. tellAgain is a little less than a day, so that a
// daily run reports the fault each time.
const tellAgain = 23 * time.Hour

// shortTrouble is the longest time after which nobody is told that trouble has ended.
const shortTrouble = time.Minute

// A line stands for one thing that a person was told. It is the code of a warning, or of the error
// that ended a run. It stays the same as long as the fault lasts.
const (
	warningLine = "warning: "
	errorLine   = "error: "
	heldLine    = errorLine + string(fetch.CodeHeld)
	stopped     = " stopped" // ends the line of an error that came with a signal
	sinceLine   = "since: "  // the time of the first run that failed, of those in a row
	untoldLine  = "untold: " // what errorLine would be, but nobody was told yet: tell_after
)

// notices decides whether a person was told of a fault within the last day. It is the fetch.Notices
// of a command that fetches. All lasting faults are reported again when a day has passed since the
// first of them was reported.
type notices struct {
	quiet bool // nobody sees the warnings, so they do not count as reported
	now   func() time.Time
	// tellAfter returns how long temporary trouble of an account must last to be told; nil: not at all
	tellAfter func(account string) time.Duration
	// hooks reports whether an account has hooks about trouble. If it is nil, none has.
	hooks func(account string) bool

	mu   sync.Mutex
	runs map[string]*noticedRun // by account
}

// noticedRun holds the faults of one run of an account.
type noticedRun struct {
	left    map[string]bool // lines that earlier runs left
	told    map[string]bool // the same, unless a day has passed
	met     map[string]bool
	since   time.Time // when the error began that earlier runs left; zero: they left none, or it is unknown
	failed  bool
	refused bool // see refusedAll
	spared  int  // refusals that nobody is told of yet
	absent  bool // the run did not get the lock, or a signal stopped it, and so met no other fault
	secret  bool // trouble has begun in an earlier run, and nobody was told of it
	hooked  hooked
	judged  bool // hooked is what the run leaves, not what earlier runs left
}

func newNotices(quiet bool) *notices {
	return &notices{quiet: quiet, now: time.Now, runs: make(map[string]*noticedRun)}
}

// Begin implements fetch.Notices.
func (n *notices) Begin(account string, told fetch.Told) {
	left, since := linesOf(told)
	run := &noticedRun{left: left, since: since, met: make(map[string]bool)}
	run.secret = isSecret(left)
	_, run.hooked = cutHooked(told.Lines)
	if n.now().Sub(told.At).Abs() < tellAgain { // a clock that was wrong must not suppress reports for years
		run.told = run.left
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.runs[account] = run
}

// linesOf returns the lines, and when the error among them began.
func linesOf(told fetch.Told) (lines map[string]bool, since time.Time) {
	lines = make(map[string]bool)
	others, _ := cutHooked(told.Lines)
	for line := range strings.SplitSeq(others, "\n") {
		if text, isTime := strings.CutPrefix(line, sinceLine); isTime {
			since, _ = time.Parse(time.RFC3339, text) // unknown, if somebody changed it
			continue
		}
		lines[line] = line != ""
	}
	return lines, since
}

// isSecret reports whether trouble lasts that nobody was told of.
func isSecret(lines map[string]bool) bool {
	untold := false
	for line := range lines {
		switch {
		case strings.HasPrefix(line, untoldLine):
			untold = true
		case lasts(line): // a person was told of it
			return false
		}
	}
	return untold
}

// lasts reports whether a line is of an error that keeps mail from coming. What nobody was told of
// counts, because its beginning must be known. An account that is in use, or that the server wants to
// be polled less often, is fetched all the same, and so is one whose run a signal has stopped.
func lasts(line string) bool {
	if strings.HasPrefix(line, untoldLine) {
		return true
	}
	if !strings.HasPrefix(line, errorLine) || line == heldLine {
		return false
	}
	for _, passing := range []string{"/in-use", "/login-delay", stopped} {
		if strings.HasSuffix(line, passing) {
			return false
		}
	}
	return true
}

// A notice says what to do about an event.
type notice struct {
	line    string        // what stays the same as long as the fault lasts; "": always told
	repeats bool          // an earlier run has told a person of the same fault
	early   bool          // it has not lasted long enough to be told
	kept    bool          // if it lasts, it is told again after a day
	ended   bool          // the account is fetched again, for the first time after an error
	after   time.Duration // and so long after it began
	hooks   hookTurn
}

// notice records an event of a run.
func (n *notices) notice(e fetch.Event) notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e.Kind == fetch.Started {
		delete(n.runs, e.Account) // until Begin, nothing is known of earlier runs
	}
	run := n.runs[e.Account]
	if run != nil && e.Kind == fetch.Refused && e.Early {
		run.spared++
	}
	found := n.judge(e, run)
	if found.early || e.Kind != fetch.Finished || n.hooks == nil || !n.hooks(e.Account) {
		return found
	}
	if run == nil { // what earlier runs left cannot be read
		found.hooks, _, _ = hooked(nil).turn(e, n.now())
		return found
	}
	if _, known := run.hooked[refusedFault]; !known && run.spared > 0 {
		told := *e.Result
		told.Failed -= run.spared
		e.Result = &told
	}
	due, after, passing := run.hooked.turn(e, n.now())
	if due.recovered && !run.since.IsZero() && run.since.Before(due.since) {
		due.since = run.since
	}
	found.hooks, run.hooked, run.judged = due, after, !passing
	return found
}

// judge says what to do about an event. run is nil if earlier runs are unknown.
func (n *notices) judge(e fetch.Event, run *noticedRun) notice {
	if run == nil {
		return notice{}
	}
	if e.Kind == fetch.Finished && e.Err != nil {
		run.failed, run.absent = true, phaseOf(e.Err) == fetch.PhaseLock || isStop(e.Err)
	}
	run.refused = refusedAll(e)
	if e.Kind == fetch.Finished && e.Err == nil && !run.since.IsZero() && !run.refused {
		return notice{ended: !run.secret, after: n.now().Sub(run.since)}
	}
	line := n.line(e)
	if line == "" {
		return notice{}
	}
	if n.isEarly(e, run, line) {
		run.met[untoldLine+string(e.Code)] = true
		return notice{early: true}
	}
	run.met[line] = true
	return notice{line: line, repeats: run.told[line], kept: true}
}

// isEarly reports whether an error may pass by itself, and has not lasted as long as the account
// wants. An error that was told goes on as such.
func (n *notices) isEarly(e fetch.Event, run *noticedRun, line string) bool {
	if n.tellAfter == nil || e.Kind != fetch.Finished || run.left[line] || errors.As(e.Err, new(signalError)) {
		return false
	}
	if status := faultStatus(e.Err); status != exitTempFail && status != exitNoHost {
		return false
	}
	lasted := time.Duration(0)
	if !run.since.IsZero() {
		lasted = n.now().Sub(run.since).Abs() // a clock that was wrong must not suppress it for years
	}
	return lasted < n.tellAfter(e.Account)
}

// refusedAll reports whether a run ended without an error, but no message went through, and some did
// not.
func refusedAll(e fetch.Event) bool {
	return e.Kind == fetch.Finished && e.Err == nil && e.Messages == 0 && e.Result != nil && len(resultStatuses(*e.Result)) > 0
}

// line returns the line of an event. It returns "" if the event must always be reported. That is a
// fault of one message, or a fault of the state, where the notices are stored.
func (n *notices) line(e fetch.Event) string {
	switch {
	case e.Kind == fetch.Warning && e.Number == 0 && e.UniqueID == "" && !n.quiet:
		return warningLine + string(e.Code)
	case e.Kind == fetch.Finished && e.Err != nil && !isOfState(e.Err):
		if isStop(e.Err) {
			return errorLine + string(e.Code) + stopped
		}
		return errorLine + string(e.Code)
	}
	return ""
}

func isStop(err error) bool { return errors.As(err, new(signalError)) }

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

// End implements fetch.Notices. Lasting faults keep the time at which the first of them was
// reported.
func (n *notices) End(account string, before fetch.Told) fetch.Told {
	n.mu.Lock()
	defer n.mu.Unlock()
	run := n.runs[account]
	if run == nil {
		return before
	}
	lines, at := maps.Clone(run.met), n.now()
	earlier, since := linesOf(before)
	for line, there := range earlier {
		if there && run.keeps(line) {
			lines[line], at = true, before.At
		}
	}
	if run.secret && run.refused {
		lines[untoldLine] = true
	}
	_, faults := cutHooked(before.Lines)
	if run.judged {
		faults = run.hooked
	}
	if len(lines) == 0 && len(faults) > 0 {
		at = before.At // otherwise each run would write it
	}
	if len(lines) == 0 && len(faults) == 0 && (!run.refused || since.IsZero()) {
		return fetch.Told{}
	}
	all := slices.Sorted(maps.Keys(lines))
	if lasting := slices.ContainsFunc(all, lasts); lasting || (run.failed || run.refused) && !since.IsZero() {
		if since.IsZero() {
			since = n.now()
		}
		all = append(all, sinceLine+since.UTC().Format(time.RFC3339))
	}
	return fetch.Told{Lines: faults.join(all), At: at}
}

// keeps reports whether the fault of a line lasts after the run.
func (r *noticedRun) keeps(line string) bool {
	switch {
	case !r.left[line]: // a run without the lock may have left it meanwhile
		return true
	case !r.told[line]: // it was reported too long ago
		return false
	case r.met[line], r.absent:
		return true
	case line == heldLine: // if LOGIN-DELAY is longer than the time between two runs, every second run is held
		return true
	}
	return r.failed && strings.HasPrefix(line, warningLine) // the run has not reached all warnings
}
