package program

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStart(t *testing.T) {
	for command, want := range map[string]struct {
		shell  bool
		output string
	}{
		"echo a  b":     {false, "a b\n"},
		"echo 'a  b'":   {true, "a  b\n"},
		"X=y; echo $X":  {true, "y\n"},
		"exit 3":        {true, ""},
		"/no/such/file": {true, ""},
	} {
		output := Output{Limit: 100}
		cmd, err := Start(command, func(cmd *exec.Cmd) { cmd.Stdout = &output })
		if err != nil {
			t.Errorf("Start(%q) = %v, want no error", command, err)
			continue
		}
		if _, err := Wait(t.Context(), cmd); err != nil {
			t.Errorf("Wait() for %q = %v, want no error", command, err)
		}
		if got := string(output.Kept); got != want.output || (cmd.Path == Shell) != want.shell {
			t.Errorf("%q is run by %s and prints %q, want %+v", command, cmd.Path, got, want)
		}
	}
}

func TestPlainWords(t *testing.T) {
	for _, command := range []string{
		"A=b deliver", "deliver 'a b'", "deliver *", "deliver ~", "deliver $HOME", "deliver;", "deliver #x", "deliver\nexit 4", "deliver é", "deliver \x00", " ", "",
	} {
		if words := plainWords(command); words != nil {
			t.Errorf("plainWords(%q) = %q, want none: a shell reads more in it", command, words)
		}
	}
}

// Octets above the limit are read and dropped, so that the program does not block.
func TestOutput(t *testing.T) {
	output := Output{Limit: 10}
	for _, part := range []string{"1234", "567890", "x", ""} {
		if n, err := output.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("Write(%q) = %d, %v, want all", part, n, err)
		}
	}
	if !bytes.Equal(output.Kept, []byte("1234567890")) {
		t.Errorf("Kept = %q, want the first 10 octets", output.Kept)
	}
	output = Output{Limit: 3}
	if n, err := output.Write([]byte("12345")); n != 5 || err != nil || string(output.Kept) != "123" {
		t.Errorf("Write() = %d, %v and keeps %q, want 5 and the first 3", n, err, output.Kept)
	}
}

// If the run ends, the whole process group gets SIGTERM and ends.
func TestWait_interrupted(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	cmd, err := Start("trap '' TERM; echo; sleep 600 & sleep 600", func(cmd *exec.Cmd) { cmd.Stdout = writer })
	if err := errors.Join(err, writer.Close()); err != nil {
		t.Fatal(err)
	}
	err = reader.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, readErr := reader.Read(make([]byte, 1)); errors.Join(err, readErr) != nil {
		t.Fatalf("waiting for the program to ignore SIGTERM: %v", errors.Join(err, readErr))
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	state, interrupted := Wait(ctx, cmd)
	if !errors.Is(interrupted, cause) || state == nil || !strings.Contains(state.String(), "killed") {
		t.Errorf("Wait() = %v, %v, want the program killed and %v", state, interrupted, cause)
	}
	// The pipe ends when the last process of the group has ended.
	if _, err := reader.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("reading what the group prints = %v, want its end", err)
	}
}

// Wait gives up a program that cannot be killed. Here that is a program outside of its process
// group.
func TestWait_unkillable(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if state, interrupted := Wait(ctx, cmd); state != nil || !errors.Is(interrupted, context.Canceled) {
		t.Errorf("Wait() = %v, %v, want no state and context.Canceled", state, interrupted)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("Wait() took %v, want two seconds at most", took)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Errorf("killing the program: %v", err)
	}
}

// A program that ended by itself has an exit status. It counts even if the run ends while the
// output is still read, because a process that was left behind keeps it open (behaviour 29).
func TestWait_endedBefore(t *testing.T) {
	for range 10 { // a busy machine may end the run too late
		if endedBefore(t) {
			return
		}
	}
	t.Error("the program's output was never awaited when the run was cut")
}

// endedBefore runs such a program. It reports whether the run ended in time.
func endedBefore(t *testing.T) bool {
	output := Output{Limit: 100}
	cmd := exec.Command(Shell, "-c", "sleep 60 & exit 3")
	cmd.Stdout = &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = grace / 2
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for !errors.Is(cmd.Process.Signal(syscall.Signal(0)), os.ErrProcessDone) {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	state, interrupted := Wait(ctx, cmd)
	if interrupted != nil || state == nil || state.ExitCode() != 3 {
		t.Errorf("Wait() = %v, %v, want exit status 3", state, interrupted)
	}
	return ctx.Err() != nil
}
