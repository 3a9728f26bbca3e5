package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
)

// terminal is all that a person or a script sees: data on standard output, everything else on standard error. Its
// methods may be called at the same time. What comes from servers and messages is escaped before it is printed.
type terminal struct {
	mu       sync.Mutex
	out, err io.Writer
	talks    bool // standard error is a terminal
}

func newTerminal() *terminal {
	return &terminal{out: os.Stdout, err: os.Stderr, talks: term.IsTerminal(int(os.Stderr.Fd()))}
}

// errorf prints one line on standard error, as "popfetch: …".
func (t *terminal) errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		// Nothing can be told to anybody if this fails.
		_, _ = fmt.Fprintf(t.err, "popfetch: %s\n", printable(strings.TrimRight(line, "\n")))
	}
}

// printf prints data on standard output.
func (t *terminal) printf(format string, args ...any) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := fmt.Fprintf(t.out, format, args...); err != nil {
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

// trace returns what prints the lines of an account's session; secrets are masked already.
func (t *terminal) trace(account string) func(bool, string) {
	return func(sent bool, line string) {
		arrow := "<"
		if sent {
			arrow = ">"
		}
		t.errorf("%s: %s %s", account, arrow, line)
	}
}

// askPassword asks for an account's password before anything is contacted, and returns what gives it to the log-in.
func (t *terminal) askPassword(s *setting, a *config.Account) (func(context.Context) (string, error), error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, &config.Error{File: s.File, Key: "account." + a.Name, Err: fmt.Errorf(
			"no password is configured and there is no terminal to ask on; set one of password_command, password_file, password_credential, password (--password-command, --password-file)")}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	password, err := readPassword(s.cli.Context, tty, fmt.Sprintf("Password for %s at %s: ", printable(a.User), a.Server))
	if err != nil {
		return nil, fmt.Errorf("reading the password: %w", err)
	}
	if len(password) == 0 {
		return nil, &config.Error{File: s.File, Key: "account." + a.Name, Err: errors.New("the password is empty")}
	}
	return func(context.Context) (string, error) { return string(password), nil }, nil
}

// readPassword reads a line without echo. An interrupt ends it, which the terminal alone does not do where signals are
// caught, and leaves the terminal as it was. It closes tty, unless it was interrupted: then the process ends, and the read
// with it.
func readPassword(ctx context.Context, tty *os.File, prompt string) ([]byte, error) {
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(tty, prompt); err != nil {
		return nil, err
	}
	type answer struct {
		password []byte
		err      error
	}
	answered := make(chan answer, 1)
	go func() {
		password, err := term.ReadPassword(fd)
		answered <- answer{password, err}
	}()
	select {
	case a := <-answered:
		_, err := fmt.Fprintln(tty)
		return a.password, errors.Join(a.err, err, tty.Close())
	case <-ctx.Done():
		_, err := fmt.Fprintln(tty)
		return nil, errors.Join(context.Cause(ctx), err, term.Restore(fd, before))
	}
}

// printable escapes control characters and what is no UTF-8.
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

// absolute makes a path of the command line absolute.
func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return abs, nil
}

// eventLine is one line of --json. Its field names are part of the contract.
type eventLine struct {
	Time     time.Time `json:"time"`
	Account  string    `json:"account"`
	Event    string    `json:"event"`
	Number   int       `json:"number,omitempty"`
	UniqueID string    `json:"unique_id,omitempty"`
	Messages *int      `json:"messages,omitempty"`
	Octets   *int64    `json:"octets,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// observe returns what tells of the events of runs: as JSON, or as lines for a person.
func (p *program) observe(json, quiet bool, failed func(error)) func(fetch.Event) {
	return func(e fetch.Event) {
		if json {
			line := newEventLine(e)
			line.Error += printable(strings.ReplaceAll(p.mend(e.Err), "\n", "; "))
			if err := p.term.printJSON(line); err != nil {
				failed(err)
			}
		}
		p.tell(e, quiet)
	}
}

func newEventLine(e fetch.Event) eventLine {
	line := eventLine{Time: e.Time.UTC(), Account: e.Account, Event: string(e.Kind), Number: e.Number, UniqueID: writeID(e.UniqueID)}
	switch e.Kind {
	case fetch.Marked:
		line.Messages = &e.Messages
	case fetch.Listed, fetch.Finished:
		line.Messages, line.Octets = &e.Messages, &e.Octets
	case fetch.Delivered, fetch.Recognised, fetch.Quarantined, fetch.Refused, fetch.Skipped, fetch.Deleted:
		line.Octets = &e.Octets
	}
	if e.Err != nil {
		line.Error = printable(e.Err.Error())
	}
	return line
}

// tell prints an event on standard error: faults always, warnings unless quiet, each message when verbose, and on a
// terminal one line an account at the end. What lasts from run to run is told once a day, save to somebody who looks on.
func (p *program) tell(e fetch.Event, quiet bool) {
	verbose := p.verbosity > 0 && !quiet
	if e.Repeated && !verbose && !p.term.talks {
		return
	}
	switch e.Kind {
	case fetch.Warning:
		if !quiet {
			p.term.errorf("%s: %v", e.Account, e.Err)
		}
	case fetch.Quarantined:
		p.term.errorf("%s: message %d (unique-id %s) is quarantined and not tried again, unless popfetch seen forget names it: %v",
			e.Account, e.Number, tellID(e.UniqueID), e.Err)
	case fetch.Refused, fetch.Skipped:
		if e.Kind == fetch.Refused || !quiet {
			p.term.errorf("%s: message %d (unique-id %s) is %s: %v", e.Account, e.Number, tellID(e.UniqueID), e.Kind, e.Err)
		}
	case fetch.Delivered, fetch.Recognised, fetch.Deleted:
		if verbose {
			p.term.errorf("%s: message %d (unique-id %s, %d octets) %s", e.Account, e.Number, tellID(e.UniqueID), e.Octets, e.Kind)
		}
	case fetch.Marked:
		if verbose {
			p.term.errorf("%s: %d left out of the first run", e.Account, e.Messages)
		}
	case fetch.Listed:
		if verbose {
			p.term.errorf("%s: %d to retrieve, %d octets", e.Account, e.Messages, e.Octets)
		}
	case fetch.Finished:
		if e.Err != nil {
			p.term.errorf("%v%s", e.Err, p.mend(e.Err))
		}
	}
}
