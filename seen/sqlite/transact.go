package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/popfetch/popfetch/seen"
)

// waiting says how long a transaction waits for others.
type waiting time.Duration

const (
	// patience is how long most transactions, and the opening of the table, wait. None of our
	// writes takes that long.
	patience = waiting(30 * time.Second)
	// forever lasts as long as the context does and others write, see stall.
	forever = waiting(-1)
	// stall is how long forever waits while nothing at all is written. No transaction of ours takes
	// a second, so its owner hangs. Or nobody owns the lock any more: SQLite ignores errors of the
	// system call that gives a lock back.
	stall = time.Minute
)

// remembered is how long later transactions take a wait in vain into account.
const remembered = time.Minute

// lockWait is the wait of one transaction for others. The time of waits that were in vain just before
// counts too: a run that ends because of them still has to note several things, and must not take
// minutes. For forever, only time in which nothing was written counts.
type lockWait struct {
	store   *Store
	wait    waiting
	earlier time.Duration // of waits in vain
	since   time.Time     // zero: nobody was in the way yet
	ended   time.Time
	written lastWrite // since then, or since the waits before it
}

func (s *Store) newWait(wait waiting) *lockWait {
	w := &lockWait{store: s, wait: wait}
	if last := s.vain.Load(); last != nil && time.Since(last.ended) < remembered {
		w.earlier, w.written = last.earlier+last.ended.Sub(last.since), last.written
	}
	return w
}

// isOver is called each time others are in the way.
func (w *lockWait) isOver(ctx context.Context) bool {
	now, limit := time.Now(), time.Duration(w.wait)
	if w.since.IsZero() {
		w.since = now
	}
	if w.wait == forever {
		limit = w.store.stall
	}
	written := w.store.lastWrite()
	if w.written == (lastWrite{}) || w.wait == forever && written != w.written {
		w.earlier, w.since, w.written = 0, now, written
	}
	return ctx.Err() != nil || w.earlier+now.Sub(w.since) >= limit
}

// lastWrite tells when the database and the files beside it were written.
type lastWrite [3]time.Time

// lastWrite opens no file, since closing it again would release the locks of SQLite.
func (s *Store) lastWrite() (at lastWrite) {
	for i, suffix := range []string{"", "-wal", "-journal"} {
		if info, err := os.Stat(s.path + suffix); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}

// update runs do in a transaction that holds the write lock from its beginning, and commits it.
//
// The context passed to do cannot be cancelled. With any other context the driver starts a
// goroutine for each statement, which took a fifth of the time of recording. A do that takes long
// checks ctx itself.
func (s *Store) update(ctx context.Context, wait waiting, do func(context.Context, *sql.Conn) error) error {
	if s.write == nil {
		return fmt.Errorf("there is no %s", filepath.Join(s.dir, fileName))
	}
	if err := s.present(); err != nil {
		return err
	}
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.writing }()
	err := s.attempt(ctx, s.write, wait, beginWrite, func(conn *sql.Conn) error { return do(context.WithoutCancel(ctx), conn) })
	if err != nil {
		return err
	}
	s.vain.Store(nil) // a view does not show that the table can be written
	if s.wrote != nil {
		s.wrote(s.write)
	}
	return nil
}

// view runs do in a transaction that sees one state of the table, whatever is written meanwhile.
func (s *Store) view(ctx context.Context, do func(*sql.Conn) error) error {
	conn, err := s.read.Conn(ctx)
	if err != nil {
		return s.explain(err)
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool
	return s.attempt(ctx, conn, patience, beginRead, do)
}

// attempt is transact, and remembers if it has waited in vain.
func (s *Store) attempt(ctx context.Context, conn *sql.Conn, wait waiting, begin beginning, do func(*sql.Conn) error) error {
	w := s.newWait(wait)
	err := s.explain(transact(ctx, conn, w.isOver, begin, do))
	if errors.Is(err, seen.ErrBusy) {
		w.ended = time.Now()
		s.vain.Store(w)
	}
	return err
}

// transact runs do between begin and COMMIT on a connection that nobody else uses meanwhile. It
// does not use sql.Tx, which starts a goroutine for each transaction.
func transact(ctx context.Context, conn *sql.Conn, isOver func(context.Context) bool, begin beginning, do func(*sql.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	whole := context.WithoutCancel(ctx)
	if err := retry(ctx, isOver, func() error { return begin(whole, conn) }); err != nil {
		return err
	}
	committed := false
	defer func() {
		if !committed {
			_, _ = conn.ExecContext(whole, "ROLLBACK") // some errors have rolled back already
		}
	}()
	if err := do(conn); err != nil {
		return err
	}
	// Without a write-ahead log, COMMIT waits for readers. If it is refused, the transaction stays
	// open.
	err := retry(ctx, isOver, func() error {
		_, err := conn.ExecContext(whole, "COMMIT")
		return err
	})
	committed = err == nil
	return err
}

// beginning begins a transaction. If it fails, it has no effect.
type beginning func(ctx context.Context, conn *sql.Conn) error

func beginWrite(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	return err
}

// beginRead begins a transaction and reads something. Only then is it certain that nobody blocks
// its reads.
func beginRead(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	var version int
	err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	if err != nil {
		_, _ = conn.ExecContext(ctx, "ROLLBACK")
	}
	return err
}

// retry calls try until no transaction of another process blocks it, at least once.
func retry(ctx context.Context, isOver func(context.Context) bool, try func() error) error {
	for {
		err := try()
		var refused sqlite3.Error
		if !errors.As(err, &refused) || refused.Code != sqlite3.ErrBusy {
			return err
		}
		if isOver(ctx) {
			return fmt.Errorf("%w: %w", seen.ErrBusy, err)
		}
	}
}

// querier reads: it is a transaction or a pool of connections.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
