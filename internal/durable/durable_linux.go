package durable

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// WaysOf returns how what is written to the file system of f becomes durable.
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
	// Layered and network file systems pass errors on too rarely to be believed.
	return Ways{}
}

// SyncWhole makes durable everything that was written to the file system of f since f was opened.
// The one call of syncfs reports all errors since then, also those of files that are closed.
func SyncWhole(f *os.File) error {
	if err := Uninterrupted(func() error { return unix.Syncfs(int(f.Fd())) }); err != nil {
		return fmt.Errorf("syncing the file system of %s: %w", f.Name(), err)
	}
	return nil
}

// syncfsTellsErrors reports whether syncfs fails when data could not be written, as from Linux 5.8
// on. A sandbox may not allow the call: then its error is not that there is no such descriptor.
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
	space := Space{Free: math.MaxInt64, Kind: uint32(stat.Type)}
	block := int64(stat.Bsize)
	if stat.Blocks > 0 && block > 0 && stat.Blocks <= math.MaxInt64/uint64(block) {
		space.Free, space.Total = int64(stat.Bavail)*block, int64(stat.Blocks)*block
	}
	return space, nil
}
