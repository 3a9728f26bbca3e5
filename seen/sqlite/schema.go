package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/popfetch/popfetch/seen"
)

// applicationID marks a database file as ours ("popf"), so that another program's is never taken for an empty one.
const applicationID = 0x706f7066

// migrations bring a database from version i (PRAGMA user_version) to version i+1. One that was released is never edited.
//
// Times are milliseconds since 1970; 0 stands for none. Unique-ids are BLOBs, which SQLite compares octet by octet as Go
// compares strings, so that a listing and the table can be merged in one order. What the merge does not need is in detail,
// which keeps the rows of seen small.
//
// account.digest, sections as section.go packs them, covers the first account.listed entries of the listing that the last finished
// run left; while it stands, each of these is seen without doubt or set aside. The triggers take it away with whatever could make
// that untrue.
// account.records counts the rows of seen; what adds rows counts them itself, since a trigger for each row would cost half of what
// adding it costs.
var migrations = []string{`
CREATE TABLE account (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	name      TEXT NOT NULL UNIQUE,
	server    TEXT NOT NULL,
	user      TEXT NOT NULL,
	since     INTEGER NOT NULL,
	delivered INTEGER NOT NULL DEFAULT 0,
	records   INTEGER NOT NULL DEFAULT 0,
	listed    INTEGER NOT NULL DEFAULT 0,
	digest    BLOB,
	oldest    INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE seen (
	account      INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	unique_id    BLOB NOT NULL,
	copy         INTEGER NOT NULL,
	kind         INTEGER NOT NULL,
	listed       INTEGER NOT NULL,
	delivered_at INTEGER NOT NULL,
	absent_at    INTEGER NOT NULL DEFAULT 0,
	deleted_at   INTEGER NOT NULL DEFAULT 0,
	detail       INTEGER NOT NULL,
	PRIMARY KEY (account, unique_id, copy)
) STRICT, WITHOUT ROWID;

CREATE INDEX seen_copies ON seen (account, unique_id) WHERE copy > 0;

CREATE TABLE detail (
	id     INTEGER PRIMARY KEY,
	octets INTEGER NOT NULL,
	digest BLOB NOT NULL,
	sha256 BLOB NOT NULL,
	place  TEXT NOT NULL
) STRICT;

CREATE TABLE aside (
	account   INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	unique_id BLOB NOT NULL,
	copy      INTEGER NOT NULL,
	reason    INTEGER NOT NULL,
	listed    INTEGER NOT NULL,
	count     INTEGER NOT NULL,
	since     INTEGER NOT NULL,
	last      INTEGER NOT NULL,
	text      TEXT NOT NULL,
	absent_at INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (account, unique_id, copy)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER seen_added AFTER INSERT ON seen BEGIN
	UPDATE account SET records = records + 1 WHERE id = NEW.account;
END;
CREATE TRIGGER seen_removed AFTER DELETE ON seen BEGIN
	DELETE FROM detail WHERE id = OLD.detail;
	UPDATE account SET records = records - 1, digest = NULL WHERE id = OLD.account;
END;
CREATE TRIGGER seen_changed
AFTER UPDATE OF account, unique_id, copy, kind, listed, delivered_at, deleted_at ON seen BEGIN
	UPDATE account SET digest = NULL WHERE id IN (OLD.account, NEW.account);
END;
CREATE TRIGGER seen_replaced AFTER UPDATE OF detail ON seen WHEN OLD.detail <> NEW.detail BEGIN
	DELETE FROM detail WHERE id = OLD.detail;
END;
CREATE TRIGGER aside_removed AFTER DELETE ON aside BEGIN
	UPDATE account SET digest = NULL WHERE id = OLD.account;
END;
CREATE TRIGGER aside_changed AFTER UPDATE OF account, unique_id, copy ON aside BEGIN
	UPDATE account SET digest = NULL WHERE id IN (OLD.account, NEW.account);
END;
CREATE TRIGGER account_moved AFTER UPDATE OF server, user ON account BEGIN
	UPDATE account SET digest = NULL WHERE id = NEW.id;
END;
`, `
DROP TRIGGER seen_added;

CREATE TABLE standing (
	account        INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
	refusals       INTEGER NOT NULL,
	credential     BLOB,
	not_before     INTEGER NOT NULL,
	reason         TEXT NOT NULL,
	lockstep_since INTEGER NOT NULL,
	shortfall      INTEGER NOT NULL,
	told           TEXT NOT NULL,
	told_at        INTEGER NOT NULL
) STRICT;

CREATE TRIGGER account_left AFTER UPDATE OF server, user ON account BEGIN
	DELETE FROM standing WHERE account = NEW.id;
END;

ALTER TABLE aside ADD COLUMN told_at INTEGER NOT NULL DEFAULT 0;
`, `
CREATE INDEX seen_absent ON seen (account, absent_at) WHERE absent_at > 0;

ALTER TABLE standing ADD COLUMN announced TEXT NOT NULL DEFAULT '';
`, `
-- It was one digest over all, and now it is sections, of which an empty maildrop has none. Besides, it says that a run was finished.
UPDATE account SET digest = iif(listed = 0, x'', NULL) WHERE digest IS NOT NULL;
`}

// recognise refuses a database that is not ours, is of a later version or is damaged. It has a connection of its own, because
// setting the journal mode of the one that writes changes the file.
func (s *Store) recognise(ctx context.Context) (err error) {
	db, err := sql.Open("sqlite3", dsn(s.path, "mode=rw&_query_only=1"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if _, err = versionOf(ctx, db); err != nil {
		return err
	}
	if c := readChecked(filepath.Join(s.dir, checkedName)); c.holds(s.path, s.file, s.now()) {
		s.whole = c.until
		return nil
	}
	if err := check(ctx, db); err != nil {
		return err
	}
	s.whole = s.now().Add(checkedFor).Unix()
	return nil
}

// versionOf returns the version of a database, and refuses one that is not ours or of a later version.
func versionOf(ctx context.Context, db *sql.DB) (version int, err error) {
	var app int
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&app); err != nil {
		return 0, err
	}
	if app != applicationID {
		return 0, errForeign
	}
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, err
	}
	if version > len(migrations) {
		return 0, fmt.Errorf("version %d, known up to %d: %w", version, len(migrations), seen.ErrNewerSchema)
	}
	return version, nil
}

// checkedPages is how large a database may be, in pages of 4 KiB, to be looked through: ten million records, which takes some seconds.
const checkedPages = 1 << 18

// check looks for damage. Damage that shows only when the first messages are recorded would have them delivered again by
// every run (behaviour 32).
func check(ctx context.Context, db *sql.DB) error {
	var pages int
	if err := db.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil || pages > checkedPages {
		return err
	}
	var result string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return err
	}
	if result != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, strings.Join(strings.Fields(result), " "))
	}
	return nil
}

// migrate brings the database to the present version, each step in a transaction of its own. Open's lock keeps other
// processes from doing it at the same time.
func migrate(ctx context.Context, conn *sql.Conn) error {
	var version int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	for ; version < len(migrations); version++ {
		err := transact(ctx, conn, "BEGIN IMMEDIATE", patience, func(tx *sql.Conn) error {
			if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version+1))
			return err
		})
		if err != nil {
			return fmt.Errorf("bringing version %d to %d: %w", version, version+1, err)
		}
	}
	return nil
}
