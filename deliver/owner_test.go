package deliver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Root does not deliver where another user owns the Maildir, the folder above it, or the target of
// a link.
func TestMaildirPrepare_foreign(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder to somebody else")
	}
	const somebody = 65534
	for _, test := range []struct {
		name, give string // the folder below dir that another user owns
		foreign    bool
	}{
		{"nobody's", "", false},
		{"the Maildir", "a/Maildir", true},
		{"its tmp", "a/Maildir/tmp", true},
		{"its new", "a/Maildir/new", true},
		{"its cur", "a/Maildir/cur", true},
		{"the folder that it stands in", "a", true},
		{"a folder beside it", "beside", false},
	} {
		for _, place := range []string{"a/Maildir", "link", "a/new Maildir"} {
			t.Run(test.name+"/"+place, func(t *testing.T) {
				dir := t.TempDir()
				prepared := NewMaildir(filepath.Join(dir, "a", "Maildir"))
				if err := errors.Join(prepared.Prepare(t.Context(), true), os.Mkdir(filepath.Join(dir, "beside"), 0o700),
					os.Symlink("a/Maildir", filepath.Join(dir, "link"))); err != nil {
					t.Fatal(err)
				}
				if test.give != "" {
					if err := os.Chown(filepath.Join(dir, test.give), somebody, -1); err != nil {
						t.Fatal(err)
					}
				}
				foreign := test.foreign && (place != "a/new Maildir" || test.give == "a")
				err := NewMaildir(filepath.Join(dir, place)).Prepare(t.Context(), true)
				if errors.Is(err, ErrForeign) != foreign || (err != nil) != foreign {
					t.Fatalf("Prepare() = %v, want it refused: %v", err, foreign)
				}
				if _, err := os.Lstat(filepath.Join(dir, "a/new Maildir")); foreign && err == nil {
					t.Error("a Maildir was made")
				}
				if foreign && !strings.Contains(err.Error(), "; run popfetch as that user (sudo -u ") {
					t.Errorf("Prepare() = %v, want the mend", err)
				}
			})
		}
	}
	t.Run("a link in somebody's folder", func(t *testing.T) {
		dir := t.TempDir()
		m := newMaildir(t)
		if err := errors.Join(os.Symlink(m.path, filepath.Join(dir, "link")), os.Chown(dir, somebody, -1)); err != nil {
			t.Fatal(err)
		}
		if err := NewMaildir(filepath.Join(dir, "link")).Prepare(t.Context(), false); !errors.Is(err, ErrForeign) {
			t.Errorf("Prepare() = %v, want %v", err, ErrForeign)
		}
	})
}

// A Maildir may be a link. A link in the place of tmp, new or cur is never followed.
func TestMaildir_links(t *testing.T) {
	swap := func(t *testing.T, m *Maildir, name string) (elsewhere string) {
		elsewhere = t.TempDir()
		old := filepath.Join(elsewhere, "old")
		if err := errors.Join(os.WriteFile(old, nil, 0o600), os.Chtimes(old, time.Time{}, time.Now().Add(-100*time.Hour)),
			os.Rename(filepath.Join(m.path, name), filepath.Join(m.path, name+" moved")), os.Symlink(elsewhere, filepath.Join(m.path, name))); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if got := files(t, elsewhere); len(got) != 1 {
				t.Errorf("where the link leads there is %q, want only what was there", got)
			}
		})
		return elsewhere
	}
	t.Run("the Maildir", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(newMaildir(t).path, link); err != nil {
			t.Fatal(err)
		}
		m := NewMaildir(link)
		if err := m.Prepare(t.Context(), false); err != nil {
			t.Fatalf("Prepare() = %v, want no error", err)
		}
		deliverOne(t, m, token(1), []byte("x"))
		if found := find(t, m, time.Now(), token(1)); len(found[token(1)]) != 1 {
			t.Errorf("Find() = %v, want the message", found)
		}
	})
	for _, name := range []string{"tmp", "new", "cur"} {
		t.Run(name+" at the beginning", func(t *testing.T) {
			m := newMaildir(t)
			swap(t, m, name)
			if err := m.Prepare(t.Context(), true); !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "its "+name+" is a link") {
				t.Errorf("Prepare() = %v, want %v and %s", err, ErrUnfit, name)
			}
		})
	}
	t.Run("tmp before a batch", func(t *testing.T) {
		m := newMaildir(t)
		swap(t, m, "tmp")
		if _, err := m.Begin(t.Context()); err == nil {
			t.Error("Begin() = nil, want an error")
		}
	})
	t.Run("new during a batch", func(t *testing.T) {
		m := newMaildir(t)
		batch, err := m.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d, err := batch.Create(t.Context(), Envelope{Token: token(1)})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		swap(t, m, "new")
		if err := batch.Commit(t.Context()); err == nil {
			t.Error("Commit() = nil, want an error")
		}
	})
	t.Run("a message", func(t *testing.T) {
		m := newMaildir(t)
		place := "new/" + deliverOne(t, m, token(1), []byte("x")).Places[0].Name
		elsewhere := filepath.Join(t.TempDir(), "file")
		if err := errors.Join(os.WriteFile(elsewhere, nil, 0o600), os.Remove(filepath.Join(m.path, place)), os.Symlink(elsewhere, filepath.Join(m.path, place))); err != nil {
			t.Fatal(err)
		}
		if f, err := m.Open(t.Context(), place); err == nil {
			f.Close()
			t.Error("Open() followed a link")
		}
	})
}
