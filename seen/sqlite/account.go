package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/popfetch/popfetch/seen"
)

// Look reads the row of the account.
func (s *Store) Look(ctx context.Context, name, server, user string) (seen.Ledger, error) {
	l, err := s.look(ctx, name, server, user)
	if err != nil {
		return nil, fmt.Errorf("looking up account %q: %w", name, err)
	}
	return l, nil
}

func (s *Store) look(ctx context.Context, name, server, user string) (*ledger, error) {
	l := &ledger{store: s}
	err := s.view(ctx, func(tx *sql.Conn) (err error) {
		l.id, l.account, err = lookup(ctx, tx, name, server, user)
		return err
	})
	return l, err
}

// Enter writes only if it has to.
func (s *Store) Enter(ctx context.Context, name, server, user string) (seen.Ledger, error) {
	l, err := s.enter(ctx, name, server, user)
	if err != nil {
		return nil, fmt.Errorf("entering account %q: %w", name, err)
	}
	return l, nil
}

func (s *Store) enter(ctx context.Context, name, server, user string) (*ledger, error) {
	l, err := s.look(ctx, name, server, user)
	if err != nil || l.id != 0 && l.account.Server == server && l.account.User == user {
		return l, err
	}
	err = s.update(ctx, func(ctx context.Context, tx *sql.Conn) (err error) {
		_, err = tx.ExecContext(ctx, `
			INSERT INTO account (name, server, user, since) VALUES (?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET server = excluded.server, user = excluded.user, since = excluded.since`,
			name, server, user, seen.Millis(s.now()))
		if err != nil {
			return err
		}
		if l.id != 0 {
			_, err := tx.ExecContext(ctx, "UPDATE seen SET deleted_at = ? WHERE account = ? AND deleted_at = 0", seen.Millis(s.now()), l.id)
			if err != nil {
				return err
			}
			if _, err := tryAfresh(ctx, tx, " WHERE account = ?", []any{l.id}); err != nil {
				return err
			}
		}
		l.id, l.account, err = lookup(ctx, tx, name, server, user)
		return err
	})
	return l, err
}

// Accounts reads all rows of the table account.
func (s *Store) Accounts(ctx context.Context) ([]seen.Account, error) {
	var all []seen.Account
	err := s.view(ctx, func(tx *sql.Conn) error {
		rows, err := tx.QueryContext(ctx, selectAccount+" ORDER BY name")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			_, a, err := scanAccount(rows)
			if err != nil {
				return err
			}
			all = append(all, a)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for i := range all {
			if err := findTwin(ctx, tx, &all[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the accounts: %w", err)
	}
	return all, nil
}

// Rename changes one row.
func (s *Store) Rename(ctx context.Context, from, to string) error {
	err := s.update(ctx, func(ctx context.Context, tx *sql.Conn) error {
		id, _, err := lookup(ctx, tx, from, "", "")
		if err != nil {
			return err
		}
		if id == 0 {
			return seen.ErrUnknown
		}
		taken, target, err := lookup(ctx, tx, to, "", "")
		if err != nil {
			return err
		}
		if taken == id {
			return nil
		}
		if target.Records > 0 {
			return fmt.Errorf("%w: %q has %d", seen.ErrTaken, to, target.Records)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM account WHERE id = ?", taken); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE account SET name = ? WHERE id = ?", to, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("renaming account %q to %q: %w", from, to, err)
	}
	return nil
}

const selectAccount = `
	SELECT id, name, server, user, since, delivered, records, listed > 0 OR digest IS NOT NULL FROM account`

func scanAccount(row interface{ Scan(...any) error }) (id int64, a seen.Account, err error) {
	var since int64
	err = row.Scan(&id, &a.Name, &a.Server, &a.User, &since, &a.Delivered, &a.Records, &a.Finished)
	a.Since = seen.FromMillis(since)
	return id, a, err
}

// lookup returns the id 0 for an account that is not known.
func lookup(ctx context.Context, q querier, name, server, user string) (id int64, a seen.Account, err error) {
	id, a, err = scanAccount(q.QueryRowContext(ctx, selectAccount+" WHERE name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		id, a, err = 0, seen.Account{Name: name, Server: server, User: user}, nil
	}
	if err != nil {
		return 0, seen.Account{}, err
	}
	return id, a, findTwin(ctx, q, &a)
}

// findTwin looks for the account that this one was before somebody renamed it in the configuration.
func findTwin(ctx context.Context, q querier, a *seen.Account) error {
	if a.Records > 0 {
		return nil
	}
	err := q.QueryRowContext(ctx, `
		SELECT name FROM account WHERE server = ? AND user = ? AND name <> ? AND records > 0 ORDER BY name LIMIT 1`,
		a.Server, a.User, a.Name).Scan(&a.Twin)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
