package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

var aRun = seen.RunNote{At: now, Took: time.Second, Verdict: seen.Succeeded, Delivered: 1, Octets: 10, Sizes: seen.Sizes{4: 1}}

func runsOf(t *testing.T, s *Store) int {
	t.Helper()
	h, err := s.History(t.Context(), "work", 1)
	if err != nil {
		t.Fatalf("History() = %v", err)
	}
	return h.Total.Runs
}

func noteRuns(t *testing.T, s *Store, n int) {
	t.Helper()
	for range n {
		if err := s.NoteRun(t.Context(), "work", aRun); err != nil {
			t.Fatalf("NoteRun() = %v", err)
		}
	}
}

// A history that is damaged begins anew with the run that finds out. The seen-table is untouched.
func TestNoteRun_damaged(t *testing.T) {
	for name, damage := range map[string]func(octets []byte) []byte{
		"no database": func([]byte) []byte { return []byte(strings.Repeat("what? ", 2000)) },
		"cut":         func(octets []byte) []byte { return octets[:4096] },
		"torn":        func(octets []byte) []byte { clear(octets[4096:]); return octets },
		"no JSON":     func(octets []byte) []byte { return []byte(strings.ReplaceAll(string(octets), "[0,0,1,", "[0,0,!,")) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			enter(t, s)
			noteRuns(t, s, 1)
			s.history.close()
			path := filepath.Join(s.dir, historyName)
			octets, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(octets), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := s.History(t.Context(), "work", 1); err == nil {
				t.Error("History() of a damaged file = nil, want an error")
			}
			if err := s.NoteRun(t.Context(), "work", aRun); !errors.Is(err, seen.ErrHistoryLost) {
				t.Errorf("NoteRun() = %v, want %v", err, seen.ErrHistoryLost)
			}
			noteRuns(t, s, 1)
			if n := runsOf(t, s); n != 2 {
				t.Errorf("%d runs are known, want the two since", n)
			}
		})
	}
}

// What popfetch did not write, or an earlier popfetch cannot read, is left as it is.
func TestNoteRun_refused(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(t *testing.T, path string)
		want    error
	}{
		"foreign": {func(t *testing.T, path string) { execIn(t, path, "CREATE TABLE t (x)") }, errForeign},
		"newer": {func(t *testing.T, path string) {
			execIn(t, path, "PRAGMA application_id = 1886351464; PRAGMA user_version = 99; CREATE TABLE t (x)")
		}, seen.ErrNewerSchema},
		"link": {func(t *testing.T, path string) {
			if err := os.Symlink("elsewhere", path); err != nil {
				t.Fatal(err)
			}
		}, errForeign},
		"folder": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, errForeign},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			path := filepath.Join(s.dir, historyName)
			c.prepare(t, path)
			before, _ := os.ReadFile(path)
			if err := s.NoteRun(t.Context(), "work", aRun); !errors.Is(err, c.want) {
				t.Errorf("NoteRun() = %v, want %v", err, c.want)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file has changed")
			}
		})
	}
}

// If another process holds the history, a run goes on soon. Readers do not wait for each other.
func TestNoteRun_busy(t *testing.T) {
	s := open(t)
	noteRuns(t, s, 1)
	other := openIn(t, s.dir)
	if n := runsOf(t, other); n != 1 {
		t.Fatalf("another store knows %d runs", n)
	}
	conn, err := other.history.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := beginWrite(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if n := runsOf(t, s); n != 1 {
		t.Errorf("%d runs are known while another process writes", n)
	}
	began := time.Now()
	if err := s.NoteRun(t.Context(), "work", aRun); !errors.Is(err, seen.ErrBusy) {
		t.Errorf("NoteRun() = %v, want %v", err, seen.ErrBusy)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("NoteRun() took %v", took)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	noteRuns(t, s, 1)
}

// The history is a file that only its owner reads. To look at one that is missing makes none. If it
// is removed while it is open, the next run makes it anew.
func TestHistory_file(t *testing.T) {
	s := open(t)
	path := filepath.Join(s.dir, historyName)
	if n := runsOf(t, s); n != 0 {
		t.Errorf("%d runs are known, want none", n)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a look: %v", err)
	}
	noteRuns(t, s, 2)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	noteRuns(t, s, 1)
	if n := runsOf(t, s); n != 1 {
		t.Errorf("%d runs are known after the file was removed, want 1", n)
	}
	empty, err := OpenExisting(t.Context(), filepath.Join(s.dir, "none"))
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if err := empty.NoteRun(t.Context(), "work", aRun); err == nil {
		t.Error("NoteRun() in a state folder that is missing = nil, want an error")
	}
}

// A run notes what happened also if it was told to end.
func TestNoteRun_cancelled(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.NoteRun(ctx, "work", aRun); err != nil {
		t.Errorf("NoteRun() = %v", err)
	}
}

// noteForEver notes one run after the other.
func noteForEver(s *Store) error {
	for n := 1; ; n++ {
		err := s.NoteRun(context.Background(), "work", aRun)
		if errors.Is(err, seen.ErrBusy) { // the other was faster for two seconds; nothing is noted
			n--
			continue
		}
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// A killed process leaves the history whole: a run is noted everywhere or nowhere. Two processes do
// not disturb each other.
func TestNoteRun_killed(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	noted := 0
	for round := range 12 {
		first, out := start(t, "note", dir)
		second, other := start(t, "note", dir)
		for range 3 + 4*round {
			for _, lines := range []*bufio.Scanner{out, other} {
				if !lines.Scan() || strings.HasPrefix(lines.Text(), "error") {
					t.Fatalf("a process ended: %q, %v", lines.Text(), lines.Err())
				}
			}
		}
		kill(t, first)
		kill(t, second)
		h, err := s.History(t.Context(), "work", 1)
		if err != nil || len(h.Days) != 1 {
			t.Fatalf("History() = %+v, %v", h, err)
		}
		least := noted + 2*(3+4*round)
		if h.Total.Runs < least || h.Days[0].Runs != h.Total.Runs || h.Total.Delivered != h.Total.Runs || h.Durations[2] != h.Total.Runs {
			t.Fatalf("round %d: after at least %d runs, the history has %s", round, least, fmt.Sprintf("%+v", h))
		}
		noted = h.Total.Runs
		noteRuns(t, s, 1)
		noted++
	}
	var result string
	if err := s.history.db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&result); err != nil || result != "ok" {
		t.Errorf("integrity_check = %s, %v", result, err)
	}
}

// An old history is brought to the present version.
func TestHistory_oldSchemas(t *testing.T) {
	files, err := filepath.Glob("testdata/history-v*.sql")
	if err != nil || len(files) != len(historyMigrations) {
		t.Fatalf("%d schema files, %v, want one for each of %d versions", len(files), err, len(historyMigrations))
	}
	for _, file := range files {
		dump, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := open(t)
		execIn(t, filepath.Join(s.dir, historyName), string(dump))
		h, err := s.History(t.Context(), "work", 1)
		if err != nil || h.Total.Runs != 2 || len(h.Days) != 1 || h.Days[0].Errors["login/refused"] != 1 || h.Error.Text != "wrong password" {
			t.Errorf("%s: History() = %+v, %v", file, h, err)
		}
	}
}

// The note of an earlier check of the seen-table stays valid when runs are noted.
func TestNoteRun_checked(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	enter(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	noteRuns(t, s, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	if c := readChecked(filepath.Join(dir, checkedName)); !c.holds(filepath.Join(dir, fileName), info, time.Now()) {
		t.Error("the seen-table has to be checked again")
	}
}
