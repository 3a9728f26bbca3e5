// Package durable makes what was written survive a power cut, and tells how much room a disk has.
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

// AtOnce bounds the goroutines that wait for the disk. A journal gathers their waits into few
// commits.
const AtOnce = 16

// Parallel calls do with 0 … n-1 from at most AtOnce goroutines, waits for all, and joins their
// errors.
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

// cheapSync is how long one sync may take for the next one to be done without goroutines.
const cheapSync = 100 * time.Microsecond

// Each calls sync with 0 … n-1, in parallel as soon as one call has waited for the disk. Where a
// sync costs nothing, as on a RAM disk, goroutines would cost more. It returns the first error of
// the calls that were made one by one, or the errors of those that were made in parallel.
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

// Sync makes the file or folder at path durable. Of a folder, these are its entries: what was
// created in it or renamed into it.
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

// SyncUp makes the entries of a folder durable, and the folder itself. For that it syncs the folder
// and all folders above it, up to the root. Of those above, it passes by one that we may not read,
// and one whose file system cannot sync folders.
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
		passed := errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EROFS)
		if i > 0 && passed {
			return nil
		}
		return err
	})
}

// Ways says how a file system makes durable what is written to it, besides file by file.
type Ways struct {
	Whole bool // SyncWhole can be relied on
	Free  bool // the file system is in memory, so that there is nothing to wait for
}

// Space is the size of a file system in octets. Where the file system does not tell it, as some on a
// network, Total is 0 and Free is math.MaxInt64.
type Space struct {
	Free  int64 // what may still be written
	Total int64
	Kind  uint32 // the magic number of the file system's kind on Linux
}

// Uninterrupted makes a system call again when a signal has interrupted it.
func Uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
