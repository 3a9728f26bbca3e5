package deliver

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// syncWhole makes durable everything that was written to the file system of f since f was opened, by one syncfs; false
// means that this cannot be relied on here, and nothing was done.
func syncWhole(f *os.File) (done bool, err error) {
	var stat unix.Statfs_t
	if !syncfsTellsErrors() || unix.Fstatfs(int(f.Fd()), &stat) != nil {
		return false, nil
	}
	switch int64(stat.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
	default:
		// Layered and network file systems pass errors on too rarely to be believed.
		return false, nil
	}
	switch err := unix.Syncfs(int(f.Fd())); {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
		// A sandbox does not allow the call.
		return false, nil
	case err != nil:
		return true, fmt.Errorf("syncing the file system of %s: %w", f.Name(), err)
	}
	return true, nil
}

// syncfsTellsErrors is true from Linux 5.8 on; before, syncfs returned success also when data could not be written.
var syncfsTellsErrors = sync.OnceValue(func() bool {
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
