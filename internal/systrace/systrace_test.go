package systrace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// childVariable makes the test binary run childWork in the folder that it names, and end.
const childVariable = "POPFETCH_SYSTRACE_TEST_CHILD"

func TestMain(m *testing.M) {
	dir := os.Getenv(childVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := childWork(dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(7)
}

func childWork(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "a"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("first")
	_, againErr := f.WriteString("second\x00")
	_, atErr := f.WriteAt([]byte("F"), 0)
	err = errors.Join(err, againErr, atErr, f.Truncate(3), f.Sync(), f.Close(),
		os.Mkdir(filepath.Join(dir, "d"), 0o700), os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "d", "b")))
	if err != nil {
		return err
	}
	var threads sync.WaitGroup
	for i := range 20 {
		threads.Add(1)
		go func() {
			defer threads.Done()
			runtime.LockOSThread() // so the thread ends with the goroutine
			err := os.WriteFile(filepath.Join(dir, fmt.Sprint("thread-", i)), nil, 0o600)
			if err != nil {
				fmt.Println(err)
			}
		}()
	}
	threads.Wait()
	return nil
}

// runChild runs childWork in a folder. watch is called for calls about files in this folder.
func runChild(t *testing.T, dir string, watch Watch) (status int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	environment := append(os.Environ(), childVariable+"="+dir, "GORACE=atexit_sleep_ms=0")
	status, err = Run([]string{self}, environment, output, 20*time.Second, func(c *Call, done bool) Verdict {
		if !strings.HasPrefix(c.Path, dir) {
			return Verdict{}
		}
		return watch(c, done)
	})
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("Run() = %v, want no error", err)
	}
	return status
}

func TestRun_calls(t *testing.T) {
	dir := t.TempDir()
	var got []string
	threads := 0
	status := runChild(t, dir, func(c *Call, done bool) Verdict {
		path, _ := filepath.Rel(dir, c.Path)
		switch {
		case strings.HasPrefix(path, "thread-"):
			if done && c.Name == "openat" {
				threads++
			}
		case done:
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %q %d %d", c.Name, path, strings.TrimPrefix(c.To, dir), c.Data, c.Offset, c.Size)))
		}
		return Verdict{}
	})
	want := []string{
		`openat a  "" 0 0`, `write a  "first" 0 0`, `write a  "second\x00" 5 0`, `pwrite64 a  "F" 0 0`, `ftruncate a  "" 0 3`,
		`fsync a  "" 0 0`, `close a  "" 0 0`, `mkdirat d  "" 0 0`, `renameat a /d/b "" 0 0`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("the calls are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if status != 7 || threads != 20 {
		t.Errorf("status %d, %d threads have opened a file, want 7 and 20", status, threads)
	}
}

// If a program is killed before a call, the call was not carried out. If it is killed after the
// call, the call was carried out.
func TestRun_kill(t *testing.T) {
	for _, done := range []bool{false, true} {
		for _, call := range []string{"mkdirat", "renameat", "write"} {
			t.Run(fmt.Sprintf("%s/%t", call, done), func(t *testing.T) {
				dir := t.TempDir()
				status := runChild(t, dir, func(c *Call, isDone bool) Verdict {
					return Verdict{Kill: c.Name == call && done == isDone}
				})
				if status != -1 {
					t.Errorf("Run() = %d, want -1", status)
				}
				var happened bool
				switch call {
				case "mkdirat":
					happened = exists(t, filepath.Join(dir, "d"))
				case "renameat":
					happened = exists(t, filepath.Join(dir, "d", "b"))
				case "write":
					content, err := os.ReadFile(filepath.Join(dir, "a"))
					happened = string(content) == "first"
					if err != nil || !happened && len(content) > 0 {
						t.Errorf("the file holds %q (%v), want all of the first write or nothing", content, err)
					}
				}
				if happened != done {
					t.Errorf("%s was carried out: %t, want %t", call, happened, done)
				}
			})
		}
	}
}

func TestRun_fail(t *testing.T) {
	dir := t.TempDir()
	failed := 0
	status := runChild(t, dir, func(c *Call, done bool) Verdict {
		switch {
		case c.Name != "fsync":
		case done && c.Result == -int64(syscall.EIO):
			failed++
		case !done:
			return Verdict{Fail: syscall.EIO}
		}
		return Verdict{}
	})
	if status != 1 || failed != 1 {
		t.Errorf("status %d, %d failed calls, want the program to end with 1 because of one", status, failed)
	}
}

// A program that does not end is killed after the limit.
func TestRun_limit(t *testing.T) {
	began := time.Now()
	status, err := Run([]string{"/bin/sh", "-c", "kill -STOP $$; while :; do :; done"}, nil, os.Stderr, 300*time.Millisecond,
		func(*Call, bool) Verdict { return Verdict{} })
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if status != -1 || err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("Run() = %d, %v after %v, want -1 soon", status, err, time.Since(began))
	}
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}
