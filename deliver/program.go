package deliver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	defaultTimeout = 5 * time.Minute
	// grace is what a program gets to end after SIGTERM. With the second that the end of a run grants to its targets it stays well below
	// the two by which a run may exceed its limits.
	grace = 500 * time.Millisecond
	// outputDelay is how long after the program's end its output is still read. What it printed is there at once; a daemon that it
	// leaves behind may hold our end open for ever.
	outputDelay = 100 * time.Millisecond
	// keptOutput is how much is kept of what a program prints, in octets; the rest is read and dropped.
	keptOutput = 4 << 10
)

// The exit statuses that say nothing of the message.
const (
	exitTempFail  = 75  // EX_TEMPFAIL of sysexits.h
	exitCannotRun = 126 // the shell's
	exitNotFound  = 127
)

// run pipes the message of d to the program and judges it by its exit status. Its not reading to the end is no verdict.
func (m *MDA) run(ctx context.Context, d *mdaDelivery) error {
	environment, err := d.environment()
	if err != nil {
		return err
	}
	stdin, err := d.spool.asFile()
	if err != nil {
		return err
	}
	timeout := m.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	var output firstOctets
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it did not end within %v", timeout))
	defer cancel()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("starting the MDA: %w", err)
	}
	program, err := start(m.Command, func(program *exec.Cmd) {
		program.Env = environment
		program.Stdin = stdin
		program.Stdout, program.Stderr = &output, &output
		program.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		program.WaitDelay = outputDelay
	})
	if err != nil {
		return fmt.Errorf("starting the MDA: %w", err)
	}
	verdict := &Error{Target: "MDA " + m.name(), Status: -1, Temporary: true}
	state, interrupted := wait(ctx, program)
	switch {
	case interrupted != nil:
		verdict.Err = fmt.Errorf("ended by popfetch: %w", interrupted)
	case state.Success():
		return nil
	default:
		verdict.Status, verdict.Err = state.ExitCode(), errors.New(state.String())
		switch verdict.Status {
		case -1, exitTempFail, exitCannotRun, exitNotFound:
		default:
			verdict.Temporary = false
		}
	}
	if state != nil { // else it may still be printing
		verdict.Output = escape(strings.TrimSpace(string(output.kept)))
	}
	return verdict
}

// start starts the command by the shell; or without it, where it is but a program and plain words, which a shell would hand to the
// program as they are: starting a shell takes as long as starting the program. What cannot be started so, as a script that does
// not name its interpreter, or something that only a shell knows, is left to the shell, and so is the verdict on it.
func start(command string, prepare func(*exec.Cmd)) (*exec.Cmd, error) {
	if words := plainWords(command); len(words) > 0 {
		if path, err := exec.LookPath(words[0]); err == nil {
			program := exec.Command(path, words[1:]...) //nolint:noctx // wait ends the whole group, CommandContext the program alone
			program.Args[0] = words[0]
			prepare(program)
			if program.Start() == nil {
				return program, nil
			}
		}
	}
	program := exec.Command(shell, "-c", command) //nolint:noctx // likewise
	prepare(program)
	return program, program.Start()
}

// plainWords returns the words of a command that has nothing in it that a shell would read otherwise, nil for others.
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

// wait waits for the end of the program, or, when ctx is done first, ends its whole process group and returns why. The state
// is nil if it does not end even then, as one cannot that waits for a disk which does not answer.
func wait(ctx context.Context, program *exec.Cmd) (state *os.ProcessState, interrupted error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// The verdict is in ProcessState; the other errors of Wait tell how feeding and reading the program went.
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
	// Whatever of the group is left now has had its time; if nothing is, this does nothing.
	_ = syscall.Kill(group, syscall.SIGKILL)
	if !inTime(ended, grace) {
		return nil, context.Cause(ctx)
	}
	return program.ProcessState, context.Cause(ctx)
}

// inTime waits for done, but no longer than limit.
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

// name is the command's first word, for messages; not one that sets a variable, since that may hold a secret.
func (m *MDA) name() string {
	words := strings.Fields(m.Command)
	if len(words) == 0 || strings.Contains(words[0], "=") {
		return "command"
	}
	return cut(escape(words[0]), 64)
}

// environment is ours, with what is known of the message in POPFETCH_* variables. Such variables of our own environment
// speak of another message and are left out; so is the way to the service's credentials, among which our password may be.
func (d *mdaDelivery) environment() ([]string, error) {
	head, err := d.spool.head()
	if err != nil {
		return nil, err
	}
	octets := d.env.Octets
	if octets == 0 {
		octets = d.place[0].Octets
	}
	var environment []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "POPFETCH_") && !strings.HasPrefix(variable, "CREDENTIALS_DIRECTORY=") {
			environment = append(environment, variable)
		}
	}
	if folder, err := os.Getwd(); err == nil {
		environment = append(environment, "PWD="+folder) // as a shell sets it, whether there is one or not
	}
	return append(environment,
		"POPFETCH_ACCOUNT="+d.env.Account,
		"POPFETCH_USER="+d.env.User,
		"POPFETCH_SERVER="+d.env.Server,
		"POPFETCH_UID="+EscapeUniqueID(d.env.UniqueID),
		"POPFETCH_OCTETS="+strconv.FormatInt(octets, 10),
		"POPFETCH_SENDER="+sender(head),
	), nil
}

// firstOctets keeps the beginning of what is written to it.
type firstOctets struct{ kept []byte }

func (f *firstOctets) Write(p []byte) (int, error) {
	f.kept = append(f.kept, p[:min(len(p), keptOutput-len(f.kept))]...)
	return len(p), nil
}
