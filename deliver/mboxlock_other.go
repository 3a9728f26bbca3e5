//go:build !linux

package deliver

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// fcntlLock locks a whole file without waiting. The lock belongs to this process, and ends when any
// opening of the file is closed. So against other programs the dot lock counts.
func fcntlLock(file *os.File, write bool) error {
	kind := int16(unix.F_RDLCK)
	if write {
		kind = unix.F_WRLCK
	}
	return unix.FcntlFlock(file.Fd(), unix.F_SETLK, &unix.Flock_t{Type: kind})
}

func fcntlUnlock(file *os.File) error {
	return unix.FcntlFlock(file.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK})
}

// linkDot always fails: files without a name are Linux's.
func linkDot(string, []byte) error { return errors.ErrUnsupported }
