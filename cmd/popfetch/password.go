package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/screen"
)

// question is a prompt that waits for its answer.
type question struct {
	ctx    context.Context
	prompt string
	echo   bool // what is typed is shown
	ended  bool // the cursor is below the prompt already, and the prompt is not shown again
}

// mayAsk returns an error if there is no terminal to ask for an account's password on.
func mayAsk(file string, a *config.Account) error {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return passwordError(file, a, "no password is configured and there is no terminal to ask on; "+
			"set one of password_command, password_file, password_credential, password_keyring, password (--password-command, --password-file)")
	}
	return tty.Close()
}

func passwordError(file string, a *config.Account, problem string) error {
	return &config.Error{File: file, Key: "account." + a.Name, Err: errors.New(problem)}
}

// passwordAsker returns a function that asks for an account's password at its first call, and then
// remembers the answer. The log-in calls it when it has reached the server. Accounts that log in at
// the same time ask one after the other.
func (t *terminal) passwordAsker(file string, a *config.Account) func(context.Context) (string, error) {
	var mu sync.Mutex
	var known string
	return func(ctx context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if known != "" {
			return known, nil
		}
		password, err := t.ask(ctx, fmt.Sprintf("Password for %s at %s: ", printable(a.User), printable(a.WrittenServer())))
		switch {
		case err != nil:
			return "", fmt.Errorf("reading it: %w", err)
		case len(password) == 0:
			return "", passwordError(file, a, "the password is empty")
		}
		known = string(password)
		clear(password)
		return known, nil
	}
}

// ask shows a prompt and reads a line without echo. Lines that others print meanwhile stand above
// the prompt.
func (t *terminal) ask(ctx context.Context, prompt string) ([]byte, error) {
	return t.answer(&question{ctx: ctx, prompt: prompt})
}

// askLine is ask with echo.
func (t *terminal) askLine(ctx context.Context, prompt string) (string, error) {
	line, err := t.answer(&question{ctx: ctx, prompt: prompt, echo: true})
	return string(line), err
}

// answer returns the answer to q, without the line end.
func (t *terminal) answer(q *question) ([]byte, error) {
	ctx := q.ctx
	t.asking.Lock()
	defer t.asking.Unlock()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return t.readAnswer(tty, q)
}

// readAnswer reads the answer to q. An interrupt ends it and restores the terminal. The terminal
// alone does not do so, because popfetch catches the signal. readAnswer closes tty, unless it was
// interrupted. Then the process ends, and the read with it.
func (t *terminal) readAnswer(tty *os.File, q *question) ([]byte, error) {
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	if err := t.beginQuestion(tty, q); err != nil {
		return nil, err
	}
	type answer struct {
		line []byte
		err  error
	}
	answered := make(chan answer, 1)
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	go func() {
		if q.echo {
			line, err := readLine(tty)
			answered <- answer{line, err}
			return
		}
		password, err := term.ReadPassword(fd)
		answered <- answer{password, err}
	}()
	for {
		select {
		case a := <-answered:
			if q.echo && a.err == nil { // the terminal has shown the line end too
				t.mu.Lock()
				q.ended = true
				t.mu.Unlock()
			}
			return a.line, errors.Join(a.err, t.endQuestion(tty), tty.Close())
		case <-continued:
			t.askAgain(tty, q)
		case <-q.ctx.Done():
			return nil, errors.Join(context.Cause(q.ctx), t.endQuestion(tty), term.Restore(fd, before))
		}
	}
}

// askAgain shows the prompt again to a person who had suspended popfetch (Ctrl-Z). A shell sets the
// terminal to its own modes meanwhile, and then a password would be shown. In the background popfetch
// leaves the terminal alone: it gets another signal when it comes back.
func (t *terminal) askAgain(tty *os.File, q *question) {
	if !isForeground() {
		return
	}
	fd := int(tty.Fd())
	if modes, err := unix.IoctlGetTermios(fd, getModes); err == nil && !q.echo {
		modes.Lflag &^= unix.ECHO
		_ = unix.IoctlSetTermios(fd, setModes, modes) // there is no other way to hide what is typed
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.talks && t.screen != nil {
		_ = t.screen.Put(t.err, q.prompt, screen.Dialog) // only Data returns errors
		return
	}
	_, _ = io.WriteString(tty, q.prompt) // the question is open all the same
}

// longestAnswer bounds what a person types, in octets.
const longestAnswer = 4 << 10

// readLine reads a line that a person has typed. What is typed behind it is left for later questions.
// The end of the input (Ctrl-D) is io.EOF.
func readLine(tty *os.File) ([]byte, error) {
	var line []byte
	var octet [1]byte
	for len(line) < longestAnswer {
		n, err := tty.Read(octet[:])
		switch {
		case err != nil:
			return nil, err
		case n == 1 && octet[0] == '\n':
			return line, nil
		}
		line = append(line, octet[:n]...)
	}
	return nil, errors.New("the answer is too long")
}

// beginQuestion shows the prompt, below all lines that were printed before. The prompt goes to
// standard error if that is a terminal.
func (t *terminal) beginQuestion(tty *os.File, q *question) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.question = q
	if t.talks && t.screen != nil {
		t.screen.Ask(t.err, q.prompt)
		return nil
	}
	_, err := io.WriteString(tty, q.prompt)
	return err
}

// endQuestion moves the cursor below the prompt.
func (t *terminal) endQuestion(tty *os.File) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.question
	if q.ctx.Err() == nil { // else isAsking still tells what was interrupted
		t.question = nil
	}
	line := "\n"
	if q.ended {
		line = ""
	}
	q.ended = true
	if t.talks && t.screen != nil {
		t.screen.Answered(t.err, line)
		return nil
	}
	_, err := io.WriteString(tty, line)
	return err
}

// isAsking reports whether a person is being asked, or was when the program was interrupted.
func (t *terminal) isAsking() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.question != nil
}
