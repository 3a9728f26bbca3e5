package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// guard is deferred by run and by each goroutine that may meet what servers and files hold. The
// goroutines that do not are those of libraries, and in deliver those that only sync files or wait
// for a program; their panics, and what Go's runtime calls a fatal error, still end the program in
// Go's way, with 2.
func (p *program) guard() {
	if panicked := recover(); panicked != nil {
		p.crash(panicked)
	}
}

// crash tells a panic in one line, with its stack at -vv, and ends the program at once (behaviour
// 27): nobody knows what the other goroutines can still rely on, and to be killed is safe at any
// moment.
func (p *program) crash(panicked any) {
	text := strings.Join(strings.Fields(fmt.Sprint(panicked)), " ")
	// Not by the terminal's methods, whose lock the goroutine may hold.
	_, _ = fmt.Fprintf(os.Stderr, "popfetch: a fault in popfetch itself: %s; please report it, with what -vv shows\n", printable(text))
	if p.view.verbosity >= 2 {
		_, _ = os.Stderr.Write(debug.Stack())
	}
	os.Exit(exitSoftware)
}
