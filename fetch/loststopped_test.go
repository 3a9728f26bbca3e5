package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/poptest"
)

// A process that is stopped for longer than its lease, and goes on when another one has done its
// work, delivers nothing twice, and deletes nothing.
func TestLost_stopped(t *testing.T) {
	program := filepath.Join(t.TempDir(), "leasedrun")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/leasedrun")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building leasedrun: %v\n%s", err, out)
	}
	for _, kind := range []string{"maildir", "mbox"} {
		for _, at := range []string{"CAPA", "RETR 2", "RETR 3", "DELE 1", "DELE 3"} {
			t.Run(kind+"/"+at, func(t *testing.T) {
				t.Parallel()
				stopAndGoOn(t, program, kind, at)
			})
		}
	}
}

func stopAndGoOn(t *testing.T, program, kind, at string) {
	const messages = 3
	var all []poptest.Message
	var want []string
	for i := range messages {
		all = append(all, poptest.Message{UniqueID: fmt.Sprint("id", i), Content: fmt.Appendf(nil, "Message-ID: <%d@example.org>\r\n\r\ntext %d\r\n", i, i)})
		want = append(want, fmt.Sprintf("text %d", i))
	}
	server := newServer(t, all...)
	dir := t.TempDir()
	path := filepath.Join(dir, "mail")
	start := func() (*exec.Cmd, *bytes.Buffer) {
		run := exec.CommandContext(t.Context(), program, dir, poptest.InClear(server.Addr(), true), user, kind, path)
		output := new(bytes.Buffer)
		run.Stderr = output
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		return run, output
	}
	stopped := make(chan struct{})
	var once sync.Once
	ready := make(chan int, 1) // the number of the first process
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if strings.HasPrefix(cmd, at) {
			once.Do(func() {
				pid := <-ready
				if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
					t.Error(err)
				}
				close(stopped)
			})
		}
		return poptest.Action{}
	})
	first, output := start()
	ready <- first.Process.Pid
	defer func() { _ = first.Process.Kill() }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-stopped:
	case <-ctx.Done():
		t.Fatalf("the first run never sends %q: %s", at, output)
	}
	goOn := func() {
		if err := first.Process.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
	}
	early := new(atomic.Bool) // then the first may still have its lease
	goOnEarly := func() {
		early.Store(true)
		goOn()
	}
	for { // until the lease has ended
		second, output := start()
		// The first may have been stopped while it had the lock of a file. Then it must go on first.
		hurry := time.AfterFunc(patience/6, goOnEarly)
		err := second.Wait()
		hurry.Stop()
		if err == nil {
			break
		}
		inUse := strings.HasPrefix(output.String(), "work: lock: ") || strings.Contains(output.String(), "in use")
		if !inUse && !strings.Contains(output.String(), "locked") || ctx.Err() != nil {
			t.Fatalf("the second run: %v, %s", err, output)
		}
		if !inUse {
			goOnEarly()
		}
	}
	goOn()
	var exit *exec.ExitError
	err := first.Wait()
	if !(errors.As(err, &exit) && exit.ExitCode() == 75) && !(err == nil && early.Load()) {
		t.Errorf("the first run ends with %v, want status 75: %s", err, output)
	}
	if got := textsIn(t, kind, path); !slices.Equal(got, want) {
		t.Errorf("the target has %q, want %q", got, want)
	}
	if deleted := server.DeletedIDs(); len(deleted) != messages {
		t.Errorf("%q are deleted, want each once", deleted)
	}
}

// textsIn returns the texts of the messages in a target, sorted.
func textsIn(t *testing.T, kind, path string) (texts []string) {
	t.Helper()
	var target deliver.Finder = deliver.NewMaildir(path)
	if kind == "mbox" {
		target = deliver.NewMbox(path, nil)
	}
	content, err := os.ReadFile(path)
	if kind == "maildir" {
		content, err = nil, nil
		for place, placeErr := range target.Places(t.Context()) {
			one, readErr := os.ReadFile(filepath.Join(path, place))
			content = append(content, one...)
			err = errors.Join(err, placeErr, readErr)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, "text ") {
			texts = append(texts, strings.TrimSpace(line))
		}
	}
	slices.Sort(texts)
	return texts
}
