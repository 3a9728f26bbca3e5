//go:build linux && amd64

package fetch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/poptest"
)

// faultLimit bounds a run, which may wait for half a minute for a lock that is not released.
const faultLimit = 90 * time.Second

// faultMessages is how many messages each of these runs brings. There are too many to sync one by
// one if syncfs works.
const faultMessages = 20

// faultCalls are the system calls that fail, each with the errors that it returns in turn. The
// dozen cases of TestFaults are taken from the quick ones.
var faultCalls = []struct {
	name  string
	call  uint64
	errno []syscall.Errno
	quick bool
}{
	{"fsync", unix.SYS_FSYNC, []syscall.Errno{unix.EIO, unix.ENOSPC}, true},
	{"fdatasync", unix.SYS_FDATASYNC, []syscall.Errno{unix.EIO}, true},
	{"syncfs", unix.SYS_SYNCFS, []syscall.Errno{unix.EIO, unix.ENOSPC}, true},
	{"write", unix.SYS_WRITE, []syscall.Errno{unix.EIO, unix.ENOSPC}, true},
	{"pwrite64", unix.SYS_PWRITE64, []syscall.Errno{unix.EIO, unix.ENOSPC}, true},
	{"rename", unix.SYS_RENAME, []syscall.Errno{unix.EIO}, false},
	{"renameat", unix.SYS_RENAMEAT, []syscall.Errno{unix.EIO, unix.ENOSPC}, true},
	{"openat", unix.SYS_OPENAT, []syscall.Errno{unix.EIO, unix.EROFS}, false},
	{"close", unix.SYS_CLOSE, []syscall.Errno{unix.EIO}, true},
	{"ftruncate", unix.SYS_FTRUNCATE, []syscall.Errno{unix.EIO}, true},
	{"unlink", unix.SYS_UNLINK, []syscall.Errno{unix.EIO}, true},
	{"unlinkat", unix.SYS_UNLINKAT, []syscall.Errno{unix.EIO}, false},
	{"mkdirat", unix.SYS_MKDIRAT, []syscall.Errno{unix.ENOSPC}, true},
	{"flock", unix.SYS_FLOCK, []syscall.Errno{unix.ENOLCK}, true},
	{"fcntl", unix.SYS_FCNTL, []syscall.Errno{unix.ENOLCK}, false},
	{"read", unix.SYS_READ, []syscall.Errno{unix.EIO}, true},
	{"pread64", unix.SYS_PREAD64, []syscall.Errno{unix.EIO}, false},
	{"newfstatat", unix.SYS_NEWFSTATAT, []syscall.Errno{unix.EIO}, false},
	{"statfs", unix.SYS_STATFS, []syscall.Errno{unix.EIO}, false},
	{"faccessat2", unix.SYS_FACCESSAT2, []syscall.Errno{unix.EROFS}, false},
	{"getdents64", unix.SYS_GETDENTS64, []syscall.Errno{unix.EIO}, false},
	{"lseek", unix.SYS_LSEEK, []syscall.Errno{unix.EIO}, false},
	{"socket", unix.SYS_SOCKET, []syscall.Errno{unix.EMFILE}, false},
	{"connect", unix.SYS_CONNECT, []syscall.Errno{unix.EIO}, false},
}

// faultCase is one call that fails in one run.
type faultCase struct {
	name string
	fault
}

// TestTortureFaults makes each system call of a run fail, one at a time. A quick part of it,
// TestFaults, always runs.
//
// The exit status of the run is right if it is 0 only where everything was done, all messages
// delivered and deleted; if not, if it is the one that interface.md has for what failed: 75 for the
// connection, 78 or 74 for the configuration, 73 or 74 for Maildir and state, and 75 for a lock.
// Then a second run, in which nothing fails, must end with 0, every message in the Maildir once.
func TestTortureFaults(t *testing.T) {
	if os.Getenv("POPFETCH_TEST_TORTURE") == "" {
		t.Skip("POPFETCH_TEST_TORTURE is not set")
	}
	tryFaults(t, nil, 1)
}

// tryFaults makes system calls of a run fail: of each kind, every one that step divides.
func tryFaults(t *testing.T, composed *composedCase, step int) {
	f := newFaults(t, composed)
	var cases []faultCase
	for _, c := range faultCalls {
		for n := step - 1; n < f.counts[c.call]; n += step {
			errno := c.errno[n%len(c.errno)]
			cases = append(cases, faultCase{fmt.Sprintf("%s %d %s", c.name, n+1, unix.ErrnoName(errno)), fault{c.call, n + 1, errno}})
		}
	}
	f.try(t, cases)
}

// TestFaults is a dozen of these faults.
func TestFaults(t *testing.T) { trySomeFaults(t, nil) }

func trySomeFaults(t *testing.T, composed *composedCase) {
	f := newFaults(t, composed)
	var cases []faultCase
	for _, c := range faultCalls {
		if n := f.counts[c.call]; n > 0 && c.quick {
			cases = append(cases, faultCase{fmt.Sprintf("%s %d", c.name, (n+1)/2), fault{c.call, (n + 1) / 2, c.errno[0]}})
		}
	}
	f.try(t, cases)
}

// faults is what the cases share.
type faults struct {
	program  string
	composed *composedCase // nil: the program itself, with one target
	places   []string
	messages []poptest.Message
	counts   map[uint64]int // of a run in which nothing fails
	tally    killTally
	tried    atomic.Int32
	missed   atomic.Int32
	wrong    atomic.Int32
	beyond   atomic.Int32 // in Go's runtime or the loader of shared libraries
	mu       sync.Mutex
	statuses map[int]int
}

func newFaults(t *testing.T, composed *composedCase) *faults {
	t.Helper()
	program := ""
	if composed != nil {
		program = build(t, "fetch/testdata/composed")
	} else {
		program = buildProgram(t)
	}
	f := &faults{program: program, composed: composed, messages: killMessages(faultMessages), places: killPlaces(t), statuses: make(map[int]int)}
	f.places = f.places[:min(2, len(f.places))] // one with syncfs, one without
	f.counts = make(map[uint64]int)
	for i := range f.places { // what one place does not need the other may
		r := f.newRig(t, i)
		run := traceFault(t, fault{}, runLimit, r.arguments()...)
		if run.status != 0 {
			t.Fatalf("a run without faults ended with %d: %s", run.status, run.said)
		}
		r.label = "no fault"
		r.checkOnce()
		for call, n := range run.counts {
			f.counts[call] = max(f.counts[call], n)
		}
	}
	return f
}

func (f *faults) newRig(t *testing.T, i int) *killRig {
	r := newKillRig(t, f.program, f.places[i%len(f.places)], &f.tally, f.messages)
	r.delete = true
	if r.composed = f.composed; r.composed != nil && r.composed.mda {
		r.deliverByMDA(1)
		r.mayTwice = 1 // the note of what it has may fail
	}
	return r
}

// arguments are the command line of a run. Its server sees what the test has set until now.
func (r *killRig) arguments() []string {
	r.publish()
	if r.composed != nil {
		return r.command()
	}
	return []string{r.program, "--once", "--config", r.writeConfig()}
}

// try tries the cases, two at a time.
func (f *faults) try(t *testing.T, cases []faultCase) {
	began := time.Now()
	t.Run("each", func(t *testing.T) {
		for i, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				f.one(t, i, c)
			})
		}
	})
	o := f.tally.outcome
	t.Logf("torture | system calls that fail | %d cases | %d lost | %d twice | %d cut | %d unsafe deletes | %d wrong statuses | %d were not reached, %d ended Go's runtime or the loader; exit statuses %v; %.0f s",
		f.tried.Load(), o.lost, o.twice, o.cut, o.unsafe, f.wrong.Load(), f.missed.Load(), f.beyond.Load(), f.statuses, time.Since(began).Seconds())
}

func (f *faults) one(t *testing.T, i int, c faultCase) {
	r := f.newRig(t, i)
	r.label = c.name
	run := traceFault(t, c.fault, faultLimit, r.arguments()...)
	r.server.Wait()
	f.tried.Add(1)
	if run.hit == "" {
		f.missed.Add(1)
	}
	f.mu.Lock()
	f.statuses[run.status]++
	f.mu.Unlock()
	if isBeyond(run) {
		f.beyond.Add(1)
	} else if fault := r.statusFault(run); fault != "" {
		f.wrong.Add(1)
		t.Errorf("%s (%s): exit status %d is wrong, %s; it said: %s", c.name, run.hit, run.status, fault, run.said)
	}
	r.checkKilled()
	r.finish()
}

// isBeyond reports whether a call has failed without which the program has not started yet, or has
// already ended. Then popfetch cannot report anything. The messages must be safe all the same.
func isBeyond(run faultRun) bool {
	if run.status == 127 {
		return strings.Contains(run.said, "error while loading shared libraries")
	}
	return run.status == 2 && (strings.HasPrefix(run.said, "runtime: netpollBreak write failed") ||
		strings.HasPrefix(run.said, "runtime: unexpected error while checking standard file descriptor"))
}

// statusFault returns what is wrong with the exit status of a run or its output; "" if nothing is.
func (r *killRig) statusFault(run faultRun) string {
	left := len(r.server.Drop("mrose").UniqueIDs())
	delivered := len(r.delivered())
	for _, mark := range []string{"goroutine ", "panic", "fatal error"} {
		if strings.Contains(run.said, mark) {
			return "and a stack is no message"
		}
	}
	switch {
	case run.status == 0 && (left > 0 || delivered != faultMessages):
		return fmt.Sprintf("since %d messages are delivered and %d are left on the server", delivered, left)
	case run.status == 0:
		return ""
	case run.said == "" && run.hit != "" && !strings.Contains(run.hit, "output"):
		return "and nothing was said"
	}
	if r.composed != nil { // its program has only one status for all faults
		return ""
	}
	allowed := []int{70, 73, 74, 75, 78}
	switch {
	case strings.HasPrefix(run.hit, "socket:"):
		allowed = []int{75}
	case strings.HasPrefix(run.hit, r.maildir):
		allowed = []int{73, 74}
	case strings.HasPrefix(run.hit, r.state):
		allowed = []int{73, 74, 75}
	case run.hit == filepath.Join(r.dir, "config.toml"):
		allowed = []int{74, 78}
	}
	if !slices.Contains(allowed, run.status) {
		return fmt.Sprintf("want one of %v", allowed)
	}
	return ""
}
