package deliver

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

// syncsAtOnce bounds the goroutines that wait for the disk; a journal gathers their waits into few commits.
const syncsAtOnce = 16

// inParallel calls do with 0 … n-1 from a bounded number of goroutines, waits for all, and joins their errors.
func inParallel(n int, do func(i int) error) error {
	var (
		next atomic.Int64
		wg   sync.WaitGroup
		errs = make([]error, n)
	)
	for range min(n, syncsAtOnce) {
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

// cheapSync is how long one sync may take for the next one to be done without the help of others.
const cheapSync = 100 * time.Microsecond

// syncEach is inParallel for what waits for the disk. Where a sync costs nothing, as on a RAM disk, goroutines would cost more.
func syncEach(n int, sync func(i int) error) error {
	for i := range n {
		began := time.Now()
		if err := sync(i); err != nil {
			return err
		}
		if time.Since(began) > cheapSync {
			return inParallel(n-i-1, func(j int) error { return sync(i + 1 + j) })
		}
	}
	return nil
}

// ways tells how a file system makes durable what is written to it, besides file by file.
type ways struct {
	whole bool // syncWhole can be relied on
	free  bool // it is in memory, so that there is nothing to wait for
}

// syncFile makes the file or folder at path durable. For a folder these are its entries: what was created in it or
// renamed into it.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	return nil
}

// syncUp makes the entries of a folder durable, and the folder itself: that takes those above it, up to the root. One that we
// may not read, or whose file system syncs no folders, is passed by.
func syncUp(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	folders := []string{dir}
	for parent := filepath.Dir(dir); parent != dir; parent = filepath.Dir(dir) {
		dir = parent
		folders = append(folders, dir)
	}
	return syncEach(len(folders), func(i int) error {
		err := syncFile(folders[i])
		passed := errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EROFS)
		if i > 0 && passed {
			return nil
		}
		return err
	})
}
