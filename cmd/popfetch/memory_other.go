//go:build !linux

package main

import "golang.org/x/sys/unix"

// keepMemoryPrivate forbids core dumps, because passwords are in memory. An MDA inherits the limit,
// but may raise it again.
func keepMemoryPrivate() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_CORE, &limit) == nil {
		limit.Cur = 0
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &limit)
	}
}
