package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// ledger is the part of the store that one account has.
type ledger struct {
	store   *Store
	id      int64 // of the account; 0: the store does not know it
	account seen.Account
}

// Account returns what look or enter has read.
func (l *ledger) Account() seen.Account { return l.account }

// view runs do in a transaction that sees one state of the table.
func (l *ledger) view(ctx context.Context, do func(querier) error) error {
	return l.store.view(ctx, func(tx *sql.Conn) error { return do(tx) })
}

// update runs do in a transaction that writes.
func (l *ledger) update(ctx context.Context, do func(context.Context, *sql.Conn) error) error {
	return l.store.update(ctx, do)
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

// Apply writes in one transaction.
func (l *ledger) Apply(ctx context.Context, changes seen.Changes) error {
	err := l.update(ctx, func(whole context.Context, tx *sql.Conn) error {
		for chunk := range slices.Chunk(changes.Replace, lookupChunk) {
			where, args := whereIDs(l.id, chunk)
			if _, err := tx.ExecContext(whole, "DELETE FROM seen"+where, args...); err != nil {
				return err
			}
		}
		if changes.Moves != nil {
			if err := move(ctx, tx, l.id, changes.Moves); err != nil {
				return err
			}
		}
		if changes.Records != nil {
			if err := insert(whole, tx, l.id, slices.Collect(changes.Records)); err != nil {
				return err
			}
		}
		return l.store.setAside(whole, tx, "aside", l.id, changes.Asides)
	})
	if err != nil {
		return fmt.Errorf("recording messages: %w", err)
	}
	return nil
}
