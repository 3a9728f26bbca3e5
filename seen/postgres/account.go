package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/popfetch/popfetch/seen"
)

var _ seen.Store = (*Store)(nil)

// ledger is the part of the store that belongs to one account.
type ledger struct {
	store   *Store
	id      int64 // of the account; 0: the store does not know it
	account seen.Account
	hold    *hold // that Enter found; nil: only ChangeStanding may write
	// noneDiscarded is hold.moments when Diff found no row for Discarded. Under the hold, nobody
	// else makes one. Zero: unknown.
	noneDiscarded atomic.Int64
}

// Account returns the account as Look or Enter has read it.
func (l *ledger) Account() seen.Account { return l.account }

// errNotEntered says that a ledger of Look was asked to write.
var errNotEntered = errors.New("seen: the account was not entered")

// step carries out a step of the account.
func (l *ledger) step(ctx context.Context, do func(context.Context, *step) error) error {
	if l.hold == nil {
		return errNotEntered
	}
	return l.store.step(ctx, l.hold, do)
}

// Look reads the row of the account.
func (s *Store) Look(ctx context.Context, name, server, user string) (seen.Ledger, error) {
	l := &ledger{store: s}
	var err error
	if l.id, l.account, err = s.lookup(ctx, name, server, user); err != nil {
		return nil, fmt.Errorf("looking up account %q: %w", name, err)
	}
	return l, nil
}

// Enter writes only if something has changed.
func (s *Store) Enter(ctx context.Context, name, server, user string) (seen.Ledger, error) {
	l := &ledger{store: s}
	if err := s.enter(ctx, l, name, server, user); err != nil {
		return nil, fmt.Errorf("entering account %q: %w", name, err)
	}
	return l, nil
}

func (s *Store) enter(ctx context.Context, l *ledger, name, server, user string) (err error) {
	if l.hold, err = s.held(name); err != nil {
		return err
	}
	if err := l.hold.Err(); err != nil {
		return err
	}
	if l.id, l.account, err = s.lookup(ctx, name, server, user); err != nil {
		return err
	}
	known := l.id != 0
	changed := !known || l.account.Server != server || l.account.User != user
	if !changed && !l.account.Unfinished {
		return nil
	}
	id := l.hold.id
	now := seen.Millis(s.now())
	var todo []statement
	if l.account.Unfinished {
		todo = append(todo, s.noteLeft(l))
	}
	if known && changed {
		todo = append(todo,
			statement{sql: "UPDATE popfetch.seen SET deleted_at = $2 WHERE account = $1 AND deleted_at = 0",
				args: []any{id, now}},
			tryAfresh(nil, id, nil, refused...),
			statement{sql: "DELETE FROM popfetch.standing WHERE account = $1", args: []any{id}})
	}
	if changed {
		todo = append(todo, statement{sql: `UPDATE popfetch.account
			SET server = $2, username = $3, since = $4, digest = NULL WHERE id = $1`,
			args: []any{id, server, user, now}})
	}
	err = s.step(ctx, l.hold, func(_ context.Context, st *step) error {
		st.queue, st.limit = todo, unlimited
		return nil
	})
	if err != nil {
		return err
	}
	l.id, l.account, err = s.lookup(ctx, name, server, user)
	return err
}

// noteLeft notes that an unfinished run may have left mail without records.
func (s *Store) noteLeft(l *ledger) statement {
	since, now := l.account.FinishedAt, s.now()
	if l.account.LeftWithin(now) && l.account.LeftSince.Before(since) {
		since = l.account.LeftSince
	}
	return statement{sql: "UPDATE popfetch.account SET left_since = $2, left_at = $3 WHERE id = $1",
		args: []any{l.id, seen.Millis(since), seen.Millis(now)}}
}

// Ready shows that the database takes what is written.
func (l *ledger) Ready(ctx context.Context, _ int) error {
	err := l.step(ctx, func(ctx context.Context, st *step) error {
		return st.add(ctx, 1, "UPDATE popfetch.account SET unfinished = true WHERE id = $1", l.id)
	})
	if err != nil {
		return fmt.Errorf("preparing to record messages: %w", err)
	}
	return nil
}

// Accounts reads all rows of the table account.
func (s *Store) Accounts(ctx context.Context) ([]seen.Account, error) {
	var all []seen.Account
	err := s.each(ctx, selectAccount+` WHERE a.since > 0 ORDER BY a.name COLLATE "C"`, nil,
		func(row pgx.Rows) error {
			_, a, err := scanAccount(row)
			all = append(all, a)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("listing the accounts: %w", err)
	}
	return all, nil
}

// Servers reads an index.
func (l *ledger) Servers(ctx context.Context, user string) (servers []string, err error) {
	const query = `SELECT server FROM popfetch.account WHERE username = $1 AND since > 0
		GROUP BY server ORDER BY server COLLATE "C"`
	err = l.store.each(ctx, query, []any{user}, func(row pgx.Rows) error {
		var server string
		err := row.Scan(&server)
		servers = append(servers, server)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the servers of a user: %w", err)
	}
	return servers, nil
}

// selectTwin finds another account with the same server and user, which has records. This account
// may be that one, renamed in the configuration.
const selectTwin = `SELECT t.name FROM popfetch.account AS t
	WHERE t.username = %s AND t.server = %s AND t.name <> %s AND t.records > 0
		ORDER BY t.name COLLATE "C" LIMIT 1`

var selectAccount = `
	SELECT a.id, a.name, a.server, a.username, a.since, a.delivered, a.records,
		a.listed > 0 OR a.digest IS NOT NULL OR a.finished_at > 0, a.finished_at, 
		a.unfinished, a.left_since, a.left_at,
		CASE WHEN a.records > 0 THEN '' ELSE coalesce((
			` + fmt.Sprintf(selectTwin, "a.username", "a.server", "a.name") + `), '') END
	FROM popfetch.account AS a`

func scanAccount(row pgx.Row) (id int64, a seen.Account, err error) {
	var since, finishedAt, leftSince, leftAt int64
	err = row.Scan(&id, &a.Name, &a.Server, &a.User, &since, &a.Delivered, &a.Records, &a.Finished,
		&finishedAt, &a.Unfinished, &leftSince, &leftAt, &a.Twin)
	a.Since, a.FinishedAt = seen.FromMillis(since), seen.FromMillis(finishedAt)
	a.LeftSince, a.LeftAt = seen.FromMillis(leftSince), seen.FromMillis(leftAt)
	return id, a, err
}

// lookup returns the id 0 for an unknown account, and for one that was never entered.
func (s *Store) lookup(
	ctx context.Context, name, server, user string,
) (id int64, a seen.Account, err error) {
	err = s.quick(ctx, func(ctx context.Context) (err error) {
		id, a, err = s.readAccount(ctx, name, server, user)
		return err
	})
	return id, a, err
}

func (s *Store) readAccount(
	ctx context.Context, name, server, user string,
) (id int64, a seen.Account, err error) {
	row := s.pool.QueryRow(ctx, selectAccount+" WHERE a.name = $1 AND a.since > 0", name)
	id, a, err = scanAccount(row)
	if !errors.Is(err, pgx.ErrNoRows) {
		return id, a, err
	}
	a = seen.Account{Name: name, Server: server, User: user}
	twin := fmt.Sprintf(selectTwin, "$1", "$2", "$3")
	err = s.pool.QueryRow(ctx, twin, user, server, name).Scan(&a.Twin)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return 0, a, err
}

// Holder reads the row of the lease.
func (s *Store) Holder(ctx context.Context, name string) (*seen.LockedError, error) {
	var holder string
	var process int
	var since time.Time
	err := s.quick(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `
			SELECT t.holder, t.process, t.since FROM popfetch.turn AS t
				JOIN popfetch.account AS a ON a.id = t.account
			WHERE a.name = $1 AND t.holder <> '' AND t.until >= now()`, name).Scan(&holder, &process, &since)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking who has account %q: %w", name, err)
	}
	return s.lockedBy(holder, process, &since), nil
}

// exec runs a statement that no run depends on.
func (s *Store) exec(ctx context.Context, statement string, args ...any) error {
	return s.quick(ctx, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, statement, args...)
		return err
	})
}

// quick bounds the time of a few statements, and explains their error.
func (s *Store) quick(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	return s.explain(do(ctx))
}
