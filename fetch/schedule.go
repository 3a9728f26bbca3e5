package fetch

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// Servers lock accounts after some wrong passwords, and cron would send one for ever. So an account
// whose log-in was refused three times in a row, over all runs, is left alone for a time that grows
// with each further refusal.
const (
	maxRefusals = 3
	firstRest   = 15 * time.Minute
	longestRest = 24 * time.Hour
)

// rest is how long an account is left alone after so many refusals in a row.
func rest(refusals int) time.Duration {
	if refusals < maxRefusals {
		return 0
	}
	return min(firstRest<<min(refusals-maxRefusals, 10), longestRest)
}

const (
	// longestHold bounds how long an account is left alone, whatever asks for it. A server that
	// asks for a year must not end the fetching of mail unnoticed.
	longestHold = 24 * time.Hour
	// longestPause is how long a run without a deadline waits between two of its sessions. It holds
	// one of Runner.Jobs.
	longestPause = 5 * time.Minute
	// refusedDelay is how long a server is left alone that refuses a log-in by [LOGIN-DELAY] and
	// does not announce what it wants.
	refusedDelay = 5 * time.Minute
)

// held returns how long the account must not log in yet; zero or less: it may now. A time that is
// further away than anything sets it was noted while the clock was wrong, and does not count.
func held(st seen.Standing, now time.Time) time.Duration {
	left := st.NotBefore.Sub(now)
	if left > 2*longestHold {
		return 0
	}
	return left
}

// announcedDelay is what LOGIN-DELAY announces (RFC 2449 section 6.5); zero: nothing. It is obeyed
// only when a log-in was refused by it (R2449-4), but a resident popfetch polls no more often.
func announcedDelay(caps pop3.Capabilities) time.Duration {
	params := caps["LOGIN-DELAY"]
	if len(params) == 0 {
		return 0
	}
	seconds, err := strconv.ParseUint(params[0], 10, 31)
	if err != nil {
		return 0 // a server that does not say how long says nothing
	}
	return time.Duration(seconds) * time.Second
}

// inWords rounds up: who comes back after that time is not too early.
func inWords(d time.Duration) string {
	switch {
	case d <= 10*time.Minute:
		return fmt.Sprintf("%d s", (d+time.Second-1)/time.Second)
	case d <= 3*time.Hour:
		return fmt.Sprintf("%d min", (d+time.Minute-1)/time.Minute)
	default:
		return fmt.Sprintf("%d h", (d+time.Hour-1)/time.Hour)
	}
}

// longestBackOff bounds the time between two runs of Poll that come to nothing, unless the
// account's Interval is longer.
const longestBackOff = 30 * time.Minute

// nextPoll returns how long Poll waits after a run: the interval, more after so many runs in a row
// that came to nothing, and more where the server wants it.
func nextPoll(interval time.Duration, failures int, result Result, now time.Time) time.Duration {
	return max(backOff(interval, failures), result.NotBefore.Sub(now))
}

// isFruitless reports whether the server was troubled for nothing: it is down, in use, needs
// mending, or refuses the log-in.
func isFruitless(result Result) bool {
	var run *Error
	if !errors.As(result.Err, &run) || result.Delivered > 0 {
		return false
	}
	var refused *login.Error
	if errors.As(run, &refused) && (refused.Fault == login.Held || !refused.Until.IsZero()) {
		return false // it was not even asked; and a changed password is to be noticed soon
	}
	return run.Phase != PhaseLock && run.Phase != PhaseState && run.Phase != PhaseTarget
}

// backOff is the interval, and twice as long after each further failure in a row.
func backOff(interval time.Duration, failures int) time.Duration {
	pause := interval
	for ; failures > 1 && pause < longestBackOff; failures-- {
		pause = min(2*pause, longestBackOff)
	}
	return pause
}
