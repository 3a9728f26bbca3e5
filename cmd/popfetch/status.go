package main

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/seen"
)

// status shows what happened lately, from the state alone.
func (p *program) status(ctx context.Context) error {
	if _, err := p.longestAge(); err != nil {
		return err
	}
	s, store, accounts, err := p.openShown(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	states := &stateReader{store: store, now: time.Now(), days: sparkDays}
	all, err := states.readAll(ctx, accounts)
	if err != nil {
		return err
	}
	outcome := p.showStatus(all, states.now)
	if outcome == nil && p.maxAge == nil && len(p.words) == 0 && !s.oneShot {
		outcome = p.showAllOf(ctx, store, accounts)
	}
	if p.metricsFile != "" {
		outcome = p.withMetrics(ctx, s, store, outcome)
	}
	return outcome
}

// showAllOf shows the workers of a database, and how much there is to do.
func (p *program) showAllOf(ctx context.Context, store seen.Store, accounts []shownAccount) error {
	shared, err := readSharing(ctx, store, accounts)
	if err != nil || shared == nil {
		return err
	}
	return p.showSharing(shared)
}

// showStatus shows the accounts, and judges them by --max-age.
func (p *program) showStatus(all []accountState, now time.Time) error {
	limit, err := p.longestAge()
	if err != nil {
		return err
	}
	switch {
	case p.view.json:
		for i := range all {
			var line any = newStatusLine(&all[i])
			if all[i].shared != nil {
				line = newSharedStatusLine(&all[i])
			}
			if err := p.term.printJSON(line); err != nil {
				return err
			}
		}
	case limit == 0:
		if err := p.showTable(all, now); err != nil {
			return err
		}
	}
	if limit == 0 {
		return nil
	}
	return p.judge(all, limit, now)
}

// longestAge returns the time of --max-age; 0: it was not given.
func (p *program) longestAge() (time.Duration, error) {
	if p.maxAge == nil {
		return 0, nil
	}
	limit, err := config.ParseTime(*p.maxAge)
	if err != nil {
		return 0, usagef("--max-age: %w", err)
	}
	return limit, nil
}

// shownSetting is a setting for a command that shows the state. It works without a configuration,
// on a machine where that is gone, and then with all accounts that the state knows.
type shownSetting struct {
	*setting
	configured bool
	words      []string
	known      []seen.Account // those of the state; nil: not read yet
}

// shownAccount is an account to be shown.
type shownAccount struct {
	name   string          // as a person calls it
	state  string          // its name in the state
	config *config.Account // nil: it stands in no configuration
}

// toShow reads the configuration if there is one, and chooses the accounts of --server.
func (p *program) toShow(ctx context.Context) (*shownSetting, []shownAccount, error) {
	s, err := p.read(ctx)
	if p.source.file == nil && errors.Is(err, fs.ErrNotExist) {
		cfg := &config.Config{StateDir: config.DefaultStateDir()}
		if err := p.useStateDir(cfg); err != nil {
			return nil, nil, err
		}
		return &shownSetting{setting: &setting{Config: cfg}, words: p.words}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	leftOut := s.unread()
	maps.DeleteFunc(leftOut, func(name string, _ error) bool {
		return len(p.words) > 0 && !slices.Contains(p.words, name)
	})
	p.tellLeftOut(leftOut)
	shown := &shownSetting{setting: s, configured: true, words: p.words}
	if s.oneShot {
		s.accounts = s.Accounts
		return shown, []shownAccount{{s.Accounts[0].Name, stateName(&s.Accounts[0]), &s.Accounts[0]}}, nil
	}
	return shown, nil, nil
}

// openShown opens the state for a command that shows it, and chooses the accounts. The caller closes
// the store.
func (p *program) openShown(ctx context.Context) (*shownSetting, seen.Store, []shownAccount, error) {
	s, shown, err := p.toShow(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	store, err := p.openStore(ctx, s.Config, toRead)
	if err != nil {
		return nil, nil, nil, err
	}
	if s.known, err = store.Accounts(ctx); err == nil {
		var accounts []shownAccount
		if accounts, err = s.choose(shown); err == nil {
			return s, store, accounts, nil
		}
	}
	return nil, nil, nil, errors.Join(err, store.Close())
}

// choose returns the named accounts, or all. An account of the state alone can be named too.
func (s *shownSetting) choose(chosen []shownAccount) ([]shownAccount, error) {
	if chosen != nil {
		return chosen, nil
	}
	if !s.configured && len(s.words) == 0 {
		for _, a := range s.known {
			chosen = append(chosen, shownAccount{a.Name, a.Name, nil})
		}
		return chosen, nil
	}
	if len(s.words) == 0 {
		return s.chooseEnabled()
	}
	for _, word := range s.words {
		a, err := s.chooseNamed(word)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, a)
	}
	return chosen, nil
}

func (s *shownSetting) chooseEnabled() (chosen []shownAccount, err error) {
	enabled, err := s.Select(nil)
	switch {
	case err != nil && s.AccountsFrom == config.FromDatabase:
		return nil, s.noneStored(s.unread())
	case err != nil:
		return nil, usageError{err}
	}
	for i := range enabled {
		chosen = append(chosen, shownAccount{enabled[i].Name, enabled[i].Name, &enabled[i]})
	}
	return chosen, nil
}

func (s *shownSetting) chooseNamed(name string) (shownAccount, error) {
	at := slices.IndexFunc(s.Accounts, func(a config.Account) bool { return a.Name == name })
	switch {
	case at >= 0:
		return shownAccount{name, name, &s.Accounts[at]}, nil
	case slices.ContainsFunc(s.known, func(a seen.Account) bool { return a.Name == name }):
		return shownAccount{name, name, nil}, nil
	case !s.configured:
		return shownAccount{}, usagef("nothing is known of an account %q; popfetch status shows all", name)
	}
	_, err := s.Select([]string{name})
	return shownAccount{}, usageError{err}
}
