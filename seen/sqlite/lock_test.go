package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

func TestStore_Lock(t *testing.T) {
	s := open(t)
	hold, err := s.Lock(t.Context(), "work")
	if err != nil {
		t.Fatalf("Lock() = %v", err)
	}
	if _, err := s.Lock(t.Context(), "work"); !errors.Is(err, seen.ErrLocked) {
		t.Errorf("Lock() = %v, want %v", err, seen.ErrLocked)
	}
	if _, err := openIn(t, s.dir).Lock(t.Context(), "work"); !errors.Is(err, seen.ErrLocked) {
		t.Errorf("Lock() of another store = %v, want %v", err, seen.ErrLocked)
	}
	other, err := s.Lock(t.Context(), "Work")
	if err != nil {
		t.Errorf("Lock() of another account = %v", err)
	}
	for range 2 { // a second unlock does nothing
		if err := errors.Join(hold.Release(), other.Release()); err != nil {
			t.Errorf("Release() = %v", err)
		}
	}
	again, err := s.Lock(t.Context(), "work")
	if err != nil {
		t.Fatalf("Lock() after unlock = %v", err)
	}
	if err := hold.Release(); err != nil {
		t.Errorf("Release() = %v", err)
	}
	if _, err := s.Lock(t.Context(), "work"); !errors.Is(err, seen.ErrLocked) {
		t.Errorf("Lock() = %v, want %v: an old unlock must not end a new lock", err, seen.ErrLocked)
	}
	if err := again.Release(); err != nil {
		t.Errorf("Release() = %v", err)
	}
}

// Who does not get the lock is told which process has it, and since when. What a process left that
// was killed is not believed.
func TestStore_Lock_holder(t *testing.T) {
	s := open(t)
	hold, err := s.Lock(t.Context(), "work")
	if err != nil {
		t.Fatalf("Lock() = %v", err)
	}
	var locked *seen.LockedError
	if _, err := s.Lock(t.Context(), "work"); !errors.As(err, &locked) || locked.Process != os.Getpid() || time.Since(locked.Since).Abs() > time.Hour {
		t.Errorf("Lock() = %+v, want process %d, just now", err, os.Getpid())
	}
	text := "another popfetch (process 17, since " + now.Local().Format("2006-01-02 15:04 MST") + ") is fetching it; try again when it has ended"
	if got := (&seen.LockedError{Process: 17, Since: now}).Error(); got != text {
		t.Errorf("Error() = %q, want %q", got, text)
	}
	path := filepath.Join(s.dir, LockName("work"))
	for name, left := range map[string]string{"a dead process": "999999999 2026-01-02T03:04:05Z\n", "nothing": "", "rubbish": "\x00x y z"} {
		if err := os.WriteFile(path, []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Lock(t.Context(), "work"); err == nil || err.Error() != "another popfetch is fetching it; try again when it has ended" {
			t.Errorf("Lock() over %s = %v, want neither process nor time", name, err)
		}
	}
	if err := hold.Release(); err != nil {
		t.Errorf("Release() = %v", err)
	}
	if content, err := os.ReadFile(path); err != nil || len(content) > 0 {
		t.Errorf("after hold.Release() the file holds %q, %v, want nothing", content, err)
	}
}

// No account name leads to a file elsewhere, and none is too long for a file name.
func TestStore_Lock_names(t *testing.T) {
	s := open(t)
	names := []string{"", ".", "..", "../../etc/passwd", "a/b", "a_b", "a\x00b", "-rf", strings.Repeat("é", 500),
		strings.Repeat("é", 500) + "e", "alice@pop.example.org"}
	for _, name := range names {
		hold, err := s.Lock(t.Context(), name)
		if err != nil {
			t.Errorf("Lock(%q) = %v", name, err)
			continue
		}
		defer hold.Release() //nolint:errcheck // the lock ends with the process
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "account-*.lock"))
	if err != nil || len(files) != len(names) {
		t.Errorf("%d lock files, %v, want %d", len(files), err, len(names))
	}
}

// A symbolic link in place of the lock is not followed, so that no file is created elsewhere.
func TestStore_Lock_link(t *testing.T) {
	s := open(t)
	elsewhere := filepath.Join(t.TempDir(), "file")
	if err := os.Symlink(elsewhere, filepath.Join(s.dir, LockName("work"))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lock(t.Context(), "work"); err == nil || errors.Is(err, seen.ErrLocked) {
		t.Errorf("Lock() = %v, want an error", err)
	}
	if _, err := os.Lstat(elsewhere); err == nil {
		t.Error("the link was followed")
	}
}

// If another process hangs, the wait for it ends with an error that says what to do. A signal ends
// the wait at once (behaviour 33).
func TestStore_busy(t *testing.T) {
	const enough = 200 * time.Millisecond
	for _, test := range []struct {
		name string
		hold func(*testing.T, *Store) (letGo func() error) // as a hanging process would
		want func(context.Context, *Store) error
	}{
		{"a transaction", hold, func(ctx context.Context, s *Store) error {
			_, err := s.Enter(ctx, "work", "pop.example.org:995", "alice")
			return err
		}},
		{"opening", func(t *testing.T, s *Store) func() error {
			letGo, err := flock(t.Context(), filepath.Join(s.dir, "open.lock"), 0)
			if err != nil {
				t.Fatal(err)
			}
			return letGo
		}, func(ctx context.Context, s *Store) error {
			again, err := Open(ctx, s.dir)
			if err == nil {
				err = again.Close()
			}
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			hung := open(t)
			s := openIn(t, hung.dir)
			letGo := test.hold(t, hung)
			ctx, cancel := context.WithTimeout(t.Context(), enough)
			defer cancel()
			began := time.Now()
			if err := test.want(ctx, s); !errors.Is(err, seen.ErrBusy) {
				t.Errorf("error = %v, want %v", err, seen.ErrBusy)
			}
			if took := time.Since(began); took > enough+2*time.Second {
				t.Errorf("it waited for %v, want %v and little more", took, enough)
			}
			waiting := make(chan error)
			go func() { waiting <- test.want(t.Context(), s) }()
			select {
			case err := <-waiting:
				t.Errorf("it did not wait: %v", err)
			case <-time.After(enough):
				if err := letGo(); err != nil {
					t.Fatal(err)
				}
				if err := <-waiting; err != nil {
					t.Errorf("error = %v though the other one let go", err)
				}
			}
		})
	}
}
