package main

import "golang.org/x/sys/unix"

// keepMemoryPrivate forbids core dumps. It also keeps other processes of the user from reading the
// memory, because passwords are in it.
//
// A limit on the size of dumps would not do: it does not stop dumps that go to a program, and an
// MDA would inherit it. If the kernel refuses, popfetch still works.
func keepMemoryPrivate() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
