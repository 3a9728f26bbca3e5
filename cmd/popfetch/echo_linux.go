package main

import "golang.org/x/sys/unix"

// These are the requests that read and set the modes of a terminal.
const (
	getModes = unix.TCGETS
	setModes = unix.TCSETS
)
