package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/popfetch/popfetch/internal/durable"
	"github.com/popfetch/popfetch/seen"
)

const historyName = "history.db"

// history keeps the histories of all accounts, in a database of its own beside the seen-table.
//
// Each run writes it, also one without news, which writes nothing else. So it is never synced
// (synchronous=OFF): a killed process leaves it whole, but a power cut may damage it. Then it is
// begun anew. The seen-table must never be written like that.
//
// It is opened when it is first needed. Its methods may be called at the same time.
type history struct {
	store *Store
	mu    sync.Mutex
	db    *sql.DB // nil: not open
	file  fs.FileInfo
}

// historyWait is how long a run waits for other writers and for readers of the history. All of them
// need less than a millisecond for an account.
const historyWait = waiting(2 * time.Second)

func (h *history) path() string { return filepath.Join(h.store.dir, historyName) }

// NoteRun implements seen.Store.
func (s *Store) NoteRun(ctx context.Context, name string, run seen.RunNote) error {
	return s.noteHistory(ctx, name, func(ctx context.Context, tx *sql.Conn, id int64) error {
		return noteRun(ctx, tx, id, run)
	})
}

// NoteNext implements seen.Store.
func (s *Store) NoteNext(ctx context.Context, name string, next time.Time) error {
	return s.noteHistory(ctx, name, func(ctx context.Context, tx *sql.Conn, id int64) error {
		_, err := tx.ExecContext(ctx, "UPDATE account SET next_at = ? WHERE id = ?", seen.Millis(next), id)
		return err
	})
}

// noteHistory runs do in a transaction that writes, with the account's id in the history.
func (s *Store) noteHistory(ctx context.Context, name string, do func(context.Context, *sql.Conn, int64) error) error {
	if s.file == nil {
		return fmt.Errorf("there is no %s", filepath.Join(s.dir, fileName))
	}
	ctx = context.WithoutCancel(ctx) // a run that a signal has ended is noted too
	err := s.history.transact(ctx, orMake, beginWrite, func(tx *sql.Conn) error {
		id, err := historyAccount(ctx, tx, name)
		if err != nil {
			return err
		}
		return do(ctx, tx, id)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.history.path(), durable.ExplainFull(s.dir, err))
	}
	return nil
}

// History implements seen.Store.
func (s *Store) History(ctx context.Context, name string, days int) (h seen.History, err error) {
	today := dayOf(s.now())
	err = s.history.transact(ctx, findOnly, beginRead, func(tx *sql.Conn) (err error) {
		var id int64
		if id, h, err = readHistory(ctx, tx, name); err != nil || id == 0 || days <= 0 {
			return err
		}
		h.Days, err = readDays(ctx, tx, id, today-int64(days)+1, today)
		return err
	})
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return h, nil
	case isDamage(err):
		err = fmt.Errorf("%w; remove the file, or let the account's next run begin it anew", err)
	}
	err = fmt.Errorf("%s: reading the history of account %q: %w", s.history.path(), name, err)
	return seen.History{}, err
}

// renameHistory gives the history of an account another name. Whatever goes wrong, the records have
// their new name, and only the history is missing.
func (s *Store) renameHistory(ctx context.Context, from, to string) {
	if s.file == nil {
		return
	}
	_ = s.history.transact(ctx, findOnly, beginWrite, func(tx *sql.Conn) error {
		const makeRoom = `
			DELETE FROM account WHERE name = ? AND EXISTS (SELECT 1 FROM account WHERE name = ?)`
		if _, err := tx.ExecContext(ctx, makeRoom, to, from); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE account SET name = ? WHERE name = ?", to, from)
		return err
	})
}

// opening says what open does if there is no history yet.
type opening bool

const (
	findOnly opening = false // returns fs.ErrNotExist
	orMake   opening = true
)

// transact runs do in a transaction. A damaged history is removed; a transaction that writes is then
// done in a new one.
func (h *history) transact(ctx context.Context, how opening, begin beginning, do func(*sql.Conn) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.attempt(ctx, how, begin, do)
	if !isDamage(err) || how == findOnly {
		return err
	}
	if removed := h.discard(); removed != nil {
		return errors.Join(err, removed)
	}
	if again := h.attempt(ctx, how, begin, do); again != nil {
		return errors.Join(err, again)
	}
	return fmt.Errorf("%w: %w", seen.ErrHistoryLost, err)
}

func (h *history) attempt(ctx context.Context, how opening, begin beginning, do func(*sql.Conn) error) error {
	if err := h.open(ctx, how); err != nil {
		return err
	}
	conn, err := h.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool
	began := time.Now()
	isOver := func(ctx context.Context) bool {
		return ctx.Err() != nil || time.Since(began) >= time.Duration(historyWait)
	}
	return transact(ctx, conn, isOver, begin, do)
}

// isDamage reports whether a history is damaged, or is no database at all. One of a later version or
// of another program is neither.
func isDamage(err error) bool {
	var fault sqlite3.Error
	return errors.Is(err, errDamaged) ||
		errors.As(err, &fault) && (fault.Code == sqlite3.ErrCorrupt || fault.Code == sqlite3.ErrNotADB)
}

// open opens the history if it is not open yet, or if its file was replaced meanwhile.
func (h *history) open(ctx context.Context, how opening) error {
	info, err := os.Lstat(h.path())
	if h.db != nil {
		if err == nil && os.SameFile(info, h.file) {
			return nil
		}
		h.close()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && how == orMake:
		if info, err = h.make(); err != nil {
			return err
		}
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("no plain file: %w; move it to another folder", errForeign)
	}
	// The rollback journal works on every file system. A small cache is enough for one account.
	const options = "mode=rw&_journal_mode=DELETE&_synchronous=OFF&_foreign_keys=1&_cache_size=-256"
	db, err := sql.Open("sqlite3", dsn(h.path(), options))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if err := migrateHistory(ctx, db); err != nil {
		return errors.Join(err, db.Close())
	}
	h.db, h.file = db, info
	return nil
}

// make makes an empty file, which SQLite would make readable for others. Another process may be
// faster.
func (h *history) make() (fs.FileInfo, error) {
	f, err := os.OpenFile(h.path(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.Lstat(h.path())
}

// discard removes a damaged history.
func (h *history) discard() error {
	h.close()
	var errs []error
	for _, suffix := range []string{"-journal", "-wal", "-shm", ""} {
		if err := os.Remove(h.path() + suffix); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// close closes the history. What was noted is written already.
func (h *history) close() {
	if h.db != nil {
		_ = h.db.Close()
		h.db = nil
	}
}

// migrateHistory brings a history to the present version. An empty file is a new one.
func migrateHistory(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool
	version, err := historyVersion(ctx, conn)
	if err != nil || version == len(historyMigrations) {
		return err
	}
	began := time.Now()
	isOver := func(context.Context) bool { return time.Since(began) >= time.Duration(historyWait) }
	return transact(ctx, conn, isOver, beginWrite, func(tx *sql.Conn) error {
		version, err := historyVersion(ctx, tx) // another process may have been faster
		if err != nil {
			return err
		}
		for ; version < len(historyMigrations); version++ {
			if _, err := tx.ExecContext(ctx, historyMigrations[version]); err != nil {
				return err
			}
		}
		mark := fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", historyID, version)
		_, err = tx.ExecContext(ctx, mark)
		return err
	})
}

func historyVersion(ctx context.Context, q querier) (version int, err error) {
	var app, tables int
	err = q.QueryRowContext(ctx, `
		SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id, pragma_user_version`).
		Scan(&app, &version, &tables)
	switch {
	case err != nil:
		return 0, err
	case app != historyID && tables > 0:
		return 0, fmt.Errorf("%w; move it to another folder", errForeign)
	case version > len(historyMigrations):
		return 0, fmt.Errorf("version %d, known up to %d: %w", version, len(historyMigrations), seen.ErrNewerSchema)
	}
	return version, nil
}

// historyAccount returns the id of an account in the history, which is made if it is new.
func historyAccount(ctx context.Context, tx *sql.Conn, name string) (id int64, err error) {
	err = tx.QueryRowContext(ctx, "SELECT id FROM account WHERE name = ?", name).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.QueryRowContext(ctx, "INSERT INTO account (name) VALUES (?) RETURNING id", name).Scan(&id)
	}
	return id, err
}

// noteRun adds a run to the account and to its day. The number of days is limited, whatever dates
// a wrong clock has made.
func noteRun(ctx context.Context, tx *sql.Conn, id int64, run seen.RunNote) error {
	h, err := scanHistory(tx.QueryRowContext(ctx, selectHistory+" WHERE id = ?", id), &id)
	if err != nil {
		return err
	}
	h.Note(run)
	durations, err := json.Marshal(h.Durations)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		UPDATE account SET ran_at = ?, succeeded_at = ?,
			error_at = ?, error_since = ?, error_status = ?, error_code = ?, error_text = ?,
			next_at = ?, maildrop_at = ?, listed = ?, backlog = ?, quarantined = ?,
			runs = ?, failed = ?, delivered = ?, octets = ?, deleted = ?,
			refused = ?, took = ?, durations = ? WHERE id = ?`,
		seen.Millis(h.RanAt), seen.Millis(h.SucceededAt),
		seen.Millis(h.Error.At), seen.Millis(h.Error.Since), h.Error.Status, h.Error.Code, h.Error.Text,
		seen.Millis(h.NextAt), seen.Millis(h.MaildropAt), h.Maildrop.Listed, h.Maildrop.Backlog, h.Maildrop.Quarantined,
		h.Total.Runs, h.Total.Failed, h.Total.Delivered, h.Total.Octets, h.Total.Deleted,
		h.Total.RefusedLogins, h.Total.Took.Milliseconds(), string(durations), id)
	if err != nil {
		return err
	}
	return noteDay(ctx, tx, id, run)
}

func noteDay(ctx context.Context, tx *sql.Conn, id int64, run seen.RunNote) error {
	number := dayOf(run.At)
	days, err := readDays(ctx, tx, id, number, number)
	if err != nil {
		return err
	}
	isNew := len(days) == 0
	if isNew {
		days = append(days, seen.Day{Date: seen.DateOf(run.At)})
	}
	d := &days[0]
	d.Note(run)
	var texts [3]string
	for i, value := range []any{d.Sizes, d.Durations, d.Errors} {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		texts[i] = string(text)
	}
	_, err = tx.ExecContext(ctx, `
		INSERT OR REPLACE INTO day (account, day, runs, failed, delivered, octets, deleted, quarantined,
			largest, took, longest, sizes, durations, errors)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		id, number, d.Runs, d.Failed, d.Delivered, d.Octets, d.Deleted, d.Quarantined,
		d.Largest, d.Took.Milliseconds(), d.Longest.Milliseconds(),
		texts[0], texts[1], texts[2])
	if err != nil || !isNew {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		DELETE FROM day WHERE account = ?1 AND day <= (
			SELECT day FROM day WHERE account = ?1 ORDER BY day DESC LIMIT 1 OFFSET ?2)`,
		id, seen.HistoryDays)
	return err
}

// dayOf returns the number of a day since 1970.
func dayOf(at time.Time) int64 { return seen.DateOf(at).Unix() / int64(24*time.Hour/time.Second) }

const selectHistory = `
	SELECT id, ran_at, succeeded_at, error_at, error_since, error_status, error_code, error_text, next_at,
		maildrop_at, listed, backlog, quarantined,
		runs, failed, delivered, octets, deleted, refused, took, durations
	FROM account`

// readHistory reads the history of an account, without its days. The id of an unknown one is 0.
func readHistory(ctx context.Context, q querier, name string) (id int64, h seen.History, err error) {
	h, err = scanHistory(q.QueryRowContext(ctx, selectHistory+" WHERE name = ?", name), &id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, seen.History{}, nil
	}
	return id, h, err
}

func scanHistory(row *sql.Row, id *int64) (h seen.History, err error) {
	var ranAt, succeededAt, errorAt, errorSince, nextAt, maildropAt, took int64
	var durations string
	err = row.Scan(id, &ranAt, &succeededAt,
		&errorAt, &errorSince, &h.Error.Status, &h.Error.Code, &h.Error.Text, &nextAt,
		&maildropAt, &h.Maildrop.Listed, &h.Maildrop.Backlog, &h.Maildrop.Quarantined,
		&h.Total.Runs, &h.Total.Failed, &h.Total.Delivered, &h.Total.Octets,
		&h.Total.Deleted, &h.Total.RefusedLogins, &took, &durations)
	if err != nil {
		return seen.History{}, err
	}
	h.RanAt, h.SucceededAt = seen.FromMillis(ranAt), seen.FromMillis(succeededAt)
	h.NextAt, h.MaildropAt = seen.FromMillis(nextAt), seen.FromMillis(maildropAt)
	h.Error.At, h.Error.Since = seen.FromMillis(errorAt), seen.FromMillis(errorSince)
	h.Total.Took = time.Duration(took) * time.Millisecond
	return h, fromJSON([]byte(durations), &h.Durations)
}

// readDays reads the days from first to last.
func readDays(ctx context.Context, q querier, id, first, last int64) (days []seen.Day, err error) {
	rows, err := q.QueryContext(ctx, `
		SELECT day, runs, failed, delivered, octets, deleted, quarantined,
			largest, took, longest, sizes, durations, errors
		FROM day WHERE account = ? AND day BETWEEN ? AND ? ORDER BY day`, id, first, last)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d seen.Day
		var number, took, longest int64
		var texts [3][]byte
		err := rows.Scan(&number, &d.Runs, &d.Failed, &d.Delivered, &d.Octets, &d.Deleted, &d.Quarantined,
			&d.Largest, &took, &longest, &texts[0], &texts[1], &texts[2])
		if err != nil {
			return nil, err
		}
		for i, value := range []any{&d.Sizes, &d.Durations, &d.Errors} {
			if err := fromJSON(texts[i], value); err != nil {
				return nil, err
			}
		}
		d.Date = time.Unix(number*int64(24*time.Hour/time.Second), 0).UTC()
		d.Took, d.Longest = time.Duration(took)*time.Millisecond, time.Duration(longest)*time.Millisecond
		days = append(days, d)
	}
	return days, rows.Err()
}

func fromJSON(text []byte, value any) error {
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil
}
