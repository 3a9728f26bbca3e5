package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// What writes many rows does so in several transactions, so that no other account waits long for its own. None writes more than
// partRows rows, and fewer where that takes longer than partTime. Between two of them there is a pause, in which another process
// that asks from time to time finds the table free.
const (
	partRows  = 2048
	partTime  = 250 * time.Millisecond
	partPause = 10 * time.Millisecond
)

// pace tells how many rows the next transaction may write.
type pace struct{ rows, most int }

func (s *Store) pace() *pace { return &pace{rows: s.partRows, most: s.partRows} }

// took says how long the last transaction took.
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

// keyRange picks the rows of an account behind one position, up to and with another, by the arguments ?1 to ?5.
const keyRange = " account = ?1 AND (unique_id, copy) > (?2, ?3) AND (unique_id, copy) <= (?4, ?5)"

// inParts calls do for all rows that an account has in a table, some of them each time, in a transaction of its own. args are those of
// keyRange.
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

// endOfPart returns the position of the last of so many rows; not found: there are none.
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
