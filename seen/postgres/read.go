package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/popfetch/popfetch/seen"
)

// each calls do for each row of a query, which sees one state of the tables. A server that sends
// nothing for too long is away.
func (s *Store) each(ctx context.Context, query string, args []any, do func(pgx.Rows) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(patience, func() { cancel(errSilent) })
	defer watch.Stop()
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return s.explain(cause(ctx, err))
	}
	defer rows.Close()
	for rows.Next() {
		watch.Stop()
		if err := do(rows); err != nil {
			return err
		}
		watch.Reset(patience)
	}
	return s.explain(cause(ctx, rows.Err()))
}

// errSilent says that the server has sent nothing for too long.
var errSilent = fmt.Errorf("%w: it does not answer", ErrAway)

// cause returns errSilent in place of what followed from it.
func cause(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		return errSilent
	}
	return err
}

const selectRecord = `
	SELECT unique_id, copy, kind, listed, delivered_at, deleted_at, absent_at, octets, digest, sha256,
		place, places
	FROM popfetch.seen WHERE account = $1`

func scanRecord(row pgx.Row) (r seen.Record, err error) {
	var id, digest, sum, place []byte
	var delivered, deleted, absent int64
	var places string
	err = row.Scan(&id, &r.Copy, &r.Kind, &r.Listed, &delivered, &deleted, &absent, &r.Came.Octets,
		&digest, &sum, &place, &places)
	if err != nil {
		return r, err
	}
	r.UniqueID = string(id)
	copy(r.Digest[:], digest)
	copy(r.Came.SHA256[:], sum)
	r.DeliveredAt, r.DeletedAt = seen.FromMillis(delivered), seen.FromMillis(deleted)
	r.AbsentAt = seen.FromMillis(absent)
	return r, unpackPlaces(&r, place, places)
}

// Records looks up the unique-ids.
func (l *ledger) Records(ctx context.Context, uniqueIDs []string) (found []seen.Record, err error) {
	ids := octetsOf(slices.Compact(slices.Sorted(slices.Values(uniqueIDs))))
	for r, err := range l.records(ctx, " AND unique_id = ANY ($2::bytea[])", ids) {
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, nil
}

// All reads all rows of the account.
func (l *ledger) All(ctx context.Context) iter.Seq2[seen.Record, error] {
	return l.records(ctx, "")
}

// Remaining reads all rows of the account.
func (l *ledger) Remaining(ctx context.Context) iter.Seq2[seen.Record, error] {
	return l.records(ctx, " AND (absent_at = 0 OR deleted_at = 0)")
}

// Imported reads all rows of the account.
func (l *ledger) Imported(ctx context.Context, until time.Time) iter.Seq2[seen.Record, error] {
	const where = " AND kind = ANY ($2::bigint[]) AND absent_at = 0 AND deleted_at = 0 " +
		"AND delivered_at <= $3"
	kinds := []int64{int64(seen.Imported), int64(seen.Sanitized)}
	return l.records(ctx, where, kinds, seen.Millis(until))
}

// records yields the records of the account that the rest of a condition selects. args are behind
// the account.
func (l *ledger) records(
	ctx context.Context, where string, args ...any,
) iter.Seq2[seen.Record, error] {
	return func(yield func(seen.Record, error) bool) {
		err := l.store.each(ctx, selectRecord+where+" ORDER BY unique_id, copy",
			append([]any{l.id}, args...), func(row pgx.Rows) error {
				r, err := scanRecord(row)
				if err == nil && !yield(r, nil) {
					err = errEnough
				}
				return err
			})
		if err != nil && !errors.Is(err, errEnough) {
			yield(seen.Record{}, fmt.Errorf("reading records: %w", err))
		}
	}
}

// errEnough ends a query whose caller wants no more rows.
var errEnough = errors.New("enough")

// Newest reads all rows of the account.
func (l *ledger) Newest(ctx context.Context) (time.Time, error) {
	var at int64
	err := l.store.quick(ctx, func(ctx context.Context) error {
		const query = "SELECT coalesce(max(delivered_at), 0) FROM popfetch.seen WHERE account = $1"
		return l.store.pool.QueryRow(ctx, query, l.id).Scan(&at)
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the latest delivery: %w", err)
	}
	return seen.FromMillis(at), nil
}

// CountDue reads all rows of the account.
func (l *ledger) CountDue(ctx context.Context, due time.Time) (n int, err error) {
	first := int64(1) // an unknown time of delivery is 0
	if due.Equal(seen.AnyTime) {
		first = 0
	}
	err = l.store.quick(ctx, func(ctx context.Context) error {
		return l.store.pool.QueryRow(ctx, `
			SELECT count(*) FROM popfetch.seen
			WHERE account = $1 AND kind = ANY ($2::bigint[]) AND absent_at = 0 AND deleted_at = 0
				AND delivered_at BETWEEN $3 AND $4`,
			l.id, []int64{int64(seen.Delivered), int64(seen.Dropped)}, first, seen.Millis(due)).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("counting the messages that are due: %w", err)
	}
	return n, nil
}

// Deletions reads the log of the account.
func (l *ledger) Deletions(ctx context.Context, since time.Time) iter.Seq2[seen.Deletion, error] {
	const query = `
		SELECT unique_id, octets, sha256, rule, delivered_at, deleted_at FROM popfetch.deletion
		WHERE account = $1 AND deleted_at >= $2 ORDER BY deleted_at, id`
	return func(yield func(seen.Deletion, error) bool) {
		err := l.store.each(ctx, query, []any{l.id, seen.Millis(since)}, func(row pgx.Rows) error {
			var d seen.Deletion
			var id, sum []byte
			var delivered, deleted int64
			if err := row.Scan(&id, &d.Octets, &sum, &d.Rule, &delivered, &deleted); err != nil {
				return err
			}
			d.UniqueID, d.DeliveredAt = string(id), seen.FromMillis(delivered)
			d.DeletedAt = seen.FromMillis(deleted)
			copy(d.SHA256[:], sum)
			if !yield(d, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(seen.Deletion{}, fmt.Errorf("reading the log of deletions: %w", err))
		}
	}
}

// storable returns a text that PostgreSQL takes: valid UTF-8 without NUL.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
