package deliver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newMbox(t *testing.T) *Mbox {
	t.Helper()
	dir := t.TempDir()
	m := NewMbox(filepath.Join(dir, "mbox"), NewFileBook(filepath.Join(dir, "notes")))
	if err := m.Prepare(t.Context(), true); err != nil {
		t.Fatalf("Prepare(create) = %v, want no error", err)
	}
	return m
}

// deliverLocked delivers one message, for which the lock is waited for at most for so long.
func deliverLocked(t *testing.T, m *Mbox, wait time.Duration) error {
	t.Helper()
	batch := begin(t, m)
	d := create(t, batch, token(1))
	write(t, d, []byte("x\r\n"))
	closeDelivery(t, d)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	return batch.Commit(ctx)
}

// lockChild is another process that holds a lock until it is told to go on.
type lockChild struct {
	t     *testing.T
	input io.WriteCloser
	cmd   *exec.Cmd
}

// holdLock is the task of a child: it locks a file by fcntl as most programs do, says so, and
// waits.
func holdLock(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		return err
	}
	fmt.Println("locked")
	_, _ = io.ReadAll(os.Stdin)
	return nil
}

func startHolder(t *testing.T, name string, arguments ...string) *lockChild {
	t.Helper()
	c := &lockChild{t: t, cmd: exec.CommandContext(t.Context(), name, arguments...)}
	c.cmd.Env = append(os.Environ(), noRaceWait)
	c.cmd.Stderr = os.Stderr
	return c
}

// begin starts the child, and waits until it says that it has locked.
func (c *lockChild) begin() {
	c.t.Helper()
	input, err := c.cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	c.input = input
	output, err := c.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	if line, err := bufio.NewReader(output).ReadString('\n'); line != "locked\n" {
		c.t.Fatalf("the child says %q, %v, want that it has locked", line, err)
	}
}

func (c *lockChild) end() {
	c.t.Helper()
	if err := errors.Join(c.input.Close(), c.cmd.Wait()); err != nil {
		c.t.Error(err)
	}
}

// Another process that holds the usual lock by fcntl keeps us out. We keep it out too.
func TestMboxLock_fcntl(t *testing.T) {
	m := newMbox(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := startHolder(t, self)
	child.cmd.Env = append(child.cmd.Env, childVariable+"=hold:"+m.path)
	child.begin()
	wantBusy(t, deliverLocked(t, m, 50*time.Millisecond), "by fcntl")
	delivered := make(chan error, 1)
	go func() { delivered <- deliverLocked(t, m, time.Minute) }()
	select {
	case err := <-delivered:
		t.Errorf("Commit() = %v while another process holds the lock, want it to wait", err)
	case <-time.After(100 * time.Millisecond):
	}
	child.end()
	if err := <-delivered; err != nil {
		t.Errorf("Commit() after the lock was released = %v", err)
	}

	l, err := m.lock(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.unlock()
	// Closing another opening of the file would end a lock of the process.
	if file, err := m.open(); err != nil || file.Close() != nil {
		t.Fatal(err)
	}
	child = startHolder(t, self)
	child.cmd.Env = append(child.cmd.Env, childVariable+"=hold:"+m.path)
	child.cmd.Stderr = nil
	if out, err := child.cmd.Output(); err == nil {
		t.Errorf("another process locks the mbox that we hold: %s", out)
	}
}

func wantBusy(t *testing.T, err error, holder string) {
	t.Helper()
	var refusal *Error
	if !errors.Is(err, ErrBusy) || !errors.As(err, &refusal) || !refusal.Temporary || !strings.Contains(err.Error(), holder) {
		t.Errorf("Commit() = %v, want ErrBusy in a temporary *Error that names %q", err, holder)
	}
}

// Debian's programs that make dot locks keep us out, and we keep them out.
func TestMboxLock_programs(t *testing.T) {
	for _, c := range []struct {
		name         string
		lock, unlock []string
	}{
		{"lockfile", []string{"lockfile", "-r", "0"}, []string{"rm", "-f"}},
		{"dotlockfile", []string{"dotlockfile", "-l", "-r", "0"}, []string{"dotlockfile", "-u"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := exec.LookPath(c.lock[0]); err != nil {
				t.Skip(err)
			}
			m := newMbox(t)
			run := func(command []string) error {
				return exec.CommandContext(t.Context(), command[0], append(command[1:len(command):len(command)], m.path+".lock")...).Run()
			}
			if err := run(c.lock); err != nil {
				t.Fatal(err)
			}
			wantBusy(t, deliverLocked(t, m, 50*time.Millisecond), m.path+".lock")
			if err := run(c.unlock); err != nil {
				t.Fatal(err)
			}
			if err := deliverLocked(t, m, time.Minute); err != nil {
				t.Errorf("Commit() after the dot lock was removed = %v", err)
			}
			l, err := m.lock(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			defer l.unlock()
			if err := run(c.lock); err == nil {
				t.Error("it locks the mbox that we hold")
			}
		})
	}
}

// A dot lock counts as left behind if its process is gone, or if it names none and is old.
func TestMboxLock_stale(t *testing.T) {
	gone := exec.CommandContext(t.Context(), "true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	now, old := time.Now(), time.Now().Add(-staleDot-time.Minute)
	for _, c := range []struct {
		name, text string
		made       time.Time
		stale      bool
	}{
		{"its process is gone", fmt.Sprintln(gone.Process.Pid), now, true},
		{"without a line end", fmt.Sprint(gone.Process.Pid), now, true},
		{"its process lives", fmt.Sprintln(os.Getppid()), old, false},
		{"of a killed process with our number", fmt.Sprintln(os.Getpid()), now, true},
		{"no process id", "", now, false},
		{"no process id, old", "", old, true},
		{"zero", "0", now, false},
		{"zero, old", "0\n", old, true},
		{"a name, old", "host 12\n", old, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMbox(t)
			dot := m.path + ".lock"
			if err := errors.Join(os.WriteFile(dot, []byte(c.text), 0o600), os.Chtimes(dot, c.made, c.made)); err != nil {
				t.Fatal(err)
			}
			if err := deliverLocked(t, m, 100*time.Millisecond); c.stale != (err == nil) {
				t.Errorf("Commit() = %v, want the lock to count as left behind: %v", err, c.stale)
			}
			if _, err := os.Stat(dot); c.stale != errors.Is(err, fs.ErrNotExist) {
				t.Errorf("looking at the dot lock: %v, want it removed: %v", err, c.stale)
			}
		})
	}
}

// The dot lock names our process as long as it is there, also where a file without a name cannot be
// made.
func TestMboxLock_dot(t *testing.T) {
	m := newMbox(t)
	l, err := m.lock(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := readAll(t, []string{m.path + ".lock"})[0], fmt.Sprintln(os.Getpid()); got != want {
		t.Errorf("the dot lock holds %q, want %q", got, want)
	}
	l.unlock()
	if got := files(t, filepath.Dir(m.path)); len(got) > 2 {
		t.Errorf("files %q, want the mbox alone", got)
	}
}

// Where no dot lock can be made, fcntl must do, and somebody is told once.
func TestMboxLock_noDot(t *testing.T) {
	m := newMbox(t)
	var told []string
	m.Note = func(text string) { told = append(told, text) }
	long := filepath.Join(filepath.Dir(m.path), strings.Repeat("m", 253)) // no room for ".lock"
	if err := os.Rename(m.path, long); err != nil {
		t.Fatal(err)
	}
	m.path = long
	for range 2 {
		if err := deliverLocked(t, m, time.Second); err != nil {
			t.Errorf("Commit() = %v, want no error", err)
		}
	}
	if len(told) != 1 || !strings.Contains(told[0], "fcntl alone") {
		t.Errorf("told %q, want it once", told)
	}
}

// Several accounts may share an mbox.
func TestMbox_shared(t *testing.T) {
	dir := quickDir(t)
	path := filepath.Join(dir, "mbox")
	const accounts, messages = 4, 50
	done := make(chan error, accounts)
	for account := range accounts {
		m := NewMbox(path, NewFileBook(filepath.Join(dir, fmt.Sprint("notes", account))))
		if err := m.Prepare(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		go func() {
			for range messages {
				if _, err := deliverTo(m, 3, smallMessage); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range accounts {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := len(readMbox(t, path)); got != accounts*messages*3 {
		t.Errorf("the mbox holds %d messages, want %d", got, accounts*messages*3)
	}
}

// If another file takes the place of the mbox while we wait, that one gets the messages.
func TestMboxLock_replaced(t *testing.T) {
	m := newMbox(t)
	l, err := m.lock(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- deliverLocked(t, m, time.Minute) }()
	other := m.path + ".new"
	if err := errors.Join(os.WriteFile(other, []byte(otherMail), 0o600), os.Rename(other, m.path)); err != nil {
		t.Fatal(err)
	}
	l.unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := readMbox(t, m.path); len(got) != 2 {
		t.Errorf("the mbox holds %q, want two messages", got)
	}
}
