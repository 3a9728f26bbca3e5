package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/popfetch/popfetch/seen"
)

// reader reads the rows of one account for seen.Compare and seen.Conclude.
type reader struct {
	account int64
	// read runs do on one state of the table.
	read func(ctx context.Context, do func(querier) error) error
}

// rows are the records of an account, read many at a time.
type rows struct {
	chunks func() (string, error) // the next rows as text, see packed; "" at the end
	chunk  string
	last   seen.Key
}

// packed turns many rows into one text. Each row is a list of numbers, the last of which is the
// length of the unique-id, and then the unique-id. A space follows each number.
//
// Reading rows one by one takes half as long again, and allocates several small objects for each.
// Besides, Finish could not change rows while it reads them. Writing and parsing the numbers is
// most of the work. So a plain row, as nearly all are, has only three numbers: kind and time of
// delivery in one, the octets, and the length. A kind that does not fit into two bits is invalid,
// or of a later version.
const packed = `
	SELECT coalesce(group_concat(iif(copy = 0 AND absent_at = 0 AND deleted_at = 0 AND delivered_at >= 0 AND kind BETWEEN 0 AND 3,
		concat_ws(' ', delivered_at * 4 + kind, listed, length(unique_id), unique_id),
		concat_ws(' ', -1, copy, kind, listed, delivered_at, absent_at, deleted_at, length(unique_id), unique_id)), ''), '')
	FROM `

// mergeChunk is how many rows are read at once.
const mergeChunk = 1024

// Between reads each chunk by queries of its own. So the rows that it has passed may be changed
// meanwhile.
func (r *reader) Between(ctx context.Context, ids seen.Range) seen.Rows {
	const (
		mark = "SELECT unique_id, copy FROM seen WHERE account = ? AND (unique_id, copy) > (?, ?) ORDER BY unique_id, copy LIMIT 1 OFFSET ?"
		// The rows come in the order of the primary key, as they are read. ORDER BY would take half
		// as long again; Next checks the order.
		rest = packed + "seen NOT INDEXED WHERE account = ? AND (unique_id, copy) > (?, ?)"
		upTo = rest + " AND (unique_id, copy) <= (?, ?)"
	)
	t := &rows{last: seen.Key{Copy: -1}}
	id, copies, ended := []byte{}, -1, false // id and copies are the key of the last row that was read
	if ids.After != nil {
		id, copies = ids.After, math.MaxInt
	}
	chunk := func(ctx context.Context, q querier) (chunk string, err error) {
		var toID []byte
		var toCopy int
		err = q.QueryRowContext(ctx, mark, r.account, id, copies, mergeChunk-1).Scan(&toID, &toCopy)
		ended = errors.Is(err, sql.ErrNoRows) || err == nil && ids.To != nil && bytes.Compare(toID, ids.To) > 0
		switch {
		case ended && ids.To == nil:
			err = q.QueryRowContext(ctx, rest, r.account, id, copies).Scan(&chunk)
			return chunk, err
		case ended:
			toID, toCopy = ids.To, math.MaxInt
		case err != nil:
			return "", err
		}
		err = q.QueryRowContext(ctx, upTo, r.account, id, copies, toID, toCopy).Scan(&chunk)
		id, copies = toID, toCopy
		return chunk, err
	}
	t.chunks = func() (text string, err error) {
		if ended || ctx.Err() != nil {
			return "", ctx.Err()
		}
		err = r.read(ctx, func(q querier) (err error) {
			text, err = chunk(context.WithoutCancel(ctx), q) // see transact
			return err
		})
		return text, err
	}
	return t
}

// Of reads the records of some unique-ids.
func (r *reader) Of(ctx context.Context, ids []string) seen.Rows {
	t := &rows{last: seen.Key{Copy: -1}}
	t.chunks = func() (chunk string, err error) {
		for chunk == "" && len(ids) > 0 && err == nil {
			where, args := whereIDs(r.account, ids[:min(len(ids), lookupChunk)])
			ids = ids[min(len(ids), lookupChunk):]
			err = r.read(ctx, func(q querier) error {
				return q.QueryRowContext(ctx, packed+"(SELECT * FROM seen"+where+" ORDER BY unique_id, copy)", args...).Scan(&chunk)
			})
		}
		return chunk, err
	}
	return t
}

// Next reads the next row from the chunk.
func (t *rows) Next(row *seen.Row) (bool, error) {
	if t.chunk == "" {
		var err error
		if t.chunk, err = t.chunks(); err != nil || t.chunk == "" {
			return false, err
		}
	}
	next, rest, err := unpack(t.chunk)
	if err != nil {
		return false, err
	}
	if next.Key.Compare(t.last) <= 0 {
		return false, fmt.Errorf("%w: the rows are out of order", errDamaged)
	}
	t.chunk, t.last, *row = rest, next.Key, next
	return true, nil
}

// unpack reads the first row of a chunk. Its unique-id shares the chunk's memory.
func unpack(chunk string) (r seen.Row, rest string, err error) {
	u := unpacking{rest: chunk}
	if first := u.number(); first >= 0 {
		r.Kind, r.DeliveredAt, r.Listed = seen.Kind(first%4), first/4, u.number()
	} else {
		r.Copy, r.Kind, r.Listed = int(u.number()), seen.Kind(u.number()), u.number()
		r.DeliveredAt, r.AbsentAt, r.DeletedAt = u.number(), u.number(), u.number()
	}
	r.UniqueID = u.text(u.number())
	if u.err != nil {
		return seen.Row{}, "", fmt.Errorf("reading rows: %w", u.err)
	}
	return r, u.rest, nil
}

// unpacking reads the text that packed made.
type unpacking struct {
	rest string
	err  error
}

func (u *unpacking) number() int64 {
	number, rest, _ := strings.Cut(u.rest, " ")
	n, err := strconv.ParseInt(number, 10, 64)
	u.rest, u.err = rest, cmp.Or(u.err, err)
	return n
}

func (u *unpacking) text(length int64) string {
	if length < 0 || length > int64(len(u.rest)) {
		u.err = cmp.Or(u.err, fmt.Errorf("a unique-id of %d octets in %d", length, len(u.rest)))
		return ""
	}
	text := u.rest[:length]
	u.rest = u.rest[length:]
	return text
}
