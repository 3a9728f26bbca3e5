package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/popfetch/popfetch/seen"
)

// querier is a connection pool, or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// reader reads the rows of one account for seen.Compare and seen.Conclude. No query lasts longer
// than its rows need to arrive.
type reader struct {
	store   *Store
	account int64
	from    querier
	head    bool // only Finished may be read, and that there is nothing else; see Diff
	// noneDiscarded says that Finished has found no row for Discarded, while head is set.
	noneDiscarded bool
}

func (s *Store) reader(account int64) *reader {
	return &reader{store: s, account: account, from: s.pool}
}

// errMore says that Diff needs more than the head.
var errMore = errors.New("more rows are needed")

// Diff asks for the account's row and for doubtful unique-ids in one statement. Nearly always that
// is all. Otherwise it compares in a transaction that sees one state of the tables.
func (l *ledger) Diff(
	ctx context.Context, listing []seen.Entry, due time.Time,
) (d seen.Diff, err error) {
	r := l.store.reader(l.id)
	r.head = true
	moments := int64(0)
	if l.hold != nil {
		moments = l.hold.moments()
	}
	d, err = seen.Compare(ctx, r, listing, due, l.store.tuning)
	if r.noneDiscarded {
		l.noneDiscarded.Store(moments)
	}
	if errors.Is(err, errMore) {
		options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
		err = l.store.txAs(ctx, options, func(tx pgx.Tx) (err error) {
			r := &reader{store: l.store, account: l.id, from: tx}
			d, err = seen.Compare(ctx, r, listing, due, l.store.tuning)
			return err
		})
	}
	if err != nil {
		return seen.Diff{}, fmt.Errorf("comparing the listing with the seen-table: %w",
			l.store.explain(err))
	}
	return d, nil
}

const selectFinished = "SELECT records, listed, digest, oldest"

// Finished reads what the last Finish noted in the row of the account. Account 0 is an unknown one.
func (r *reader) Finished(ctx context.Context) (f seen.Finished, err error) {
	if r.account == 0 {
		return f, nil
	}
	more := false
	scan, query := []any{&f.Records, &f.Listed, &f.Digest, &f.Oldest}, selectFinished
	if r.head {
		scan = append(scan, &more, &r.noneDiscarded)
		query += `, EXISTS (SELECT FROM popfetch.aside WHERE account = a.id AND reason <> 7)
			OR EXISTS (SELECT FROM popfetch.seen WHERE account = a.id AND copy > 0),
			NOT EXISTS (SELECT FROM popfetch.seen WHERE account = a.id AND kind = 6 AND deleted_at = 0)`
	}
	err = r.store.quick(ctx, func(ctx context.Context) error {
		query += " FROM popfetch.account AS a WHERE id = $1"
		return r.from.QueryRow(ctx, query, r.account).Scan(scan...)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		err = seen.ErrUnknown
	case more && err == nil:
		err = errMore
	}
	return f, err
}

// Asides reads all asides but Old messages.
func (r *reader) Asides(ctx context.Context) ([]seen.Aside, error) {
	if r.head {
		return nil, nil
	}
	return collect(ctx, r, scanAside, selectAside+"reason <> 7 ORDER BY unique_id, copy", r.account)
}

// Old reads a range of the asides.
func (r *reader) Old(ctx context.Context, behind seen.Key, limit int) ([]seen.Aside, error) {
	return collect(ctx, r, scanAside,
		selectAside+"reason = 7 AND (unique_id, copy) > ($2, $3) ORDER BY unique_id, copy LIMIT $4",
		r.account, []byte(behind.UniqueID), behind.Copy, limit)
}

// Copies reads an index that holds only the rows with a copy above 0.
func (r *reader) Copies(ctx context.Context, limit int) (map[string]bool, error) {
	if r.head {
		return map[string]bool{}, nil
	}
	const query = `SELECT DISTINCT unique_id FROM popfetch.seen
		WHERE account = $1 AND copy > 0 LIMIT $2`
	return r.ids(ctx, query, r.account, limit)
}

// Expired reads an index that holds only the absent records.
func (r *reader) Expired(ctx context.Context, before int64, limit int) (map[string]bool, error) {
	const query = `SELECT DISTINCT unique_id FROM popfetch.seen
		WHERE account = $1 AND absent_at > 0 AND absent_at < $2 LIMIT $3`
	return r.ids(ctx, query, r.account, before, limit)
}

// Absent counts in the same index.
func (r *reader) Absent(ctx context.Context) (absent int, err error) {
	err = r.store.quick(ctx, func(ctx context.Context) error {
		const query = "SELECT count(*) FROM popfetch.seen WHERE account = $1 AND absent_at > 0"
		return r.from.QueryRow(ctx, query, r.account).Scan(&absent)
	})
	return absent, err
}

// Oldest reads all records of the account.
func (r *reader) Oldest(ctx context.Context) (at int64, err error) {
	err = r.store.quick(ctx, func(ctx context.Context) error {
		return r.from.QueryRow(ctx, `
			SELECT coalesce(min(greatest(delivered_at, 1)), 0) FROM popfetch.seen WHERE account = $1
				AND kind = ANY ($2::bigint[])`,
			r.account, []int64{int64(seen.Delivered), int64(seen.Dropped)}).Scan(&at)
	})
	return at, err
}

// ids returns the unique-ids that a query finds.
func (r *reader) ids(ctx context.Context, query string, args ...any) (map[string]bool, error) {
	found, err := collect(ctx, r, pgx.RowTo[[]byte], query, args...)
	ids := make(map[string]bool, len(found))
	for _, id := range found {
		ids[string(id)] = true
	}
	return ids, err
}

// collect reads all rows of a query.
func collect[T any](
	ctx context.Context, r *reader, scan pgx.RowToFunc[T], query string, args ...any,
) (all []T, err error) {
	err = r.store.quick(ctx, func(ctx context.Context) error {
		rows, err := r.from.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scan)
		return err
	})
	return all, err
}

// rows are the records of an account, read many at a time.
type rows struct {
	chunk  []seen.Row
	chunks func() ([]seen.Row, error) // the next rows; none at the end
}

// Next reads the next row from the chunk.
func (t *rows) Next(row *seen.Row) (bool, error) {
	if len(t.chunk) == 0 {
		var err error
		if t.chunk, err = t.chunks(); err != nil || len(t.chunk) == 0 {
			return false, err
		}
	}
	*row, t.chunk = t.chunk[0], t.chunk[1:]
	return true, nil
}

const selectRow = "SELECT unique_id, copy, kind, listed, delivered_at, absent_at, deleted_at " +
	"FROM popfetch.seen WHERE account = $1 AND "

func scanRow(row pgx.CollectableRow) (r seen.Row, err error) {
	var id []byte
	err = row.Scan(&id, &r.Copy, &r.Kind, &r.Listed, &r.DeliveredAt, &r.AbsentAt, &r.DeletedAt)
	r.UniqueID = string(id)
	return r, err
}

// Of reads the records of some unique-ids.
func (r *reader) Of(ctx context.Context, ids []string) seen.Rows {
	return &rows{chunks: func() (chunk []seen.Row, err error) {
		for len(chunk) == 0 && len(ids) > 0 && err == nil {
			if r.head {
				return nil, errMore
			}
			some := octetsOf(ids[:min(len(ids), r.store.rowsAtOnce)])
			ids = ids[len(some):]
			chunk, err = collect(ctx, r, scanRow,
				selectRow+"unique_id = ANY ($2::bytea[]) ORDER BY unique_id, copy", r.account, some)
		}
		return chunk, err
	}}
}

// Between reads a range of the records. An account of which nothing is known has none.
func (r *reader) Between(ctx context.Context, ids seen.Range) seen.Rows {
	id, copies, ended := []byte{}, int64(-1), r.account == 0 // the key of the last row that was read
	if ids.After != nil {
		id, copies = ids.After, math.MaxInt32
	}
	query := selectRow + "(unique_id, copy) > ($2, $3)"
	args := []any{r.account, nil, nil, r.store.rowsAtOnce}
	if ids.To != nil {
		query, args = query+" AND unique_id <= $5", append(args, ids.To)
	}
	return &rows{chunks: func() (chunk []seen.Row, err error) {
		if ended || r.head {
			if !ended {
				err = errMore
			}
			return nil, err
		}
		args[1], args[2] = id, copies
		chunk, err = collect(ctx, r, scanRow, query+" ORDER BY unique_id, copy LIMIT $4", args...)
		ended = len(chunk) < r.store.rowsAtOnce
		if len(chunk) > 0 {
			last := chunk[len(chunk)-1]
			id, copies = []byte(last.UniqueID), int64(last.Copy)
		}
		return chunk, err
	}}
}
