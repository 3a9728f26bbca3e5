package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// signalError is the signal that ended the program.
type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return "stopped by " + e.String() }

// untilSignal returns a context that SIGINT or SIGTERM cancels. A second signal ends the program at
// once, which is safe at any moment.
//
// SIGPIPE is caught, so that writing to a closed standard output fails and does not end the run. It
// is not ignored, because started programs would inherit that.
func untilSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			signal.Reset(syscall.SIGINT, syscall.SIGTERM)
			cancel(signalError{s.(syscall.Signal)})
		case <-done:
		}
	}()
	return ctx, func() { close(done); cancel(nil) }
}

const (
	// whenStuck is how long after a signal the program ends although its output is stuck. That is
	// longer than a stopped run may last, and than longestEnd, after which the exit status is another.
	whenStuck = longestEnd + 500*time.Millisecond
	// stuckFor is how long a write lasts that is stuck.
	stuckFor = time.Second
)

// endIfStuck ends the program if it has got a signal, and cannot end by itself because nobody reads
// the pipe that it prints into. Without a signal it waits, so that cron loses nothing. What was
// delivered is recorded before it is printed.
func endIfStuck(ctx context.Context, t *terminal) {
	context.AfterFunc(ctx, func() {
		caught, _ := signalOf(ctx)
		for time.Sleep(whenStuck); ; time.Sleep(stuckFor / 10) {
			if t.stuck(stuckFor) {
				os.Exit(exitStatus(caught))
			}
		}
	})
}

// wishes are the signals by which a person tells a popfetch that polls what to do. Each has a channel of
// its own, so that none is lost: it is on its way, or in the channel already.
type wishes struct {
	wake, reload chan os.Signal
	end          context.CancelCauseFunc // of the program's context
}

// hearWishes catches these signals from now on. Before that, they would end the program. The context
// also ends when the program's terminal is gone, as by SIGTERM.
func hearWishes(parent context.Context) (context.Context, wishes) {
	ctx, end := context.WithCancelCause(parent)
	w := wishes{make(chan os.Signal, 1), make(chan os.Signal, 1), end}
	signal.Notify(w.wake, syscall.SIGUSR1)
	signal.Notify(w.reload, syscall.SIGHUP)
	return ctx, w
}

// onWishes calls wake at SIGUSR1 and reload at SIGHUP, one at a time, until ctx ends; stop waits until
// the last call has returned. If SIGHUP comes because the program's terminal is gone, the context of w
// ends.
func (p *program) onWishes(ctx context.Context, w wishes, wake, reload func()) (stop func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer p.guard()
		for {
			select {
			case <-w.wake:
				wake()
			case <-w.reload:
				if p.term.isGone() {
					w.end(signalError{syscall.SIGHUP})
				} else {
					reload()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { <-ended }
}

// signalOf returns the signal that has cancelled ctx, if there is one.
func signalOf(ctx context.Context) (signalError, bool) {
	var caught signalError
	ok := errors.As(context.Cause(ctx), &caught)
	return caught, ok
}
