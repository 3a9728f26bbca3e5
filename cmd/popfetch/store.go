package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/doctor"
	"github.com/popfetch/popfetch/internal/durable"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// access says what a command does with the state. A command that only reads it makes nothing.
type access bool

const (
	toRead  access = false
	toWrite access = true
)

// openStore opens the state of a configuration. Whoever wants to know what kind of store it is asks
// whether it is a *sharedStore.
func (p *program) openStore(ctx context.Context, cfg *config.Config, how access) (seen.Store, error) {
	switch {
	case cfg.State != "":
		return p.openShared(ctx, cfg, how)
	case cfg.StateDir == "":
		return nil, noStateDir(cfg)
	}
	open := sqlite.OpenExisting
	if how == toWrite {
		open = sqlite.Open
	}
	store, err := open(ctx, cfg.StateDir)
	if err != nil {
		return nil, fmt.Errorf("the state in %s: %w", cfg.StateDir, err)
	}
	return notedStore{store, cfg.StateDir}, nil
}

// notedStore is a store in a state folder that has the notes of targets, too.
type notedStore struct {
	seen.Store
	dir string // of the state
}

// Rename lets the notes follow the account. Without them, a target on a disk that is not mounted would
// look like one that was never made.
func (s notedStore) Rename(ctx context.Context, from, to string) error {
	if err := s.Store.Rename(ctx, from, to); err != nil {
		return err
	}
	if err := moveNotes(s.dir, from, to); err != nil {
		return fmt.Errorf("moving the notes of account %s: %w", from, err)
	}
	return nil
}

// residentError says that another process polls with the same state.
type residentError struct {
	*seen.LockedError
	dir string // of the state
}

func (e residentError) Error() string {
	return fmt.Sprintf("%s polls with the state in %s already; popfetch --once works beside it; SIGUSR1 makes it poll now, and SIGHUP makes it read its configuration again",
		e.Holder(), e.dir)
}

func (e residentError) Unwrap() error { return e.LockedError }

// lockResident makes this process the only one that polls with the state in a folder.
func lockResident(cfg *config.Config) (unlock func() error, err error) {
	dir := cfg.StateDir
	unlock, err = sqlite.LockResident(dir)
	var locked *seen.LockedError
	switch {
	case errors.As(err, &locked):
		return nil, residentError{locked, dir}
	case err != nil:
		return nil, fmt.Errorf("the state in %s: %w", dir, durable.ExplainFull(dir, err))
	}
	return unlock, nil
}

// stateTable is the file in the state folder that each run writes.
const stateTable = "seen.db"

// stateFolder returns what a run needs of the state, to record so many new messages of an account.
func stateFolder(dir, account string, messages int) *doctor.StateFolder {
	folder := &doctor.StateFolder{Dir: dir, Table: stateTable, Others: []string{"open.lock", sqlite.LockName(account)}}
	if messages > 0 {
		folder.Needed = sqlite.Needed(messages)
	}
	return folder
}

// noStateDir returns the mistake that no folder for the state is known.
func noStateDir(cfg *config.Config) error {
	return config.Errors{cfg.Mistake(nil, &cfg.StateDir, errors.New("there is no home folder, and so no default; write state_dir or give --state-dir"))}
}

// openState opens the seen-table without a valid account. Repairing the state must work on a
// machine whose configuration is gone, and for accounts that it no longer has.
func (p *program) openState(ctx context.Context, how access) (seen.Store, error) {
	if err := p.refuseServer(); err != nil {
		return nil, err
	}
	if p.dryRun && how == toWrite {
		return nil, usagef("--dry-run works only with fetching; %s always makes its changes", p.command)
	}
	cfg := new(config.Config)
	var err error
	if p.source.stateDir != "" { // the file is not read, so it may have the state in a database
		err = p.useStateDir(cfg)
	} else {
		cfg, err = p.readFile()
		if p.source.file == nil && errors.Is(err, fs.ErrNotExist) {
			cfg, err = &config.Config{StateDir: config.DefaultStateDir()}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return p.openStore(ctx, cfg, how)
}

// useStateDir puts the folder of --state-dir into a configuration.
func (p *program) useStateDir(cfg *config.Config) (err error) {
	if p.source.stateDir == "" {
		return nil
	}
	if cfg.State != "" {
		return usagef("--state-dir: the configuration has the state in %s; leave the option out", cfg.State)
	}
	cfg.StateDir, err = pathOf("state-dir", p.source.stateDir)
	return err
}

// lockAccount locks an account. The error names it.
func lockAccount(ctx context.Context, store seen.Store, name string) (hold seen.Hold, err error) {
	if hold, err = store.Lock(ctx, name); errors.Is(err, seen.ErrLocked) {
		err = fmt.Errorf("account %s: %w", name, err)
	}
	return hold, err
}

// refuseServer returns an error if --server is given to a command that works with the records of
// named accounts.
func (p *program) refuseServer() error {
	if p.isGiven("server") {
		return usagef("%s takes no --server: an account is named as its records are, and popfetch seen list shows how; --state-dir says where they are", p.command)
	}
	return nil
}

// accountNamed finds an account of the store. A one-shot account is known by its long name.
func accountNamed(ctx context.Context, store seen.Store, name string) (seen.Account, error) {
	accounts, err := store.Accounts(ctx)
	if err != nil {
		return seen.Account{}, err
	}
	at := slices.IndexFunc(accounts, func(a seen.Account) bool { return a.Name == name })
	if at < 0 {
		return seen.Account{}, usagef("nothing is known of an account %q; popfetch seen list shows all", name)
	}
	return accounts[at], nil
}

// accountsNamed finds the accounts of the store with these names; with none, it returns all.
func accountsNamed(ctx context.Context, store seen.Store, names []string) ([]seen.Account, error) {
	if len(names) == 0 {
		return store.Accounts(ctx)
	}
	accounts := make([]seen.Account, 0, len(names))
	for _, name := range names {
		account, err := accountNamed(ctx, store, name)
		if err != nil {
			return nil, err
		}
		accounts = append(accounts, account)
	}
	return accounts, nil
}
