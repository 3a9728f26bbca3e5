package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/config"
)

// crashing is a command of these tests: a program with a goroutine that panics.
func crashing() {
	p := &program{term: newTerminal(), options: options{view: view{verbosity: strings.Count(strings.Join(os.Args[1:], ""), "v")}}}
	if p.term.screen != nil {
		drawn := make(chan struct{}, 1)
		p.term.screen.Live(func(int, int) []string {
			drawn <- struct{}{}
			return []string{"bar 1", "bar 2"}
		})
		<-drawn
		<-drawn // the bars are shown when they are drawn again
	}
	p.term.mu.Lock() // some goroutine may be printing
	go func() {
		defer p.guard()
		panic("index out of \x1b[2J\nrange")
	}()
	select {}
}

// A panic gives one line and status 70, and a stack trace only with -vv (behaviour 27).
func TestCrash(t *testing.T) {
	t.Parallel()
	const want = "popfetch: a fault in popfetch itself: index out of \\x1b[2J range; please report it, with the output of -vv\n"
	for _, test := range []struct {
		option string
		stack  bool
	}{{"", false}, {"-v", false}, {"-vv", true}} {
		c := exec.CommandContext(t.Context(), "popfetch-crashing", test.option)
		var said bytes.Buffer
		c.Stderr = &said
		if status := exitOf(t, c.Run()); status != exitSoftware {
			t.Errorf("%s: exit status = %d, want %d", test.option, status, exitSoftware)
		}
		first, rest, _ := strings.Cut(said.String(), "\n")
		if first+"\n" != want || strings.Contains(rest, "goroutine ") != test.stack || !test.stack && rest != "" {
			t.Errorf("%s: it said %q, want %q and a stack: %t", test.option, said.String(), want, test.stack)
		}
	}
}

// A panic removes the bars from the terminal.
func TestCrash_bars(t *testing.T) {
	t.Parallel()
	p := newTerminalPair(t)
	c := exec.CommandContext(t.Context(), "popfetch-crashing")
	c.Stdin, c.Stdout, c.Stderr = p.tty, p.tty, p.tty
	if status := exitOf(t, c.Run()); status != exitSoftware {
		t.Errorf("exit status = %d, want %d", status, exitSoftware)
	}
	p.waitFor("with the output of -vv\r\n")
	if got := p.shown(200); !strings.HasPrefix(got, "popfetch: a fault in popfetch itself: ") || strings.Contains(got, "bar ") {
		t.Errorf("the terminal shows %q, want one line and no bars", got)
	}
	if !strings.Contains(p.screen(), "bar 2") {
		t.Errorf("%q came to the terminal, want bars", p.screen())
	}
}

// The same handler reports panics of the engine's goroutines.
func TestCrash_engine(t *testing.T) {
	t.Parallel()
	s := &setting{Config: &config.Config{}}
	if r := (&program{}).runner(s, nil, &reporter{}); r.Crash == nil {
		t.Error("Crash = nil, want the program's handler")
	}
}
