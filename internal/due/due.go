// Package due says when an account is polled next. It does no input or output and knows no clock:
// its times are durations from now on. So it serves a popfetch that polls alone as well as workers
// that share a database, where only the database's clock counts.
package due

import (
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// Jitter is the part of a pause by which it varies. Many programs that were started together
	// then do not poll together for ever.
	Jitter = 0.1
	// LongestBackOff limits the pause between two fruitless polls, unless the interval is longer.
	LongestBackOff = 30 * time.Minute
	// LongestSpread limits the time over which the first polls of accounts are spread.
	LongestSpread = 10 * time.Second
	// mostDoublings is more than the longest pause needs.
	mostDoublings = 64
)

// Poll is what is known of an account after a poll.
type Poll struct {
	Interval  time.Duration // between two polls
	Fruitless int           // polls in a row that have troubled the server for nothing
	// Passed is how long ago the interval began.
	Passed time.Duration
	// Least is the shortest wait, however much of the interval has passed. Zero: the poll may be
	// due.
	Least time.Duration
	// Announced and Refused are the times before which the server wants no log-in, or refuses one.
	// Zero or less: at any time.
	Announced, Refused time.Duration
}

// Wait returns how long the account waits for its next poll; zero: it is due.
func (p Poll) Wait() time.Duration {
	return max(pause(p.Interval, p.Fruitless)-p.Passed, p.Least, p.Announced, p.Refused)
}

// Count returns the number of fruitless polls in a row after one more poll.
func Count(fruitless int, isFruitless bool) int {
	if isFruitless {
		return fruitless + 1
	}
	return 0
}

// Spread returns by how much the first poll of an account is put off. It is the account number i of
// n new ones.
func Spread(interval time.Duration, i, n int) time.Duration {
	return min(interval, LongestSpread) * time.Duration(i) / time.Duration(n)
}

// pause returns the time between two polls, after so many fruitless ones in a row.
func pause(interval time.Duration, fruitless int) time.Duration {
	b := backoff.ExponentialBackOff{
		InitialInterval: interval, Multiplier: 2, RandomizationFactor: Jitter,
		MaxInterval: max(interval, LongestBackOff),
	}
	for range min(fruitless-1, mostDoublings) {
		b.NextBackOff()
	}
	return b.NextBackOff()
}
