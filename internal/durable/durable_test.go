package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// called records the numbers with which a function was called, and the most calls at the same time.
type called struct {
	mu         sync.Mutex
	numbers    []int
	at, mostAt int
}

// call records a call and makes it.
func (c *called) call(i int, do func(i int) error) error {
	c.mu.Lock()
	c.numbers = append(c.numbers, i)
	c.at++
	c.mostAt = max(c.mostAt, c.at)
	c.mu.Unlock()
	err := do(i)
	c.mu.Lock()
	c.at--
	c.mu.Unlock()
	return err
}

// want checks that there was one call with each of 0 … n-1, and never too many at once.
func (c *called) want(t *testing.T, n int) {
	t.Helper()
	if c.mostAt > AtOnce {
		t.Errorf("%d calls at once, want at most %d", c.mostAt, AtOnce)
	}
	slices.Sort(c.numbers)
	for i := range n {
		if len(c.numbers) != n || c.numbers[i] != i {
			t.Fatalf("calls with %v, want one with each of %d", c.numbers, n)
		}
	}
}

// meeting returns a function whose calls wait for each other in pairs. A call fails if no other
// call comes. Each call lasts a little longer, so that calls which begin too early are noticed.
func meeting() func() error {
	met := make(chan struct{})
	return func() error {
		select {
		case met <- struct{}{}:
		case <-met:
		case <-time.After(20 * time.Second):
			return errors.New("no other call came")
		}
		time.Sleep(time.Millisecond)
		return nil
	}
}

func TestParallel(t *testing.T) {
	for _, n := range []int{0, 2, AtOnce, 10 * AtOnce} {
		var c called
		meet := meeting()
		err := Parallel(n, func(i int) error { return c.call(i, func(int) error { return meet() }) })
		if err != nil {
			t.Errorf("Parallel(%d) = %v, want no error", n, err)
		}
		c.want(t, n)
	}
	var c called
	err := Parallel(100, func(i int) error {
		return c.call(i, func(int) error {
			if i == 3 || i == 70 {
				return fmt.Errorf("error of %d", i)
			}
			return nil
		})
	})
	if err == nil || !strings.Contains(err.Error(), "error of 3") || !strings.Contains(err.Error(), "error of 70") {
		t.Errorf("Parallel() = %v, want both errors", err)
	}
	c.want(t, 100)
}

// As soon as one call has waited for the disk, the others are made in parallel.
func TestEach(t *testing.T) {
	var c called
	meet := meeting()
	err := Each(2*AtOnce+1, func(i int) error {
		return c.call(i, func(int) error {
			if i == 0 {
				time.Sleep(10 * cheapSync) // a slow disk
				return nil
			}
			return meet()
		})
	})
	if err != nil {
		t.Errorf("Each() = %v, want no error", err)
	}
	c.want(t, 2*AtOnce+1)
}

func TestEach_error(t *testing.T) {
	var c called
	err := Each(10, func(i int) error { return c.call(i, func(int) error { return fs.ErrClosed }) })
	if !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Each() = %v, want the error of its calls", err)
	}
	c.want(t, 1)
}

func TestSync(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, dir} {
		if err := Sync(path); err != nil {
			t.Errorf("Sync(%s) = %v, want no error", path, err)
		}
	}
	if err := SyncUp(dir); err != nil {
		t.Errorf("SyncUp() = %v, want no error", err)
	}
	missing := filepath.Join(dir, "missing")
	if err := Sync(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Sync() of what is not there = %v, want %v", err, fs.ErrNotExist)
	}
	if err := SyncUp(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("SyncUp() of what is not there = %v, want %v", err, fs.ErrNotExist)
	}
}

// The folder that was asked for must be synced, or else it is an error. In /proc no folder can be
// synced.
func TestSyncUp_unsyncable(t *testing.T) {
	if err := SyncUp("/proc"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("SyncUp(/proc) = %v, want %v", err, syscall.EINVAL)
	}
}

func TestUninterrupted(t *testing.T) {
	calls := 0
	err := Uninterrupted(func() error {
		if calls++; calls < 3 {
			return syscall.EINTR
		}
		return fs.ErrClosed
	})
	if calls != 3 || !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Uninterrupted() = %v after %d calls, want the error of the third", err, calls)
	}
}

func TestSpaceOf(t *testing.T) {
	space, err := SpaceOf(t.TempDir())
	if err != nil || space.Free < 0 || space.Total > 0 && space.Free > space.Total {
		t.Errorf("SpaceOf() = %+v, %v, want no more free than there is", space, err)
	}
	if _, err := SpaceOf("/does/not/exist"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("SpaceOf() of what is not there = %v, want %v", err, fs.ErrNotExist)
	}
}
