// Package systrace runs a program and tells of its system calls, one before and after the kernel does it, for tests: they
// record what a program does to the disk, kill it at any call, or let any call fail.
//
// It is strace as a function, for what that cannot do: strace counts calls for each thread by itself, and which thread of
// a Go program makes a call is chance; here all calls of the program stand in one row. Programs that the traced one starts
// run untraced. Linux on amd64 only.
package systrace

import (
	"errors"
	"syscall"
)

// ErrUnsupported says that programs cannot be traced here: another system, or a sandbox that forbids it.
var ErrUnsupported = errors.New("system calls cannot be traced here")

// Call is one system call that concerns a file, a folder or a socket. The same value is shown before and after it.
type Call struct {
	Name   string
	FD     int    // the descriptor that it is about, -1: none
	Path   string // the file that the descriptor or the first name stands for, absolute; "socket:[…]" for a socket
	To     string // the second name, of rename and link
	Flags  int    // of open
	Data   []byte // that write, pwrite64, sendto are to write
	Offset int64  // where they write it
	Size   int64  // of ftruncate, and of fallocate the end of its range
	Result int64  // once it is done: below zero a negative error number
}

// Verdict is what is to become of a call, or of the program.
type Verdict struct {
	// Kill ends the program by SIGKILL: before the call it is not carried out, after it it was.
	Kill bool
	// Fail, told before the call, keeps it from being carried out; the program sees this error.
	Fail syscall.Errno
}

// Watch is told of each call before it is carried out, and with done after it. While it works the thread that makes
// the call stands still, and other threads run on.
type Watch func(c *Call, done bool) Verdict
