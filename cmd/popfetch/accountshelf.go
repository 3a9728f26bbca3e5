package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"sync"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/sealed"
	"github.com/popfetch/popfetch/seen/postgres"
)

// shelf has the accounts of the database as this process has read them. Each is read again only
// when it has changed.
type shelf struct {
	mu      sync.Mutex
	version int64 // of all accounts
	all     map[string]*shelved
}

// shelved is one account of the database.
type shelved struct {
	spec  postgres.Spec
	read  *config.ReadAccount // nil: fault says why
	fault error               // a mistake, or why the secrets cannot be opened
	told  bool                // that
}

// takeAccounts puts the accounts of the database into a setting. What is wrong with one account
// does not affect the others.
func (p *program) takeAccounts(ctx context.Context, s *setting) error {
	keys, err := sealingKeys(s.Config)
	if err != nil {
		return err
	}
	p.shelf.mu.Lock()
	defer p.shelf.mu.Unlock()
	if err := p.shelf.update(ctx, p, s.Config); err != nil {
		return err
	}
	collectFor(len(p.shelf.all))
	s.faults = make(map[string]error)
	for _, name := range slices.Sorted(maps.Keys(p.shelf.all)) {
		one := p.shelf.all[name]
		if one.read == nil || one.fault != nil { // the key may be another one by now
			one.open(s.Config, keys)
		}
		if one.fault != nil {
			s.faults[name] = one.fault
		}
		if one.read != nil {
			s.Add(one.read)
		}
	}
	return nil
}

// update reads what has changed in the database.
func (f *shelf) update(ctx context.Context, p *program, cfg *config.Config) error {
	store, err := p.openDatabase(ctx, cfg, toRead)
	if errors.Is(err, postgres.ErrNoTables) {
		return nil
	}
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	changed, version, err := store.AccountChanges(ctx, f.version)
	if err == nil && version < f.version {
		f.all = nil
		changed, version, err = store.AccountChanges(ctx, 0)
	}
	if err != nil {
		return fmt.Errorf("the accounts in %s: %w", cfg.State, err)
	}
	if f.all == nil {
		f.all = make(map[string]*shelved, len(changed))
	}
	for i := range changed {
		if spec := &changed[i]; spec.IsRemoved() {
			delete(f.all, spec.Name)
		} else {
			f.all[spec.Name] = &shelved{spec: *spec}
		}
	}
	f.version = version
	return nil
}

// open opens the secrets of an account, and reads it. If the secrets cannot be opened, the account
// is read with masks in their place, because looking at it needs no secret.
func (one *shelved) open(cfg *config.Config, keys *sealed.Keys) {
	stored := config.Stored{Name: one.spec.Name, TOML: one.spec.TOML, Enabled: one.spec.Enabled}
	var locked error
	switch {
	case one.spec.Sealed == nil:
	case keys == nil:
		locked = cfg.Mistake(nil, &cfg.AccountsKeyFile, fmt.Errorf("is missing, and the secrets of account %s are sealed; write it, with the file of the key that opens them", one.spec.Name))
	default:
		if err := keys.Open(one.spec.Name, one.spec.Sealed, &stored.Secrets); err != nil {
			locked = config.AccountMistake(one.spec.Name, err)
		}
	}
	read := stored.Read
	if locked != nil {
		read = stored.ReadMasked
	}
	before := one.fault
	one.read, one.fault = read()
	if one.fault == nil {
		one.fault = locked
	}
	one.told = one.told && one.fault != nil && one.fault.Error() == before.Error()
}

// unread returns the accounts of the database that cannot be read at all, by name.
func (s *setting) unread() map[string]error {
	unread := maps.Clone(s.faults)
	for i := range s.Accounts {
		delete(unread, s.Accounts[i].Name)
	}
	return unread
}

// leftOut returns which accounts of the database a pass over all leaves out, and why: those that
// cannot be read. A worker also leaves out those whose secrets it cannot open, because other
// workers may have the key.
func (p *program) leftOut(s *setting) map[string]error {
	if p.polls() {
		return s.faults
	}
	return s.unread()
}

// tellLeftOut tells of accounts that are left out, each once.
func (p *program) tellLeftOut(leftOut map[string]error) {
	p.shelf.mu.Lock()
	defer p.shelf.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(leftOut)) {
		if one := p.shelf.all[name]; one != nil && !one.told {
			one.told = true
			p.term.errorf("%v; the account is left out", leftOut[name])
		}
	}
}

// sealingKeys reads the keys of accounts_key_file; nil: it is not written. An error is a
// *config.Error.
func sealingKeys(cfg *config.Config) (*sealed.Keys, error) {
	path := cfg.AccountsKeyFile
	if path == "" {
		return nil, nil
	}
	text, err := config.ReadKeyFile(path, sealed.IsSecret)
	var keys *sealed.Keys
	if err == nil {
		keys, err = sealed.Parse(path, text)
	}
	if err != nil {
		return nil, cfg.Mistake(nil, &cfg.AccountsKeyFile, err)
	}
	return keys, nil
}

// who says who changes accounts, for the audit.
func who() postgres.By {
	by := postgres.By{User: fmt.Sprintf("uid %d", os.Getuid()), Machine: "unknown"}
	if account, err := user.Current(); err == nil {
		by.User = account.Username
	}
	if host, err := os.Hostname(); err == nil {
		by.Machine = host
	}
	return by
}
