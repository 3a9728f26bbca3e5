package seen

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Lookup tells what is known of an account and writes nothing; an unknown one has ID 0, and the server and user asked for.
// A known one has the server and user that Enter noted last: records stay with the name.
func (s *Store) Lookup(ctx context.Context, name, server, user string) (Account, error) {
	var a Account
	err := s.view(ctx, func(tx *sql.Conn) (err error) {
		a, err = lookup(ctx, tx, name, server, user)
		return err
	})
	if err != nil {
		return Account{}, fmt.Errorf("looking up account %q: %w", name, err)
	}
	return a, nil
}

// Enter is Lookup, and makes the account or notes its new server and user. Since it may be another maildrop then, whose
// unique-ids mean other messages, each record counts as one of a deleted message until Diff's caller has looked (see Diff.Check),
// and what was quarantined is tried again.
func (s *Store) Enter(ctx context.Context, name, server, user string) (Account, error) {
	a, err := s.Lookup(ctx, name, server, user)
	if err != nil || a.ID != 0 && a.Server == server && a.User == user {
		return a, err
	}
	err = s.update(ctx, func(ctx context.Context, tx *sql.Conn) (err error) {
		_, err = tx.ExecContext(ctx, `
			INSERT INTO account (name, server, user, since) VALUES (?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET server = excluded.server, user = excluded.user, since = excluded.since`,
			name, server, user, toMillis(s.now()))
		if err != nil {
			return err
		}
		if a.ID != 0 {
			_, err := tx.ExecContext(ctx, "UPDATE seen SET deleted_at = ? WHERE account = ? AND deleted_at = 0", toMillis(s.now()), a.ID)
			if err != nil {
				return err
			}
			if _, err := tryAfresh(ctx, tx, " WHERE account = ?", []any{a.ID}); err != nil {
				return err
			}
		}
		a, err = lookup(ctx, tx, name, server, user)
		return err
	})
	if err != nil {
		return Account{}, fmt.Errorf("entering account %q: %w", name, err)
	}
	return a, nil
}

// Accounts lists all accounts by name.
func (s *Store) Accounts(ctx context.Context) ([]Account, error) {
	var all []Account
	err := s.view(ctx, func(tx *sql.Conn) error {
		rows, err := tx.QueryContext(ctx, selectAccount+" ORDER BY name")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			a, err := scanAccount(rows)
			if err != nil {
				return err
			}
			all = append(all, a)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for i := range all {
			if err := all[i].findTwin(ctx, tx); err != nil {
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

// Rename gives an account's state to another name. ErrUnknown: there is no such account. A name that has records itself
// is refused; one without, made by a run that began before the renaming, gives way. The caller holds the locks of both.
func (s *Store) Rename(ctx context.Context, from, to string) error {
	err := s.update(ctx, func(ctx context.Context, tx *sql.Conn) error {
		old, err := lookup(ctx, tx, from, "", "")
		if err != nil {
			return err
		}
		if old.ID == 0 {
			return ErrUnknown
		}
		target, err := lookup(ctx, tx, to, "", "")
		if err != nil {
			return err
		}
		if target.ID == old.ID {
			return nil
		}
		if target.Records > 0 {
			return fmt.Errorf("%w: %q has %d", ErrTaken, to, target.Records)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM account WHERE id = ?", target.ID); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE account SET name = ? WHERE id = ?", to, old.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("renaming account %q to %q: %w", from, to, err)
	}
	return nil
}

const selectAccount = "SELECT id, name, server, user, since, delivered, records, listed > 0 OR digest IS NOT NULL FROM account"

func scanAccount(row interface{ Scan(...any) error }) (Account, error) {
	var a Account
	var since int64
	err := row.Scan(&a.ID, &a.Name, &a.Server, &a.User, &since, &a.Delivered, &a.Records, &a.Finished)
	a.Since = fromMillis(since)
	return a, err
}

func lookup(ctx context.Context, q querier, name, server, user string) (Account, error) {
	a, err := scanAccount(q.QueryRowContext(ctx, selectAccount+" WHERE name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		a, err = Account{Name: name, Server: server, User: user}, nil
	}
	if err != nil {
		return Account{}, err
	}
	return a, a.findTwin(ctx, q)
}

// findTwin looks for the account that this one was before somebody renamed it in the configuration.
func (a *Account) findTwin(ctx context.Context, q querier) error {
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
