// Package systrace runs a program and reports its system calls to a test. It reports each call
// before and after the kernel carries it out. So tests can record what a program does to the disk,
// kill it at any call, or let any call fail. It works on Linux on amd64 only.
//
// It does one thing that strace cannot do. strace counts the calls of each thread separately, and
// which thread of a Go program makes a call is random. This package reports the calls of all
// threads in one sequence. Programs that the traced program starts are not traced.
package systrace

import (
	"errors"
	"syscall"
)

// ErrUnsupported means that programs cannot be traced here. The system is another one, or a sandbox
// forbids it.
var ErrUnsupported = errors.New("system calls cannot be traced here")

// Call is one system call about a file, a folder or a socket. Watch gets the same value before and
// after the call.
type Call struct {
	Name   string
	FD     int    // its descriptor; -1: none
	Path   string // absolute path of the descriptor or the first name; "socket:[…]" for a socket
	To     string // the second name of rename and link
	Flags  int    // of open
	Data   []byte // the octets that write, pwrite64 and sendto write
	Offset int64  // where they write them
	Size   int64  // the size for ftruncate; for fallocate the end of its range
	Result int64  // after the call: its result, or a negative error number
}

// Verdict says what happens to a call or to the program.
type Verdict struct {
	// Kill ends the program by SIGKILL. Before the call, the call is not carried out. After the
	// call, it was carried out.
	Kill bool
	// Fail is only for use before the call. The call is not carried out, and the program gets this
	// error.
	Fail syscall.Errno
}

// Watch is called before each call with done false, and after it with done true. Meanwhile the
// thread that makes the call waits. Other threads run on.
type Watch func(c *Call, done bool) Verdict
