package main

import (
	"context"
	"errors"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/sealed"
	"github.com/popfetch/popfetch/seen/postgres"
)

// accountsReseal seals all secrets and tokens of the database for the first key of
// accounts_key_file. After that, the other keys are needed no more.
func (p *program) accountsReseal(ctx context.Context) error {
	if len(p.words) > 0 {
		return usagef("accounts reseal: takes no names; it seals the secrets of all accounts")
	}
	return p.withAccounts(ctx, toWrite, func(cfg *config.Config, store *sharedStore) error {
		keys, err := sealingKeys(cfg)
		if err == nil && keys == nil {
			err = cfg.Mistake(nil, &cfg.AccountsKeyFile,
				errors.New("is missing, and has the keys; write it"))
		}
		if err != nil {
			return err
		}
		o, err := resealAccounts(ctx, store, keys)
		if err != nil {
			return err
		}
		names, err := store.TokenNames(ctx)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := (&sharedTokens{p, cfg, name}).reseal(ctx); err != nil {
				return err
			}
		}
		return p.tellChange(o)
	})
}

// resealAccounts seals the secrets of accounts. An account that is changed meanwhile is sealed by
// whoever changes it.
func resealAccounts(
	ctx context.Context, store *sharedStore, keys *sealed.Keys,
) (postgres.Outcome, error) {
	specs, err := store.AccountSpecs(ctx)
	if err != nil {
		return postgres.Outcome{}, err
	}
	var resealed []postgres.Spec
	for i := range specs {
		s := specs[i]
		if s.Sealed == nil {
			continue
		}
		var secrets map[string]string
		if err := keys.Open(s.Name, s.Sealed, &secrets); err != nil {
			return postgres.Outcome{}, config.AccountMistake(s.Name, err)
		}
		if s.Sealed, err = keys.Seal(s.Name, secrets); err != nil {
			return postgres.Outcome{}, err
		}
		resealed = append(resealed, s)
	}
	return store.ResealAccounts(ctx, who(), resealed)
}

// reseal seals tokens for the first key.
func (t *sharedTokens) reseal(ctx context.Context) error {
	return t.with(ctx, func(row *postgres.Token, keys *sealed.Keys) error {
		claim, err := t.claim(ctx, row, func([]byte) bool { return true })
		if err != nil {
			return err
		}
		g, err := t.open(keys, claim.Sealed)
		if err != nil || g == nil {
			return errors.Join(err, claim.Release(ctx))
		}
		box, err := t.seal(keys, g)
		if err == nil {
			_, err = claim.Replace(ctx, box) // not written: somebody has signed in
		}
		return err
	})
}
