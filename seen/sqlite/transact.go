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

// update runs do in a transaction that holds the write lock from its beginning, and commits it.
//
// The context of do cannot be cancelled, for with any other the driver starts a goroutine for each statement: waking them took a
// fifth of the time of recording. What takes long looks at ctx by itself.
func (s *Store) update(ctx context.Context, do func(context.Context, *sql.Conn) error) error {
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
	return s.attempt(ctx, s.write, "BEGIN IMMEDIATE", func(conn *sql.Conn) error { return do(context.WithoutCancel(ctx), conn) })
}

// view runs do in a transaction that sees one state of the table, whatever is written meanwhile.
func (s *Store) view(ctx context.Context, do func(*sql.Conn) error) error {
	conn, err := s.read.Conn(ctx)
	if err != nil {
		return s.explain(err)
	}
	defer conn.Close() //nolint:errcheck // it goes back to the others
	return s.attempt(ctx, conn, "BEGIN", do)
}

// attempt is transact, but hardly waits where another has just waited in vain: a run that ends because of that still has
// this and that to note, and must not take minutes.
func (s *Store) attempt(ctx context.Context, conn *sql.Conn, begin string, do func(*sql.Conn) error) error {
	const remembered = time.Minute
	wait := patience
	if at := s.vain.Load(); at != nil && time.Since(*at) < remembered {
		wait = 0
	}
	err := s.explain(transact(ctx, conn, begin, wait, do))
	var fault sqlite3.Error
	if ctx.Err() == nil && errors.Is(err, seen.ErrBusy) || errors.As(err, &fault) && fault.Code == sqlite3.ErrProtocol {
		now := time.Now()
		s.vain.Store(&now)
	} else if err == nil {
		s.vain.Store(nil)
	}
	return err
}

// transact runs do between begin and COMMIT on a connection that nobody else uses meanwhile. It does without sql.Tx, which starts
// a goroutine for each transaction.
func transact(ctx context.Context, conn *sql.Conn, begin string, wait time.Duration, do func(*sql.Conn) error) error {
	if err := beginWaiting(ctx, conn, begin, wait); err != nil {
		return err
	}
	whole := context.WithoutCancel(ctx)
	committed := false
	defer func() {
		if !committed {
			_, _ = conn.ExecContext(whole, "ROLLBACK") // some errors have done it already
		}
	}()
	if err := do(conn); err != nil {
		return err
	}
	if _, err := conn.ExecContext(whole, "COMMIT"); err != nil {
		return err
	}
	committed = true
	return nil
}

// beginWaiting waits so long for the transactions of other processes, and tries once in any case. A refused BEGIN has done
// nothing, so that it may be tried again.
func beginWaiting(ctx context.Context, conn *sql.Conn, begin string, wait time.Duration) error {
	for began := time.Now(); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := conn.ExecContext(context.WithoutCancel(ctx), begin)
		var refused sqlite3.Error
		if !errors.As(err, &refused) || refused.Code != sqlite3.ErrBusy {
			return err
		}
		if time.Since(began) >= wait || ctx.Err() != nil {
			return fmt.Errorf("%w: %w", seen.ErrBusy, err)
		}
	}
}

// querier is what reads: a transaction, or the connections as they are.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
