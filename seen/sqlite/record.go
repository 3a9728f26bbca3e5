package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/seen"
)

// rowsAtOnce is how many records one statement adds. A larger number would save little time.
const rowsAtOnce = 64

// insertion holds the statements that add a fixed number of records. The first adds their details,
// which get the ids from ?1 on. The second adds the place of each, if all have the usual one. The
// third adds their rows.
type insertion struct {
	records               int
	details, places, rows string
}

// recordTable holds the statements that add records to the table seen or to staged_record.
type recordTable struct {
	name       string
	one, many  insertion
	replaceRow string // puts one record in the place of another
}

var (
	seenTable   = newRecordTable("seen")
	stagedTable = newRecordTable("staged_record")
)

// onConflict says how a record changes an existing one with the same key.
const onConflict = `
	ON CONFLICT DO UPDATE SET kind = excluded.kind, listed = excluded.listed, delivered_at = excluded.delivered_at,
		deleted_at = excluded.deleted_at, absent_at = 0, detail = excluded.detail`

func newRecordTable(name string) *recordTable {
	insertRow := "INSERT INTO " + name + " (account, unique_id, copy, kind, listed, delivered_at, deleted_at, detail) VALUES "
	return &recordTable{
		name: name, one: newInsertion(insertRow, 1), many: newInsertion(insertRow, rowsAtOnce),
		replaceRow: insertRow + "(?2, ?, ?, ?, ?, ?, ?, ?1)" + onConflict,
	}
}

// Values that are equal for all rows are passed only once, which saves noticeable time.
func newInsertion(insertRow string, n int) insertion {
	var details, places, rows []string
	for i := range n {
		details = append(details, fmt.Sprintf("(?1 + %d, ?, ?, ?)", i))
		places = append(places, fmt.Sprintf("(?1 + %d, 0, '', ?)", i))
		rows = append(rows, fmt.Sprintf("(?2, ?, ?, ?, ?, ?, ?, ?1 + %d)", i))
	}
	return insertion{
		records: n,
		details: "INSERT INTO detail (id, octets, digest, sha256) VALUES " + strings.Join(details, ", "),
		places:  "INSERT INTO place (detail, number, target, name) VALUES " + strings.Join(places, ", "),
		rows:    insertRow + strings.Join(rows, ", ") + " ON CONFLICT DO NOTHING",
	}
}

// insert adds records, or replaces those with the same keys, in the transaction tx.
func insert(ctx context.Context, tx *sql.Conn, account int64, records []seen.Record) error {
	if len(records) == 0 {
		return nil
	}
	added, err := seenTable.insert(ctx, tx, account, records)
	if err != nil {
		return err
	}
	// Hardly any account has asides, and looking for one for each message takes time.
	var asides bool
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM aside WHERE account = ?)", account).Scan(&asides); err != nil {
		return err
	}
	delivered := false
	for i := range records {
		delivered = delivered || records[i].Kind == seen.Delivered
		if asides {
			_, err := tx.ExecContext(ctx, removeRow[1], account, []byte(records[i].UniqueID), records[i].Copy)
			if err != nil {
				return err
			}
		}
	}
	_, err = tx.ExecContext(ctx, "UPDATE account SET records = records + ?, delivered = max(delivered, ?) WHERE id = ?", added, delivered, account)
	return err
}

// insert adds records to the table, and returns the number of new keys.
func (t *recordTable) insert(ctx context.Context, tx *sql.Conn, account int64, records []seen.Record) (added int, err error) {
	// The last id in detail. Nobody else writes during the transaction.
	var last int64
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM detail").Scan(&last); err != nil {
		return 0, err
	}
	for len(records) > 0 {
		in := &t.one
		if len(records) >= t.many.records {
			in = &t.many
		}
		fresh, err := t.insertSome(ctx, tx, in, account, last+1, records[:in.records])
		if err != nil {
			return 0, err
		}
		added, last, records = added+fresh, last+int64(in.records), records[in.records:]
	}
	return added, nil
}

// insertSome adds one group of records with the statements in. Their details get the ids from first
// on. It returns the number of new keys.
func (t *recordTable) insertSome(ctx context.Context, tx *sql.Conn, in *insertion, account, first int64, records []seen.Record) (added int, err error) {
	const perDetail, perRow = 3, 6
	details := make([]any, 0, 1+perDetail*len(records))
	rows := make([]any, 0, 2+perRow*len(records))
	details = append(details, first)
	rows = append(rows, first, account)
	for i := range records {
		r := &records[i]
		if r.Kind == 0 {
			return 0, fmt.Errorf("the record of unique-id %q has no kind", r.UniqueID)
		}
		details = append(details, r.Came.Octets, r.Digest[:], r.Came.SHA256[:])
		rows = append(rows, []byte(r.UniqueID), r.Copy, r.Kind, r.Listed, seen.Millis(r.DeliveredAt), seen.Millis(r.DeletedAt))
	}
	if _, err = tx.ExecContext(ctx, in.details, details...); err != nil {
		return 0, err
	}
	if err := in.insertPlaces(ctx, tx, first, records); err != nil {
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
	// A record that exists already gets the new details; records that were just added keep theirs.
	id := first
	for row := range slices.Chunk(rows[2:], perRow) {
		if _, err := tx.ExecContext(ctx, t.replaceRow, slices.Concat([]any{id, account}, row)...); err != nil {
			return 0, err
		}
		id++
	}
	return int(n), nil
}

// isUsual reports whether a message went to the account's own target, unchanged, and nowhere else.
func isUsual(r *seen.Record) bool {
	return len(r.Places) == 1 && r.Places[0].Target == "" && r.Places[0].Sum == r.Came
}

// insertPlaces adds the places of records whose details have the ids from first on.
func (in *insertion) insertPlaces(ctx context.Context, tx *sql.Conn, first int64, records []seen.Record) error {
	names := make([]any, 0, 1+len(records))
	names = append(names, first)
	for i := range records {
		if isUsual(&records[i]) {
			names = append(names, records[i].Places[0].Name)
		}
	}
	if len(names) == 1+len(records) {
		_, err := tx.ExecContext(ctx, in.places, names...)
		return err
	}
	for i := range records {
		for n, p := range records[i].Places {
			var octets, sum any // NULL: as it came
			if p.Sum != records[i].Came {
				octets, sum = p.Octets, p.SHA256[:]
			}
			_, err := tx.ExecContext(ctx, "INSERT INTO place (detail, number, target, name, octets, sha256) VALUES (?, ?, ?, ?, ?, ?)",
				first+int64(i), n, p.Target, p.Name, octets, sum)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
