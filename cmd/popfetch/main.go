// Command popfetch is the command line.
package main

import (
	"context"
	"errors"
	"os"
)

func main() {
	schedule()
	keepMemoryPrivate()
	collectSeldom()
	ctx, stop := untilSignal(context.Background())
	status := run(ctx, os.Args, newTerminal())
	stop()
	os.Exit(status)
}

// run is the whole program but for the process around it. It returns the exit status.
func run(ctx context.Context, args []string, term *terminal) int {
	defer (&program{term: term}).guard()
	app := newApp(term)
	err := app.RunContext(ctx, arrange(app, args))
	if caught, ok := signalOf(ctx); ok && !errors.Is(err, errEnded) {
		err = errors.Join(err, caught)
	}
	if text := describe(err); text != "" {
		term.errorf("%s", text)
	}
	return exitStatus(err)
}

// program is one command at work. Nothing changes it.
type program struct {
	term *terminal
	options
}
