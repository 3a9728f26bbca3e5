// Package program runs the commands of the configuration, and ends them in time.
package program

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Shell runs commands that are more than a program and plain words.
const Shell = "/bin/sh"

const (
	// grace is how long a program may still run after SIGTERM. A run may exceed its limits by two
	// seconds. This is well below: grace, and one second that a run gives its targets at its end.
	grace = 500 * time.Millisecond
	// outputDelay is how long output is read after the program has ended. A daemon that it left behind
	// may keep the pipe open for ever. The program's own output is in the pipe, but a busy machine may
	// let us read it late. Wait must not wait for longer than grace for it.
	outputDelay = grace / 2
)

// NotRunError means that a program could not be started without a shell, because it is not there or
// is no program.
type NotRunError struct{ err error }

// Error says what failed.
func (e *NotRunError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *NotRunError) Unwrap() error { return e.err }

// Status returns the exit status with which a shell would have ended: 127 if it had not found the
// program, and 126 if it could not run it.
func (e *NotRunError) Status() int {
	if errors.Is(e.err, exec.ErrNotFound) || errors.Is(e.err, fs.ErrNotExist) {
		return 127
	}
	return 126
}

// StartArgv starts a program with its words, in a process group of its own and without a shell. It
// calls prepare before.
func StartArgv(words []string, prepare func(*exec.Cmd)) (*exec.Cmd, error) {
	path, err := exec.LookPath(words[0])
	if err != nil {
		return nil, &NotRunError{err}
	}
	cmd := exec.Command(path, words[1:]...) //nolint:noctx // Wait ends the whole group, but CommandContext only the program
	cmd.Args[0] = words[0]
	err = own(cmd, prepare).Start()
	if notProgram := (*fs.PathError)(nil); errors.As(err, &notProgram) && notProgram.Op == "fork/exec" && !isScarcity(err) {
		return nil, &NotRunError{err}
	}
	return cmd, err
}

// isScarcity reports whether err means that the system could start no program at all.
func isScarcity(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// own prepares a command that gets a process group of its own.
func own(cmd *exec.Cmd, prepare func(*exec.Cmd)) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = outputDelay
	prepare(cmd)
	return cmd
}

// Start starts a command in a process group of its own. It may try more than one exec.Cmd. It calls
// prepare with each of them before it starts it.
//
// If a command is a program and plain words, Start needs no shell. The shell would pass on the
// words unchanged, and starting it takes as long as starting the program. If exec fails (for
// example without a #! line), the shell runs the command and its exit status decides.
func Start(command string, prepare func(*exec.Cmd)) (*exec.Cmd, error) {
	if words := plainWords(command); len(words) > 0 {
		if path, err := exec.LookPath(words[0]); err == nil {
			cmd := exec.Command(path, words[1:]...) //nolint:noctx // Wait ends the whole group, but CommandContext only the program
			cmd.Args[0] = words[0]
			if own(cmd, prepare).Start() == nil {
				return cmd, nil
			}
		}
	}
	cmd := own(exec.Command(Shell, "-c", command), prepare) //nolint:noctx // likewise
	return cmd, cmd.Start()
}

// plainWords returns the words of a command that a shell would pass on unchanged. It returns nil if
// a shell would change anything.
func plainWords(command string) []string {
	for _, c := range []byte(command) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(" \t_/.,:@%+-=", c) >= 0:
		default:
			return nil
		}
	}
	words := strings.Fields(command)
	if len(words) == 0 || strings.Contains(words[0], "=") { // the word sets a variable
		return nil
	}
	return words
}

// FirstWord returns the first word of a command if it names a program, and reports whether it does.
// A word with characters that a shell reads in its own way is no name.
func FirstWord(command string) (word string, found bool) {
	words := strings.Fields(command)
	if len(words) == 0 {
		return "", false
	}
	words = plainWords(words[0])
	return strings.Join(words, ""), len(words) == 1
}

// Environment returns our environment, and facts as POPFETCH_* variables. It leaves out POPFETCH_*
// variables of our own environment, since they tell of something else. It also leaves out
// CREDENTIALS_DIRECTORY, since our password may be among the credentials of the service.
func Environment(facts ...string) []string {
	var environment []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "POPFETCH_") && !strings.HasPrefix(variable, "CREDENTIALS_DIRECTORY=") {
			environment = append(environment, variable)
		}
	}
	if folder, err := os.Getwd(); err == nil {
		environment = append(environment, "PWD="+folder) // a shell sets it too; this way it is also set without a shell
	}
	return append(environment, facts...)
}

// Wait waits for the end of a program that Start has started. If ctx is done first, Wait ends the
// whole process group and returns the cause as interrupted. If the program does not end even then,
// state is nil. It may be waiting for a disk that does not answer.
func Wait(ctx context.Context, program *exec.Cmd) (state *os.ProcessState, interrupted error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// ProcessState says how the program ended. Other errors of Wait concern its input and
		// output.
		_ = program.Wait()
	}()
	select {
	case <-ended:
		return program.ProcessState, nil
	case <-ctx.Done():
	}
	if err := program.Process.Signal(syscall.Signal(0)); errors.Is(err, os.ErrProcessDone) && inTime(ended, grace) {
		return program.ProcessState, nil // the program had ended by itself; only the end of its output was missing
	}
	group := -program.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	inTime(ended, grace)
	// Processes of the group that still run have had their time. If there are none, this does
	// nothing.
	_ = syscall.Kill(group, syscall.SIGKILL)
	if !inTime(ended, grace) {
		return nil, context.Cause(ctx)
	}
	return program.ProcessState, context.Cause(ctx)
}

// inTime waits for done, at most for limit, and reports whether done came.
func inTime(done <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// Output keeps the first octets that a program prints. It also takes the others and drops them, so
// that the program does not block.
type Output struct {
	Limit int // how many octets Kept may hold
	Kept  []byte
}

// Write never fails.
func (o *Output) Write(p []byte) (int, error) {
	o.Kept = append(o.Kept, p[:min(len(p), o.Limit-len(o.Kept))]...)
	return len(p), nil
}
