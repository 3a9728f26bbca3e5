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

// Servers lock accounts after some wrong passwords, and cron would send one without end. So after
// three refused log-ins in a row, over all runs, an account is left alone for a time. That time
// grows with each further refusal.
const (
	maxRefusals = 3
	firstRest   = 15 * time.Minute
	longestRest = 24 * time.Hour
	// longestDoubtfulRest is the longest rest after a refusal without a response code, if the same
	// credentials have worked before. The server may mean something else than the credentials, such
	// as a maildrop that is locked.
	longestDoubtfulRest = 30 * time.Minute
	// provenFor is for how long credentials that have worked are believed to be the same.
	provenFor = 24 * time.Hour
)

// rest is how long an account is left alone after so many refusals in a row.
func rest(refusals int) time.Duration {
	if refusals < maxRefusals {
		return 0
	}
	return min(firstRest<<min(refusals-maxRefusals, 10), longestRest)
}

const (
	// longestHold limits how long an account is left alone, whatever the reason. A server that asks
	// for a year must not stop the fetching of mail unnoticed.
	longestHold = 24 * time.Hour
	// longestPause is how long a run without a deadline may wait between two of its sessions. The
	// wait occupies one of Runner.Jobs.
	longestPause = 5 * time.Minute
	// refusedDelay is how long a server is left alone after it has refused a log-in by
	// [LOGIN-DELAY] without announcing a time.
	refusedDelay = 5 * time.Minute
)

// held returns how long the account must not log in yet; zero or less: it may now. A time later
// than any that popfetch sets was noted while the clock was wrong, and does not count.
func held(st seen.Standing, now time.Time) time.Duration {
	left := st.NotBefore.Sub(now)
	if left > 2*longestHold {
		return 0
	}
	return left
}

// announcedDelay returns what LOGIN-DELAY announces (RFC 2449 section 6.5); zero: nothing. It is
// obeyed only after a log-in was refused by it (R2449-4). But a resident popfetch polls no more
// often.
func announcedDelay(caps pop3.Capabilities) time.Duration {
	params := caps["LOGIN-DELAY"]
	if len(params) == 0 {
		return 0
	}
	seconds, err := strconv.ParseUint(params[0], 10, 31)
	if err != nil {
		return 0 // a value without a time says nothing
	}
	return time.Duration(seconds) * time.Second
}

// inWords rounds up, so that a person who waits for that time is not too early.
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

// longestBackOff limits the time between two fruitless runs of Poll, unless the account's Interval
// is longer.
const longestBackOff = 30 * time.Minute

// nextPoll returns how long Poll waits after a run. It is the interval, longer after several
// fruitless runs in a row, and longer if the server wants that.
func nextPoll(interval time.Duration, failures int, result Result, now time.Time) time.Duration {
	return max(backOff(interval, failures), result.NotBefore.Sub(now))
}

// isFruitless reports whether the run troubled the server for nothing: it is down, in use, needs
// repair, or refuses the log-in.
func isFruitless(result Result) bool {
	var run *Error
	if !errors.As(result.Err, &run) || result.Delivered > 0 {
		return false
	}
	var refused *login.Error
	if errors.As(run, &refused) && (refused.Fault == login.Held || !refused.Until.IsZero()) {
		return false // the server was not asked; and a changed password is to count soon
	}
	return run.Phase != PhaseLock && run.Phase != PhaseState && run.Phase != PhaseTarget
}

// backOff returns the interval, doubled for each further failure in a row.
func backOff(interval time.Duration, failures int) time.Duration {
	pause := interval
	for ; failures > 1 && pause < longestBackOff; failures-- {
		pause = min(2*pause, longestBackOff)
	}
	return pause
}
