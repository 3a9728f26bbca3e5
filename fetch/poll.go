package fetch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/popfetch/popfetch/internal/login"
)

// longestBackOff bounds the time between two runs of Poll that come to nothing, unless the account's Interval is longer.
const longestBackOff = 30 * time.Minute

// Poll runs each account that has an Interval at once and then again and again, until ctx is cancelled: whenever its
// Interval has passed since its last run ended, or more where the server wants it later (Result.NotBefore), or does not
// let the runs come to anything. It calls done, if not nil, with each result, from several goroutines.
func (r *Runner) Poll(ctx context.Context, accounts []Account, done func(Result)) {
	var wg sync.WaitGroup
	for i := range accounts {
		if accounts[i].Interval <= 0 {
			continue
		}
		wg.Go(func() { r.poll(ctx, &accounts[i], done) })
	}
	wg.Wait()
}

func (r *Runner) poll(ctx context.Context, account *Account, done func(Result)) {
	defer r.guard()
	failures := 0 // in a row
	for ctx.Err() == nil {
		result := r.runOne(ctx, account)
		if done != nil {
			done(result)
		}
		if isFruitless(result) {
			failures++
		} else {
			failures = 0
		}
		wait(ctx, max(backOff(account.Interval, failures), result.NotBefore.Sub(r.now())))
	}
}

// isFruitless tells whether the server was troubled for nothing: it is down, in use, needs mending, or refuses the log-in.
func isFruitless(result Result) bool {
	var run *Error
	if !errors.As(result.Err, &run) || result.Delivered > 0 {
		return false
	}
	var failed *login.Error
	if errors.As(run, &failed) && (failed.Fault == login.Held || !failed.Until.IsZero()) {
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

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
