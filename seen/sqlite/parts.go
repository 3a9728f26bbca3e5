package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// A step that writes many rows does so in several transactions, so that no other account waits long
// for its own. A transaction writes at most partRows rows, and fewer if they take longer than
// partTime. Between two transactions there is a pause of partPause, in which another process that
// keeps asking finds the table free.
const (
	partRows  = 2048
	partTime  = 250 * time.Millisecond
	partPause = 10 * time.Millisecond
)

// pace decides how many rows the next transaction may write.
type pace struct{ rows, most int }

func (s *Store) pace() *pace { return &pace{rows: s.partRows, most: s.partRows} }

// took adapts the pace to the time that the last transaction took.
func (p *pace) took(d time.Duration) {
	switch {
	case d > partTime:
		p.rows = max(p.rows/4, 1)
	case d < partTime/4:
		p.rows = min(2*p.rows, p.most)
	}
}

// position is the key of a row.
type position struct {
	id   []byte
	copy int
}

// keyRange selects the rows of an account after one position, up to and including another. Its
// arguments are ?1 to ?5.
const keyRange = " account = ?1 AND (unique_id, copy) > (?2, ?3) AND (unique_id, copy) <= (?4, ?5)"

// inParts calls do for all rows that an account has in a table, a part of them at a time, each time
// in a transaction of its own. args are those of keyRange.
func (s *Store) inParts(ctx context.Context, wait waiting, table string, account int64, do func(ctx context.Context, tx *sql.Conn, args []any) error) error {
	pace, from := s.pace(), position{id: []byte{}, copy: -1}
	for more := true; more; {
		began := time.Now()
		err := s.update(ctx, wait, func(ctx context.Context, tx *sql.Conn) error {
			to, found, err := endOfPart(ctx, tx, table, account, from, pace.rows)
			if more = found; err != nil || !found {
				return err
			}
			args := []any{account, from.id, from.copy, to.id, to.copy}
			from = to
			return do(ctx, tx, args)
		})
		if err != nil {
			return err
		}
		pace.took(time.Since(began))
		if more {
			time.Sleep(partPause)
		}
	}
	return nil
}

// endOfPart returns the position of the last of the next rows, or found = false if there are none.
func endOfPart(ctx context.Context, tx *sql.Conn, table string, account int64, from position, rows int) (to position, found bool, err error) {
	behind := "SELECT unique_id, copy FROM " + table + " WHERE account = ? AND (unique_id, copy) > (?, ?) ORDER BY unique_id, copy LIMIT 1 OFFSET ?"
	last := "SELECT unique_id, copy FROM " + table + " WHERE account = ? AND (unique_id, copy) > (?, ?) ORDER BY unique_id DESC, copy DESC LIMIT 1"
	err = tx.QueryRowContext(ctx, behind, account, from.id, from.copy, rows-1).Scan(&to.id, &to.copy)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.QueryRowContext(ctx, last, account, from.id, from.copy).Scan(&to.id, &to.copy)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return to, false, nil
	}
	return to, err == nil, err
}
