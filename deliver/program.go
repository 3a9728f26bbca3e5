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
	// grace is what a program gets to end after SIGTERM, and its descendants to let go of its output after its own end.
	grace = 2 * time.Second
	// keptOutput is how much is kept of what a program prints, in octets; the rest is read and dropped.
	keptOutput = 4 << 10
	// exitTempFail is EX_TEMPFAIL of sysexits.h.
	exitTempFail = 75
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
	program := exec.Command(shell, "-c", m.Command) //nolint:noctx // wait ends the whole group, CommandContext the shell alone
	program.Env = environment
	program.Stdin = stdin
	program.Stdout, program.Stderr = &output, &output
	program.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A daemon that the program leaves behind may hold our end of its output open for ever.
	program.WaitDelay = grace
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it did not end within %v", timeout))
	defer cancel()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("starting the MDA: %w", err)
	}
	if err := program.Start(); err != nil {
		return fmt.Errorf("starting the MDA: %w", err)
	}
	interrupted := wait(ctx, program)
	return m.verdict(program.ProcessState, interrupted, output.kept)
}

// wait waits for the end of the program, or, when ctx is done first, ends its whole process group and returns why.
func wait(ctx context.Context, program *exec.Cmd) (interrupted error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// The verdict is in ProcessState; the other errors of Wait tell how feeding and reading the program went.
		_ = program.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	group := -program.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
	}
	// Whatever of the group is left now has had its time; if nothing is, this does nothing.
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-ended
	return context.Cause(ctx)
}

func (m *MDA) verdict(state *os.ProcessState, interrupted error, output []byte) error {
	if interrupted == nil && state.Success() {
		return nil
	}
	verdict := &Error{
		Target: "MDA " + m.name(),
		Status: state.ExitCode(),
		Output: escape(strings.TrimSpace(string(output))),
		Err:    errors.New(state.String()),
	}
	if interrupted != nil {
		verdict.Status = -1
		verdict.Err = fmt.Errorf("ended by popfetch: %w", interrupted)
	}
	verdict.Temporary = verdict.Status == -1 || verdict.Status == exitTempFail
	return verdict
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
// speak of another message and are left out.
func (d *mdaDelivery) environment() ([]string, error) {
	head, err := d.spool.head()
	if err != nil {
		return nil, err
	}
	octets := d.env.Octets
	if octets == 0 {
		octets = d.receipt.Octets
	}
	var environment []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "POPFETCH_") {
			environment = append(environment, variable)
		}
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
