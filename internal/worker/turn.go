package worker

import (
	"context"
	"errors"
	"time"

	"github.com/popfetch/popfetch/internal/due"
)

const (
	// settleLimit is how long one attempt to give an account back may take.
	settleLimit = 5 * time.Second
	// stuckLimit is for how long that is tried while the store answers others.
	stuckLimit = time.Minute
)

// turn polls an account and gives it back. It reports whether the account is still due.
func (w *Worker) turn(ctx context.Context, t *Turn) (undone bool) {
	w.count(func(c *Counts) { c.Working++ })
	began := time.Now()
	outcome := Outcome{Undone: true}
	if ctx.Err() == nil {
		outcome = w.poll(ctx, t.Account)
	}
	lost := t.lost()
	err := w.settle(ctx, t, outcome, began)
	if err != nil && w.Unsettled != nil {
		w.Unsettled(t.Account, err)
	}
	w.count(func(c *Counts) {
		c.Working--
		c.Polls++
		if lost || errors.Is(err, ErrLost) {
			c.Lost++
		}
	})
	return outcome.Undone
}

func (t *Turn) lost() bool {
	select {
	case <-t.Lost:
		return true
	default:
		return false
	}
}

// settle gives the account back, and tries again until that succeeds or the account is lost. After
// ctx has ended it tries once more. Even long after the hold has run out it is worth trying: if
// nobody else has taken the account, it gets its next time.
func (w *Worker) settle(ctx context.Context, t *Turn, o Outcome, began time.Time) error {
	give := t.giveBack(o, began)
	var firstFailure time.Time
	for again := new(Retry); ; {
		last := ctx.Err() != nil
		err := give(ctx)
		if err == nil {
			w.noteReach(ctx, nil)
		}
		if err == nil || errors.Is(err, ErrLost) || errors.Is(err, ErrRefused) || last {
			return err
		}
		switch answers := w.answeredSince(firstFailure); {
		case firstFailure.IsZero():
			firstFailure = time.Now()
		case answers && time.Since(firstFailure) > stuckLimit:
			return err
		case !answers && time.Since(firstFailure) > 3*idle:
			w.noteReach(ctx, err) // no claim tells that if no job is free
		}
		select {
		case <-time.After(again.Next()):
		case <-ctx.Done():
		}
	}
}

// giveBack returns a function that tries once to give the account back.
func (t *Turn) giveBack(o Outcome, began time.Time) func(context.Context) error {
	in, fruitless := o.wait(t.Fruitless, time.Since(began)), due.Count(t.Fruitless, o.Fruitless)
	at, refused := time.Now().Add(in), time.Now().Add(o.Refused)
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleLimit)
		defer cancel()
		if o.Undone {
			return t.GiveUp(ctx)
		}
		return t.End(ctx, Next{
			In: max(0, time.Until(at)), Fruitless: fruitless, Refused: max(0, time.Until(refused)),
			Delivered: o.Delivered,
		})
	}
}

// wait returns how long an account waits for its next poll after one that took so long. The
// interval counts from the start of a poll, so that accounts keep their rate however slow their
// servers are. But a server has half of the interval for itself.
func (o *Outcome) wait(fruitless int, took time.Duration) time.Duration {
	return due.Poll{
		Interval: o.Interval, Fruitless: due.Count(fruitless, o.Fruitless), Passed: took, Least: o.Interval / 2,
		Announced: o.Announced, Refused: o.Refused,
	}.Wait()
}
