package config

import (
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

// Secret says where a password comes from. At most one field is set. If none is, the terminal asks
// for the password.
type Secret struct {
	Password   string
	File       string // absolute path; the password is the first line
	Command    string // for /bin/sh -c; the password is the first line of the output
	Credential string // name of a file in $CREDENTIALS_DIRECTORY (systemd)
	Keyring    string // service of the item in the keyring of the desktop session
}

const (
	// commandTimeout leaves a person time to unlock a password store.
	commandTimeout = time.Minute
	// outputDelay is how long output is still read after the command has ended. An agent that the
	// command leaves behind may keep the output open. The password is in the pipe by then, but a busy
	// machine may let us read it late.
	outputDelay = time.Second
	// maxSecret bounds the first line of a password source, in octets.
	maxSecret = 64 << 10
	// maxComplaint bounds how much of a command's messages an error shows.
	maxComplaint = 1 << 10
)

// IsZero reports whether no source is configured.
func (s Secret) IsZero() bool { return s == Secret{} }

// String returns the source without the password.
func (s Secret) String() string {
	key := s.key()
	switch {
	case key == "":
		return "no password"
	case s.Password != "":
		return key + " ***"
	}
	return fmt.Sprintf("%s %q", key, s.File+s.Command+s.Credential+s.Keyring)
}

// GoString returns String, so that %#v does not show the password.
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

// SecretError means that the source of a password gave none.
type SecretError struct {
	Key string // key of the source
	Err error  // never contains the password
	// Temporary says that a command or the keyring failed or was too slow, so that it may work at the
	// next log-in.
	Temporary bool
}

func (e *SecretError) Error() string { return e.Key + ": " + e.Err.Error() }

// IsTemporary returns Temporary, for those who do not know this type.
func (e *SecretError) IsTemporary() bool { return e.Temporary }

// Unwrap returns Err.
func (e *SecretError) Unwrap() error { return e.Err }

// Resolve returns the password of user: the first line of its source, without the line end. Only a
// keyring needs to know the user. A password_command runs for at most a minute, in a process group
// of its own. If ctx is done, the group is ended. A keyring has a minute too.
//
// Resolve refuses a file that others can read. It also refuses an empty password and one with a
// control octet (C0003). If a source fails, the error is a *SecretError. No error contains the
// password. Several goroutines may call Resolve at the same time.
func (s Secret) Resolve(ctx context.Context, user string) (string, error) {
	return s.resolveOf(ctx, user, s.key())
}

// resolveOf is Resolve for a password that the key called key says.
func (s Secret) resolveOf(ctx context.Context, user, key string) (string, error) {
	const what = "the password"
	if s.Keyring == "" {
		return s.resolve(ctx, key, what)
	}
	password, err := s.fromKeyring(ctx, user, commandTimeout)
	if err != nil {
		return "", &SecretError{Key: key, Err: err, Temporary: !errors.Is(err, errNoItem) && !errors.Is(err, errSeveral)}
	}
	return checked(password, key, what)
}

// resolve is Resolve for the key of a secret that is called what.
func (s Secret) resolve(ctx context.Context, key, what string) (string, error) {
	var password string
	var err error
	failed := false
	switch {
	case s.Password != "":
		password = s.Password
	case s.File != "":
		password, err = readSecretFile(s.File)
	case s.Command != "":
		password, err = runSecretCommand(ctx, s.Command, commandTimeout)
		failed = err != nil
	case s.Credential != "":
		password, err = readCredential(s.Credential)
	default:
		var a Account
		r, _ := accountKeys.filling(&a, &a.Password.Password)
		return "", fmt.Errorf("no password is configured; write %s", listed(append(accountKeys.instead(r), r.name), "or"))
	}
	if err != nil {
		return "", &SecretError{Key: key, Err: err, Temporary: failed}
	}
	return checked(password, key, what)
}

// checked returns the secret that the source called key gave, unless it cannot be sent.
func checked(secret, key, what string) (string, error) {
	if err := checkSecret(secret, what); err != nil {
		return "", &SecretError{Key: key, Err: err}
	}
	return secret, nil
}

// checkSecret refuses a secret that cannot be sent.
func checkSecret(secret, what string) error {
	if secret == "" {
		return fmt.Errorf("%s is empty; its first line must hold it", what)
	}
	if hasControl(secret) {
		return fmt.Errorf("%s holds a control character; remove it", what)
	}
	return nil
}

// readSecretFile returns the first line of the file at path. It refuses a file that others can
// read.
func readSecretFile(path string) (string, error) {
	if path == stdin {
		return streams.line(os.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if err := checkSecretFile(info, path); err != nil {
		return "", fmt.Errorf("%w; or use %s", err, Secret{Command: "x"}.key())
	}
	if !info.Mode().IsRegular() {
		return streams.line(f)
	}
	return readFirst(f)
}

func readFirst(f *os.File) (string, error) {
	line, err := firstLine(f)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	return line, nil
}

// firstLine returns the text of r before the first line end, LF or CRLF. It wipes what it has read.
func firstLine(r io.Reader) (string, error) {
	buffer := make([]byte, maxSecret)
	defer clear(buffer)
	for n := 0; n < len(buffer); {
		octets, err := r.Read(buffer[n:])
		end := bytes.IndexByte(buffer[n:n+octets], '\n')
		n += octets
		switch {
		case end >= 0:
			return string(bytes.TrimSuffix(buffer[:n-octets+end], []byte("\r"))), nil
		case err == io.EOF:
			return string(bytes.TrimSuffix(buffer[:n], []byte("\r"))), nil
		case err != nil:
			return "", err
		}
	}
	return "", errors.New("the first line is longer than 64 KiB")
}

// readCredential returns the systemd credential called name. The mode is not checked, because the
// service manager decides who can read it.
func readCredential(name string) (string, error) {
	folder := os.Getenv("CREDENTIALS_DIRECTORY")
	if folder == "" {
		return "", errors.New("CREDENTIALS_DIRECTORY is not set; run popfetch as a systemd service with LoadCredential=")
	}
	f, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return readFirst(f)
}

// runSecretCommand returns the first line that a command prints.
func runSecretCommand(ctx context.Context, command string, limit time.Duration) (string, error) {
	// The buffers must not grow, because that would leave copies of the password behind.
	stdout := &boundedBuffer{octets: make([]byte, 0, maxSecret), limit: maxSecret, strict: true}
	stderr := &boundedBuffer{octets: make([]byte, 0, maxComplaint), limit: maxComplaint}
	return runInto(ctx, command, limit, stdout, stderr)
}

// runInto is runSecretCommand with these buffers for the output. It wipes them.
func runInto(ctx context.Context, command string, limit time.Duration, stdout, stderr *boundedBuffer) (string, error) {
	defer stdout.wipe()
	defer stderr.wipe()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = outputDelay
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

// complaint returns the command's messages, escaped for a terminal. It masks the password, which
// "sh -x" prints.
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

// boundedBuffer keeps the first octets that are written to it. If it is strict, a write beyond the
// limit fails. That ends the program that writes.
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

// ReadFrom reads all of r without a buffer of its own.
func (b *boundedBuffer) ReadFrom(r io.Reader) (int64, error) {
	var spare [1 << 10]byte
	defer clear(spare[:])
	for total := int64(0); ; {
		into := b.octets[len(b.octets):b.limit]
		if len(into) == 0 {
			into = spare[:]
		}
		n, err := r.Read(into)
		total += int64(n)
		if _, full := b.Write(into[:n]); full != nil {
			return total, full
		}
		switch {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

func (b *boundedBuffer) wipe() { clear(b.octets) }
