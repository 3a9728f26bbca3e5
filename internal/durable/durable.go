// Package durable makes written data survive a power cut, and reports how much room a disk has.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// AtOnce is how many goroutines may wait for the disk at the same time. A journal needs only a few
// commits for all of them.
const AtOnce = 16

// Parallel calls do with 0 … n-1, from at most AtOnce goroutines. It waits for all calls and joins
// their errors.
func Parallel(n int, do func(i int) error) error {
	var (
		next atomic.Int64
		wg   sync.WaitGroup
		errs = make([]error, n)
	)
	for range min(n, AtOnce) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = do(i)
			}
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

// cheapSync bounds the time of a sync. If one takes longer, the following ones use goroutines.
const cheapSync = 100 * time.Microsecond

// Each calls sync with 0 … n-1. As soon as one call has waited for the disk, the others are made in
// parallel. If a sync costs nothing, as on a RAM disk, goroutines would cost more. Each returns the
// first error of the single calls, or the joined errors of the parallel calls.
func Each(n int, sync func(i int) error) error {
	for i := range n {
		began := time.Now()
		if err := sync(i); err != nil {
			return err
		}
		if time.Since(began) > cheapSync {
			return Parallel(n-i-1, func(j int) error { return sync(i + 1 + j) })
		}
	}
	return nil
}

// Sync makes the file or folder at path durable. For a folder, this concerns its entries: the files
// that were created in it or renamed into it.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	return nil
}

// Replace puts content into the file at path, with mode 0600, so that after a power cut either the
// old or the new content is there. The folder must exist.
func Replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return fmt.Errorf("replacing a file: %w", err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("replacing a file: %w", err), os.Remove(f.Name()))
	}
	return Sync(filepath.Dir(path))
}

// SyncUp makes a folder and its entries durable. It syncs the folder and all folders above it, up
// to the root. It skips a folder above if we may not read it, or if its file system cannot sync
// folders.
func SyncUp(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	folders := []string{dir}
	for parent := filepath.Dir(dir); parent != dir; parent = filepath.Dir(dir) {
		dir = parent
		folders = append(folders, dir)
	}
	return Each(len(folders), func(i int) error {
		err := Sync(folders[i])
		skipped := errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EROFS)
		if i > 0 && skipped {
			return nil
		}
		return err
	})
}

// Ways says which faster ways a file system has to make data durable than file by file.
type Ways struct {
	Whole bool // SyncWhole can be relied on
	Free  bool // the file system is in memory, so there is no disk to wait for
}

// Space is the size of a file system in octets. Some file systems, such as some on a network, do
// not report it. Then Total is 0 and Free is math.MaxInt64.
type Space struct {
	Free  int64 // how much may still be written
	Total int64
	// NoFiles says that no further file can be made, whatever is free: the inodes are used up.
	NoFiles bool
	Kind    uint32 // the magic number of the file system on Linux
}

var errNoInode = errors.New("the file system has room, but no inode for another file (df -i shows it); remove files there")

// ExplainFull adds to ENOSPC in dir that it is the inodes that are used up, if so: there may be much
// free space.
func ExplainFull(dir string, err error) error {
	if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, errNoInode) {
		return err
	}
	if space, spaceErr := SpaceOf(dir); spaceErr != nil || !space.NoFiles {
		return err
	}
	return fmt.Errorf("%w: %w", err, errNoInode)
}

// Uninterrupted repeats a system call as long as a signal interrupts it.
func Uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
