package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"

	"golang.org/x/term"
)

// terminal is all output of the program: data on standard output, everything else on standard
// error. Its methods may be called at the same time. Texts of servers and messages are escaped
// before they are printed.
type terminal struct {
	mu       sync.Mutex
	out, err io.Writer
	talks    bool // standard error is a terminal
	unicode  bool // the locale writes UTF-8
	columns  int  // the width of the terminal that standard output is; 0: it is none

	asking   sync.Mutex // held while a person is asked
	question *question  // what a person is being asked; guarded by mu
}

func newTerminal() *terminal {
	t := &terminal{out: os.Stdout, err: os.Stderr, talks: term.IsTerminal(int(os.Stderr.Fd())), unicode: hasUnicode()}
	if out := int(os.Stdout.Fd()); term.IsTerminal(out) {
		t.columns = usualColumns
		if columns, _, err := term.GetSize(out); err == nil && columns > 0 {
			t.columns = columns
		}
	}
	return t
}

// usualColumns is the width of a terminal that does not say it.
const usualColumns = 80

// errUnread says that nobody reads standard output any more, as in `popfetch list | head`.
var errUnread = errors.New("nobody reads it any more")

// errorf prints one line on standard error, as "popfetch: …".
func (t *terminal) errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := ""
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		text += fmt.Sprintf("popfetch: %s\n", printable(strings.TrimRight(line, "\n")))
	}
	if q := t.question; q != nil && t.talks && !q.ended {
		text = "\n" + text
		if q.ended = q.ctx.Err() != nil; !q.ended {
			text += q.prompt
		}
	}
	_, _ = io.WriteString(t.err, text) // if this fails, there is no way to report it
}

// printf prints data on standard output.
func (t *terminal) printf(format string, args ...any) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := fmt.Fprintf(t.out, format, args...); err != nil {
		if errors.Is(err, syscall.EPIPE) {
			err = fmt.Errorf("%w: %w", errUnread, err)
		}
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// printJSON prints one object as a line of standard output.
func (t *terminal) printJSON(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return t.printf("%s\n", line)
}

// trace returns a function that prints the lines of an account's session. Secrets are masked
// already.
func (t *terminal) trace(account string) func(bool, string) {
	return func(sent bool, line string) {
		arrow := "<"
		if sent {
			arrow = ">"
		}
		t.errorf("%s: %s %s", account, arrow, line)
	}
}

// printable escapes control characters and octets that are not UTF-8.
func printable(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, "\\x%02x", s[0])
		case r == '\t' || strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		s = s[size:]
	}
	return b.String()
}
