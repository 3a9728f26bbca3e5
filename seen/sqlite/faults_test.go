package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// sharedPlace is a place that other machines may use too.
var sharedPlace = place{shared: true, free: math.MaxInt64}

// onShared opens a store as if on a file system that other machines may use too.
func onShared(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := openAt(t.Context(), dir, func(string) (place, error) { return sharedPlace, nil })
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return s
}

// On a network file system there is no write-ahead log, because its index is a memory map. That
// also holds if the table had such a log before, on another disk.
func TestOpen_shared(t *testing.T) {
	dir := t.TempDir()
	local, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	account := enter(t, local)
	listing := listingOf("a", "b")
	deliverAll(t, account, listing[:1])
	if err := local.Close(); err != nil {
		t.Fatal(err)
	}
	s := onShared(t, dir)
	var mode string
	if err := s.write.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "delete" {
		t.Errorf("journal_mode = %q, %v, want delete", mode, err)
	}
	deliverAll(t, enter(t, s), listing[1:])
	second := onShared(t, dir) // while the first is open
	wantDiff(t, enter(t, second), listing, "new [], check [], seen 2, aside []")
	if left, err := filepath.Glob(filepath.Join(dir, "seen.db-[^c]*")); err != nil || len(left) > 0 {
		t.Errorf("beside the table there is %q, %v, want nothing", left, err)
	}
}

// If the file system has no locks, the error says so.
func TestLock_noLocks(t *testing.T) {
	err := lockFault("/mail/x.lock", syscall.ENOLCK, &seen.LockedError{})
	if !errors.Is(err, syscall.ENOLCK) || !strings.Contains(err.Error(), "state_dir") || !strings.Contains(err.Error(), "/mail/x.lock") {
		t.Errorf("ENOLCK is told as %q, want its name, the file and state_dir", err)
	}
	if err := lockFault("x", syscall.EWOULDBLOCK, &seen.LockedError{}); !errors.Is(err, seen.ErrLocked) {
		t.Errorf("EWOULDBLOCK is told as %v, want ErrLocked", err)
	}
}

// A table that cannot be written is refused when it is opened, not when the first messages are
// delivered (behaviour 32).
func TestOpen_readOnlyDisk(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	account := enter(t, s)
	listing := listingOf("a")
	deliverAll(t, account, listing)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	readOnly(t, dir)
	if s, err := Open(t.Context(), dir); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Open() = %v, %v, want EROFS", s, err)
	}
}

// readOnly mounts a folder over itself so that nothing in it can be changed.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("mounting: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}

// The same holds for a table that is itself read-only, in a writable folder.
func TestOpen_readOnlyFile(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName)
	readOnly(t, path)
	if s, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), path+" cannot be written") {
		t.Errorf("Open() = %v, %v, want an error that says what cannot be written", s, err)
	}
}

// A table that was removed or replaced takes no record, because the record would be lost.
func TestCommit_vanished(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, path string){
		"removed": func(t *testing.T, path string) {
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
		},
		"replaced": func(t *testing.T, path string) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
			write(t, path, content)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			account := enter(t, s)
			change(t, s.path)
			if err := commit(t.Context(), account, recordOf(listingOf("a")[0])); err == nil || !strings.Contains(err.Error(), filepath.Dir(s.path)) {
				t.Errorf("Commit() = %v, want an error that names the file", err)
			}
			if err := account.Ready(t.Context(), 1); err == nil {
				t.Error("Ready() = nil, want an error")
			}
		})
	}
}

// Before a message is delivered there must be room for its record.
func TestReady(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	if err := account.Ready(t.Context(), 1000); err != nil {
		t.Errorf("Ready() = %v, want nil", err)
	}
	s.lookAt = func(string) (place, error) { return place{free: 2 << 20}, nil }
	if err := account.Ready(t.Context(), 1000); err != nil {
		t.Errorf("Ready(1000) = %v, want nil", err)
	}
	if err := account.Ready(t.Context(), 1025); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), s.dir) {
		t.Errorf("Ready(1025) = %v, want ENOSPC and the folder's name", err)
	}
}

// Only a write shows whether writing works: statfs does not report a quota.
func TestReady_writes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := openIn(t, dir)
	account := enter(t, s)
	if _, err := s.write.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 4<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	s.lookAt = func(string) (place, error) { return place{free: math.MaxInt64}, nil }
	if err := account.Ready(t.Context(), 1); err == nil || !strings.Contains(err.Error(), s.path) {
		t.Errorf("Ready() = %v, want an error that names the file", err)
	}
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	if err := account.Ready(t.Context(), 1); err != nil {
		t.Errorf("Ready() with room again = %v, want nil", err)
	}
}

// A disk may have room, but no inode for another file. The error says so, whichever file is missing.
func TestOpen_noInodes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,nr_inodes=2"); err != nil {
		t.Skipf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for inodes := 2; ; inodes++ {
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, fmt.Sprintf("size=8m,nr_inodes=%d", inodes)); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), filepath.Join(dir, "state"))
		if err == nil {
			var hold seen.Hold
			if hold, err = s.Lock(t.Context(), "work"); err == nil {
				_ = hold.Release()
			}
			if closeErr := s.Close(); closeErr != nil {
				t.Fatal(closeErr)
			}
		}
		if err == nil {
			if inodes < 5 {
				t.Errorf("%d inodes were enough, want an error before", inodes)
			}
			return
		}
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no inode") {
			t.Errorf("with %d inodes: %v, want ENOSPC and that no inode is left", inodes, err)
		}
	}
}

// A look at a missing table creates nothing and finds nothing.
func TestOpenExisting(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	look, err := OpenExisting(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := look.look(t.Context(), "work", "pop.example.org:995", "alice")
	if err != nil || unknown.id != 0 {
		t.Fatalf("Look() = %v, %v, want an unknown account", unknown, err)
	}
	wantDiff(t, unknown, listingOf("a"), "new [0], check [], seen 0, aside []")
	if _, err := look.Enter(t.Context(), "work", "pop.example.org:995", "alice"); err == nil {
		t.Error("Enter() = nil, want an error: nothing is to be written")
	}
	if err := look.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder was made: %v", err)
	}
	s := openIn(t, dir)
	account := enter(t, s)
	deliverAll(t, account, listingOf("a"))
	if look, err = OpenExisting(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	known, err := look.look(t.Context(), "work", "pop.example.org:995", "alice")
	if err != nil {
		t.Fatal(err)
	}
	wantDiff(t, known, listingOf("a", "b"), "new [1], check [], seen 1, aside []")
	if err := look.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

// waitedInVain is what a store remembers after it waited so long in vain.
func waitedInVain(s *Store, long time.Duration) *lockWait {
	now := time.Now()
	return &lockWait{since: now.Add(-long), ended: now, written: s.lastWrite()}
}

// If a wait was in vain, the run ends, and its other steps hardly wait again, even after one of them
// has read something, or its context ended first. But they still use a table that is free by then,
// since something may have been delivered meanwhile.
func TestVain(t *testing.T) {
	s := open(t)
	enter(t, s)
	letGo := hold(t, s)
	waiting := openIn(t, s.dir)
	account := enter(t, waiting)
	// Only the time that somebody waited counts, not the time since.
	waiting.vain.Store(&lockWait{since: time.Now().Add(-40 * time.Second), ended: time.Now().Add(-40*time.Second + 1), written: waiting.lastWrite()})
	w := waiting.newWait(patience)
	if w.isOver(t.Context()) {
		t.Error("a wait is over at once, though the one before it was short")
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := account.Ready(short, 1); !errors.Is(err, seen.ErrBusy) || waiting.vain.Load() == nil {
		t.Errorf("Ready() until a deadline = %v, want %v, and that to be remembered", err, seen.ErrBusy)
	}
	waiting.vain.Store(waitedInVain(waiting, time.Duration(patience)))
	if _, err := account.Standing(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := account.Ready(t.Context(), 1); !errors.Is(err, seen.ErrBusy) || time.Since(now) > time.Duration(patience)/2 {
		t.Errorf("Ready() = %v after %v, want %v soon", err, time.Since(now), seen.ErrBusy)
	}
	if err := letGo(); err != nil {
		t.Fatal(err)
	}
	if err := commit(t.Context(), account, recordOf(listingOf("a")[0])); err != nil || waiting.vain.Load() != nil {
		t.Errorf("Apply() = %v, want nil, and the wait in vain forgotten", err)
	}
}
