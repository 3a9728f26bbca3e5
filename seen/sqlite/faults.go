package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

// place describes the file system of a state folder.
type place struct {
	shared bool  // other machines may use it too, or memory maps are unreliable
	free   int64 // octets
}

var (
	errForeign = errors.New("not a database of popfetch")
	errDamaged = errors.New("the database is damaged")
)

// mendDamage says what to do about a table that cannot be read. Popfetch does nothing by itself.
// The operator may have a backup, and a fresh table would make it deliver old messages to a program
// again.
const mendDamage = "it is left as it is; move it and the files beside it (-wal, -shm, -journal) elsewhere, " +
	"and put a backup in its place; without a backup, the messages in a Maildir are recognised, " +
	"but an mda gets all messages again that are still on the server (see popfetch seen mark)"

const mendMode = "it and its folder must belong to the user that popfetch runs as, on a disk that is not read-only"

// explain adds to an error of SQLite which file is at fault and how to mend it.
func (s *Store) explain(err error) error {
	var fault sqlite3.Error
	switch {
	case errors.Is(err, errForeign):
		return fmt.Errorf("%w; move it to another folder, or name another state_dir", err)
	case errors.Is(err, errDamaged):
		return fmt.Errorf("%w; %s", err, mendDamage)
	case !errors.As(err, &fault):
		return err
	}
	switch fault.Code {
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return fmt.Errorf("%w: %s: %w; %s", errDamaged, s.path, err, mendDamage)
	case sqlite3.ErrReadonly:
		return fmt.Errorf("%s cannot be written: %w; %s", s.path, err, mendMode)
	case sqlite3.ErrCantOpen:
		if space, spaceErr := durable.SpaceOf(s.dir); spaceErr == nil && space.NoFiles { // SQLite does not tell
			return durable.ExplainFull(s.dir, fmt.Errorf("%s: a file beside it cannot be made: %w: %w", s.path, err, unix.ENOSPC))
		}
		return fmt.Errorf("%s, or a file beside it, cannot be opened: %w; %s", s.path, err, mendMode)
	case sqlite3.ErrProtocol:
		return fmt.Errorf("the locks of %s do not work: %w; set state_dir to a folder on a local disk", s.path, err)
	case sqlite3.ErrFull:
		return fmt.Errorf("the disk of %s is full: %w", s.path, err)
	}
	return err
}

// regular refuses a path that is not a plain file, or is empty. SQLite would follow a symbolic link
// and keep its log where the link leads, while the locks of the accounts are here.
func regular(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("opening the state folder: %w", err)
	case info.Mode().Type() == fs.ModeSymlink:
		return nil, fmt.Errorf("%s is a symbolic link: %w; set state_dir to the folder that it leads to", path, errForeign)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file: %w; move it to another folder, or name another state_dir", path, errForeign)
	case info.Size() == 0:
		return nil, fmt.Errorf("%s is empty, so its records are lost: %w; %s", path, errDamaged, mendDamage)
	}
	return info, nil
}

// writable refuses a read-only file, which SQLite opens without complaint. It does not open the
// file to find out: closing it again would release the locks of another Store in this process.
func writable(path string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("%s cannot be written: %w; %s", path, err, mendMode)
	}
	return nil
}

// present makes sure that the database is still the file at its path. Records written into a
// removed file would be lost.
func (s *Store) present() error {
	if s.file == nil {
		return nil
	}
	switch info, err := os.Lstat(s.path); {
	case err != nil:
		return fmt.Errorf("the state folder or its table is gone: %w", err)
	case !os.SameFile(info, s.file):
		return fmt.Errorf("%s was replaced after this run began; start a new run", s.path)
	}
	return nil
}

// Before a run begins to deliver, spareOctets must be free for the write-ahead log, and
// recordOctets for each record.
const (
	spareOctets  = 1 << 20
	recordOctets = 1 << 10
)

// Needed returns how many octets must be free before so many messages are delivered.
func Needed(messages int) int64 { return int64(spareOctets) + int64(messages)*recordOctets }

// Ready checks the free space. It also writes to the table, because only a write shows a quota or a
// broken disk.
func (l *ledger) Ready(ctx context.Context, messages int) error {
	s := l.store
	place, err := s.lookAt(s.dir)
	if err != nil {
		return fmt.Errorf("looking for room in %s: %w", s.dir, err)
	}
	if need := Needed(messages); place.free < need {
		return fmt.Errorf("%s has room for %d octets, but to record %d messages needs %d: %w; make room there, or name another state_dir",
			filepath.Clean(s.dir), place.free, messages, need, unix.ENOSPC)
	}
	err = l.update(ctx, patience, func(ctx context.Context, tx *sql.Conn) error {
		result, err := tx.ExecContext(ctx, "INSERT INTO detail (octets, digest, sha256) VALUES (0, x'', x'')")
		if err != nil {
			return err
		}
		id, err := result.LastInsertId()
		if err != nil {
			return err
		}
		if _, err = tx.ExecContext(ctx, "DELETE FROM detail WHERE id = ?", id); err != nil { // its page is written all the same
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE account SET unfinished = 1 WHERE id = ?", l.id)
		return err
	})
	if err != nil {
		return fmt.Errorf("writing to the seen-table before anything is delivered: %w", err)
	}
	return nil
}
