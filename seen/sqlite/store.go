// Package sqlite keeps a seen.Store in an SQLite database, the seen-table.
//
// When a method that writes returns nil, what it wrote survives a power cut (write-ahead log, synchronous=FULL). No transaction
// writes very much, so that no account keeps another from recording what it has delivered; see parts.go.
//
// The folder must be on a file system with working flock. On one that other machines may share (NFS, SMB, FUSE) the table has a
// rollback journal instead of a write-ahead log, and serves one machine only.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	_ "github.com/mattn/go-sqlite3" // registers the driver "sqlite3"

	"github.com/popfetch/popfetch/seen"
)

const (
	fileName = "seen.db"
	// busyTimeout is how long, in milliseconds, SQLite waits by itself, deaf to everything; see retry.
	busyTimeout = "500"
	// readers is how many transactions may read at the same time, besides the one that writes.
	readers = 4
)

// Store is a seen.Store in one SQLite database, the seen-table.
type Store struct {
	dir, path string
	file      fs.FileInfo   // the database, as it was when it was opened; nil: it is in memory
	writing   chan struct{} // holds something while a transaction writes
	write     *sql.Conn     // the one connection for them; nil: nothing can be written
	read      *sql.DB
	pools     []*sql.DB // those of write and read
	now       func() time.Time
	lookAt    func(dir string) (place, error)
	vain      atomic.Pointer[time.Time] // when somebody last waited for another process in vain
	whole     int64                     // until when the database counts as whole, in seconds since 1970; see checked
	tuning    seen.Tuning
	partRows  int             // how many rows a transaction writes at the most, see parts
	wrote     func(*sql.Conn) // for tests: called after each transaction that wrote; nil usually
}

var _ seen.Store = (*Store)(nil)

// Open opens the seen-table in the folder dir and makes both if they are missing, the folder with mode 0700 and every
// file with 0600. What is another user's is seen.ErrOwner. A table of a later version is seen.ErrNewerSchema; one that is damaged or
// foreign is an error too, and both are left as they are: what a person moves aside cannot be lost, and what nobody has
// looked at is not begun anew. A table that cannot be written is an error here, before anything is fetched.
func Open(ctx context.Context, dir string) (*Store, error) { return openAt(ctx, dir, lookAtPlace) }

func openAt(ctx context.Context, dir string, lookAt func(string) (place, error)) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the state folder: %w", err)
	}
	if err := checkFolder(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the state folder %w: %w", seen.ErrCreate, err)
	}
	if err := checkFiles(dir); err != nil {
		return nil, err
	}
	s := newStore(dir, lookAt)
	s.path = filepath.Join(dir, fileName)
	// Two processes that make or migrate the same table must not meet half-way.
	unlock, err := flock(ctx, filepath.Join(dir, "open.lock"), time.Duration(patience))
	if errors.Is(err, seen.ErrLocked) {
		err = seen.ErrBusy
	}
	if err != nil {
		return nil, fmt.Errorf("opening the state folder: %w", err)
	}
	defer func() { _ = unlock() }()
	if err := create(ctx, s.path); err != nil {
		return nil, fmt.Errorf("%s %w: %w", s.path, seen.ErrCreate, err)
	}
	if s.file, err = regular(s.path); err != nil {
		return nil, err
	}
	if err := writable(s.path); err != nil {
		return nil, err
	}
	if err := s.recognise(ctx); err != nil {
		return nil, fmt.Errorf("opening %s: %w", s.path, s.explain(err))
	}
	err = s.connect(ctx)
	if err == nil {
		err = migrate(ctx, s.write)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", s.path, s.explain(err)), s.Close())
	}
	return s, nil
}

func newStore(dir string, lookAt func(string) (place, error)) *Store {
	return &Store{dir: dir, writing: make(chan struct{}, 1), now: time.Now, lookAt: lookAt, tuning: seen.DefaultTuning, partRows: partRows}
}

// OpenExisting is Open for a command that only looks: it makes neither folder nor table. Where there is none, the store knows nothing,
// and methods that write fail; where there is one, a look may have to keep what the server says about log-ins.
func OpenExisting(ctx context.Context, dir string) (*Store, error) {
	if _, err := os.Lstat(filepath.Join(dir, fileName)); !errors.Is(err, fs.ErrNotExist) {
		return Open(ctx, dir)
	}
	s := newStore(dir, lookAtPlace)
	if err := s.connectToNothing(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("making a table in memory: %w", err), s.Close())
	}
	return s, nil
}

// connectToNothing makes an empty table in memory.
func (s *Store) connectToNothing(ctx context.Context) (err error) {
	if s.read, err = s.pool(":memory:", 1); err != nil { // each connection would have a table of its own
		return err
	}
	conn, err := s.read.Conn(ctx)
	if err != nil {
		return err
	}
	return errors.Join(migrate(ctx, conn), conn.Close())
}

// connect prepares the connections; those that read are made when first used.
func (s *Store) connect(ctx context.Context) error {
	place, err := s.lookAt(s.dir)
	if err != nil {
		return err
	}
	// The write-ahead log needs memory that all processes share, which a network file system does not give to those of other
	// machines. Without these ways of syncing a power cut could take a commit back: one that was not synced, or one whose
	// journal was removed and comes back. With mode=rw SQLite makes no file: it would be 0644.
	journal := "WAL&_synchronous=FULL"
	if place.shared {
		journal = "DELETE&_synchronous=EXTRA"
	}
	writer, err := s.pool(dsn(s.path, "mode=rw&_journal_mode="+journal+"&_foreign_keys=1&_stmt_cache_size=32"), 1)
	if err != nil {
		return err
	}
	if s.write, err = writer.Conn(ctx); err != nil {
		return err
	}
	s.read, err = s.pool(dsn(s.path, "mode=rw&_query_only=1&_stmt_cache_size=32"), readers)
	return err
}

// pool prepares so many connections, which Close closes.
func (s *Store) pool(dsn string, size int) (*sql.DB, error) {
	db, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return nil, err
	}
	s.pools = append(s.pools, db)
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// dsn names a database file and its options; the path may hold any character.
func dsn(path, options string) string {
	file := url.URL{Scheme: "file", Path: path, RawQuery: "_busy_timeout=" + busyTimeout + "&" + options}
	return file.String()
}

// create makes an empty database, unless there is one. It gets its name only when it is marked as ours: so an empty file
// with that name is damage, not a beginning.
func create(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A log without its database is of no use, and SQLite would replay it into the new one.
	for _, leftover := range []string{path + "-wal", path + "-shm", path + ".new"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// SQLite would make it 0644; the files beside it get the mode of this one.
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	db, err := sql.Open("sqlite3", dsn(path+".new", "mode=rw&_journal_mode=MEMORY&_synchronous=FULL"))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	// Before it has its name, since whoever finds it relies on its folder; that may have been made by a run that was killed.
	dir := filepath.Dir(path)
	if err := syncUp(dir); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncUp makes a folder and those above it durable. One that we may not read, or whose file system syncs no folders, is
// passed by.
func syncUp(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	for parent := filepath.Dir(dir); parent != dir; parent = filepath.Dir(dir) {
		dir = parent
		err := syncDir(dir)
		if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.EROFS) {
			return err
		}
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Close closes the seen-table.
func (s *Store) Close() error {
	var errs []error
	if s.write != nil {
		if err := s.write.Close(); !errors.Is(err, sql.ErrConnDone) { // to close twice does no harm
			errs = append(errs, err)
		}
	}
	for _, db := range s.pools {
		errs = append(errs, db.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the seen-table: %w", err)
	}
	if s.whole != 0 {
		s.leaveChecked()
	}
	return nil
}
