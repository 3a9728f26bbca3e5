package deliver

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// waysOf tells how what is written to the file system of f becomes durable.
func waysOf(f *os.File) ways {
	var stat unix.Statfs_t
	if !syncfsTellsErrors() || unix.Fstatfs(int(f.Fd()), &stat) != nil {
		return ways{}
	}
	switch int64(stat.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
		return ways{whole: true}
	case unix.TMPFS_MAGIC:
		return ways{whole: true, free: true}
	}
	// Layered and network file systems pass errors on too rarely to be believed.
	return ways{}
}

// syncWhole makes durable everything that was written to the file system of f since f was opened, by one syncfs, which tells of
// all errors since then, also of files that are closed.
func syncWhole(f *os.File) error {
	if err := uninterrupted(func() error { return unix.Syncfs(int(f.Fd())) }); err != nil {
		return fmt.Errorf("syncing the file system of %s: %w", f.Name(), err)
	}
	return nil
}

// syncfsTellsErrors is true from Linux 5.8 on; before, syncfs returned success also when data could not be written. A sandbox may
// not allow the call: then it does not say that there is no such descriptor.
var syncfsTellsErrors = sync.OnceValue(func() bool {
	if !errors.Is(unix.Syncfs(-1), unix.EBADF) {
		return false
	}
	var name unix.Utsname
	var major, minor int
	if err := unix.Uname(&name); err != nil {
		return false
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
})
