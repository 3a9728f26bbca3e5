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
	l, state, err := s.lookUp(ctx, name, server, user)
	if err == nil && state == complete {
		err = seen.ErrUnsettled
	}
	return l, err
}

// lookUp reads one account, and how far its staging is.
func (s *Store) lookUp(ctx context.Context, name, server, user string) (l *ledger, state int, err error) {
	l = &ledger{store: s}
	err = s.view(ctx, func(tx *sql.Conn) (err error) {
		if l.id, l.account, err = lookup(ctx, tx, name, server, user); err != nil {
			return err
		}
		state, err = stagedState(ctx, tx, l.id)
		return err
	})
	return l, state, err
}

// Enter writes only if something has changed.
func (s *Store) Enter(ctx context.Context, name, server, user string) (seen.Ledger, error) {
	l, err := s.enter(ctx, name, server, user)
	if err != nil {
		return nil, fmt.Errorf("entering account %q: %w", name, err)
	}
	return l, nil
}

func (s *Store) enter(ctx context.Context, name, server, user string) (*ledger, error) {
	l, state, err := s.lookUp(ctx, name, server, user)
	if err != nil {
		return nil, err
	}
	known := l.id != 0 && l.account.Server == server && l.account.User == user
	if known && state == notStaged && !l.account.Unfinished {
		l.entered = true
		return l, nil
	}
	if err := l.clear(ctx, patience); err != nil {
		return nil, err
	}
	if l.account.Unfinished {
		if err := s.noteLeft(ctx, l); err != nil {
			return nil, err
		}
	}
	if l.id != 0 && !known {
		if err := s.retire(ctx, l.id); err != nil {
			return nil, err
		}
	}
	if !known {
		if err := s.note(ctx, name, server, user); err != nil {
			return nil, err
		}
	}
	l, _, err = s.lookUp(ctx, name, server, user)
	l.entered = true
	return l, err
}

// noteLeft notes that an unfinished run may have left mail without records.
func (s *Store) noteLeft(ctx context.Context, l *ledger) error {
	since, now := l.account.FinishedAt, s.now()
	if l.account.LeftWithin(now) && l.account.LeftSince.Before(since) {
		since = l.account.LeftSince
	}
	return s.update(ctx, patience, func(ctx context.Context, tx *sql.Conn) error {
		_, err := tx.ExecContext(ctx, "UPDATE account SET left_since = ?, left_at = ? WHERE id = ?",
			seen.Millis(since), seen.Millis(now), l.id)
		return err
	})
}

// note notes the server and user of an account. It is called after retire. In the other order, a
// run killed between the two would take the records of one maildrop for those of another.
func (s *Store) note(ctx context.Context, name, server, user string) error {
	return s.update(ctx, patience, func(ctx context.Context, tx *sql.Conn) error {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO account (name, server, user, since) VALUES (?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET server = excluded.server, user = excluded.user, since = excluded.since`,
			name, server, user, seen.Millis(s.now()))
		return err
	})
}

// retire makes every record count as one of a deleted message, and resets everything that was
// refused.
func (s *Store) retire(ctx context.Context, account int64) error {
	stamp := fmt.Sprintf("UPDATE seen SET deleted_at = %d WHERE %s AND deleted_at = 0", seen.Millis(s.now()), keyRange)
	if err := s.inParts(ctx, patience, "seen", account, execAll([]string{stamp})); err != nil {
		return err
	}
	return s.inParts(ctx, patience, "aside", account, func(ctx context.Context, tx *sql.Conn, args []any) error {
		_, err := tryAfresh(ctx, tx, " WHERE"+keyRange, args, refused...)
		return err
	})
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

// Servers reads a few columns of all accounts.
func (l *ledger) Servers(ctx context.Context, user string) (servers []string, err error) {
	err = l.store.view(ctx, func(tx *sql.Conn) error {
		rows, err := tx.QueryContext(ctx, "SELECT DISTINCT server FROM account WHERE user = ? ORDER BY server", user)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var server string
			if err := rows.Scan(&server); err != nil {
				return err
			}
			servers = append(servers, server)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("listing the servers of a user: %w", err)
	}
	return servers, nil
}

// Rename changes one row. Before, it removes an account without records that has the new name.
func (s *Store) Rename(ctx context.Context, from, to string) error {
	if err := s.rename(ctx, from, to); err != nil {
		return fmt.Errorf("renaming account %q to %q: %w", from, to, err)
	}
	return nil
}

func (s *Store) rename(ctx context.Context, from, to string) error {
	old, _, err := s.lookUp(ctx, from, "", "")
	if err != nil {
		return err
	}
	if old.id == 0 {
		return seen.ErrUnknown
	}
	target, _, err := s.lookUp(ctx, to, "", "")
	if err != nil || target.id == old.id {
		return err
	}
	if target.id != 0 {
		if err := target.clear(ctx, patience); err != nil {
			return err
		}
	}
	if err := s.giveName(ctx, old.id, to); err != nil {
		return err
	}
	s.renameHistory(ctx, from, to)
	return nil
}

// giveName gives an account a name. Another account without records may have the name; it is
// removed.
func (s *Store) giveName(ctx context.Context, account int64, name string) error {
	target, _, err := s.lookUp(ctx, name, "", "")
	if err != nil {
		return err
	}
	if target.account.Records > 0 {
		return fmt.Errorf("%w: %q has %d", seen.ErrTaken, name, target.account.Records)
	}
	if target.id != 0 {
		if err := s.inParts(ctx, patience, "aside", target.id, execAll([]string{"DELETE FROM aside WHERE" + keyRange})); err != nil {
			return err
		}
	}
	return s.update(ctx, patience, func(ctx context.Context, tx *sql.Conn) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM account WHERE id = ? AND records = 0", target.id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE account SET name = ? WHERE id = ?", name, account)
		return err
	})
}

const selectAccount = `
	SELECT id, name, server, user, since, delivered, records, listed > 0 OR digest IS NOT NULL OR finished_at > 0, finished_at, unfinished,
		left_since, left_at
	FROM account`

func scanAccount(row interface{ Scan(...any) error }) (id int64, a seen.Account, err error) {
	var since, finishedAt, leftSince, leftAt int64
	err = row.Scan(&id, &a.Name, &a.Server, &a.User, &since, &a.Delivered, &a.Records, &a.Finished, &finishedAt, &a.Unfinished,
		&leftSince, &leftAt)
	a.Since, a.FinishedAt = seen.FromMillis(since), seen.FromMillis(finishedAt)
	a.LeftSince, a.LeftAt = seen.FromMillis(leftSince), seen.FromMillis(leftAt)
	return id, a, err
}

// lookup returns the id 0 for an unknown account.
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

// findTwin looks for an account with the same server and user. This account may be that one,
// renamed in the configuration.
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
