package deliver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

// Mbox delivers into an mbox: one file, in which each message follows its From_ line. Lines that
// begin with any number of ">" and "From " are quoted by one more ">" (mboxrd).
//
// The file is locked by fcntl(2) and then by a dot lock, as Debian's policy has it. Batches are
// appended under the lock, and one sync covers a batch. Notes of each batch are made durable
// before. So Prepare removes what a crash has torn, and Find recognises what came whole.
//
// The methods may be called at the same time. Several Mbox values and several processes may share
// the mbox, but not the notes.
type Mbox struct {
	// Note, if set, is told once where only fcntl(2) can lock the mbox, and of a torn message that
	// cannot be removed.
	Note func(string)

	path    string
	book    Book             // nil: none
	notes   *Notes[mboxNote] // in book; nil: none
	epoch   atomic.Int64     // see Fence; 0: not fenced
	noDot   sync.Once
	tooLong sync.Once
}

// NewMbox returns the mbox at path, which is absolute. The book for its notes belongs to one account
// and one mbox; nil: an mbox that is only read has none. It does no I/O.
func NewMbox(path string, book Book) *Mbox {
	m := &Mbox{path: filepath.Clean(path), book: book}
	if book != nil {
		m.notes = NewNotes[mboxNote](book)
	}
	return m
}

// Path returns the path of the mbox.
func (m *Mbox) Path() string { return m.path }

// Limit allows batches as large as the memory for small messages, one at a time.
func (m *Mbox) Limit() Limit { return Limit{Messages: 1000, Octets: memoryOctets, Batches: 1} }

// Room returns the room on the file system of the mbox.
func (m *Mbox) Room(context.Context) (octets int64, err error) { return roomIn(filepath.Dir(m.path)) }

// Prepare makes the mbox with mode 0600, and the folders above it, if create is set. If they cannot
// be made, that is ErrCreate. If create is not set, a missing mbox is ErrMissing. A folder or
// device in its place is ErrUnfit. If we are root, so is a link, and an mbox of another user is
// ErrForeign.
//
// Then Prepare removes what an interrupted append has torn. An mbox that others keep locked is
// ErrBusy.
func (m *Mbox) Prepare(ctx context.Context, create bool) error {
	if err := m.checkOwner(); err != nil {
		return err
	}
	if create {
		if err := durable.ExplainFull(filepath.Dir(m.path), m.make()); err != nil {
			return m.notMade(err)
		}
	}
	if err := m.check(); err != nil {
		return err
	}
	return m.mend(ctx)
}

// Probe checks what Prepare would check. If create is set, a missing mbox is no error where Prepare
// could make it.
func (m *Mbox) Probe(_ context.Context, create bool) error {
	if err := m.checkOwner(); err != nil {
		return err
	}
	err := m.check()
	if !create || !errors.Is(err, ErrMissing) {
		return err
	}
	if err := makeable(m.path); err != nil {
		return m.notMade(err)
	}
	return nil
}

// make creates the mbox and the folders above it as far as they are missing, and syncs them.
func (m *Mbox) make() error {
	if info, err := os.Stat(m.path); err == nil && !info.Mode().IsRegular() {
		return nil // check refuses it
	}
	if err := os.MkdirAll(filepath.Dir(m.path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(m.path, os.O_WRONLY|os.O_CREATE|noFollow(), 0o600)
	if errors.Is(err, fs.ErrPermission) {
		return nil // check says which right is missing
	}
	if err == nil {
		err = errors.Join(file.Sync(), file.Close())
	}
	if err != nil {
		return err
	}
	return durable.SyncUp(filepath.Dir(m.path))
}

// noFollow is the flag that keeps root from following a link.
func noFollow() int {
	if os.Geteuid() == 0 {
		return unix.O_NOFOLLOW
	}
	return 0
}

// check checks that the mbox is a file that can be read and written.
func (m *Mbox) check() error {
	link, err := os.Lstat(m.path)
	if err == nil && link.Mode().Type() == fs.ModeSymlink && os.Geteuid() == 0 {
		return fmt.Errorf("the mbox %s %w: it is a link, and root follows none there; name the file that it leads to", m.path, ErrUnfit)
	}
	info, err := os.Stat(m.path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the mbox %s cannot be looked at: %w; the folders above it must let the user in that popfetch runs as", m.path, err)
	case err != nil:
		return m.missing(err)
	case info.IsDir():
		return fmt.Errorf("the mbox %s %w: it is a folder; set maildir if it is a Maildir, or name a file in it", m.path, ErrUnfit)
	case !info.Mode().IsRegular():
		return fmt.Errorf("the mbox %s %w: it is no file; name another", m.path, ErrUnfit)
	}
	if err := unix.Faccessat(unix.AT_FDCWD, m.path, unix.R_OK|unix.W_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("the mbox %s cannot be read and written: %w; it must belong to the user that popfetch runs as, on a disk that is not read-only", m.path, err)
	}
	return nil
}

func (m *Mbox) notMade(err error) error {
	return fmt.Errorf("the mbox %s %w: %w; make it by hand, or name another", m.path, ErrCreate, err)
}

// missing adds ErrMissing if err says that the mbox does not exist.
func (m *Mbox) missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("looking for the mbox %s: %w: %w; mount its disk, or make the file (touch)", m.path, ErrMissing, err)
	}
	return err
}

// Begin opens an empty batch.
func (m *Mbox) Begin(ctx context.Context) (Batch, error) { return beginMbox(ctx, m, m.epoch.Load()) }

// Recorded forgets the notes of messages that have their records.
func (m *Mbox) Recorded(tokens ...Token) {
	if m.notes != nil {
		m.notes.Forget(tokens...)
	}
}

// name names the mbox in errors.
func (m *Mbox) name() string { return "mbox " + m.path }

// tell tells a note once.
func (m *Mbox) tell(once *sync.Once, format string, args ...any) {
	if m.Note != nil {
		once.Do(func() { m.Note(fmt.Sprintf(format, args...)) })
	}
}
