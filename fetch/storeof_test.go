package fetch_test

import (
	"context"
	"errors"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// wrapped is a store whose ledgers are wrapped.
type wrapped struct {
	seen.Store
	wrap func(seen.Ledger) seen.Ledger
}

func (w wrapped) Enter(ctx context.Context, name, server, user string) (seen.Ledger, error) {
	ledger, err := w.Store.Enter(ctx, name, server, user)
	if err != nil {
		return nil, err
	}
	return w.wrap(ledger), nil
}

func (w wrapped) Look(ctx context.Context, name, server, user string) (seen.Ledger, error) {
	ledger, err := w.Store.Look(ctx, name, server, user)
	if err != nil {
		return nil, err
	}
	return w.wrap(ledger), nil
}

var errBroken = errors.New("broken")

// brokenDiff is a ledger that compares nothing.
type brokenDiff struct{ seen.Ledger }

func (brokenDiff) Diff(context.Context, []seen.Entry, time.Time) (seen.Diff, error) {
	return seen.Diff{}, errBroken
}

// brokenApply is a ledger that records nothing.
type brokenApply struct{ seen.Ledger }

func (brokenApply) Apply(context.Context, seen.Changes) error { return errBroken }

// ending is when the last run of an account was finished, and whether one has begun to deliver
// since. It is kept beside the store, also where that has no place for it.
type ending struct {
	finished   time.Time
	unfinished bool
}

// endingKept is a store of one account whose ledgers keep e.
func endingKept(store seen.Store, e *ending) seen.Store {
	return wrapped{store, func(l seen.Ledger) seen.Ledger {
		account := l.Account()
		account.FinishedAt, account.Unfinished = e.finished, e.unfinished
		return &endingLedger{l, account, e}
	}}
}

type endingLedger struct {
	seen.Ledger
	account seen.Account
	ending  *ending
}

func (l *endingLedger) Account() seen.Account { return l.account }

func (l *endingLedger) Ready(ctx context.Context, messages int) error {
	l.ending.unfinished = true
	return l.Ledger.Ready(ctx, messages)
}

func (l *endingLedger) Finish(ctx context.Context, diff seen.Diff, left []seen.Entry, deleted []seen.Key, at time.Time) error {
	*l.ending = ending{finished: at}
	return l.Ledger.Finish(ctx, diff, left, deleted, at)
}
