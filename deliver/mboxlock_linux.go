package deliver

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

// fcntlLock locks a whole file without waiting. The lock belongs to this opening of the file, so
// that it also holds against other openings in this process, and does not end when one of those is
// closed. It keeps the usual locks of other processes out, and is kept out by them.
func fcntlLock(file *os.File, write bool) error {
	kind := int16(unix.F_RDLCK)
	if write {
		kind = unix.F_WRLCK
	}
	return setLock(file, kind)
}

func fcntlUnlock(file *os.File) error { return setLock(file, unix.F_UNLCK) }

func setLock(file *os.File, kind int16) error {
	whole := &unix.Flock_t{Type: kind, Whence: unix.SEEK_SET}
	return durable.Uninterrupted(func() error {
		return unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, whole)
	})
}

// linkDot makes a file that has its content from its first moment on: the file gets its name when
// it is written.
func linkDot(dot string, text []byte) error {
	fd, err := unix.Open(filepath.Dir(dot), unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, dotMode)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // it has its content
	if _, err := unix.Write(fd, text); err != nil {
		return err
	}
	from := "/proc/self/fd/" + strconv.Itoa(fd)
	return unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, dot, unix.AT_SYMLINK_FOLLOW)
}
