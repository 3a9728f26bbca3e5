//go:build !linux

package main

import "golang.org/x/sys/unix"

// keepMemoryPrivate lets no core dump be written, for passwords are in memory. An MDA inherits
// this, but may raise the limit again.
func keepMemoryPrivate() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_CORE, &limit) == nil {
		limit.Cur = 0
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &limit)
	}
}
