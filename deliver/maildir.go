package deliver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	gomaildir "github.com/emersion/go-maildir"
	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

// Maildir delivers into a Maildir: a folder with tmp, new and cur, one file a message, which mail programs read while
// we write. A file is in new only when it is whole and synced. Its methods may be called at the same time, also by
// several Maildir values and several processes that share the folder.
type Maildir struct {
	path string
}

// NewMaildir does no I/O. path is absolute.
func NewMaildir(path string) *Maildir { return &Maildir{path: filepath.Clean(path)} }

// Limit allows 1000 messages or 4 MiB a batch, which one wait for the disk then makes durable, and two batches at once. Where each
// file has to be synced by itself, and so kept open until then, it is 64 messages, and where nothing has to be synced what a batch holds
// in memory. The Maildir must have been prepared.
func (m *Maildir) Limit() Limit {
	limit := Limit{Messages: 64, Octets: 4 << 20, Batches: 2}
	if tmp, err := openFolder(filepath.Join(m.path, "tmp")); err == nil {
		w := durable.WaysOf(tmp)
		if w.Whole {
			limit.Messages = 1000
		}
		if w.Free {
			limit.Octets = memoryOctets
		}
		_ = tmp.Close() // it only named the folder
	}
	return limit
}

// Room is that of the Maildir's file system.
func (m *Maildir) Room(context.Context) (octets int64, err error) { return roomIn(m.path) }

// Prepare makes the folders where create allows it, mode 0700, and synced like all that is delivered. Without create,
// or if they cannot be made, a missing one is ErrMissing. Files that were left in tmp more than 36 hours ago are removed.
// To root a Maildir of another user is ErrForeign.
func (m *Maildir) Prepare(_ context.Context, create bool) error {
	if err := m.checkOwner(); err != nil {
		return err
	}
	if create {
		if err := m.make(); err != nil {
			return fmt.Errorf("making the Maildir %s: %w: %w; make it by hand, or name another", m.path, ErrMissing, err)
		}
	}
	for _, name := range []string{"tmp", "new", "cur"} {
		switch info, err := os.Lstat(filepath.Join(m.path, name)); {
		case err != nil:
			return fmt.Errorf("looking for the Maildir %s: %w: %w; mount its disk, or make its folders tmp, new and cur", m.path, ErrMissing, err)
		case !info.IsDir():
			return fmt.Errorf("looking for the Maildir %s: %w: %s is not a folder", m.path, ErrMissing, name)
		}
		if err := unix.Faccessat(unix.AT_FDCWD, filepath.Join(m.path, name), unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
			return fmt.Errorf("the folder %s of the Maildir %s cannot be written: %w; it must belong to the user that popfetch runs as, on a disk that is not read-only", name, m.path, err)
		}
	}
	return m.sweep()
}

// make creates what is missing of the Maildir and of the folders above it, and syncs all of them. Those that are there may
// have been made a moment ago, by another account or by a run that was killed before it could sync.
func (m *Maildir) make() error {
	if err := os.MkdirAll(filepath.Dir(m.path), 0o700); err != nil {
		return err
	}
	if err := gomaildir.Dir(m.path).Init(); err != nil {
		return err
	}
	return durable.SyncUp(m.path)
}

func (m *Maildir) sweep() error {
	err := gomaildir.Dir(m.path).Clean()
	// What cannot be removed (a folder that somebody put there, a file that another sweeper was quicker to take) does no
	// harm in tmp.
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) && pathErr.Op == "remove" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweeping the Maildir's tmp: %w", err)
	}
	return nil
}

// Begin opens an empty batch.
func (m *Maildir) Begin(ctx context.Context) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("beginning a batch: %w", err)
	}
	// syncfs reports only errors that happened after its descriptor was opened; hence before the first write.
	tmp, err := openFolder(filepath.Join(m.path, "tmp"))
	if err != nil {
		return nil, fmt.Errorf("opening the Maildir: %w", missing(err))
	}
	return &maildirBatch{maildir: m, tmp: tmp, whole: durable.WaysOf(tmp).Whole}, nil
}

// missing adds ErrMissing to an error that says that a folder is not there: the Maildir went away in the middle of a run.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return err
}
