package seen

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Commit records messages in one transaction. A second record of a key replaces the first, DeletedAt included, and ends
// its being set aside. The messages must be durable at their target by then. An error does not mean that nothing was recorded,
// so it must not be tried again; see Store.
func (s *Store) Commit(ctx context.Context, account int64, records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	return s.CommitParts(ctx, account, slices.Values([][]Record{records}))
}

// CommitParts is Commit of so many records that they are made part by part: all of them are recorded, or none.
func (s *Store) CommitParts(ctx context.Context, account int64, parts iter.Seq[[]Record]) error {
	err := s.update(ctx, func(whole context.Context, tx *sql.Conn) error {
		for records := range parts {
			if err := cmp.Or(ctx.Err(), insert(whole, tx, account, records)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording messages: %w", err)
	}
	return nil
}

// Replace gives the unique-ids these records instead of all that they have, in one transaction, as Commit does.
func (s *Store) Replace(ctx context.Context, account int64, uniqueIDs []string, records ...Record) error {
	err := s.update(ctx, func(ctx context.Context, tx *sql.Conn) error {
		for chunk := range slices.Chunk(uniqueIDs, lookupChunk) {
			where, args := whereIDs(account, chunk)
			if _, err := tx.ExecContext(ctx, "DELETE FROM seen"+where, args...); err != nil {
				return err
			}
		}
		return insert(ctx, tx, account, records)
	})
	if err != nil {
		return fmt.Errorf("recording %d messages anew: %w", len(records), err)
	}
	return nil
}

// rowsAtOnce is how many records one statement adds; more would gain little.
const rowsAtOnce = 64

// insertion is what adds so many records: first their details, then their rows. The first detail gets the id ?1, and so on.
type insertion struct {
	records       int
	details, rows string
}

var insertOne, insertMany = newInsertion(1), newInsertion(rowsAtOnce)

const insertRow = "INSERT INTO seen (account, unique_id, copy, kind, listed, delivered_at, deleted_at, detail) VALUES "

// Each value that need not be handed over for each row is worth it.
func newInsertion(n int) insertion {
	var details, rows []string
	for i := range n {
		details = append(details, fmt.Sprintf("(?1 + %d, ?, ?, ?, ?)", i))
		rows = append(rows, fmt.Sprintf("(?2, ?, ?, ?, ?, ?, ?, ?1 + %d)", i))
	}
	return insertion{
		records: n,
		details: "INSERT INTO detail (id, octets, digest, sha256, place) VALUES " + strings.Join(details, ", "),
		rows:    insertRow + strings.Join(rows, ", ") + " ON CONFLICT DO NOTHING",
	}
}

// replaceRow puts one record in the place of another.
const replaceRow = insertRow + `(?2, ?, ?, ?, ?, ?, ?, ?1)
	ON CONFLICT DO UPDATE SET kind = excluded.kind, listed = excluded.listed, delivered_at = excluded.delivered_at,
		deleted_at = excluded.deleted_at, absent_at = 0, detail = excluded.detail`

// insert adds records, or replaces those of the same keys, in the transaction tx.
func insert(ctx context.Context, tx *sql.Conn, account int64, records []Record) error {
	var last int64  // of the ids in detail; nobody else writes while the transaction lasts
	var asides bool // hardly any account has any, and looking for each message costs
	err := tx.QueryRowContext(ctx, `
		SELECT (SELECT coalesce(max(id), 0) FROM detail), EXISTS (SELECT 1 FROM aside WHERE account = ?)`, account).Scan(&last, &asides)
	if err != nil {
		return err
	}
	added, delivered := 0, false
	for len(records) > 0 {
		in := &insertOne
		if len(records) >= insertMany.records {
			in = &insertMany
		}
		some := records[:in.records]
		fresh, err := in.insert(ctx, tx, account, last+1, some)
		if err != nil {
			return err
		}
		for _, r := range some {
			delivered = delivered || r.Kind == Delivered
			if asides {
				_, err := tx.ExecContext(ctx, "DELETE FROM aside WHERE account = ? AND unique_id = ? AND copy = ?", account, []byte(r.UniqueID), r.Copy)
				if err != nil {
					return err
				}
			}
		}
		added, last, records = added+fresh, last+int64(len(some)), records[len(some):]
	}
	_, err = tx.ExecContext(ctx, "UPDATE account SET records = records + ?, delivered = max(delivered, ?) WHERE id = ?", added, delivered, account)
	return err
}

// insert adds as many records as in does, whose details get the ids from first on, and returns how many keys are new.
func (in *insertion) insert(ctx context.Context, tx *sql.Conn, account, first int64, records []Record) (added int, err error) {
	const perDetail, perRow = 4, 6
	details := make([]any, 0, 1+perDetail*len(records))
	rows := make([]any, 0, 2+perRow*len(records))
	details = append(details, first)
	rows = append(rows, first, account)
	for i, r := range records {
		if r.Kind == 0 {
			return 0, fmt.Errorf("the record of unique-id %q has no kind", r.UniqueID)
		}
		details = append(details, r.Octets, records[i].Digest[:], records[i].SHA256[:], r.Place)
		rows = append(rows, []byte(r.UniqueID), r.Copy, r.Kind, r.Listed, toMillis(r.DeliveredAt), toMillis(r.DeletedAt))
	}
	if _, err = tx.ExecContext(ctx, in.details, details...); err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, in.rows, rows...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	if err != nil || int(n) == len(records) {
		return int(n), err
	}
	// What is there already takes the new details; those just added keep theirs.
	id := first
	for row := range slices.Chunk(rows[2:], perRow) {
		if _, err := tx.ExecContext(ctx, replaceRow, slices.Concat([]any{id, account}, row)...); err != nil {
			return 0, err
		}
		id++
	}
	return int(n), nil
}

const selectRecord = `
	SELECT unique_id, copy, kind, listed, delivered_at, deleted_at, absent_at, octets, digest, sha256, place
	FROM seen JOIN detail ON detail.id = seen.detail`

func scanRecord(rows *sql.Rows) (Record, error) {
	var r Record
	var digest, sum sql.RawBytes
	var delivered, deleted, absent int64
	err := rows.Scan(&r.UniqueID, &r.Copy, &r.Kind, &r.Listed, &delivered, &deleted, &absent, &r.Octets, &digest, &sum, &r.Place)
	copy(r.Digest[:], digest)
	copy(r.SHA256[:], sum)
	r.DeliveredAt, r.DeletedAt, r.AbsentAt = fromMillis(delivered), fromMillis(deleted), fromMillis(absent)
	return r, err
}

// Records returns all records of the unique-ids, every copy, by unique-id and copy.
func (s *Store) Records(ctx context.Context, account int64, uniqueIDs []string) ([]Record, error) {
	var found []Record
	ids := slices.Compact(slices.Sorted(slices.Values(uniqueIDs)))
	err := s.view(ctx, func(tx *sql.Conn) error {
		for chunk := range slices.Chunk(ids, lookupChunk) {
			where, args := whereIDs(account, chunk)
			for r, err := range queryRecords(ctx, tx, where, args) {
				if err != nil {
					return err
				}
				found = append(found, r)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading records: %w", err)
	}
	return found, nil
}

// All yields every record of an account, by unique-id and copy. An error is yielded once, at the end.
func (s *Store) All(ctx context.Context, account int64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		err := s.view(ctx, func(tx *sql.Conn) error {
			for r, err := range queryRecords(ctx, tx, " WHERE account = ?", []any{account}) {
				if err != nil {
					return err
				}
				if !yield(r, nil) {
					return errEnough
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(Record{}, fmt.Errorf("reading records: %w", err))
		}
	}
}

// errEnough ends a view whose caller has seen enough.
var errEnough = errors.New("enough")

func queryRecords(ctx context.Context, q querier, where string, args []any) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		rows, err := q.QueryContext(ctx, selectRecord+where+" ORDER BY unique_id, copy", args...)
		if err != nil {
			yield(Record{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			r, err := scanRecord(rows)
			if !yield(r, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Record{}, err)
		}
	}
}

// lookupChunk is how many unique-ids one query names.
const lookupChunk = 256

// whereIDs makes the condition that picks the rows of some unique-ids.
func whereIDs(account int64, ids []string) (where string, args []any) {
	args = make([]any, 0, 1+len(ids))
	args = append(args, account)
	for _, id := range ids {
		args = append(args, []byte(id))
	}
	return " WHERE account = ? AND unique_id IN (?" + strings.Repeat(", ?", len(ids)-1) + ")", args
}

// Forget removes the records of the unique-ids (none named: all) and marks them as Wanted; what was refused or quarantined
// is tried as if it never was. It returns how many of both there were. Unique-ids that are not known are passed over.
func (s *Store) Forget(ctx context.Context, account int64, uniqueIDs ...string) (int, error) {
	forgotten := 0
	err := s.update(ctx, func(ctx context.Context, tx *sql.Conn) error {
		if len(uniqueIDs) == 0 {
			return s.forget(ctx, tx, &forgotten, " WHERE account = ?", []any{account})
		}
		for chunk := range slices.Chunk(uniqueIDs, lookupChunk) {
			where, args := whereIDs(account, chunk)
			if err := s.forget(ctx, tx, &forgotten, where, args); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting records: %w", err)
	}
	return forgotten, nil
}

func (s *Store) forget(ctx context.Context, tx *sql.Conn, forgotten *int, where string, args []any) error {
	refused, err := tryAfresh(ctx, tx, where, args)
	if err != nil {
		return err
	}
	now := toMillis(s.now())
	_, err = tx.ExecContext(ctx, `
		INSERT INTO aside (account, unique_id, copy, reason, listed, count, since, last, text, absent_at)
		SELECT account, unique_id, copy, ?, listed, 0, ?, ?, '', absent_at FROM seen`+where+`
		ON CONFLICT DO UPDATE SET reason = excluded.reason`,
		slices.Concat([]any{Wanted, now, now}, args)...)
	if err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, "DELETE FROM seen"+where, args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	*forgotten += refused + int(n)
	return err
}
