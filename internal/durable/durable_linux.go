package durable

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// WaysOf returns the faster ways of the file system of f.
func WaysOf(f *os.File) Ways {
	var stat unix.Statfs_t
	if !syncfsTellsErrors() || unix.Fstatfs(int(f.Fd()), &stat) != nil {
		return Ways{}
	}
	switch int64(stat.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
		return Ways{Whole: true}
	case unix.TMPFS_MAGIC:
		return Ways{Whole: true, Free: true}
	}
	// Layered and network file systems often do not pass errors on.
	return Ways{}
}

// SyncWhole makes everything durable that was written to the file system of f since f was opened.
// It reports all write errors since then, also those of files that are closed.
func SyncWhole(f *os.File) error {
	if err := Uninterrupted(func() error { return unix.Syncfs(int(f.Fd())) }); err != nil {
		return fmt.Errorf("syncing the file system of %s: %w", f.Name(), err)
	}
	return nil
}

// syncfsTellsErrors reports whether syncfs fails if data could not be written, as it does from
// Linux 5.8 on. A sandbox may forbid the call. Then a call without a descriptor gives another error
// than EBADF.
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

// SpaceOf returns the size of the file system that holds a folder.
func SpaceOf(dir string) (Space, error) {
	var stat unix.Statfs_t
	if err := Uninterrupted(func() error { return unix.Statfs(dir, &stat) }); err != nil {
		return Space{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	space := Space{Free: math.MaxInt64, Kind: uint32(stat.Type), NoFiles: stat.Files > 0 && stat.Ffree == 0}
	block := int64(stat.Bsize)
	if stat.Blocks > 0 && block > 0 && stat.Blocks <= math.MaxInt64/uint64(block) {
		space.Free, space.Total = int64(stat.Bavail)*block, int64(stat.Blocks)*block
	}
	return space, nil
}
