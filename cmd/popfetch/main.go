// Command popfetch fetches mail from POP3 accounts. This package is its command line.
package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/resident"
	"github.com/popfetch/popfetch/seen/postgres"
)

func main() {
	schedule()
	keepMemoryPrivate()
	collectSeldom()
	ctx, stop := untilSignal(context.Background())
	term := newTerminal()
	endIfStuck(ctx, term)
	status := run(ctx, os.Args, term)
	stop()
	os.Exit(status)
}

// run runs the program and returns the exit status. Only what concerns the process itself is in
// main.
func run(ctx context.Context, args []string, term *terminal) int {
	defer (&program{term: term}).guard()
	defer context.AfterFunc(ctx, term.hurry)()
	app := newApp(term)
	var text strings.Builder // the cli package prints the help and the version, but no error
	app.Writer = &text
	args, err := arrange(app, args)
	if err == nil {
		err = app.RunContext(ctx, args)
	}
	if text.Len() > 0 {
		err = errors.Join(err, term.printf("%s", text.String()))
	}
	err = errors.Join(err, term.flush())
	if caught, ok := signalOf(ctx); ok && !errors.Is(err, errEnded) {
		err = errors.Join(err, caught)
	}
	if text := describe(err); text != "" {
		term.errorWithSQL(text, postgres.SQLOf(err))
	}
	_ = term.flush() // only data can fail, and that was flushed before
	return exitStatus(err)
}

// program is one command with its options. It never changes.
type program struct {
	term *terminal
	options

	// stdout returns the target that is standard output. All accounts share it, so that their
	// messages follow one another.
	stdout func() deliver.Target
	// serviceManager returns the service manager that has started this popfetch; nil: none has. Only a
	// popfetch that polls tells it anything.
	serviceManager func() *resident.Notifier

	// database is the open database that has the state, if it has.
	database *database
	shelf    *shelf // its accounts
}
