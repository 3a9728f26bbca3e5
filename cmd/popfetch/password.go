package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/popfetch/popfetch/internal/config"
)

// askPassword asks for an account's password before a server is contacted. It returns a function
// that gives the password to the log-in.
func (t *terminal) askPassword(ctx context.Context, file string, a *config.Account) (func(context.Context) (string, error), error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, &config.Error{File: file, Key: "account." + a.Name, Err: fmt.Errorf(
			"no password is configured and there is no terminal to ask on; set one of password_command, password_file, password_credential, password (--password-command, --password-file)")}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	password, err := readPassword(ctx, tty, fmt.Sprintf("Password for %s at %s: ", printable(a.User), a.Server))
	if err != nil {
		return nil, fmt.Errorf("reading the password: %w", err)
	}
	if len(password) == 0 {
		return nil, &config.Error{File: file, Key: "account." + a.Name, Err: errors.New("the password is empty")}
	}
	return func(context.Context) (string, error) { return string(password), nil }, nil
}

// readPassword reads a line without echo. An interrupt ends it and restores the terminal. The
// terminal alone does not do so, because popfetch catches the signal. readPassword closes tty,
// unless it was interrupted. Then the process ends, and the read with it.
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
