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
)

// place is what is known of where a state folder lies.
type place struct {
	shared bool  // other machines may have it too, or memory maps are not to be relied on
	free   int64 // octets
}

var (
	errForeign = errors.New("not a database of popfetch")
	errDamaged = errors.New("the database is damaged")
)

// mendDamage says what to do about a table that cannot be read. Nothing of it is done by itself: the operator may have a
// backup, and what begins anew delivers to a program what it has had already.
const mendDamage = "it is left as it is; move it and the files beside it (-wal, -shm, -journal) elsewhere, and put a backup in its " +
	"place; without one, a Maildir's messages are recognised, but an mda gets again what the server still has (see popfetch seen mark)"

const mendMode = "it and its folder must belong to the user that popfetch runs as, on a disk that is not read-only"

// explain adds to an error of SQLite which file is at fault and what would mend it.
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
		return fmt.Errorf("%s, or a file beside it, cannot be opened: %w; %s", s.path, err, mendMode)
	case sqlite3.ErrProtocol:
		return fmt.Errorf("the locks of %s do not work: %w; set state_dir to a folder on a local disk", s.path, err)
	case sqlite3.ErrFull:
		return fmt.Errorf("the disk of %s is full: %w", s.path, err)
	}
	return err
}

// regular refuses what is not a file of its own: SQLite would follow a symbolic link, and keep its log where that leads, while the
// locks of the accounts are here.
func regular(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("opening the state folder: %w", err)
	case info.Mode().Type() == fs.ModeSymlink:
		return nil, fmt.Errorf("%s is a symbolic link: %w; set state_dir to the folder that it leads to", path, errForeign)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file: %w; move it to another folder, or name another state_dir", path, errForeign)
	case info.Size() == 0:
		return nil, fmt.Errorf("%s is empty, so its records are lost: %w; %s", path, errDamaged, mendDamage)
	}
	return info, nil
}

// writable refuses a file that can only be read, which SQLite opens without complaint. To open it here would not do: closing it
// again would end the locks that another Store of this process has.
func writable(path string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("%s cannot be written: %w; %s", path, err, mendMode)
	}
	return nil
}

// present makes sure that the table still is where others look for it: records that go into a file that was removed are lost.
func (s *Store) present() error {
	if s.file == nil {
		return nil
	}
	switch info, err := os.Lstat(s.path); {
	case err != nil:
		return fmt.Errorf("the state folder went away: %w", err)
	case !os.SameFile(info, s.file):
		return fmt.Errorf("%s is another file than it was when this run began; begin a new one", s.path)
	}
	return nil
}

// spareOctets is what must be free for a run to begin to deliver, besides what each record takes: the write-ahead log.
const (
	spareOctets  = 1 << 20
	recordOctets = 1 << 10
)

// Ready looks for room and writes to the table, since neither a quota nor a broken disk shows before.
func (l *ledger) Ready(ctx context.Context, messages int) error {
	s := l.store
	place, err := s.lookAt(s.dir)
	if err != nil {
		return fmt.Errorf("looking for room in %s: %w", s.dir, err)
	}
	if need := int64(spareOctets) + int64(messages)*recordOctets; place.free < need {
		return fmt.Errorf("%s has room for %d octets, and to record %d messages takes %d: %w; make room there, or name another state_dir",
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
