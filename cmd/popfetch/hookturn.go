package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/popfetch/popfetch/fetch"
)

// hookedLine begins the line of a fault that on_error has run for. Behind it are a word for the
// fault, and when it was first met: "on_error: 75 2026-11-30T12:00:00Z".
const hookedLine = "on_error: "

// These are the words for faults that did not end a run. The word for an error that ended one is
// its exit status.
const (
	refusedFault     = "refused"
	quarantinedFault = "quarantined"
	unusableFault    = "unusable"
)

// hookTurn says which of the hooks about trouble are due after a run.
type hookTurn struct {
	failed    bool
	recovered bool
	since     time.Time // when the trouble began that is over; zero: unknown
}

// hooked holds the faults of an account that on_error has run for, and when each was first met.
type hooked map[string]time.Time

// cutHooked takes the faults out of what a run left, and returns both.
func cutHooked(lines string) (others string, before hooked) {
	var kept []string
	for line := range strings.SplitSeq(lines, "\n") {
		text, isFault := strings.CutPrefix(line, hookedLine)
		if !isFault {
			kept = append(kept, line)
			continue
		}
		fault, at, _ := strings.Cut(text, " ")
		if before == nil {
			before = make(hooked)
		}
		before[fault], _ = time.Parse(time.RFC3339, at) // unknown, if somebody changed it
	}
	return strings.Join(kept, "\n"), before
}

// join adds the faults to what a run leaves.
func (h hooked) join(lines []string) string {
	for _, fault := range slices.Sorted(maps.Keys(h)) {
		lines = append(lines, hookedLine+fault+" "+h[fault].UTC().Format(time.RFC3339))
	}
	return strings.Join(lines, "\n")
}

// faultsOf returns the words for the faults of a run that has ended. What passes by itself is none:
// an account in use, a server that wants to be polled less often, a signal.
func faultsOf(e fetch.Event) (faults []string, passing bool) {
	if e.Err != nil {
		line := errorLine + string(e.Code)
		if isStop(e.Err) {
			line += stopped
		}
		if !lasts(line) {
			return nil, true
		}
		faults = append(faults, strconv.Itoa(faultStatus(e.Err)))
	}
	for _, one := range []struct {
		n     int
		fault string
	}{{e.Result.Failed, refusedFault}, {e.Result.Quarantined, quarantinedFault}, {e.Result.Unusable, unusableFault}} {
		if one.n > 0 {
			faults = append(faults, one.fault)
		}
	}
	return faults, false
}

// turn returns the hooks that are due after a run, and the faults that count from now on. A run that
// ended for a passing reason says nothing about them, and leaves them as they are.
//
// on_error is due once for each fault. A fault is over if a run got to its end without it. If a run
// ended early, nobody knows whether its other faults last. on_recovered is due if a fault is over
// and no message is refused, so that all that is left are messages that a person must look at.
func (h hooked) turn(e fetch.Event, now time.Time) (due hookTurn, after hooked, passing bool) {
	faults, passing := faultsOf(e)
	if passing {
		return due, h, true
	}
	after = make(hooked)
	for _, fault := range faults {
		since, known := h[fault]
		if !known {
			due.failed, since = true, now
		}
		after[fault] = since
	}
	_, refused := after[refusedFault]
	for fault, since := range h {
		_, lasts := after[fault]
		switch {
		case lasts:
		case e.Err != nil:
			after[fault] = since
		case !refused:
			if !due.recovered || since.Before(due.since) {
				due.since = since
			}
			due.recovered = true
		}
	}
	return due, after, false
}
