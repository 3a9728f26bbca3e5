package deliver

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/systrace"
)

const (
	// fewFiles is how many files the child may open.
	fewFiles = 100
	// manyMessages is more than that.
	manyMessages = 300
)

// deliverMany delivers more messages than the process may have files open.
func deliverMany(to Target) (safe int, err error) {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: fewFiles, Max: fewFiles}); err != nil {
		return 0, err
	}
	return deliverTo(to, manyMessages, smallMessage)
}

func smallMessage(n int) []byte { return fmt.Appendf(nil, "small message %d\r\n", n) }

// If syncfs cannot be used, each file is synced before it is closed and renamed. That is also true
// for files that are closed early because too many are open: as many as the process may open.
func TestMaildirCommit_manyWithoutSyncfs(t *testing.T) {
	for name, dir := range places(t) {
		t.Run(name, func(t *testing.T) {
			m := NewMaildir(filepath.Join(dir, "Maildir"))
			if err := m.Prepare(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			renamed := 0
			unsynced := make(map[string]bool) // files with writes after their last sync
			status := traceAll(t, "many:"+m.path, func(c *systrace.Call, done bool) systrace.Verdict {
				switch {
				case c.Name == "syncfs":
					return systrace.Verdict{Fail: syscall.ENOSYS}
				case filepath.Dir(c.Path) != filepath.Join(m.path, "tmp"):
				case c.Name == "write" && !done:
					unsynced[c.Path] = true
				case c.Name == "fsync" && done && c.Result == 0:
					delete(unsynced, c.Path)
				case c.Name == "renameat" && !done:
					renamed++
					if unsynced[c.Path] {
						t.Errorf("%s is renamed, and was not synced", c.Path)
					}
				}
				return systrace.Verdict{}
			})
			if status != 0 || renamed != manyMessages {
				t.Errorf("the child ended with %d and renamed %d files, want 0 and %d", status, renamed, manyMessages)
			}
		})
	}
}

// syncFound does the same as a run does with messages that it finds at its target.
func syncFound(m *Maildir) error {
	ctx := context.Background()
	found, err := m.Find(ctx, slices.Values([]Token{token(1), token(2), token(3)}), time.Time{})
	if err != nil {
		return err
	}
	return m.Sync(ctx, slices.Concat(slices.Collect(maps.Values(found))...))
}

// Sync makes the octets of a message durable, and its name in the folder.
func TestMaildirSync_calls(t *testing.T) {
	m := newMaildir(t)
	files := []string{"new/" + named(1), "cur/" + named(2) + ":2,S", ".Archive/cur/" + named(3) + ":2,S"}
	for _, place := range files {
		put(t, m, place, "text")
	}
	var synced []string
	status := trace(t, "sync:"+m.path, m.path, func(c *systrace.Call, done bool) systrace.Verdict {
		if c.Name == "fsync" && done && c.Result == 0 {
			synced = append(synced, strings.TrimPrefix(c.Path, m.path+"/"))
		}
		return systrace.Verdict{}
	})
	if status != 0 {
		t.Fatalf("the child ended with %d, want 0", status)
	}
	for _, path := range append(files, "new", "cur", ".Archive/cur") {
		if !slices.Contains(synced, path) {
			t.Errorf("%s is not synced, only %q", path, synced)
		}
	}
}
