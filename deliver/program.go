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
	head, err := d.spool.head()
	if err != nil {
		return err
	}
	stdin, err := d.spool.asFile()
	if err != nil {
		return d.notSpooled(err)
	}
	by := commandRun{
		what: "MDA " + m.name(), timeout: m.Timeout,
		environment: environment(d.env, head, d.place[0].Octets), stdin: stdin, start: m.start,
	}
	return by.run(ctx)
}

// start starts the program of the MDA.
func (m *MDA) start(prepare func(*exec.Cmd)) (*exec.Cmd, error) {
	if len(m.Argv) > 0 {
		return program.StartArgv(m.Argv, prepare)
	}
	return program.Start(m.Command, prepare)
}

// commandRun is one run of a program that gets a message.
type commandRun struct {
	what        string        // names the program in errors
	timeout     time.Duration // zero means five minutes
	environment []string
	stdin       *os.File
	stdout      *os.File // nil: what the program prints there is kept as what it says
	start       func(prepare func(*exec.Cmd)) (*exec.Cmd, error)
}

// run runs the program. Only status 0 is no error. An *Error says what became of this message.
func (r *commandRun) run(ctx context.Context) error {
	timeout := r.timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	output := program.Output{Limit: keptOutput}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it did not end within %v", timeout))
	defer cancel()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("starting %s: %w (%w)", r.what, context.Cause(ctx), err)
	}
	started, err := r.start(func(cmd *exec.Cmd) {
		cmd.Env = r.environment
		cmd.Stdin = r.stdin
		cmd.Stdout, cmd.Stderr = &output, &output
		if r.stdout != nil {
			cmd.Stdout = r.stdout
		}
	})
	if notRun := (*program.NotRunError)(nil); errors.As(err, &notRun) {
		return &Error{Target: r.what, Temporary: true, Status: notRun.Status(), Err: err}
	}
	if err != nil {
		return fmt.Errorf("starting %s: %w", r.what, err)
	}
	if r.stdout != nil {
		_ = r.stdout.Close() // now only the program has it, so that its end shows
	}
	verdict := &Error{Target: r.what, Status: -1, Temporary: true}
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
// only the shell can read it. Without a shell, the first word must name a program. An MDA is never
// made, so create says nothing.
func (m *MDA) Probe(ctx context.Context, _ bool) error {
	if len(m.Argv) > 0 {
		return probeWord(m.Argv[0], "MDA "+m.name(), func() bool { return false })
	}
	return probeCommand(ctx, "MDA "+m.name(), m.Command)
}

// probeCommand looks for the first word of a command.
func probeCommand(ctx context.Context, what, command string) error {
	word, found := program.FirstWord(command)
	if !found {
		return nil
	}
	return probeWord(word, what, func() bool {
		ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
		defer cancel()
		err := exec.CommandContext(ctx, program.Shell, "-c", `command -v -- "$1"`, program.Shell, word).Run()
		var status *exec.ExitError
		return !errors.As(err, &status) || ctx.Err() != nil // it is there, or nothing was found out
	})
}

// probeWord looks for a program. It asks isKnown if the folders of PATH do not have it.
func probeWord(word, what string, isKnown func() bool) error {
	_, err := exec.LookPath(word)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist) && strings.Contains(word, "/"):
		return notRun(what, exitNotFound, errors.New("there is no such program"))
	case errors.Is(err, unix.EISDIR):
		return notRun(what, exitCannotRun, errors.New("that is a folder; name a program"))
	case errors.Is(err, fs.ErrPermission) && strings.Contains(word, "/"):
		return notRun(what, exitCannotRun, errors.New("the user may not run it; if it is a program, run chmod +x on it"))
	case strings.Contains(word, "/"):
		return notRun(what, exitCannotRun, err)
	}
	if isKnown() {
		return nil
	}
	err = errors.New("there is no such program in the folders of PATH")
	if path := os.Getenv("PATH"); len(path) <= shownPath {
		err = fmt.Errorf("%w (%s)", err, escape.Lines([]byte(path), shownPath))
	}
	return notRun(what, exitNotFound, err)
}

// notRun says why the program cannot be run; status is what a shell would return.
func notRun(what string, status int, err error) error {
	return fmt.Errorf("%w: %w", ErrCannotRun, &Error{Target: what, Temporary: true, Status: status, Err: err})
}

// shownPath is how many octets a PATH may have that is shown.
const shownPath = 60

// shownCommand is how many octets of a command are shown.
const shownCommand = 60

// name names the program, for messages.
func (m *MDA) name() string {
	if len(m.Argv) > 0 {
		return escape.Lines([]byte(m.Argv[0]), shownCommand)
	}
	return commandName(m.Command)
}

// commandName returns a command, for messages. A long one is cut. If it begins by setting a
// variable, commandName returns "command", because the value may be a secret.
func commandName(command string) string {
	words := strings.Fields(command)
	if len(words) == 0 || strings.Contains(words[0], "=") {
		return "command"
	}
	if len(words) == 1 {
		return escape.Lines([]byte(words[0]), shownCommand)
	}
	return `"` + escape.Lines([]byte(strings.TrimSpace(command)), shownCommand) + `"`
}

// environment returns our environment, and the data of a message in POPFETCH_* variables. The
// message begins with head, and has so many octets as it is delivered.
func environment(env Envelope, head []byte, octets int64) []string {
	if env.Octets != 0 {
		octets = env.Octets
	}
	return program.Environment(
		"POPFETCH_ACCOUNT="+env.Account,
		"POPFETCH_USER="+env.User,
		"POPFETCH_SERVER="+env.Server,
		"POPFETCH_UID="+EscapeUniqueID(env.UniqueID),
		"POPFETCH_OCTETS="+strconv.FormatInt(octets, 10),
		"POPFETCH_SENDER="+sender(head),
		"POPFETCH_RECIPIENT="+env.Recipient,
	)
}
