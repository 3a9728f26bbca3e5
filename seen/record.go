package seen

import (
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
	in, err := s.prepareInsertions(ctx)
	if err != nil {
		return fmt.Errorf("recording messages: %w", err)
	}
	err = s.update(ctx, func(tx *sql.Tx) error {
		for records := range parts {
			if err := in.insert(ctx, tx, account, records); err != nil {
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
	in, err := s.prepareInsertions(ctx)
	if err != nil {
		return fmt.Errorf("recording %d messages anew: %w", len(records), err)
	}
	err = s.update(ctx, func(tx *sql.Tx) error {
		for chunk := range slices.Chunk(uniqueIDs, lookupChunk) {
			where, args := whereIDs(account, chunk)
			if _, err := tx.ExecContext(ctx, "DELETE FROM seen"+where, args...); err != nil {
				return err
			}
		}
		return in.insert(ctx, tx, account, records)
	})
	if err != nil {
		return fmt.Errorf("recording %d messages anew: %w", len(records), err)
	}
	return nil
}

// rowsAtOnce is how many records one statement adds; more would gain little.
const rowsAtOnce = 16

// insertions are the statements by which records are added, made once for all transactions.
type insertions struct {
	details, rows map[int]*sql.Stmt // by how many records they add: one or rowsAtOnce
	replace       *sql.Stmt
}

// prepareInsertions must be called before a transaction begins, which takes the one connection.
func (s *Store) prepareInsertions(ctx context.Context) (*insertions, error) {
	s.adding.Lock()
	defer s.adding.Unlock()
	var err error
	if s.insertions == nil {
		s.insertions, err = newInsertions(ctx, s.write)
	}
	return s.insertions, err
}

func newInsertions(ctx context.Context, db *sql.DB) (_ *insertions, err error) {
	in := &insertions{details: make(map[int]*sql.Stmt), rows: make(map[int]*sql.Stmt)}
	const row = "INSERT INTO seen (account, unique_id, copy, kind, listed, delivered_at, deleted_at, detail) VALUES "
	values := func(columns, rows int) string {
		one := "(?" + strings.Repeat(", ?", columns-1) + ")"
		return one + strings.Repeat(", "+one, rows-1)
	}
	for _, n := range []int{1, rowsAtOnce} {
		in.details[n], err = db.PrepareContext(ctx, "INSERT INTO detail (id, octets, digest, sha256, place) VALUES "+values(5, n)) //nolint:sqlclosecheck // Store.Close does it
		if err != nil {
			return nil, err
		}
		in.rows[n], err = db.PrepareContext(ctx, row+values(8, n)+" ON CONFLICT DO NOTHING") //nolint:sqlclosecheck // likewise
		if err != nil {
			return nil, err
		}
	}
	in.replace, err = db.PrepareContext(ctx, row+values(8, 1)+`
		ON CONFLICT DO UPDATE SET kind = excluded.kind, listed = excluded.listed, delivered_at = excluded.delivered_at,
			deleted_at = excluded.deleted_at, absent_at = 0, detail = excluded.detail`)
	if err != nil {
		return nil, err
	}
	return in, nil
}

// insert adds records, or replaces those of the same keys, in the transaction tx.
func (in *insertions) insert(ctx context.Context, tx *sql.Tx, account int64, records []Record) error {
	var last int64  // of the ids in detail; nobody else writes while the transaction lasts
	var asides bool // hardly any account has any, and looking for each message costs
	err := tx.QueryRowContext(ctx, `
		SELECT (SELECT coalesce(max(id), 0) FROM detail), EXISTS (SELECT 1 FROM aside WHERE account = ?)`, account).Scan(&last, &asides)
	if err != nil {
		return err
	}
	// The driver would start a goroutine for each statement that could be cancelled. The transaction still can be.
	ctx = context.WithoutCancel(ctx)
	added, delivered := 0, false
	for len(records) > 0 {
		n := 1
		if len(records) >= rowsAtOnce {
			n = rowsAtOnce
		}
		fresh, err := in.insertSome(ctx, tx, account, last+1, records[:n])
		if err != nil {
			return err
		}
		for _, r := range records[:n] {
			delivered = delivered || r.Kind == Delivered
			if asides {
				_, err := tx.ExecContext(ctx, "DELETE FROM aside WHERE account = ? AND unique_id = ? AND copy = ?", account, []byte(r.UniqueID), r.Copy)
				if err != nil {
					return err
				}
			}
		}
		added, last, records = added+fresh, last+int64(n), records[n:]
	}
	_, err = tx.ExecContext(ctx, "UPDATE account SET records = records + ?, delivered = max(delivered, ?) WHERE id = ?", added, delivered, account)
	return err
}

// insertSome adds one record or rowsAtOnce, whose details get the ids from first on, and returns how many keys are new.
func (in *insertions) insertSome(ctx context.Context, tx *sql.Tx, account, first int64, records []Record) (added int, err error) {
	details := make([]any, 0, 5*len(records))
	rows := make([]any, 0, 8*len(records))
	for i, r := range records {
		if r.Kind == 0 {
			return 0, fmt.Errorf("the record of unique-id %q has no kind", r.UniqueID)
		}
		id := first + int64(i)
		details = append(details, id, r.Octets, records[i].Digest[:], records[i].SHA256[:], r.Place)
		rows = append(rows, account, []byte(r.UniqueID), r.Copy, r.Kind, r.Listed, toMillis(r.DeliveredAt), toMillis(r.DeletedAt), id)
	}
	_, err = tx.StmtContext(ctx, in.details[len(records)]).ExecContext(ctx, details...) //nolint:sqlclosecheck // the transaction does it
	if err != nil {
		return 0, err
	}
	result, err := tx.StmtContext(ctx, in.rows[len(records)]).ExecContext(ctx, rows...) //nolint:sqlclosecheck // likewise
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	if err != nil || int(n) == len(records) {
		return int(n), err
	}
	replace := tx.StmtContext(ctx, in.replace) // what is there already takes the new details; those just added keep theirs
	for row := range slices.Chunk(rows, 8) {
		if _, err := replace.ExecContext(ctx, row...); err != nil {
			return 0, err
		}
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
	err := s.view(ctx, func(tx *sql.Tx) error {
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
		err := s.view(ctx, func(tx *sql.Tx) error {
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
	err := s.update(ctx, func(tx *sql.Tx) error {
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

func (s *Store) forget(ctx context.Context, tx *sql.Tx, forgotten *int, where string, args []any) error {
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
