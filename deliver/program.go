package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/escape"
	"github.com/popfetch/popfetch/internal/program"
)

const (
	defaultTimeout = 5 * time.Minute
	// lookUpTimeout is how long a folder of PATH may take to answer.
	lookUpTimeout = 10 * time.Second
	// keptOutput is how much is kept of what a program prints, in octets; the rest is dropped.
	keptOutput = 4 << 10
)

// Exit codes that say nothing about the message itself, so that they are temporary. The first ones
// are of sysexits.h; procmail ends with 73 if the disk is full.
const (
	exitOSError    = 71
	exitCantCreate = 73
	exitIOError    = 74
	exitTempFail   = 75
	exitCannotRun  = 126 // the shell's
	exitNotFound   = 127
)

// ErrCannotRun means that the program of an MDA could not be run, so that no other message can be
// delivered either.
var ErrCannotRun = errors.New("the program cannot be run")

// run pipes the message of d to the program, and judges it by the exit status. A program may exit
// without reading the whole message.
func (m *MDA) run(ctx context.Context, d *mdaDelivery) error {
	environment, err := d.environment()
	if err != nil {
		return err
	}
	stdin, err := d.spool.asFile()
	if err != nil {
		return d.notSpooled(err)
	}
	timeout := m.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	output := program.Output{Limit: keptOutput}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it did not end within %v", timeout))
	defer cancel()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("starting the MDA: %w (%w)", context.Cause(ctx), err)
	}
	started, err := program.Start(m.Command, func(cmd *exec.Cmd) {
		cmd.Env = environment
		cmd.Stdin = stdin
		cmd.Stdout, cmd.Stderr = &output, &output
	})
	if err != nil {
		return fmt.Errorf("starting the MDA: %w", err)
	}
	verdict := &Error{Target: "MDA " + m.name(), Status: -1, Temporary: true}
	state, interrupted := program.Wait(ctx, started)
	switch {
	case interrupted != nil:
		verdict.Err = fmt.Errorf("ended by popfetch: %w", interrupted)
	case state.Success():
		return nil
	default:
		verdict.Status, verdict.Err = state.ExitCode(), errors.New(state.String())
		switch verdict.Status {
		case -1, exitOSError, exitCantCreate, exitIOError, exitTempFail, exitCannotRun, exitNotFound:
		default:
			verdict.Temporary = false
		}
	}
	if state != nil { // otherwise the program may still be printing
		verdict.Output = escape.Lines(bytes.TrimSpace(output.Kept), math.MaxInt)
	}
	return verdict
}

// cannotRun reports whether the shell found no program, or none that it could run.
func (e *Error) cannotRun() bool { return e.Status == exitCannotRun || e.Status == exitNotFound }

// Probe looks for the first word of the command. A path must be that of a program that the user may
// run. For another word it asks the shell whether it knows it, as a program or as a part of its own
// language. If not, that is ErrCannotRun. A word with special characters is not looked for, since
// only the shell can read it. An MDA is never made, so create says nothing.
func (m *MDA) Probe(ctx context.Context, _ bool) error {
	word, found := program.FirstWord(m.Command)
	_, err := exec.LookPath(word)
	switch {
	case !found || err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist) && strings.Contains(word, "/"):
		return m.notRun(exitNotFound, errors.New("there is no such program"))
	case errors.Is(err, unix.EISDIR):
		return m.notRun(exitCannotRun, errors.New("that is a folder; name a program"))
	case errors.Is(err, fs.ErrPermission) && strings.Contains(word, "/"):
		return m.notRun(exitCannotRun, errors.New("the user may not run it; if it is a program, run chmod +x on it"))
	case strings.Contains(word, "/"):
		return m.notRun(exitCannotRun, err)
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	err = exec.CommandContext(ctx, program.Shell, "-c", `command -v -- "$1"`, program.Shell, word).Run()
	var status *exec.ExitError
	if !errors.As(err, &status) || ctx.Err() != nil { // it is there, or nothing was found out
		return nil
	}
	err = errors.New("there is no such program in the folders of PATH")
	if path := os.Getenv("PATH"); len(path) <= shownPath {
		err = fmt.Errorf("%w (%s)", err, escape.Lines([]byte(path), shownPath))
	}
	return m.notRun(exitNotFound, err)
}

// notRun says why the program cannot be run; status is what a shell would return.
func (m *MDA) notRun(status int, err error) error {
	return fmt.Errorf("%w: %w", ErrCannotRun, &Error{Target: "MDA " + m.name(), Temporary: true, Status: status, Err: err})
}

// shownPath is how many octets a PATH may have that is shown.
const shownPath = 60

// shownCommand is how many octets of a command are shown.
const shownCommand = 60

// name returns the command, for messages. A long one is cut. If it begins by setting a variable,
// name returns "command", because the value may be a secret.
func (m *MDA) name() string {
	words := strings.Fields(m.Command)
	if len(words) == 0 || strings.Contains(words[0], "=") {
		return "command"
	}
	if len(words) == 1 {
		return escape.Lines([]byte(words[0]), shownCommand)
	}
	return `"` + escape.Lines([]byte(strings.TrimSpace(m.Command)), shownCommand) + `"`
}

// environment returns our environment, and the message's data in POPFETCH_* variables.
func (d *mdaDelivery) environment() ([]string, error) {
	head, err := d.spool.head()
	if err != nil {
		return nil, err
	}
	octets := d.env.Octets
	if octets == 0 {
		octets = d.place[0].Octets
	}
	return program.Environment(
		"POPFETCH_ACCOUNT="+d.env.Account,
		"POPFETCH_USER="+d.env.User,
		"POPFETCH_SERVER="+d.env.Server,
		"POPFETCH_UID="+EscapeUniqueID(d.env.UniqueID),
		"POPFETCH_OCTETS="+strconv.FormatInt(octets, 10),
		"POPFETCH_SENDER="+sender(head),
	), nil
}
