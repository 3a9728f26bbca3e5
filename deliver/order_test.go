package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childVariable makes the test binary deliver childMessages to the Maildir, or "mda:" command, that it names, and end.
const childVariable = "POPFETCH_DELIVER_TEST_CHILD"

const childMessages = syncfsFrom + 1

// noRaceWait spares the second for which a binary with the race detector waits at its end.
const noRaceWait = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if target := os.Getenv(childVariable); target != "" {
		if err := child(target); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func childMessage(n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "line of message %d\r\n", n), 4000)
}

func child(target string) error {
	var to Target = NewMaildir(target)
	messages := childMessages
	if command, isMDA := strings.CutPrefix(target, "mda:"); isMDA {
		to, messages = &MDA{Command: command}, 1
	}
	batch, err := to.Begin(context.Background())
	if err != nil {
		return err
	}
	for i := range messages {
		d, err := batch.Create(context.Background(), Envelope{Token: token(i)})
		if err != nil {
			return err
		}
		_, err = d.Write(childMessage(i))
		if err := errors.Join(err, d.Close()); err != nil {
			return err
		}
	}
	_, err = batch.Commit(context.Background())
	return err
}

// trace runs the child under strace with the given options and returns the trace of system calls.
func trace(t *testing.T, target string, options ...string) (log string, err error) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "trace")
	arguments := slices.Concat([]string{"-f", "-y", "-o", out}, options, []string{self})
	command := exec.CommandContext(t.Context(), strace, arguments...)
	command.Env = append(os.Environ(), childVariable+"="+target, noRaceWait)
	printed, err := command.CombinedOutput()
	if bytes.Contains(printed, []byte("ptrace")) {
		t.Skipf("strace is not allowed here: %s", printed)
	}
	content, readErr := os.ReadFile(out)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(content), err
}

// places are where a Maildir is delivered to by syncfs, and by syncing each file.
func places(t *testing.T) map[string]string {
	shm, err := os.MkdirTemp("/dev/shm", "popfetch-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(shm) })
	return map[string]string{"disk": t.TempDir(), "shm": shm}
}

// behaviour 28, C0024: files are synced before they are renamed into new, and new is synced after that.
func TestMaildirCommit_order(t *testing.T) {
	for name, dir := range places(t) {
		t.Run(name, func(t *testing.T) {
			m := NewMaildir(filepath.Join(dir, "Maildir"))
			if err := m.Prepare(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			log, err := trace(t, m.path, "-e", "trace=openat,write,fsync,syncfs,close,rename,renameat,renameat2")
			if err != nil {
				t.Fatalf("the child: %v, want success", err)
			}
			const (
				open   = `openat\(.*/Maildir/tmp", O_RDONLY`
				create = `openat\(.*/Maildir/tmp>, ".*O_WRONLY\|O_CREAT\|O_EXCL\|O_NOFOLLOW\|O_CLOEXEC, 0600\)`
				write  = `write\(.*/Maildir/tmp/`
				sync   = `(fsync\(.*/Maildir/tmp/|syncfs\()`
				close  = `close\(.*/Maildir/tmp/`
				rename = `renameat2?\(.*/Maildir/tmp>, ".*/Maildir/new>, "`
				done   = `fsync\(.*/Maildir/new>`
			)
			for _, pair := range [][2]string{{open, write}, {write, sync}, {sync, rename}, {close, rename}, {rename, done}} {
				before, after := lastLine(log, pair[0]), firstLine(log, pair[1])
				if before < 0 || after < before {
					t.Errorf("last %s in line %d, first %s in line %d, want this order", pair[0], before, pair[1], after)
				}
			}
			if got := countLines(log, create); got != childMessages {
				t.Errorf("%d files are created as they should be, want %d", got, childMessages)
			}
			synced := countLines(log, `fsync\(.*/Maildir/tmp/`)
			if countLines(log, `syncfs\(`) == 0 && synced != childMessages {
				t.Errorf("%d files are synced without syncfs, want %d", synced, childMessages)
			}
			if t.Failed() {
				t.Log(log)
			}
		})
	}
}

// matching returns the numbers of the lines in which a call that matches begins.
func matching(log, pattern string) []int {
	expression := regexp.MustCompile(`^\d+ +` + pattern)
	var numbers []int
	for i, line := range strings.Split(log, "\n") {
		if expression.MatchString(line) {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

func countLines(log, pattern string) int { return len(matching(log, pattern)) }

func firstLine(log, pattern string) int {
	if numbers := matching(log, pattern); len(numbers) > 0 {
		return numbers[0]
	}
	return -1
}

func lastLine(log, pattern string) int {
	if numbers := matching(log, pattern); len(numbers) > 0 {
		return numbers[len(numbers)-1]
	}
	return -1
}

// behaviour 31 and 33: kill -9 at each step leaves no partial file in new, and the next run delivers the rest once.
func TestMaildirCommit_killed(t *testing.T) {
	for name, dir := range places(t) {
		kills := 0
		for _, call := range []string{"renameat", "fsync", "syncfs", "write"} {
			for _, nth := range []int{1, 2, 3, 5, 8, 13, childMessages} {
				m := NewMaildir(filepath.Join(dir, fmt.Sprint(call, nth)))
				if err := m.Prepare(t.Context(), true); err != nil {
					t.Fatal(err)
				}
				_, err := trace(t, m.path, "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, nth))
				checkAfterKill(t, m)
				if err == nil {
					break
				}
				kills++
			}
		}
		t.Logf("%s: killed %d times", name, kills)
		if kills < 6 {
			t.Errorf("%s: killed %d times, want each step to be hit", name, kills)
		}
	}
}

// checkAfterKill looks at what a killed child left, then delivers what Find does not know, as a next run would.
func checkAfterKill(t *testing.T, m *Maildir) {
	t.Helper()
	var tokens []Token
	var want []string
	for i := range childMessages {
		tokens = append(tokens, token(i))
		want = append(want, string(toLF(childMessage(i))))
	}
	whole := readAll(t, files(t, filepath.Join(m.path, "new")))
	for _, message := range whole {
		if !slices.Contains(want, message) {
			t.Errorf("new holds a file of %d octets that is no whole message", len(message))
		}
	}
	found := find(t, m, false, tokens...)
	if len(found) != len(whole) {
		t.Errorf("Find() knows %d messages, want the %d in new", len(found), len(whole))
	}
	for i, token := range tokens {
		if len(found[token]) == 0 {
			deliverOne(t, m, token, childMessage(i))
		}
	}
	slices.Sort(want)
	if got := readAll(t, files(t, filepath.Join(m.path, "new"))); !slices.Equal(got, want) {
		t.Errorf("after the next run new holds %d messages, want each of %d once", len(got), len(want))
	}
}

// behaviour 33: a program that outlives us gets the whole message, not what we had fed it until then.
func TestMDA_killed(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer done.Close()
	if err := done.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	killed := exec.CommandContext(t.Context(), self)
	killed.Env = append(os.Environ(), childVariable+"=mda:kill -9 $PPID; cat > '"+out+"'; echo done > '"+fifo+"'", noRaceWait)
	if err := killed.Run(); err == nil {
		t.Error("the child ended with success, want it killed")
	}
	if _, err := done.Read(make([]byte, 5)); err != nil {
		t.Fatalf("waiting for the program: %v", err)
	}
	if got, want := readAll(t, []string{out})[0], string(toLF(childMessage(0))); got != want {
		t.Errorf("the program got %d octets, want all %d", len(got), len(want))
	}
}
