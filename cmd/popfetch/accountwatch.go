package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/seen/postgres"
)

const (
	// watchEvery is how often a worker asks whether accounts have changed. That reads one row. A
	// change is promised to be in force within 5 seconds.
	watchEvery = 2 * time.Second
	// lookLimit is how long the database may take for that, and for the accounts that have changed.
	lookLimit = 30 * time.Second
	// sweepEvery is how often a worker removes the records of accounts that were removed long ago.
	// Where there are many of them, it goes on at its next looks.
	sweepEvery = time.Hour
)

// chooseStored chooses the named accounts of the database, or all that are enabled.
func (p *program) chooseStored(s *setting) (err error) {
	unread := s.unread()
	var mistakes []error
	for _, name := range p.words {
		if unread[name] != nil {
			mistakes = append(mistakes, unread[name])
		}
	}
	if len(mistakes) > 0 {
		return errors.Join(mistakes...)
	}
	if len(p.words) > 0 && len(s.Accounts) > 0 {
		unknown := new(postgres.UnknownAccountsError)
		for i := range s.Accounts {
			unknown.Known = append(unknown.Known, s.Accounts[i].Name)
		}
		for _, name := range p.words {
			if !slices.Contains(unknown.Known, name) {
				unknown.Names = append(unknown.Names, name)
			}
		}
		if len(unknown.Names) > 0 {
			return usageError{p.orCommand(p.unknownAccounts(unknown))}
		}
		s.accounts, err = s.Select(p.words)
		return err
	}
	leftOut := p.leftOut(s)
	p.tellLeftOut(leftOut)
	for i := range s.Accounts {
		if s.Accounts[i].Enabled && leftOut[s.Accounts[i].Name] == nil {
			s.accounts = append(s.accounts, s.Accounts[i])
		}
	}
	if len(s.accounts) > 0 || p.polls() && len(p.words) == 0 {
		return nil
	}
	return s.noneStored(leftOut)
}

// noneStored returns why no account of the database can be chosen.
func (s *setting) noneStored(leftOut map[string]error) error {
	why := `has no account yet; "popfetch accounts put FILE" adds some`
	switch {
	case len(leftOut) > 0:
		why = "has no account that can be read; put them again"
	case len(s.Accounts) > 0:
		why = `has only disabled accounts; "popfetch accounts enable NAME" enables one`
	}
	return s.Mistake(nil, &s.AccountsFrom, fmt.Errorf("the database %s", why))
}

// lacking returns an account of the database that cannot be worked on. It fails alone.
func lacking(a *config.Account, mistake error) fetch.Account {
	return fetch.Account{Name: a.Name, Server: a.Server, User: a.User, Target: deliver.Drop{}, Lacks: mistake}
}

// watchAccounts puts changed accounts of the database into force until ctx ends. stop waits for its
// end.
func (p *poller) watchAccounts(ctx context.Context, one polling) (stop func()) {
	ended, version := make(chan struct{}), p.shelf.at()
	if p.setting.AccountsFrom != config.FromDatabase {
		close(ended)
		return func() {}
	}
	go func() {
		defer close(ended)
		defer p.guard()
		w := watcher{poller: p, polling: one, version: version}
		for tick := time.NewTicker(watchEvery); ; {
			select {
			case <-tick.C:
				w.look(ctx)
			case <-ctx.Done():
				tick.Stop()
				return
			}
		}
	}()
	return func() { <-ended }
}

// watcher is what the goroutine of watchAccounts knows.
type watcher struct {
	*poller
	polling polling
	version int64  // of the accounts in force
	told    string // the last error
	swept   time.Time
}

// look puts accounts into force if one has changed.
func (w *watcher) look(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	err := w.refresh(limited)
	if err == nil && time.Since(w.swept) >= sweepEvery {
		err = w.sweep(limited)
	}
	switch {
	case err == nil:
		w.told = ""
	case ctx.Err() == nil && !errors.Is(err, postgres.ErrAway) && err.Error() != w.told: // claims tell of that
		w.told = err.Error()
		w.term.errorf("%v; the accounts stay as they were", err)
	}
}

// refresh is a reload of the accounts alone.
func (w *watcher) refresh(ctx context.Context) error {
	store := w.runner.Store.(*sharedStore) // accounts can be in the database only where the state is
	version, err := store.AccountsVersion(ctx)
	if err != nil || version == w.version {
		return err
	}
	w.reloading.Lock()
	defer w.reloading.Unlock()
	s := *w.setting
	s.Config, s.accounts = w.setting.WithoutAccounts(), nil
	if err := w.takeAccounts(ctx, &s); err != nil {
		return err
	}
	if err := w.chooseStored(&s); err != nil {
		return err
	}
	accounts, err := w.fetchAccounts(ctx, &s)
	if err != nil {
		return err
	}
	w.apply(ctx, w.polling, &s, accounts)
	w.version = w.shelf.at()
	return nil
}

// sweep removes the records of accounts that were removed long ago. Each call removes those of some.
func (w *watcher) sweep(ctx context.Context) error {
	names, err := w.runner.Store.(*sharedStore).SweepAccounts(ctx)
	for _, name := range names {
		w.say("%s: the account was removed 90 days ago; its records are removed now", printable(name))
	}
	if err == nil && len(names) == 0 {
		w.swept = time.Now()
	}
	return err
}

// at returns the version of the accounts that the shelf has.
func (f *shelf) at() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.version
}
