//go:build linux && amd64

package fetch_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fault is a system call that fails: the nth of its kind, counted over all threads, which strace
// cannot do.
type fault struct {
	call  uint64 // its number; it is not made
	nth   int    // from 1; 0: none fails
	errno syscall.Errno
}

// faultRun is what came of a program under the tracer.
type faultRun struct {
	status int
	said   string
	counts map[uint64]int // system calls by their numbers
	hit    string         // what the call that failed was about: a path, a socket; empty if it was not reached
}

// faultTracer makes one system call of a program fail. All of it must happen in one thread, since
// ptrace is bound to it.
type faultTracer struct {
	fault
	pid     int
	run     faultRun
	inside  map[int]bool // threads that are in a system call
	failing map[int]bool // and in that which is to fail
	known   map[int]bool
}

// traceFault runs a program to its end; it is killed when limit has passed.
func traceFault(t *testing.T, f fault, limit time.Duration, arguments ...string) faultRun {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	output, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	process, err := os.StartProcess(arguments[0], arguments, &os.ProcAttr{
		Files: []*os.File{null, output, output},
		Env:   os.Environ(),
		Sys:   &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
	})
	if err != nil {
		t.Skipf("tracing: %v", err)
	}
	tr := &faultTracer{fault: f, pid: process.Pid, inside: make(map[int]bool), failing: make(map[int]bool), known: make(map[int]bool)}
	tr.run.counts = make(map[uint64]int)
	kill := time.AfterFunc(limit, func() { _ = syscall.Kill(tr.pid, syscall.SIGKILL) })
	defer kill.Stop()
	if err := tr.follow(); err != nil {
		_ = syscall.Kill(tr.pid, syscall.SIGKILL)
		t.Fatalf("tracing: %v", err)
	}
	_ = process.Release() // it was waited for
	said, err := os.ReadFile(output.Name())
	if err != nil {
		t.Fatal(err)
	}
	tr.run.said = string(said)
	return tr.run
}

// follow goes from stop to stop of all threads until the program has ended.
func (tr *faultTracer) follow() error {
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(tr.pid, &status, unix.WALL, nil); err != nil {
		return err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	if err := syscall.PtraceSetOptions(tr.pid, options); err != nil {
		return err
	}
	tr.known[tr.pid] = true
	if err := syscall.PtraceSyscall(tr.pid, 0); err != nil {
		return err
	}
	for {
		tid, err := syscall.Wait4(-tr.pid, &status, unix.WALL, nil) // its process group: another test's child may be this thread's too
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ECHILD):
			return nil
		case err != nil:
			return err
		}
		signal := 0
		switch {
		case status.Exited() || status.Signaled():
			if tid == tr.pid {
				if tr.run.status = status.ExitStatus(); status.Signaled() {
					tr.run.status = -1
				}
			}
			continue
		case !status.Stopped():
			continue
		case status.StopSignal() == syscall.SIGTRAP|0x80:
			if err := tr.stopped(tid); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		case status.StopSignal() == syscall.SIGTRAP: // a new thread is announced
		case status.StopSignal() == syscall.SIGSTOP && !tr.known[tid]: // it begins
			tr.known[tid] = true
		default:
			signal = int(status.StopSignal())
		}
		if err := syscall.PtraceSyscall(tid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
}

// stopped looks at a thread that begins or ends a system call.
func (tr *faultTracer) stopped(tid int) error {
	var regs syscall.PtraceRegs
	if tr.inside[tid] = !tr.inside[tid]; tr.inside[tid] {
		if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
			return err
		}
		call := regs.Orig_rax
		if call == unix.SYS_CLOSE && strings.HasPrefix(tr.subject(&regs), "pipe:") {
			return nil // the other end would wait for ever, since the call is not made
		}
		tr.run.counts[call]++
		if call == tr.call && tr.run.counts[call] == tr.nth {
			tr.run.hit = tr.subject(&regs)
			tr.failing[tid] = true
			regs.Orig_rax = ^uint64(0) // a call that there is not
			return syscall.PtraceSetRegs(tid, &regs)
		}
		return nil
	}
	if !tr.failing[tid] {
		return nil
	}
	tr.failing[tid] = false
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	regs.Rax = -uint64(tr.errno)
	return syscall.PtraceSetRegs(tid, &regs)
}

// subject tells what a call is about: the path of its first argument that is a path or a
// descriptor.
func (tr *faultTracer) subject(regs *syscall.PtraceRegs) string {
	switch regs.Orig_rax {
	case unix.SYS_OPENAT, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_NEWFSTATAT, unix.SYS_FACCESSAT2:
		path := tr.text(uintptr(regs.Rsi))
		if strings.HasPrefix(path, "/") || int32(regs.Rdi) < 0 {
			return path
		}
		return tr.descriptor(regs.Rdi) + "/" + path
	case unix.SYS_UNLINK, unix.SYS_MKDIR, unix.SYS_RENAME, unix.SYS_STATFS, unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_ACCESS, unix.SYS_READLINK:
		return tr.text(uintptr(regs.Rdi))
	case unix.SYS_SOCKET:
		return "socket:"
	}
	return tr.descriptor(regs.Rdi)
}

func (tr *faultTracer) descriptor(fd uint64) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tr.pid, int32(fd)))
	if err != nil {
		return fmt.Sprintf("descriptor %d", int32(fd))
	}
	return path
}

// text reads a string out of the program's memory.
func (tr *faultTracer) text(at uintptr) string {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", tr.pid))
	if err != nil {
		return err.Error()
	}
	defer memory.Close()
	buffer := make([]byte, 512)
	n, _ := memory.ReadAt(buffer, int64(at))
	text, _, _ := strings.Cut(string(buffer[:n]), "\x00")
	return text
}
