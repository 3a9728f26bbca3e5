package deliver

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
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/systrace"
)

// childVariable makes the test binary run child with the variable's value, and exit.
const childVariable = "POPFETCH_DELIVER_TEST_CHILD"

const childMessages = syncfsFrom + 1

// childFailed is the exit status of a child that failed. The number of safe messages is added to
// it.
const childFailed = 100

// noRaceWait avoids one second: a binary with the race detector waits so long before it exits.
const noRaceWait = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if target := os.Getenv(childVariable); target != "" {
		safe, err := child(target)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(childFailed + safe)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func childMessage(n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "line of message %d\r\n", n), 4000)
}

// child does the task in childVariable: "KIND:ARGUMENT", or the path of a Maildir.
func child(task string) (safe int, err error) {
	switch kind, argument, _ := strings.Cut(task, ":"); kind {
	case "mda":
		return deliverTo(&MDA{Command: argument}, 1, childMessage)
	case "fenced":
		return 0, fencedChild(argument)
	case "hold":
		return 0, holdLock(argument)
	case "large":
		return 0, deliverTooLarge(NewMbox(argument, NewFileBook(argument+".notes")))
	case "mbox":
		return deliverTo(NewMbox(argument, NewFileBook(argument+".notes")), mboxMessages, childMessage)
	case "many":
		return deliverMany(NewMaildir(argument))
	case "sync":
		return 0, syncFound(NewMaildir(argument))
	default:
		return deliverTo(NewMaildir(task), childMessages, childMessage)
	}
}

// deliverTo delivers messages to a target in one batch.
func deliverTo(to Target, messages int, message func(int) []byte) (safe int, err error) {
	batch, err := to.Begin(context.Background())
	if err != nil {
		return 0, err
	}
	var deliveries []Delivery
	for i := range messages {
		d, err := batch.Create(context.Background(), Envelope{Token: token(i)})
		if err != nil {
			return 0, err
		}
		_, err = d.Write(message(i))
		if err := errors.Join(err, d.Close()); err != nil {
			return 0, err
		}
		deliveries = append(deliveries, d)
	}
	err = errors.Join(batch.Commit(context.Background()), verdicts(deliveries))
	for _, d := range deliveries {
		if d.Verdict().Outcome == Safe {
			safe++
		}
	}
	return safe, err
}

// trace runs the child with a task. It tells watch of the system calls that concern files below
// dir. It returns the exit status, or -1 after a kill.
func trace(t *testing.T, task, dir string, watch systrace.Watch) (status int) {
	t.Helper()
	return traceAll(t, task, func(c *systrace.Call, done bool) systrace.Verdict {
		if !strings.HasPrefix(c.Path, dir) {
			return systrace.Verdict{}
		}
		return watch(c, done)
	})
}

// traceAll is like trace, but watch gets all system calls.
func traceAll(t *testing.T, task string, watch systrace.Watch) (status int) {
	t.Helper()
	return traceTo(t, os.Stderr, task, watch)
}

// traceTo is like traceAll, and lets the child print to output.
func traceTo(t *testing.T, output *os.File, task string, watch systrace.Watch) (status int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	environment := append(os.Environ(), childVariable+"="+task, noRaceWait)
	status, err = systrace.Run([]string{self}, environment, output, time.Minute, watch)
	if errors.Is(err, systrace.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// places returns one folder for Maildirs that use syncfs, and one where each file is synced.
func places(t *testing.T) map[string]string {
	shm, err := os.MkdirTemp("/dev/shm", "popfetch-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(shm) })
	return map[string]string{"disk": t.TempDir(), "shm": shm}
}

// behaviour 28, C0024: files are synced before they are renamed into new. Then new is synced.
func TestMaildirCommit_order(t *testing.T) {
	for name, dir := range places(t) {
		t.Run(name, func(t *testing.T) {
			m := NewMaildir(filepath.Join(dir, "Maildir"))
			if err := m.Prepare(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			var events callEvents
			status := trace(t, m.path, m.path, func(c *systrace.Call, done bool) systrace.Verdict {
				events = append(events, callEvent{c, done})
				return systrace.Verdict{}
			})
			if status != 0 {
				t.Fatalf("the child ended with %d, want 0", status)
			}
			in := func(folder string) string { return filepath.Join(m.path, folder) }
			is := func(name, folder string) func(*systrace.Call) bool {
				return func(c *systrace.Call) bool { return c.Name == name && filepath.Dir(c.Path) == in(folder) }
			}
			var (
				open   = func(c *systrace.Call) bool { return c.Name == "openat" && c.Path == in("tmp") }
				write  = is("write", "tmp")
				sync   = func(c *systrace.Call) bool { return is("fsync", "tmp")(c) || c.Name == "syncfs" }
				close  = is("close", "tmp")
				rename = func(c *systrace.Call) bool { return is("renameat", "tmp")(c) && filepath.Dir(c.To) == in("new") }
				done   = func(c *systrace.Call) bool { return c.Name == "fsync" && c.Path == in("new") }
			)
			for i, pair := range [][2]func(*systrace.Call) bool{{open, write}, {write, sync}, {sync, rename}, {close, rename}, {rename, done}} {
				before, after := events.last(pair[0]), events.first(pair[1])
				if before < 0 || after < before {
					t.Errorf("pair %d: the last ends as event %d, the first after it begins as event %d, want this order", i, before, after)
				}
			}
			const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
			created := events.count(func(c *systrace.Call) bool { return is("openat", "tmp")(c) && c.Flags == flags })
			if created != childMessages {
				t.Errorf("%d files are created as they should be, want %d", created, childMessages)
			}
			synced := events.count(is("fsync", "tmp"))
			if events.count(func(c *systrace.Call) bool { return c.Name == "syncfs" }) == 0 && synced != childMessages {
				t.Errorf("%d files are synced without syncfs, want %d", synced, childMessages)
			}
		})
	}
}

// A message in new is not safe before new is synced.
func TestMaildirCommit_newNotSynced(t *testing.T) {
	for name, dir := range places(t) {
		t.Run(name, func(t *testing.T) {
			m := NewMaildir(filepath.Join(dir, "Maildir"))
			if err := m.Prepare(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			status := trace(t, m.path, m.path, func(c *systrace.Call, done bool) systrace.Verdict {
				if !done && c.Name == "fsync" && c.Path == filepath.Join(m.path, "new") {
					return systrace.Verdict{Fail: unix.EIO}
				}
				return systrace.Verdict{}
			})
			if status != childFailed {
				t.Errorf("the child ended with %d, want %d: an error, and no message safe", status, childFailed)
			}
			if got := files(t, filepath.Join(m.path, "new")); len(got) != childMessages {
				t.Errorf("new holds %d messages, want all %d", len(got), childMessages)
			}
		})
	}
}

// callEvents has the begin and the end of each call of a program, in their order.
type callEvents []callEvent

type callEvent struct {
	*systrace.Call
	done bool
}

func (e callEvents) count(match func(*systrace.Call) bool) (n int) {
	for _, event := range e {
		if event.done && match(event.Call) {
			n++
		}
	}
	return n
}

// first returns the index at which the first matching call begins, or -1.
func (e callEvents) first(match func(*systrace.Call) bool) int {
	return slices.IndexFunc(e, func(event callEvent) bool { return !event.done && match(event.Call) })
}

// last returns the index at which the last matching call ends, or -1.
func (e callEvents) last(match func(*systrace.Call) bool) int {
	for i := len(e) - 1; i >= 0; i-- {
		if e[i].done && match(e[i].Call) {
			return i
		}
	}
	return -1
}

// behaviour 31 and 33: kill -9 at any step leaves no partial file in new. The next run delivers
// each missing message once.
func TestMaildirCommit_killed(t *testing.T) {
	for name, dir := range places(t) {
		kills := 0
		for _, call := range []string{"renameat", "fsync", "syncfs", "write"} {
			for _, nth := range []int{1, 2, 3, 5, 8, 13, childMessages} {
				m := NewMaildir(filepath.Join(dir, fmt.Sprint(call, nth)))
				if err := m.Prepare(t.Context(), true); err != nil {
					t.Fatal(err)
				}
				n := nth
				status := trace(t, m.path, m.path, func(c *systrace.Call, done bool) systrace.Verdict {
					if !done && c.Name == call {
						n--
					}
					return systrace.Verdict{Kill: n == 0}
				})
				checkAfterKill(t, m)
				if status == 0 {
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

// checkAfterKill checks the files that a killed child has left. Then it delivers the messages that
// Find does not return, as the next run would.
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
	found := find(t, m, time.Now(), tokens...)
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

// behaviour 33: a program that outlives popfetch gets the whole message, and never a part of it.
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
