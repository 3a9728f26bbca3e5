package deliver

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
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
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = do(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
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
