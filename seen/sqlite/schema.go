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

// recognise refuses a database that is not ours, is of a later version or is damaged. It has a
// connection of its own, because the writing connection sets the journal mode, which changes the
// file.
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

// versionOf returns the version of a database. It refuses one that is not ours or of a later
// version.
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

// checkedPages is the size of the largest database that is checked for damage, in pages of 4 KiB.
// That is ten million records, which takes some seconds.
const checkedPages = 1 << 18

// check looks for damage. If damage showed only when the first messages are recorded, every run
// would deliver them again (behaviour 32).
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

// migrate brings the database to the present version, each step in a transaction of its own. The
// lock of Open keeps other processes from migrating at the same time.
func (s *Store) migrate(ctx context.Context, conn *sql.Conn) error {
	var version int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	for ; version < len(migrations); version++ {
		err := transact(ctx, conn, s.newWait(patience).isOver, beginWrite, func(tx *sql.Conn) error {
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
