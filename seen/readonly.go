package seen

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/mattn/go-sqlite3"
)

// OpenReadOnly opens the seen-table for a look: nothing in the folder is made or changed, and methods that write fail. Where
// there is no table the store knows nothing. Faults of the table are those of Open.
func OpenReadOnly(ctx context.Context, dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the state folder: %w", err)
	}
	if err := checkFiles(dir); err != nil {
		return nil, err
	}
	s := &Store{dir: dir, path: filepath.Join(dir, fileName), now: time.Now, lookAt: lookAtPlace, lookupCost: lookupCost}
	if s.file, err = regular(s.path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return s, s.remember(ctx, nil)
		}
		return nil, err
	}
	if err := s.connectReadOnly(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", s.path, s.explain(err)), s.Close())
	}
	return s, nil
}

// connectReadOnly makes the connections for a look. Of a table whose version is older, a copy in memory is brought up to date.
func (s *Store) connectReadOnly(ctx context.Context) error {
	options := "mode=ro&_query_only=1"
	_, walErr := os.Lstat(s.path + "-wal")
	_, journalErr := os.Lstat(s.path + "-journal")
	if errors.Is(walErr, fs.ErrNotExist) && errors.Is(journalErr, fs.ErrNotExist) {
		// Nobody has it open. Without this SQLite would make the files beside it, and leave them. steady sees who opens it meanwhile.
		s.frozen = true
		options += "&immutable=1"
	}
	db, err := sql.Open("sqlite3", dsn(s.path, options))
	if err != nil {
		return err
	}
	s.read, s.write = db, db
	version, err := versionOf(ctx, db)
	if err != nil {
		return err
	}
	if err := check(ctx, db); err != nil {
		return err
	}
	if version == len(migrations) {
		return nil
	}
	err = s.remember(ctx, db)
	return errors.Join(err, db.Close())
}

// remember makes the table in memory, as a copy of from or, if that is nil, without any record.
func (s *Store) remember(ctx context.Context, from *sql.DB) error {
	memory, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		return err
	}
	memory.SetMaxOpenConns(1) // each connection would have a table of its own
	s.read, s.write, s.file, s.frozen = memory, memory, nil, false
	if from != nil {
		if err := duplicate(ctx, memory, from); err != nil {
			return err
		}
	}
	if err := migrate(ctx, memory); err != nil {
		return err
	}
	_, err = memory.ExecContext(ctx, "PRAGMA query_only = 1")
	return err
}

// duplicate copies a database.
func duplicate(ctx context.Context, to, from *sql.DB) error {
	source, err := from.Conn(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := to.Conn(ctx)
	if err != nil {
		return err
	}
	defer target.Close()
	return source.Raw(func(s any) error {
		return target.Raw(func(t any) error {
			backup, err := t.(*sqlite3.SQLiteConn).Backup("main", s.(*sqlite3.SQLiteConn), "main")
			if err != nil {
				return err
			}
			_, err = backup.Step(-1)
			return errors.Join(err, backup.Finish())
		})
	})
}

// steady returns err, or, after a look, that the table has changed: what was read from it then may be neither old nor new.
func (s *Store) steady(err error) error {
	if err != nil || !s.frozen {
		return err
	}
	info, err := os.Lstat(s.path)
	if err != nil {
		return fmt.Errorf("the state folder went away: %w", err)
	}
	if !os.SameFile(info, s.file) || info.Size() != s.file.Size() || !info.ModTime().Equal(s.file.ModTime()) {
		return fmt.Errorf("%w: it has just changed what was being looked at; look again", ErrLocked)
	}
	return nil
}
