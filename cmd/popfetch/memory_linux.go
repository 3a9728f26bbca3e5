package main

import "golang.org/x/sys/unix"

// keepMemoryPrivate lets no core dump be written, and no other process of the user look into the
// memory, for passwords are in it. Unlike a limit on the size of dumps it holds for dumps that go
// to a program, too, and ends where another program begins: an MDA dumps as it would without us.
// Where the kernel refuses, nothing is lost but this.
func keepMemoryPrivate() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
