package main

import (
	"context"
	"errors"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/seen"
)

// seenRename moves an account's records to a new name.
func (p *program) seenRename(ctx context.Context) error {
	if len(p.words) != 2 || p.words[0] == p.words[1] {
		return usagef("seen rename: name the old and the new account")
	}
	if err := config.CheckAccountName(p.words[1]); err != nil {
		return usagef("seen rename: %q: %w", p.words[1], err)
	}
	store, err := p.openState(ctx, toWrite)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // the rename was durable by itself
	from, to := p.words[0], p.words[1]
	for _, name := range []string{from, to} {
		hold, err := lockAccount(ctx, store, name)
		if err != nil {
			return err
		}
		defer hold.Release() //nolint:errcheck // the lock ends with the process
	}
	if _, err := accountNamed(ctx, store, from); err != nil {
		return err
	}
	err = store.Rename(ctx, from, to)
	if errors.Is(err, seen.ErrTaken) {
		return usagef("%w; %s removes them, if you do not need them",
			err, proposed(p.source.options(), "seen", "forget", "--all", to))
	}
	return err
}
