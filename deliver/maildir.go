package deliver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	gomaildir "github.com/emersion/go-maildir"
	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

// Maildir delivers into a Maildir: a folder with tmp, new and cur, and one file for each message.
// Mail programs may read it while popfetch writes. A file is in new only when it is whole and
// synced. The methods may be called at the same time. Several Maildir values and several processes
// may share the folder.
type Maildir struct {
	path  string
	stage atomic.Pointer[string] // the folder in tmp for batches; nil: tmp itself
}

// NewMaildir returns the Maildir at path, which is absolute. It does no I/O.
func NewMaildir(path string) *Maildir { return &Maildir{path: filepath.Clean(path)} }

// Path returns the path of the Maildir.
func (m *Maildir) Path() string { return m.path }

// Limit allows two batches at once, each of at most 1000 messages and 4 MiB, which need one wait
// for the disk. If each file must be synced by itself, a batch is at most 64 messages, since it
// keeps the files open until then. If nothing must be synced, a batch is at most as large as the
// memory for small messages. The Maildir must have been prepared.
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
		_ = tmp.Close() // the file only named the folder
	}
	return limit
}

// Room returns the room on the Maildir's file system.
func (m *Maildir) Room(context.Context) (octets int64, err error) { return roomIn(m.path) }

// Prepare makes the folders if create is set, with mode 0700, and syncs them. If they cannot be
// made, that is ErrCreate. If create is not set, a missing folder is ErrMissing. A link or file in
// the place of a folder is ErrUnfit. Prepare removes files that have been in tmp for more than 36
// hours. If we are root, a Maildir of another user is ErrForeign.
func (m *Maildir) Prepare(_ context.Context, create bool) error {
	if err := m.checkOwner(); err != nil {
		return err
	}
	if create {
		if err := durable.ExplainFull(filepath.Dir(m.path), m.make()); err != nil {
			return m.notMade(err)
		}
	}
	for _, name := range folders {
		if err := m.checkFolder(name); err != nil {
			return err
		}
	}
	return m.sweep()
}

// Probe checks what Prepare would check. If create is set, missing folders are no error where
// Prepare could make them.
func (m *Maildir) Probe(_ context.Context, create bool) error {
	if err := m.checkOwner(); err != nil {
		return err
	}
	for _, name := range folders {
		err := m.checkFolder(name)
		if create && errors.Is(err, ErrMissing) {
			err = m.checkAbove(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// folders are those of a Maildir.
var folders = []string{"tmp", "new", "cur"}

// checkFolder checks that a folder of the Maildir is there, and can be written.
func (m *Maildir) checkFolder(name string) error {
	switch info, err := os.Lstat(filepath.Join(m.path, name)); {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the Maildir %s cannot be looked into: %w; it and the folders above it must let the user in that popfetch runs as", m.path, err)
	case err == nil && info.Mode().Type() == fs.ModeSymlink:
		return fmt.Errorf("the Maildir %s %w: its %s is a link, and popfetch follows none there, since it could lead the messages elsewhere; "+
			"put a folder in its place, or name the Maildir that the link leads into", m.path, ErrUnfit, name)
	case err == nil && !info.IsDir():
		return fmt.Errorf("the Maildir %s %w: its %s is a file; remove it, or name another Maildir", m.path, ErrUnfit, name)
	case err != nil:
		return m.isMissing(err)
	}
	if err := writable(filepath.Join(m.path, name)); err != nil {
		return fmt.Errorf("the folder %s of the Maildir %s cannot be written: %w; it must belong to the user that popfetch runs as, on a disk that is not read-only", name, m.path, err)
	}
	return nil
}

// checkAbove checks that a missing folder of the Maildir could be made, with the folders above it.
func (m *Maildir) checkAbove(name string) error {
	if err := makeable(filepath.Join(m.path, name)); err != nil {
		return m.notMade(err)
	}
	return nil
}

// makeable returns an error if a missing file or folder could not be made, with the folders above.
func makeable(path string) error {
	dir := above(path)
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: dir, Err: unix.ENOTDIR}
	}
	return writable(dir)
}

func writable(folder string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, folder, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "writing", Path: folder, Err: err}
	}
	return nil
}

func (m *Maildir) notMade(err error) error {
	return fmt.Errorf("the Maildir %s %w: %w; make it by hand, or name another", m.path, ErrCreate, err)
}

func (m *Maildir) isMissing(err error) error {
	return fmt.Errorf("looking for the Maildir %s: %w: %w; mount its disk, or make its folders tmp, new and cur", m.path, ErrMissing, err)
}

// make creates the Maildir and the folders above it as far as they are missing, and syncs all of
// them. It also syncs folders that exist. Another account may have made them a moment ago, or a run
// that was killed before it could sync.
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
	// A file that cannot be removed does no harm in tmp. It may be a folder that somebody put
	// there, or another process may have removed it first.
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) && pathErr.Op == "remove" {
		if _, ok := parseStage(filepath.Base(pathErr.Path)); ok {
			_ = removeStage(pathErr.Path) // a crash has left files in it; the next sweep goes on
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing old files from the tmp of the Maildir: %w", err)
	}
	return nil
}

// Begin opens an empty batch.
func (m *Maildir) Begin(ctx context.Context) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("beginning a batch: %w", err)
	}
	// syncfs reports only errors that happen after its descriptor was opened. So tmp is opened
	// before the first write.
	b := &maildirBatch{maildir: m}
	if stage := m.stage.Load(); stage != nil {
		b.stage = *stage
	}
	tmp, err := openFolder(b.folder())
	if err != nil {
		return nil, fmt.Errorf("opening the Maildir: %w", b.gone(err))
	}
	b.tmp, b.whole = tmp, durable.WaysOf(tmp).Whole
	return b, nil
}

// missing adds ErrMissing if err says that a folder does not exist. Then the Maildir disappeared in
// the middle of a run, or a look found none. It does not exist either if a file is in its way.
func (m *Maildir) missing(err error) error {
	info, statErr := os.Stat(m.path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) && (statErr != nil || !info.IsDir()) {
		return m.isMissing(err)
	}
	return err
}
