package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/seen"
)

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
func insert(ctx context.Context, tx *sql.Conn, account int64, records []seen.Record) error {
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
			delivered = delivered || r.Kind == seen.Delivered
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
func (in *insertion) insert(ctx context.Context, tx *sql.Conn, account, first int64, records []seen.Record) (added int, err error) {
	const perDetail, perRow = 4, 6
	details := make([]any, 0, 1+perDetail*len(records))
	rows := make([]any, 0, 2+perRow*len(records))
	details = append(details, first)
	rows = append(rows, first, account)
	for i, r := range records {
		if r.Kind == 0 {
			return 0, fmt.Errorf("the record of unique-id %q has no kind", r.UniqueID)
		}
		details = append(details, r.Came.Octets, records[i].Digest[:], records[i].Came.SHA256[:], placeOf(r))
		rows = append(rows, []byte(r.UniqueID), r.Copy, r.Kind, r.Listed, seen.Millis(r.DeliveredAt), seen.Millis(r.DeletedAt))
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
