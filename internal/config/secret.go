package config

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Secret says where a password comes from; exactly one field is set, or none
// (ask on the terminal).
type Secret struct {
	Password   string
	File       string // absolute path; its first line
	Command    string // for /bin/sh -c; the first line of its output
	Credential string // name of a file in $CREDENTIALS_DIRECTORY (systemd)
}

const (
	// commandTimeout leaves a person time to unlock a password store.
	commandTimeout = time.Minute
	// outputDelay is how long after the command's end its output is still read.
	// An agent that it leaves behind may hold it open.
	outputDelay = 100 * time.Millisecond
	// maxSecret is the most a password source may hold, in octets.
	maxSecret = 64 << 10
	// maxComplaint is the most that an error shows of what a command said.
	maxComplaint = 1 << 10
)

// IsZero reports whether no source is configured.
func (s Secret) IsZero() bool { return s == Secret{} }

// String tells the source without the password.
func (s Secret) String() string {
	key := s.key()
	switch {
	case key == "":
		return "no password"
	case s.Password != "":
		return key + " ***"
	}
	return fmt.Sprintf("%s %q", key, s.File+s.Command+s.Credential)
}

// GoString is String; it keeps the password out of %#v.
func (s Secret) GoString() string { return s.String() }

// key returns the key of the source, or "" if there is none.
func (s Secret) key() string {
	a := Account{Password: s}
	for _, r := range accountKeys.members(passwordGroup) {
		if r.toml(&a) != "" {
			return r.name
		}
	}
	return ""
}

// SecretError says why the source of a password gives none.
type SecretError struct {
	Key string // of the source
	Err error  // never holds the password
}

func (e *SecretError) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *SecretError) Unwrap() error { return e.Err }

// Resolve fetches the password: the first line of its source, without the line
// end. A password_command runs for at most a minute in a process group of its
// own, which is ended when ctx is done. A file that others can read, a password
// that is empty and one with a control octet (C0003) are refused. The error of a
// source is a *SecretError. No error holds the password. It may be called at the
// same time by several goroutines.
func (s Secret) Resolve(ctx context.Context) (string, error) {
	var password string
	var err error
	switch {
	case s.Password != "":
		password = s.Password
	case s.File != "":
		password, err = readSecretFile(s.File, true)
	case s.Command != "":
		password, err = runSecretCommand(ctx, s.Command, commandTimeout)
	case s.Credential != "":
		password, err = readCredential(s.Credential)
	default:
		var a Account
		r, _ := accountKeys.filling(&a, &a.Password.Password)
		return "", fmt.Errorf("no password is configured; write %s", listed(append(accountKeys.instead(r), r.name), "or"))
	}
	if err == nil {
		err = checkSecret(password)
	}
	if err != nil {
		return "", &SecretError{Key: s.key(), Err: err}
	}
	return password, nil
}

// checkSecret refuses passwords that cannot be sent.
func checkSecret(password string) error {
	if password == "" {
		return errors.New("the password is empty; its first line must hold it")
	}
	if hasControl(password) {
		return errors.New("the password holds a control character; remove it")
	}
	return nil
}

// readSecretFile returns the first line of the file at path. If private is set,
// the file must be readable by nobody else.
func readSecretFile(path string, private bool) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if private {
		if err := checkPrivate(info, path, path); err != nil {
			return "", err
		}
	}
	line, err := firstLine(f)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return line, nil
}

// firstLine returns what r holds up to the first line end, LF or CRLF.
func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxSecret)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	if len(line) == maxSecret && err == io.EOF {
		return "", errors.New("the first line is longer than 64 KiB")
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
}

// readCredential returns what systemd has put down under name. The service
// manager alone decides who can read it, so the mode is not looked at.
func readCredential(name string) (string, error) {
	folder := os.Getenv("CREDENTIALS_DIRECTORY")
	if folder == "" {
		return "", errors.New("CREDENTIALS_DIRECTORY is not set; run popfetch as a systemd service with LoadCredential=")
	}
	return readSecretFile(filepath.Join(folder, name), false)
}

// runSecretCommand returns the first line that a command prints.
func runSecretCommand(ctx context.Context, command string, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no password within %v", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = outputDelay
	stdout := &boundedBuffer{limit: maxSecret, strict: true}
	stderr := &boundedBuffer{limit: maxComplaint}
	cmd.Stdout, cmd.Stderr = stdout, stderr

	err := cmd.Run()
	password, lineErr := firstLine(bytes.NewReader(stdout.octets))
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case stdout.full:
		err = errOutput
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return password, lineErr
	}
	if said := complaint(stderr, password); said != "" {
		return "", fmt.Errorf("%w; it said %s", err, said)
	}
	return "", err
}

// complaint returns what a command said, escaped for a terminal, without the
// password: "sh -x" shows what it prints.
func complaint(stderr *boundedBuffer, password string) string {
	said := string(stderr.octets)
	if stderr.full { // the end may be a part of the password
		said = said[:max(0, len(said)-len(password))]
	}
	if password != "" {
		said = strings.ReplaceAll(said, password, "***")
	}
	if said = strings.TrimSpace(said); said == "" {
		return ""
	}
	return strconv.QuoteToASCII(said)
}

var errOutput = errors.New("the output is longer than 64 KiB; print the password alone")

// boundedBuffer keeps the first octets that are written to it. A strict one
// takes no more than that, which ends the program that writes.
type boundedBuffer struct {
	octets []byte
	limit  int
	strict bool
	full   bool
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	room := b.limit - len(b.octets)
	if len(p) <= room {
		b.octets = append(b.octets, p...)
		return len(p), nil
	}
	b.octets = append(b.octets, p[:room]...)
	b.full = true
	if b.strict {
		return room, errOutput
	}
	return len(p), nil
}
