package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
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

// onSignals calls wake at SIGUSR1 and reload at SIGHUP, one at a time, until ctx ends. A SIGHUP because
// the terminal of the program is gone ends it, as any program: then hangup is called.
func (p *program) onSignals(ctx context.Context, wake, reload, hangup func()) (stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer p.guard()
		for {
			select {
			case s := <-signals:
				switch {
				case s == syscall.SIGUSR1:
					wake()
				case p.term.isGone():
					hangup()
				default:
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
