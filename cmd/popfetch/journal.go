package main

import (
	"fmt"
	"os"
	"syscall"
)

// A level says how grave a line is. The journal reads it at the beginning of the line (sd-daemon(3)).
type level string

const (
	failure level = "<3>"
	caution level = "<4>"
	news    level = "<6>"
)

// isJournal reports whether f is the stream to the journal that the environment names. A program that
// has redirected its standard error inherits the variable, too.
func isJournal(f *os.File) bool {
	stream := os.Getenv("JOURNAL_STREAM")
	if stream == "" {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
