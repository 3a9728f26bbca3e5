package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// guard reports a panic and ends the program. It is deferred by run, and by each goroutine that
// handles data of servers and files. The other goroutines are those of libraries, and those in
// deliver that only sync files or wait for a program. Their panics end the program in Go's way,
// with status 2, and so do the fatal errors of Go's runtime.
func (p *program) guard() {
	if panicked := recover(); panicked != nil {
		p.crash(panicked)
	}
}

// crash prints a panic in one line, with its stack at -vv, and ends the program at once (behaviour
// 27). The state of the other goroutines is unknown then. A kill is safe at any moment.
func (p *program) crash(panicked any) {
	text := strings.Join(strings.Fields(fmt.Sprint(panicked)), " ")
	// The terminal's methods cannot be used here: the goroutine may hold their lock.
	_, _ = fmt.Fprintf(os.Stderr, "%spopfetch: a fault in popfetch itself: %s; please report it, with the output of -vv\n",
		p.term.wipe(), printable(text))
	if p.view.verbosity >= 2 {
		_, _ = os.Stderr.Write(debug.Stack())
	}
	os.Exit(exitSoftware)
}
