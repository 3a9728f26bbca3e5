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

// Run starts a program and calls watch for its system calls. Standard output and standard error of
// the program go to output. If environment is nil, the program gets that of the caller. Run returns
// the exit status, or -1 if a signal ended the program. After limit the program is killed.
func Run(args, environment []string, output *os.File, limit time.Duration, watch Watch) (status int, err error) {
	// The kernel accepts ptrace requests only from the thread that started the program.
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
	defer process.Release() //nolint:errcheck // run has waited for it
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
	open    map[int]*Call // by thread: its current call; nil: none, or one without a shape
}

func (t *tracer) run() (status int, err error) {
	var wait unix.WaitStatus
	if err := t.wait(t.pid, &wait); err != nil {
		return 0, err
	}
	if !wait.Stopped() { // the program did not start, or tracing is not allowed
		return 0, fmt.Errorf("%w: the program ended at once, %v", ErrUnsupported, wait)
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
			if thread == t.pid { // the kernel reports this one last, when all threads have ended
				t.pid = 0
				return wait.ExitStatus(), nil
			}
		case wait.StopSignal() == unix.SIGTRAP|0x80:
			t.stopped(thread)
		case wait.StopSignal() == unix.SIGTRAP && wait.TrapCause() > 0: // a thread was started
			t.resume(thread, 0)
		case wait.StopSignal() == unix.SIGSTOP && !t.knows(thread): // the first stop of a new thread
			t.open[thread] = nil
			t.resume(thread, 0)
		default:
			t.resume(thread, wait.StopSignal())
		}
	}
}

// release kills the program after an error and waits for all its threads. Nobody else could wait
// for them.
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

// waitAny waits for any thread of the program. The program has a process group of its own, so
// waitAny does not wait for other children of this process.
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

// resume lets a thread run to the start or end of its next call. It ignores errors, because the
// thread may have been killed.
func (t *tracer) resume(thread int, signal syscall.Signal) {
	_ = unix.PtraceSyscall(thread, int(signal))
}

// syscallInfo is the kernel's struct ptrace_syscall_info.
type syscallInfo struct {
	op    uint8
	_     [3]uint8
	arch  uint32
	_, _  uint64    // instruction and stack pointer
	entry [8]uint64 // at the start: number and arguments; at the end: the result
}

const (
	opEntry = 1
	opExit  = 2
)

// stopped handles the start or the end of a call.
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

// skip makes the kernel carry out nothing in place of the call.
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
		_ = unix.PtraceSetRegs(thread, &registers) // an error means that the thread was killed
	}
}

// describe reads the arguments of a call.
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

// descriptor returns the path of an open file, or "".
func (t *tracer) descriptor(fd int) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", t.pid, fd))
	if err != nil {
		return ""
	}
	return path
}

// position returns the current offset of a descriptor.
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

// name reads a file name and makes it absolute.
func (t *tracer) name(dir, path int, args []uint64) string {
	name := t.string(args[path])
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	base := ""
	if dir == none || int32(args[dir]) == unix.AT_FDCWD {
		base, _ = os.Readlink(fmt.Sprintf("/proc/%d/cwd", t.pid)) // an error means that the program has ended
	} else {
		base = t.descriptor(int(int32(args[dir])))
	}
	return filepath.Join(base, name)
}

// string reads a string that ends with NUL. It reads up to the next multiple of 256 each time,
// because the memory after the string may not be readable.
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
	n, _ := t.memory.ReadAt(data, int64(address)) // the kernel cannot read the missing part either
	return data[:n]
}
