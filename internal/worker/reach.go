package worker

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// After a call of the store that failed, the next ones come after firstRetry, and later and
	// later up to longestRetry. Each pause varies by half of it. That is about how long a worker
	// takes to notice that the store is back.
	firstRetry   = 500 * time.Millisecond
	longestRetry = 5 * time.Second
)

// reach is whether the store can be reached.
type reach struct {
	mu       sync.Mutex // held while Away is called
	away     bool       // Away was told so
	answered time.Time  // when a call succeeded last
}

// noteReach notes the outcome of a call of the store. Away is told of the first failure, and of the
// first success after it.
func (w *Worker) noteReach(ctx context.Context, err error) {
	r := &w.reach
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.answered = time.Now()
	}
	if away := err != nil; away != r.away && ctx.Err() == nil {
		r.away = away
		if w.Away != nil {
			w.Away(err)
		}
	}
}

// answeredSince reports whether a call of the store has succeeded after a time.
func (w *Worker) answeredSince(at time.Time) bool {
	w.reach.mu.Lock()
	defer w.reach.mu.Unlock()
	return w.reach.answered.After(at)
}

// Retry says when something that failed is tried again: later and later. The zero value is ready.
type Retry struct {
	pauses *backoff.ExponentialBackOff
}

// Next returns how long to wait after one more failure: from about half a second up to about five.
func (r *Retry) Next() time.Duration {
	if r.pauses == nil {
		r.pauses = &backoff.ExponentialBackOff{
			InitialInterval: firstRetry, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: longestRetry,
		}
	}
	return r.pauses.NextBackOff()
}
