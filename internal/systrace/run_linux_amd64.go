package systrace

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Run starts a program with its standard output and error in output, and returns its exit status, -1 if a signal ended
// it, as after limit. Environment nil is that of the caller.
func Run(args, environment []string, output *os.File, limit time.Duration, watch Watch) (status int, err error) {
	// The kernel takes orders about a traced program only from the thread that has started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if environment == nil {
		environment = os.Environ()
	}
	process, err := os.StartProcess(args[0], args, &os.ProcAttr{
		Env: environment, Files: []*os.File{nil, output, output}, Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	defer process.Release() //nolint:errcheck // it has been waited for
	end := time.AfterFunc(limit, func() { _ = process.Kill() })
	defer end.Stop()
	t := &tracer{pid: process.Pid, process: process, watch: watch, open: make(map[int]*Call)}
	return t.run()
}

type tracer struct {
	pid     int
	process *os.Process
	watch   Watch
	memory  *os.File
	open    map[int]*Call // by thread, the call that it is in; nil: one that nobody is told of
}

func (t *tracer) run() (status int, err error) {
	var wait unix.WaitStatus
	if err := t.wait(t.pid, &wait); err != nil {
		return 0, err
	}
	if !wait.Stopped() { // it could not be started, or not be traced
		return 0, fmt.Errorf("%w: it ended at once, %v", ErrUnsupported, wait)
	}
	defer t.release()
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(t.pid, options); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if t.memory, err = os.Open(fmt.Sprintf("/proc/%d/mem", t.pid)); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	t.resume(t.pid, 0)
	for {
		var thread int
		if thread, err = t.waitAny(&wait); err != nil {
			return 0, err
		}
		switch {
		case wait.Exited() || wait.Signaled():
			delete(t.open, thread)
			if thread == t.pid { // the kernel tells of it when all its threads have ended
				t.pid = 0
				return wait.ExitStatus(), nil
			}
		case wait.StopSignal() == unix.SIGTRAP|0x80:
			t.stopped(thread)
		case wait.StopSignal() == unix.SIGTRAP && wait.TrapCause() > 0: // a thread was started
			t.resume(thread, 0)
		case wait.StopSignal() == unix.SIGSTOP && !t.knows(thread): // its first stop
			t.open[thread] = nil
			t.resume(thread, 0)
		default:
			t.resume(thread, wait.StopSignal())
		}
	}
}

// release ends what is left after an error; nobody else may wait for it.
func (t *tracer) release() {
	if t.memory != nil {
		_ = t.memory.Close()
	}
	if t.pid != 0 {
		_ = t.process.Kill()
		var wait unix.WaitStatus
		for thread := 0; thread != t.pid; {
			var err error
			if thread, err = t.waitAny(&wait); err != nil || !wait.Exited() && !wait.Signaled() {
				return
			}
		}
	}
}

func (t *tracer) knows(thread int) bool {
	_, known := t.open[thread]
	return known || thread == t.pid
}

// waitAny waits for a thread of the program. It has a process group of its own, so that nobody else's children are
// waited for.
func (t *tracer) waitAny(wait *unix.WaitStatus) (thread int, err error) {
	for {
		thread, err = unix.Wait4(-t.process.Pid, wait, unix.WALL, nil)
		if !errors.Is(err, unix.EINTR) {
			return thread, err
		}
	}
}

func (t *tracer) wait(pid int, wait *unix.WaitStatus) error {
	for {
		if _, err := unix.Wait4(pid, wait, unix.WALL, nil); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// resume lets a thread run to the begin or end of its next call; it may have been killed meanwhile.
func (t *tracer) resume(thread int, signal syscall.Signal) {
	_ = unix.PtraceSyscall(thread, int(signal))
}

// syscallInfo is struct ptrace_syscall_info of the kernel.
type syscallInfo struct {
	op    uint8
	_     [3]uint8
	arch  uint32
	_, _  uint64    // instruction and stack pointer
	entry [8]uint64 // number and arguments; or the result
}

const (
	opEntry = 1
	opExit  = 2
)

// stopped handles the begin or the end of a call.
func (t *tracer) stopped(thread int) {
	var info syscallInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(thread), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	var verdict Verdict
	switch {
	case errno != 0: // killed
		return
	case info.op == opEntry:
		s, told := shapes[info.entry[0]]
		if !told {
			t.open[thread] = nil
			break
		}
		call := t.describe(s, info.entry[1:7])
		t.open[thread] = call
		if verdict = t.watch(call, false); verdict.Fail != 0 {
			t.skip(thread)
			call.Result = -int64(verdict.Fail)
		}
	case info.op == opExit && t.open[thread] != nil:
		call := t.open[thread]
		t.open[thread] = nil
		if call.Result < 0 {
			t.setResult(thread, call.Result)
		} else {
			call.Result = int64(info.entry[0])
		}
		verdict = t.watch(call, true)
	}
	if verdict.Kill {
		_ = t.process.Kill()
		return
	}
	t.resume(thread, 0)
}

// skip makes the kernel carry out no call.
func (t *tracer) skip(thread int) {
	t.change(thread, func(r *unix.PtraceRegs) { r.Orig_rax = ^uint64(0) })
}

func (t *tracer) setResult(thread int, result int64) {
	t.change(thread, func(r *unix.PtraceRegs) { r.Rax = uint64(result) })
}

func (t *tracer) change(thread int, change func(*unix.PtraceRegs)) {
	var registers unix.PtraceRegs
	if unix.PtraceGetRegs(thread, &registers) == nil {
		change(&registers)
		_ = unix.PtraceSetRegs(thread, &registers) // else it was killed
	}
}

// describe reads what the arguments of a call stand for.
func (t *tracer) describe(s shape, args []uint64) *Call {
	c := &Call{Name: s.name, FD: -1}
	if s.fd != none {
		c.FD = int(int32(args[s.fd]))
		c.Path = t.descriptor(c.FD)
	}
	if s.path != none {
		c.Path = t.name(s.dir, s.path, args)
	}
	if s.to != none {
		c.To = t.name(s.dir2, s.to, args)
	}
	if s.flags != none {
		c.Flags = int(args[s.flags])
	}
	if s.data != none {
		c.Data = t.read(args[s.data], args[s.data+1])
	}
	if s.offset != none {
		c.Offset = int64(args[s.offset])
	}
	if s.appendsOff {
		c.Offset = t.position(c.FD)
	}
	if s.size != none {
		c.Size = int64(args[s.size])
		if s.name == "fallocate" {
			c.Size += int64(args[s.size+1])
		}
	}
	return c
}

// descriptor returns what a descriptor stands for.
func (t *tracer) descriptor(fd int) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", t.pid, fd))
	if err != nil {
		return ""
	}
	return path
}

// position returns how far a descriptor has been read or written.
func (t *tracer) position(fd int) int64 {
	info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", t.pid, fd))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(info), "\n")
	position, err := strconv.ParseInt(strings.TrimSpace(strings.TrimPrefix(line, "pos:")), 10, 64)
	if err != nil {
		return 0
	}
	return position
}

// name reads a name and makes it absolute.
func (t *tracer) name(dir, path int, args []uint64) string {
	name := t.string(args[path])
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	base := ""
	if dir == none || int32(args[dir]) == unix.AT_FDCWD {
		base, _ = os.Readlink(fmt.Sprintf("/proc/%d/cwd", t.pid)) // the program ends if it is gone
	} else {
		base = t.descriptor(int(int32(args[dir])))
	}
	return filepath.Join(base, name)
}

// string reads a string that ends with NUL; it may end shortly before memory does.
func (t *tracer) string(address uint64) string {
	var text []byte
	for len(text) < unix.PathMax {
		part := t.read(address+uint64(len(text)), 256-(address+uint64(len(text)))%256)
		if end := bytes.IndexByte(part, 0); end >= 0 || len(part) == 0 {
			return string(append(text, part[:max(end, 0)]...))
		}
		text = append(text, part...)
	}
	return string(text)
}

func (t *tracer) read(address, length uint64) []byte {
	data := make([]byte, length)
	n, _ := t.memory.ReadAt(data, int64(address)) // what cannot be read, the kernel will not read either
	return data[:n]
}
