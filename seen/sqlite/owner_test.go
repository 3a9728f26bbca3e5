package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/popfetch/popfetch/seen"
)

// A table that is a symbolic link, or belongs to another user, is not opened. The file that the
// link leads to stays unchanged.
func TestOpen_foreign(t *testing.T) {
	for _, name := range []string{"seen.db", "seen.db-wal", "seen.db-shm", "seen.db-journal", "seen.db-checked", "open.lock"} {
		t.Run("link/"+name, func(t *testing.T) {
			dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "file")
			for _, exists := range []bool{false, true} {
				if exists {
					if err := os.WriteFile(elsewhere, nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				_ = os.Remove(filepath.Join(dir, name))
				if err := os.Symlink(elsewhere, filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
				s, err := Open(t.Context(), dir)
				if err == nil {
					s.Close()
				}
				if err == nil || name != "open.lock" && !errors.Is(err, errForeign) {
					t.Errorf("Open() = %v, want %v", err, errForeign)
				}
				if info, err := os.Stat(elsewhere); exists != (err == nil) || exists && info.Size() > 0 {
					t.Errorf("the link was followed: %v, %v", info, err)
				}
			}
		})
	}
	t.Run("another user's", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root can give a file to somebody else")
		}
		for _, give := range []string{"state", "state/seen.db", "."} {
			dir := t.TempDir()
			state := filepath.Join(dir, "state")
			if give != "." {
				openIn(t, state).Close()
			}
			if err := os.Chown(filepath.Join(dir, give), 65534, -1); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(t.Context(), state); !errors.Is(err, seen.ErrOwner) {
				if err == nil {
					s.Close()
				}
				t.Errorf("%s: Open() = %v, want %v", give, err, seen.ErrOwner)
			}
			if _, err := os.Stat(state); give == "." && err == nil {
				t.Error("the folder was made")
			}
		}
	})
	t.Run("the folder may be a link", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(t.TempDir(), link); err != nil {
			t.Fatal(err)
		}
		enter(t, openIn(t, link))
	})
}
