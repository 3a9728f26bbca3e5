// Package sqlite keeps a seen.Store in an SQLite database, the seen-table.
//
// When a method that writes returns nil, its changes survive a power cut (write-ahead log,
// synchronous=FULL). No transaction writes very much, so that no account keeps another one waiting
// for its records; see parts.go.
//
// The folder must be on a file system with working flock. On a file system that other machines may
// share (NFS, SMB, FUSE) the table has a rollback journal instead of a write-ahead log, and only
// one machine can use it.
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

	"github.com/popfetch/popfetch/internal/durable"
	"github.com/popfetch/popfetch/seen"
)

const (
	fileName = "seen.db"
	// busyTimeout is how long SQLite itself waits for a lock, in milliseconds. Nothing can
	// interrupt that wait; see retry.
	busyTimeout = "500"
	// readers is how many transactions may read at the same time, besides the one that writes.
	readers = 4
)

// Store is a seen.Store in one SQLite database, the seen-table.
type Store struct {
	dir, path string
	file      fs.FileInfo   // the database file when it was opened; nil: it is in memory
	writing   chan struct{} // holds a value while a transaction writes
	write     *sql.Conn     // the one connection that writes; nil: nothing can be written
	read      *sql.DB
	pools     []*sql.DB // those of write and read
	now       func() time.Time
	lookAt    func(dir string) (place, error)
	history   history
	vain      atomic.Pointer[lockWait] // the last wait in vain; nil: the table was written since
	stall     time.Duration            // see the constant
	// Until when the database counts as undamaged, in seconds since 1970; see checked.
	whole    int64
	tuning   seen.Tuning
	partRows int             // the most rows that a transaction writes, see parts
	wrote    func(*sql.Conn) // for tests: called after each transaction that wrote; usually nil
}

var _ seen.Store = (*Store)(nil)

// Open opens the seen-table in the folder dir. It creates both if they are missing, the folder with
// mode 0700 and every file with 0600.
//
// A folder or file of another user is seen.ErrOwner, and a table of a later version is
// seen.ErrNewerSchema. A damaged or foreign table is an error too. Such tables are left unchanged:
// a person can move them elsewhere, and nothing is lost meanwhile. A table that cannot be written
// is an error here, before anything is fetched.
func Open(ctx context.Context, dir string) (*Store, error) {
	s, err := openAt(ctx, dir, lookAtPlace)
	if err != nil {
		return nil, durable.ExplainFull(dir, err)
	}
	return s, nil
}

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
	// Two processes must not create or migrate the same table at the same time.
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
		err = s.migrate(ctx, s.write)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", s.path, s.explain(err)), s.Close())
	}
	return s, nil
}

func newStore(dir string, lookAt func(string) (place, error)) *Store {
	s := &Store{dir: dir, writing: make(chan struct{}, 1), now: time.Now, lookAt: lookAt, stall: stall, tuning: seen.DefaultTuning, partRows: partRows}
	s.history.store = s
	return s
}

// OpenExisting is Open for a command that only looks: it creates neither folder nor table. If there
// is no table, the store is empty, and methods that write fail. If there is one, it can be written,
// because a look may have to note what the server says about log-ins.
func OpenExisting(ctx context.Context, dir string) (*Store, error) {
	if _, err := os.Lstat(filepath.Join(dir, fileName)); !errors.Is(err, fs.ErrNotExist) {
		return Open(ctx, dir)
	}
	return openNothing(ctx, dir)
}

// OpenNothing returns an empty store, in which methods that write fail.
func OpenNothing(ctx context.Context) (*Store, error) { return openNothing(ctx, nowhere) }

// nowhere is a folder that is not there, and that nobody makes.
const nowhere = "/proc/popfetch-has-no-state"

func openNothing(ctx context.Context, dir string) (*Store, error) {
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
	return errors.Join(s.migrate(ctx, conn), conn.Close())
}

// connect prepares the connections; those that read are made when first used.
func (s *Store) connect(ctx context.Context) error {
	place, err := s.lookAt(s.dir)
	if err != nil {
		return err
	}
	// The write-ahead log needs memory that all processes share. A network file system cannot share
	// memory between machines.
	//
	// The caches are small: what is read again is a few pages, and the kernel has the others.
	//
	// With a weaker synchronous setting, a power cut could undo a commit: one that was not synced,
	// or one whose removed journal comes back. With mode=rw SQLite creates no file; it would have
	// mode 0644.
	journal := "WAL&_synchronous=FULL"
	if place.shared {
		journal = "DELETE&_synchronous=EXTRA"
	}
	const caches = "&_stmt_cache_size=32&_cache_size=-" // the second in KiB
	writes := "mode=rw&_foreign_keys=1&_journal_mode=" + journal + caches + "1000"
	writer, err := s.pool(dsn(s.path, writes), 1)
	if err != nil {
		return err
	}
	if s.write, err = writer.Conn(ctx); err != nil {
		return err
	}
	s.read, err = s.pool(dsn(s.path, "mode=rw&_query_only=1"+caches+"512"), readers)
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

// dsn makes the data source name of a database file and its options. The path may hold any
// character.
func dsn(path, options string) string {
	file := url.URL{Scheme: "file", Path: path, RawQuery: "_busy_timeout=" + busyTimeout + "&" + options}
	return file.String()
}

// create makes an empty database, unless one exists. The file gets its name only after it is marked
// as ours. So an empty file with that name is damage, not a new database.
func create(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A log without its database is useless, and SQLite would replay it into the new one.
	for _, leftover := range []string{path + "-wal", path + "-shm", path + ".new"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// SQLite would create the file with mode 0644. The files beside it get its mode.
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
	// The folders are synced before the file gets its name, because whoever finds the file relies
	// on them. A killed run may have created them.
	dir := filepath.Dir(path)
	if err := syncUp(dir); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncUp syncs the folders above dir. It skips a folder that we may not read, or whose file system
// does not sync folders.
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
	s.history.close()
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
