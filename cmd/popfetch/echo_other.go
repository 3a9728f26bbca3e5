//go:build !linux

package main

import "golang.org/x/sys/unix"

// These are the requests that read and set the modes of a terminal.
const (
	getModes = unix.TIOCGETA
	setModes = unix.TIOCSETA
)
