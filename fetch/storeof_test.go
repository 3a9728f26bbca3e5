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
