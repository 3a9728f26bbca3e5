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
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/popfetch/popfetch/internal/screen"
)

// terminal is all output of the program: data on standard output, everything else on standard
// error. Its methods may be called at the same time. Texts of servers and messages are escaped
// before they are printed.
//
// Nobody waits for a terminal that a person has stopped, except for data that a command prints.
// Writes to pipes and files do wait, so that cron and a log lose nothing.
type terminal struct {
	mu       sync.Mutex
	out, err io.Writer
	screen   *screen.Screen // writes to terminals; nil: neither out nor err is one
	talks    bool           // standard error is a terminal
	unicode  bool           // the locale writes UTF-8
	journal  bool           // standard error is the journal of systemd
	columns  int            // the width of the terminal that standard output is; 0: it is none
	began    atomic.Int64   // when the write to a pipe or file began that goes on, in ns; 0: none does

	asking   sync.Mutex // held while a person is asked
	question *question  // what a person is being asked; guarded by mu
}

func newTerminal() *terminal {
	t := &terminal{out: os.Stdout, err: os.Stderr, talks: isTerminal(os.Stderr), unicode: hasUnicode(), journal: isJournal(os.Stderr)}
	if isTerminal(os.Stdout) {
		t.columns, _ = sizeOf(os.Stdout)
	}
	if live := t.liveFile(); live != nil {
		t.screen = screen.New(live, func() (columns, rows int) { return sizeOf(live) }, lostLines, (&program{term: t}).guard)
	}
	return t
}

// isGone reports whether standard error was a terminal, and is closed now.
func (t *terminal) isGone() bool { return t.talks && !isTerminal(os.Stderr) }

// liveFile returns the terminal that live lines are shown on, or nil.
func (t *terminal) liveFile() *os.File {
	switch {
	case t.talks:
		return os.Stderr
	case t.columns > 0:
		return os.Stdout
	}
	return nil
}

// usualColumns and usualRows are the size of a terminal that does not say it.
const (
	usualColumns = 80
	usualRows    = 24
)

// sizeOf returns the size of a terminal. COLUMNS and LINES give what it does not say.
func sizeOf(tty *os.File) (columns, rows int) {
	columns, rows, _ = term.GetSize(int(tty.Fd()))
	return positive(columns, "COLUMNS", usualColumns), positive(rows, "LINES", usualRows)
}

func positive(n int, variable string, usual int) int {
	if n > 0 {
		return n
	}
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil && n > 0 {
		return n
	}
	return usual
}

func lostLines(texts, troubles int) string {
	if troubles > 0 {
		return fmt.Sprintf("popfetch: %d lines dropped while the terminal was stopped, %d of them errors\n", texts, troubles)
	}
	return fmt.Sprintf("popfetch: %d lines dropped while the terminal was stopped\n", texts)
}

// errUnread says that nobody reads standard output any more, as in `popfetch list | head`.
var errUnread = errors.New("nobody reads it any more")

// errorf prints an error on standard error, each line as "popfetch: …".
func (t *terminal) errorf(format string, args ...any) { t.sayf(failure, format, args...) }

// errorWithSQL prints the text of an error. If it ends with SQL, that can be pasted: its lines have
// nothing in front of them.
func (t *terminal) errorWithSQL(text, sql string) {
	before, found := strings.CutSuffix(text, sql)
	if sql == "" || !found {
		t.errorf("%s", text)
		return
	}
	t.errorf("%s", before)
	var lines strings.Builder
	for line := range strings.Lines(sql) {
		lines.WriteString(printable(strings.TrimRight(line, "\n")) + "\n")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.write(t.err, t.talks, lines.String(), screen.Trouble) // as in sayf
}

// sayf is errorf for a line of any level.
func (t *terminal) sayf(l level, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := ""
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		if t.journal {
			text += string(l)
		}
		text += fmt.Sprintf("popfetch: %s\n", printable(strings.TrimRight(line, "\n")))
	}
	if q := t.question; q != nil && t.talks && !q.ended {
		text = "\n" + text
		if q.ended = q.ctx.Err() != nil; !q.ended {
			text += q.prompt
		}
	}
	rank := screen.Trouble
	if l == news {
		rank = screen.News
	}
	_ = t.write(t.err, t.talks, text, rank) // if this fails, there is no way to report it
}

// write writes to a terminal by its screen, and to anything else at once. It is called under mu,
// unless the text is data for a terminal.
func (t *terminal) write(to io.Writer, isTerminal bool, text string, rank screen.Rank) error {
	if isTerminal && t.screen != nil {
		return t.screen.Put(to, text, rank)
	}
	t.began.Store(time.Now().UnixNano())
	defer t.began.Store(0)
	_, err := io.WriteString(to, text)
	return err
}

// stuck reports whether a pipe or a file has taken nothing for so long.
func (t *terminal) stuck(d time.Duration) bool {
	began := t.began.Load()
	return began > 0 && time.Since(time.Unix(0, began)) >= d
}

// printf prints data on standard output.
func (t *terminal) printf(format string, args ...any) error {
	return t.print(screen.Data, fmt.Sprintf(format, args...))
}

func (t *terminal) print(rank screen.Rank, text string) error {
	if t.columns == 0 {
		t.mu.Lock()
		defer t.mu.Unlock()
	}
	if err := t.write(t.out, t.columns > 0, text, rank); err != nil {
		if errors.Is(err, syscall.EPIPE) {
			err = fmt.Errorf("%w: %w", errUnread, err)
		}
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// printJSON prints one object as a line of standard output.
func (t *terminal) printJSON(v any) error { return t.printLine(screen.Data, v) }

// printEvent is printJSON for an event of a run, which does not wait for a stopped terminal.
func (t *terminal) printEvent(v any) error { return t.printLine(screen.News, v) }

// jsonVersion is the version of all lines of --json. A later one may have further fields, and further
// words in a field. What changes or goes makes a new version.
const jsonVersion = 1

// checkJSON is set by tests, to check each line of JSON.
var checkJSON func(v any, line string)

func (t *terminal) printLine(rank screen.Rank, v any) error {
	object, err := json.Marshal(v)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("{\"version\":%d,%s\n", jsonVersion, object[len("{"):])
	if checkJSON != nil {
		checkJSON(v, strings.TrimSuffix(line, "\n"))
	}
	return t.print(rank, line)
}

// hurry says that the program is to end, so nothing waits for a stopped terminal any more.
func (t *terminal) hurry() {
	if t.screen != nil {
		t.screen.Stop()
	}
}

// wipe returns what removes the bars from the terminal. It takes no lock.
func (t *terminal) wipe() string {
	if t == nil || t.screen == nil {
		return ""
	}
	return t.screen.Wipe()
}

// flush waits until the terminals show everything. It returns the error of data that was not
// written.
func (t *terminal) flush() error {
	if t.screen == nil {
		return nil
	}
	if err := t.screen.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// trace returns a function that prints the lines of an account's session. Secrets are masked
// already.
func (t *terminal) trace(account string) func(bool, string) {
	return func(sent bool, line string) {
		arrow := "<"
		if sent {
			arrow = ">"
		}
		t.sayf(news, "%s: %s %s", account, arrow, line)
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
