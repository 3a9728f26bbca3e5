package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/oauth"
	"github.com/popfetch/popfetch/internal/sealed"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/postgres"
)

// tokenStore returns where the tokens of an account are kept, or those of the user of a mailbox: in
// a file of the state folder, or sealed in the database.
func (p *program) tokenStore(cfg *config.Config) func(name string) oauth.Store {
	if cfg.State == "" {
		return func(name string) oauth.Store { return oauth.NewFile(cfg.StateDir, name) }
	}
	return func(name string) oauth.Store { return &sharedTokens{p, cfg, name} }
}

// sharedTokens is an oauth.Store in the database. See postgres.Token for how processes keep out of
// each other's way.
type sharedTokens struct {
	program *program
	cfg     *config.Config
	name    string
}

const (
	// claimLimit is how long a process may have the claim. It is longer than a refresh takes.
	claimLimit = oauth.LongestRenewal + 20*time.Second
	// claimPause is how often a process looks whether another has refreshed.
	claimPause = 250 * time.Millisecond
	// keepTokens is how long what a provider has given may take to get into the database: a refresh
	// token may be good only once, and a database that restarts is back by then.
	keepTokens = 5 * time.Minute
	// settleTokens is how long it may take from when the run was told to end: less than longestEnd.
	settleTokens = 8 * time.Second
)

// errNoKey means that nothing can be sealed.
var errNoKey = errors.New("is missing, and tokens lie in the database only sealed; write accounts_key_file with the file that age-keygen has made")

// with calls do with the row of the tokens and the keys.
func (t *sharedTokens) with(ctx context.Context, do func(*postgres.Token, *sealed.Keys) error) error {
	keys, err := sealingKeys(t.cfg)
	if err == nil && keys == nil {
		err = t.cfg.Mistake(nil, &t.cfg.AccountsKeyFile, errNoKey)
	}
	if err != nil {
		return &oauth.Error{Fault: oauth.Exposed, Err: err}
	}
	store, err := t.program.openDatabase(ctx, t.cfg, toWrite)
	if err == nil {
		defer store.Close() //nolint:errcheck // each statement was durable by itself
		err = do(store.Token(t.name), keys)
	}
	var known *oauth.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, postgres.ErrAway):
		return &oauth.Error{Fault: oauth.Later, Err: err}
	}
	return &oauth.Error{Fault: oauth.State, Err: err}
}

// open returns what is sealed; nil: there is none.
func (t *sharedTokens) open(keys *sealed.Keys, box []byte) (*oauth.Grant, error) {
	if box == nil {
		return nil, nil
	}
	g := new(oauth.Grant)
	if err := keys.Open(tokensOf+t.name, box, g); err != nil {
		return nil, fmt.Errorf("the tokens of %s: %w", t.name, err)
	}
	return g, nil
}

// tokensOf begins the label of sealed tokens. No name of an account has a colon.
const tokensOf = "tokens:"

func (t *sharedTokens) seal(keys *sealed.Keys, g *oauth.Grant) ([]byte, error) {
	return keys.Seal(tokensOf+t.name, g)
}

// Read opens what is sealed.
func (t *sharedTokens) Read(ctx context.Context) (g *oauth.Grant, err error) {
	err = t.with(ctx, func(row *postgres.Token, keys *sealed.Keys) error {
		box, err := row.Read(ctx)
		if err == nil {
			g, err = t.open(keys, box)
		}
		if err == nil && g == nil {
			err = oauth.SignedOut()
		}
		return err
	})
	return g, err
}

// Ready checks the key and the database.
func (t *sharedTokens) Ready(ctx context.Context) error {
	return t.with(ctx, func(row *postgres.Token, _ *sealed.Keys) error {
		_, err := row.Read(ctx)
		return err
	})
}

// Write does not wait for a refresh: what that writes is then dropped.
func (t *sharedTokens) Write(ctx context.Context, g *oauth.Grant) error {
	return t.with(ctx, func(row *postgres.Token, keys *sealed.Keys) error {
		box, err := t.seal(keys, g)
		if err == nil {
			err = row.Write(ctx, box)
		}
		return err
	})
}

// claim waits for the claim, while proceed returns true for what there is. A nil claim means that
// it does not.
func (t *sharedTokens) claim(ctx context.Context, row *postgres.Token, proceed func(box []byte) bool) (*postgres.TokenClaim, error) {
	end := time.NewTimer(claimLimit)
	defer end.Stop()
	for {
		claim, err := row.Claim(ctx, claimLimit)
		if claim != nil || err != nil {
			return claim, err
		}
		box, err := row.Read(ctx)
		if err != nil || !proceed(box) {
			return nil, err
		}
		select {
		case <-time.After(claimPause):
		case <-end.C:
			return nil, &oauth.Error{Fault: oauth.Later, Err: fmt.Errorf("another popfetch refreshes the tokens of %s, and has not ended within %v", t.name, claimLimit)}
		case <-ctx.Done():
			return nil, &oauth.Error{Fault: oauth.Later, Err: fmt.Errorf("another popfetch refreshes the tokens of %s: %w", t.name, context.Cause(ctx))}
		}
	}
}

// Update refreshes under a claim, which no transaction lasts for. If somebody signs in meanwhile,
// that is what counts.
func (t *sharedTokens) Update(
	ctx context.Context, isStale func(*oauth.Grant) bool, renew func(*oauth.Grant) (*oauth.Grant, error),
) (g *oauth.Grant, err error) {
	err = t.with(ctx, func(row *postgres.Token, keys *sealed.Keys) (err error) {
		g, err = t.update(ctx, row, keys, isStale, renew)
		return err
	})
	return g, err
}

func (t *sharedTokens) update(
	ctx context.Context, row *postgres.Token, keys *sealed.Keys,
	isStale func(*oauth.Grant) bool, renew func(*oauth.Grant) (*oauth.Grant, error),
) (*oauth.Grant, error) {
	var fresh *oauth.Grant
	claim, err := t.claim(ctx, row, func(box []byte) bool {
		g, err := t.open(keys, box)
		if err != nil || isStale(g) {
			return true
		}
		fresh = g
		return false
	})
	if err != nil || claim == nil {
		return fresh, err
	}
	run := ctx // renew has its end, too
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimLimit+keepTokens)
	defer cancel()
	old, err := t.open(keys, claim.Sealed)
	if err != nil || !isStale(old) {
		return old, errors.Join(err, claim.Release(ctx))
	}
	renewed, err := renew(old)
	if renewed == nil {
		return nil, errors.Join(err, claim.Release(ctx))
	}
	box, unkept := t.seal(keys, renewed)
	kept := false
	if unkept == nil {
		kept, unkept = settle(run, func(ctx context.Context) (bool, error) { return claim.Replace(ctx, box) })
	}
	switch {
	case unkept != nil:
		return nil, unkept
	case kept:
		return renewed, err
	}
	if box, err = row.Read(ctx); err != nil {
		return nil, err
	}
	theirs, err := t.open(keys, box)
	if err == nil && theirs == nil {
		err = oauth.SignedOut() // somebody has signed out
	}
	return theirs, err
}

// settle calls write, which writes what a provider has given, until the database is not away. It
// gives up after keepTokens, or when the run has ended for settleTokens. A run that has lost its
// account goes on with this: it mostly did so because the database is away, and the revision keeps
// newer tokens safe.
func settle(run context.Context, write func(context.Context) (bool, error)) (kept bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(run), keepTokens)
	defer cancel()
	stop := context.AfterFunc(run, func() {
		if !errors.Is(context.Cause(run), seen.ErrLost) {
			time.AfterFunc(settleTokens, cancel)
		}
	})
	defer stop()
	for {
		kept, err = write(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return false, fmt.Errorf("%w: %w", postgres.ErrAway, err)
		case !errors.Is(err, postgres.ErrAway):
			return kept, err
		}
		select {
		case <-ctx.Done():
			return false, err
		case <-time.After(claimPause):
		}
	}
}

// Remove removes under a claim. If somebody signs in meanwhile, that stays.
func (t *sharedTokens) Remove(ctx context.Context, revoke func(*oauth.Grant) error) error {
	return t.with(ctx, func(row *postgres.Token, keys *sealed.Keys) error {
		claim, err := t.claim(ctx, row, func([]byte) bool { return true })
		if err != nil {
			return err
		}
		if claim.Sealed == nil {
			return errors.Join(oauth.SignedOut(), claim.Release(ctx))
		}
		if g, err := t.open(keys, claim.Sealed); err == nil {
			if err := revoke(g); err != nil {
				return errors.Join(err, claim.Release(ctx))
			}
		}
		if removed, err := claim.Remove(ctx); err != nil || removed {
			return err
		}
		return &oauth.Error{Fault: oauth.Later, Err: fmt.Errorf("somebody has just signed in for %s; try again", t.name)}
	})
}
