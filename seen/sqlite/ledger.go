package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// ledger is the part of the store that belongs to one account.
type ledger struct {
	store   *Store
	id      int64 // of the account; 0: the store does not know it
	account seen.Account
	entered bool         // by Enter; else only ChangeStanding may write
	mu      sync.RWMutex // locked while changes are staged, read-locked while others are applied
}

// Account returns the account as look or enter has read it.
func (l *ledger) Account() seen.Account { return l.account }

// view runs do in a transaction that sees one state of the table. It first carries out any changes
// that are staged and complete.
func (l *ledger) view(ctx context.Context, do func(querier) error) error {
	return l.settled(ctx, patience, func() error {
		return l.store.view(ctx, func(tx *sql.Conn) error {
			if err := l.check(ctx, tx); err != nil {
				return err
			}
			return do(tx)
		})
	})
}

// update runs do in a transaction that writes.
func (l *ledger) update(ctx context.Context, wait waiting, do func(context.Context, *sql.Conn) error) error {
	return l.settled(ctx, wait, func() error {
		return l.store.update(ctx, wait, func(ctx context.Context, tx *sql.Conn) error {
			if err := l.check(ctx, tx); err != nil {
				return err
			}
			return do(ctx, tx)
		})
	})
}

// check returns errStaged if an earlier step is not carried out to its end.
func (l *ledger) check(ctx context.Context, q querier) error {
	state, err := stagedState(ctx, q, l.id)
	if err == nil && state == complete {
		return errStaged
	}
	return err
}

// settled calls do. If do returns errStaged, it carries out the rest of the earlier step and calls
// do again. A ledger that may only read returns seen.ErrUnsettled instead.
func (l *ledger) settled(ctx context.Context, wait waiting, do func() error) error {
	for {
		err := do()
		switch {
		case !errors.Is(err, errStaged):
			return err
		case !l.entered:
			return seen.ErrUnsettled
		}
		if err := l.store.settle(ctx, wait, l.id); err != nil {
			return err
		}
	}
}

// Diff compares in one transaction.
func (l *ledger) Diff(ctx context.Context, listing []seen.Entry, due time.Time) (d seen.Diff, err error) {
	err = l.view(ctx, func(q querier) (err error) {
		r := &reader{account: l.id, read: func(_ context.Context, do func(querier) error) error { return do(q) }}
		d, err = seen.Compare(ctx, r, listing, due, l.store.tuning)
		return err
	})
	if err != nil {
		return seen.Diff{}, fmt.Errorf("comparing the listing with the seen-table: %w", err)
	}
	return d, nil
}
