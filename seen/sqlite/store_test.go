package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/popfetch/popfetch/seen"
)

func TestOpen_modes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "popfetch")
	s := openIn(t, dir)
	account := enter(t, s)
	mustCommit(t, account, recordOf(listingOf("a")[0]))
	hold, err := s.Lock(t.Context(), "work")
	if err != nil {
		t.Fatalf("Lock() = %v", err)
	}
	defer hold.Release() //nolint:errcheck // the lock ends with the process
	want := map[string]fs.FileMode{".": 0o700 | fs.ModeDir, "seen.db": 0o600, "seen.db-wal": 0o600, "seen.db-shm": 0o600,
		"open.lock": 0o600, LockName("work"): 0o600}
	got := map[string]fs.FileMode{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		got[name] = info.Mode()
		return err
	})
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("modes = %v, %v, want %v", got, err, want)
	}
	parent, err := os.Stat(filepath.Dir(dir))
	if err != nil || parent.Mode().Perm() != 0o700 {
		t.Errorf("mode of the parent made = %v, %v, want 0700", parent.Mode(), err)
	}
}

// The mode of an existing folder stays as it is.
func TestOpen_existingFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	openIn(t, dir)
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("mode = %v, %v, want 0750", info.Mode(), err)
	}
}

// Characters with a meaning in a URI must not lead to another file.
func TestOpen_oddPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?mode=memory&c#d%41é\xff")
	s := openIn(t, dir)
	enter(t, s)
	if _, err := os.Stat(filepath.Join(dir, "seen.db")); err != nil {
		t.Error(err)
	}
}

func TestOpen_durable(t *testing.T) {
	s := open(t)
	for _, test := range []struct{ pragma, want string }{
		{"synchronous", "2"}, // FULL: a commit is synced
		{"journal_mode", "wal"},
		{"foreign_keys", "1"},
		{"user_version", fmt.Sprint(len(migrations))},
	} {
		var got string
		if err := s.write.QueryRowContext(t.Context(), "PRAGMA "+test.pragma).Scan(&got); err != nil || got != test.want {
			t.Errorf("%s = %q, %v, want %q", test.pragma, got, err, test.want)
		}
	}
}

func TestOpen_again(t *testing.T) {
	dir := t.TempDir()
	listing := listingOf("a", "b")
	first := openIn(t, dir)
	account := enter(t, first)
	mustDiff(t, account, listing)
	deliverAll(t, account, listing)
	second := openIn(t, dir) // while the first is open
	again := enter(t, second)
	if again.id != account.id {
		t.Errorf("account = %d, want %d", again.id, account.id)
	}
	wantDiff(t, again, listing, "new [], check [], seen 2, aside []")
}

func TestOpen_refuses(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	s, err := Open(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	enter(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	database, err := os.ReadFile(filepath.Join(whole, fileName))
	if err != nil {
		t.Fatal(err)
	}
	changedBy := func(statement string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			write(t, path, database)
			execIn(t, path, statement)
		}
	}
	for _, test := range []struct {
		name string
		make func(t *testing.T, path string)
		want string
		is   error
	}{
		{"a later version", changedBy("PRAGMA user_version = 99"), "version 99", seen.ErrNewerSchema},
		{"an empty file", func(t *testing.T, path string) { write(t, path, nil) }, "is empty", errDamaged},
		{"garbage", func(t *testing.T, path string) {
			write(t, path, []byte(strings.Repeat("no database ", 1000)))
		}, "file is not a database", errDamaged},
		{"another program's", func(t *testing.T, path string) {
			execIn(t, path, "CREATE TABLE mail (id INTEGER)")
		}, "not a database of popfetch; move it", errForeign},
		{"cut short", func(t *testing.T, path string) { write(t, path, database[:5000]) }, "malformed", errDamaged},
		{"a folder", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "is not a file", errForeign},
		{"a symbolic link", func(t *testing.T, path string) {
			write(t, path+".elsewhere", database)
			if err := os.Symlink(path+".elsewhere", path); err != nil {
				t.Fatal(err)
			}
		}, "symbolic link", errForeign},
		{"a dangling link", func(t *testing.T, path string) {
			if err := os.Symlink(path+".elsewhere", path); err != nil {
				t.Fatal(err)
			}
		}, "symbolic link", errForeign},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, fileName)
			test.make(t, path)
			before, _ := os.ReadFile(path) // a folder has no content
			s, err := Open(t.Context(), dir)
			if err == nil {
				_, err = s.Enter(t.Context(), "work", "pop.example.org:995", "alice")
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("Open() = %v, want an error with %q and %q", err, test.want, path)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("Open() = %v, want %v", err, test.is)
			}
			if after, _ := os.ReadFile(path); !slices.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

// Damage behind the first pages is found before anything is fetched, not when the first message is
// recorded.
func TestOpen_damagedInside(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	account := enter(t, s)
	ids := make([]string, 2000)
	for i := range ids {
		ids[i] = fmt.Sprintf("%08x5f0c3a2b", i)
	}
	deliverAll(t, account, listingOf(ids...))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName)
	database, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	middle := len(database) / 2 / 4096 * 4096
	copy(database[middle:middle+4096], strings.Repeat("damage", 4096/6))
	write(t, path, database)
	if s, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open() = %v, %v, want an error that names the file", s, err)
	}
}

func TestOpen_noFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	if _, err := Open(t.Context(), filepath.Join(file, "state")); !errors.Is(err, fs.ErrExist) && !strings.Contains(fmt.Sprint(err), "not a directory") {
		t.Errorf("Open() = %v, want an error that the folder cannot be made", err)
	}
}

func TestOpen_readOnlyFolder(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("nothing is read-only for root")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Open() = %v, want %v", err, fs.ErrPermission)
	}
}

// Files that a crash left while a database was made, or that belong to a removed one, must not get
// into a new one.
func TestOpen_leftovers(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	account := enter(t, s)
	mustCommit(t, account, recordOf(listingOf("a")[0]))
	log, err := os.ReadFile(filepath.Join(dir, "seen.db-wal"))
	if err != nil || len(log) == 0 {
		t.Fatalf("the log has %d octets, %v", len(log), err)
	}
	other := t.TempDir()
	write(t, filepath.Join(other, "seen.db-wal"), log)
	write(t, filepath.Join(other, "seen.db.new"), []byte("half"))
	accounts, err := openIn(t, other).Accounts(t.Context())
	if err != nil || len(accounts) != 0 {
		t.Errorf("Accounts() = %v, %v, want none", accounts, err)
	}
}

// Many goroutines use two stores on one folder, as two processes would. None of them meets a locked
// database.
func TestStore_concurrent(t *testing.T) {
	dir := t.TempDir()
	stores := []*Store{openIn(t, dir), openIn(t, dir)}
	const runs, messages = 6, 20
	errs := make(chan error, runs)
	var wg sync.WaitGroup
	for run := range runs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs <- wholeRun(t.Context(), stores[run%2], fmt.Sprint("account ", run), messages)
		}()
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	accounts, err := stores[0].Accounts(t.Context())
	if err != nil || len(accounts) != runs {
		t.Fatalf("%d accounts, %v, want %d", len(accounts), err, runs)
	}
	for _, a := range accounts {
		if a.Records != messages {
			t.Errorf("%s has %d records, want %d", a.Name, a.Records, messages)
		}
	}
}

// wholeRun delivers messages one by one and checks that the next Diff knows them.
func wholeRun(ctx context.Context, s *Store, name string, messages int) error {
	a, err := s.enter(ctx, name, "pop.example.org:995", name)
	if err != nil {
		return err
	}
	listing := make([]seen.Entry, messages)
	for i := range listing {
		listing[i] = seen.Entry{Number: i + 1, Octets: 1000, Key: seen.Key{UniqueID: fmt.Sprint(i)}}
	}
	for i := range listing {
		if err := commit(ctx, a, recordOf(listing[i])); err != nil {
			return err
		}
		d, err := a.Diff(ctx, listing, now)
		if err != nil || d.Seen != i+1 {
			return fmt.Errorf("%s: Diff() = %s, %w, want %d seen", name, summary(d), err, i+1)
		}
	}
	return a.Finish(ctx, seen.Diff{}, listing, nil, now)
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// execIn changes a database without the store.
func execIn(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite3", dsn(path, "_synchronous=OFF"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), statements)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
