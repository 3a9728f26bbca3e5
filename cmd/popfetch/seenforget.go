package main

import (
	"context"
	"slices"

	"github.com/popfetch/popfetch/seen"
)

// seenForget removes records, so that the messages are retrieved again. With --quarantined and
// --too-large it only forgets why messages are left alone.
func (p *program) seenForget(ctx context.Context) error {
	ways := 0
	for _, given := range []bool{len(p.words) > 1, p.all, len(p.asides) > 0} {
		if given {
			ways++
		}
	}
	if len(p.words) == 0 || ways != 1 {
		return usagef("seen forget: name an account and its unique-ids, or one account and --all, --quarantined or --too-large")
	}
	store, err := p.openState(ctx, toWrite)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // each commit was durable by itself
	account, err := accountNamed(ctx, store, p.words[0])
	if err != nil {
		return err
	}
	hold, err := lockAccount(ctx, store, account.Name)
	if err != nil {
		return err
	}
	defer hold.Release() //nolint:errcheck // the lock ends with the process
	ids, err := readIDs(p.words[1:])
	if err != nil {
		return err
	}
	ledger, err := store.Enter(ctx, account.Name, account.Server, account.User)
	if err != nil {
		return err
	}
	if len(p.asides) > 0 {
		n, err := ledger.TryAgain(ctx, p.asides...)
		if err != nil {
			return err
		}
		return p.report(done{Account: account.Name, Forgotten: &n}, "to be tried again")
	}
	if err := allKnown(ctx, ledger, ids); err != nil {
		return err
	}
	n, err := ledger.Forget(ctx, ids...)
	if err != nil {
		return err
	}
	return p.report(done{Account: account.Name, Forgotten: &n}, "forgotten")
}

// allKnown returns an error if a unique-id has no record and was not refused, since it is mistyped.
// It is called before any record is removed.
func allKnown(ctx context.Context, ledger seen.Ledger, ids []string) error {
	records, err := ledger.Records(ctx, ids)
	if err != nil {
		return err
	}
	asides, err := ledger.Asides(ctx)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return slices.ContainsFunc(records, func(r seen.Record) bool { return r.UniqueID == id }) ||
			slices.ContainsFunc(asides, func(a seen.Aside) bool { return a.UniqueID == id && a.Reason != seen.TooLarge })
	})
	if len(missing) > 0 {
		return usagef("%s has no record of unique-id %s; nothing was forgotten", ledger.Account().Name, writeID(missing[0]))
	}
	return nil
}
