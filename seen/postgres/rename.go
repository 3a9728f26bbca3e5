package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/popfetch/popfetch/seen"
)

// Rename moves all rows to the account of the new name, because a lease belongs to the row of an
// account. The row of the old name stays for its lease, and is an unknown account from then on.
func (s *Store) Rename(ctx context.Context, from, to string) error {
	if err := s.rename(ctx, from, to); err != nil {
		return fmt.Errorf("renaming account %q to %q: %w", from, to, err)
	}
	return nil
}

func (s *Store) rename(ctx context.Context, from, to string) error {
	var known bool
	err := s.quick(ctx, func(ctx context.Context) error {
		const query = "SELECT true FROM popfetch.account WHERE name = $1 AND since > 0"
		return s.pool.QueryRow(ctx, query, from).Scan(&known)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return seen.ErrUnknown
	case err != nil || from == to:
		return err
	}
	old, err := s.held(from)
	if err != nil {
		return fmt.Errorf("%q: %w", from, err)
	}
	target, err := s.held(to)
	if err != nil {
		return fmt.Errorf("%q: %w", to, err)
	}
	err = s.step(ctx, target, func(ctx context.Context, st *step) error {
		st.limit = unlimited
		return s.moveAll(ctx, st, old, target)
	})
	if isCode(err, codeDemand) {
		return fmt.Errorf("%w: %w", seen.ErrTaken, err)
	}
	return err
}

// ofRecords are the columns of account that belong to its records. The digest is lost, so the next
// Diff compares everything.
const ofRecords = "server, username, since, delivered, listed, oldest, unfinished, finished_at, " +
	"left_since, left_at"

// moveAll moves the rows of one account to another, which has no records.
func (s *Store) moveAll(ctx context.Context, st *step, old, target *hold) error {
	add := func(sql string, args ...any) error { return st.add(ctx, 1, sql, args...) }
	const free = `SELECT popfetch.demand(records = 0, format('%s records', records))
		FROM popfetch.account WHERE id = $1`
	if err := add(free, target.id); err != nil {
		return err
	}
	for _, table := range []string{"aside", "deletion", "standing"} {
		if err := add("DELETE FROM popfetch."+table+" WHERE account = $1", target.id); err != nil {
			return err
		}
	}
	// Without a history, the account takes that of its new name.
	const forget = "DELETE FROM popfetch.%s WHERE account = $1 " +
		"AND EXISTS (SELECT FROM popfetch.history WHERE account = $2)"
	for _, table := range []string{"history_day", "history"} {
		if err := add(fmt.Sprintf(forget, table), target.id, old.id); err != nil {
			return err
		}
	}
	const note = "UPDATE popfetch.account SET (" + ofRecords + ") = (SELECT " + ofRecords +
		" FROM popfetch.account WHERE id = $2) WHERE id = $1"
	if err := add(note, target.id, old.id); err != nil {
		return err
	}
	for _, table := range []string{"seen", "aside", "deletion", "standing", "history", "history_day"} {
		err := add("UPDATE popfetch."+table+" SET account = $1 WHERE account = $2", target.id, old.id)
		if err != nil {
			return err
		}
	}
	const clear = `UPDATE popfetch.account SET server = '', username = '', since = 0,
		delivered = false, listed = 0, digest = NULL,
		oldest = 0, unfinished = false, finished_at = 0, left_since = 0, left_at = 0 WHERE id = $1`
	if err := add(clear, old.id); err != nil {
		return err
	}
	return add("SELECT popfetch.fence($1, $2)", old.id, old.epoch)
}
