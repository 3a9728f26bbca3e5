// Package program runs the commands that a person has configured, and ends them in time.
package program

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Shell runs a command that is more than a program and plain words.
const Shell = "/bin/sh"

const (
	// grace is what a program gets to end after SIGTERM. Together with the second that the end of a
	// run grants to its targets, it is well below two seconds: by so much a run may exceed its
	// limits.
	grace = 500 * time.Millisecond
	// outputDelay is how long the output is still read after the program has ended. What the program
	// printed is there at once. A daemon that it leaves behind may hold our end open for ever.
	outputDelay = 100 * time.Millisecond
)

// Start starts a command in a process group of its own. It calls prepare with each exec.Cmd that it
// tries, before starting it.
//
// A program with plain words is started without the shell, which would hand the words on as they
// are: starting a shell takes as long as starting the program. If exec fails (for example without a
// #! line), the shell runs the command and its exit status decides.
func Start(command string, prepare func(*exec.Cmd)) (*exec.Cmd, error) {
	own := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.WaitDelay = outputDelay
		prepare(cmd)
		return cmd
	}
	if words := plainWords(command); len(words) > 0 {
		if path, err := exec.LookPath(words[0]); err == nil {
			cmd := exec.Command(path, words[1:]...) //nolint:noctx // Wait ends the whole group, CommandContext the program alone
			cmd.Args[0] = words[0]
			if own(cmd).Start() == nil {
				return cmd, nil
			}
		}
	}
	cmd := own(exec.Command(Shell, "-c", command)) //nolint:noctx // likewise
	return cmd, cmd.Start()
}

// plainWords returns the words of a command that a shell would hand on as they are. It returns nil
// for a command in which a shell would read anything else.
func plainWords(command string) []string {
	for _, c := range []byte(command) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(" \t_/.,:@%+-=", c) >= 0:
		default:
			return nil
		}
	}
	words := strings.Fields(command)
	if len(words) == 0 || strings.Contains(words[0], "=") { // that sets a variable
		return nil
	}
	return words
}

// Wait waits for the end of a program that Start has started. If ctx is done first, Wait ends the
// whole process group and returns why. The state is nil if the program does not end even then, as
// when it waits for a disk that does not answer.
func Wait(ctx context.Context, program *exec.Cmd) (state *os.ProcessState, interrupted error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// How the program ended is in ProcessState. Other errors of Wait say how feeding and reading
		// it went.
		_ = program.Wait()
	}()
	select {
	case <-ended:
		return program.ProcessState, nil
	case <-ctx.Done():
	}
	if err := program.Process.Signal(syscall.Signal(0)); errors.Is(err, os.ErrProcessDone) && inTime(ended, grace) {
		return program.ProcessState, nil // it had ended by itself, and only its output was awaited
	}
	group := -program.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	inTime(ended, grace)
	// Whatever of the group is left now has had its time. If nothing is, this does nothing.
	_ = syscall.Kill(group, syscall.SIGKILL)
	if !inTime(ended, grace) {
		return nil, context.Cause(ctx)
	}
	return program.ProcessState, context.Cause(ctx)
}

// inTime waits for done, but no longer than limit, and reports whether done came.
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

// Output keeps the first octets that a program prints. It takes the others and drops them, so that
// the program does not wait.
type Output struct {
	Limit int // how many octets are kept
	Kept  []byte
}

// Write never fails.
func (o *Output) Write(p []byte) (int, error) {
	o.Kept = append(o.Kept, p[:min(len(p), o.Limit-len(o.Kept))]...)
	return len(p), nil
}
