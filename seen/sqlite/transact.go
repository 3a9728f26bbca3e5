package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
	// forever lasts as long as the context does.
	forever = waiting(-1)
)

func (w waiting) isOver(ctx context.Context, began time.Time) bool {
	return ctx.Err() != nil || w != forever && time.Since(began) >= time.Duration(w)
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
	if err == nil && s.wrote != nil {
		s.wrote(s.write)
	}
	return err
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

// attempt is transact, but it hardly waits if another call has just waited in vain. A run that ends
// because of that still has to note several things, and must not take minutes. A caller that waits
// forever still does so.
func (s *Store) attempt(ctx context.Context, conn *sql.Conn, wait waiting, begin beginning, do func(*sql.Conn) error) error {
	const remembered = time.Minute
	if at := s.vain.Load(); at != nil && time.Since(*at) < remembered && wait != forever {
		wait = 0
	}
	err := s.explain(transact(ctx, conn, wait, begin, do))
	var fault sqlite3.Error
	if ctx.Err() == nil && errors.Is(err, seen.ErrBusy) || errors.As(err, &fault) && fault.Code == sqlite3.ErrProtocol {
		now := time.Now()
		s.vain.Store(&now)
	} else if err == nil {
		s.vain.Store(nil)
	}
	return err
}

// transact runs do between begin and COMMIT on a connection that nobody else uses meanwhile. It
// does not use sql.Tx, which starts a goroutine for each transaction.
func transact(ctx context.Context, conn *sql.Conn, wait waiting, begin beginning, do func(*sql.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	whole := context.WithoutCancel(ctx)
	if err := retry(ctx, wait, func() error { return begin(whole, conn) }); err != nil {
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
	err := retry(ctx, wait, func() error {
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
func retry(ctx context.Context, wait waiting, try func() error) error {
	for began := time.Now(); ; {
		err := try()
		var refused sqlite3.Error
		if !errors.As(err, &refused) || refused.Code != sqlite3.ErrBusy {
			return err
		}
		if wait.isOver(ctx, began) {
			return fmt.Errorf("%w: %w", seen.ErrBusy, err)
		}
	}
}

// querier reads: it is a transaction or a pool of connections.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
