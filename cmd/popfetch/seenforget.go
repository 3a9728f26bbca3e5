package main

import (
	"context"
	"slices"

	"github.com/popfetch/popfetch/seen"
)

// seenForget forgets records, so that the messages are retrieved again.
func (p *program) seenForget(ctx context.Context) error {
	if len(p.words) == 0 || p.all == (len(p.words) > 1) {
		return usagef("seen forget: name an account and its unique-ids, or one account and --all")
	}
	store, err := p.openState(ctx, seen.Open)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // each commit was durable by itself
	account, err := accountNamed(ctx, store, p.words[0])
	if err != nil {
		return err
	}
	unlock, err := store.Lock(account.Name)
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the lock goes with the process
	ids, err := readIDs(p.words[1:])
	if err != nil {
		return err
	}
	if err := allKnown(ctx, store, account, ids); err != nil {
		return err
	}
	n, err := store.Forget(ctx, account.ID, ids...)
	if err != nil {
		return err
	}
	return p.report(done{Account: account.Name, Forgotten: &n}, "forgotten")
}

// allKnown tells which of the unique-ids neither have a record nor were refused, before any is
// forgotten: one of them is mistyped.
func allKnown(ctx context.Context, store *seen.Store, account seen.Account, ids []string) error {
	records, err := store.Records(ctx, account.ID, ids)
	if err != nil {
		return err
	}
	asides, err := store.Asides(ctx, account.ID)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return slices.ContainsFunc(records, func(r seen.Record) bool { return r.UniqueID == id }) ||
			slices.ContainsFunc(asides, func(a seen.Aside) bool { return a.UniqueID == id && a.Reason != seen.TooLarge })
	})
	if len(missing) > 0 {
		return usagef("%s has no record of unique-id %s; nothing was forgotten", account.Name, writeID(missing[0]))
	}
	return nil
}
