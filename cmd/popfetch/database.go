package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/doctor"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/postgres"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// database is the database of this process that has the state: one set of connections for all parts
// of a command. Targets are made before it is open, since mistakes in a configuration are told
// before anything is contacted.
type database struct {
	mu    sync.Mutex
	store *postgres.Store // nil: it is not open
	how   access
	users int // who have opened it, and not closed it yet
}

// longestConnect is how long a try to reach the database takes at most; package postgres bounds it.
const longestConnect = 30 * time.Second

// sharedStore is a store in a database. It may be opened several times; the last Close closes it.
type sharedStore struct {
	*postgres.Store
	close func() error
}

func (s *sharedStore) Close() error { return s.close() }

// openShared opens the database of a configuration. To read where nobody has made the tables, it
// returns an empty store.
func (p *program) openShared(
	ctx context.Context, cfg *config.Config, how access,
) (seen.Store, error) {
	store, err := p.openDatabase(ctx, cfg, how)
	if how == toRead && errors.Is(err, postgres.ErrNoTables) {
		return sqlite.OpenNothing(ctx)
	}
	if err != nil {
		return nil, err
	}
	return store, nil
}

// openDatabase opens the database of a configuration, or shares the open one. ErrNoTables: there is
// nothing to read.
func (p *program) openDatabase(
	ctx context.Context, cfg *config.Config, how access,
) (*sharedStore, error) {
	d := p.database
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users == 0 || d.how == toRead && how == toWrite {
		store, err := connect(ctx, cfg, how)
		if err != nil {
			return nil, err
		}
		if d.users > 0 { // the tables are there now
			err = store.Close()
		} else {
			d.store = store
		}
		if d.how = how; err != nil {
			return nil, err
		}
	}
	d.users++
	return &sharedStore{d.store, sync.OnceValue(d.leave)}, nil
}

// leave closes the database if nobody else uses it.
func (d *database) leave() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users--; d.users > 0 {
		return nil
	}
	store := d.store
	d.store = nil
	return store.Close()
}

// connect opens a database. What a person must mend in the configuration is an error of it.
func connect(ctx context.Context, cfg *config.Config, how access) (*postgres.Store, error) {
	open := postgres.OpenExisting
	if how == toWrite {
		open = postgres.Open
	}
	store, err := open(ctx, postgres.Options{
		URL: string(cfg.State), Password: cfg.StatePassword(), Lease: cfg.Lease, Worker: workerName(), Process: os.Getpid(),
	})
	var secret *config.SecretError
	switch {
	case err == nil:
		return store, nil
	case errors.As(err, &secret) && !secret.Temporary:
		return nil, cfg.Mistake(nil, &cfg.StatePasswordCommand, secret.Err)
	case errors.As(err, &secret):
		return nil, fmt.Errorf("the state in %s: %w", cfg.State, secret)
	case errors.Is(err, seen.ErrCreate):
	case errors.Is(err, postgres.ErrURL), errors.Is(err, postgres.ErrInsecure),
		errors.Is(err, postgres.ErrRefused):
		return nil, cfg.Mistake(nil, &cfg.State, err)
	}
	return nil, fmt.Errorf("the state in %s: %w", cfg.State, err)
}

// checkDatabase returns what makes the database of a configuration unusable. It contacts nobody.
func checkDatabase(cfg *config.Config) (mistakes config.Errors) {
	if cfg.State == "" {
		return nil
	}
	if err := postgres.Check(postgres.Options{URL: string(cfg.State)}); err != nil {
		mistakes = append(mistakes, cfg.Mistake(nil, &cfg.State, err))
	}
	return mistakes
}

// workerName names this process to people on other machines.
func workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "a machine without a name"
	}
	return fmt.Sprintf("%s (process %d)", host, os.Getpid())
}

// finding tells for check where the state is.
func (d *database) finding(cfg *config.Config) doctor.Finding {
	text := "the database " + cfg.State.String()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store == nil {
		text += "; its tables are yet to be made"
	}
	return doctor.Finding{Check: doctor.CheckState, State: doctor.OK, Text: text}
}

// book returns the book of a part of an account's target.
func (d *database) book(account, target string) deliver.Book {
	return &sharedBook{database: d, account: account, target: target}
}

// sharedBook is a book in the database, which need not be open yet.
type sharedBook struct {
	database        *database
	account, target string

	mu   sync.Mutex
	of   *postgres.Store
	book *postgres.Book
}

var errNotOpen = errors.New("the database that has the state is not open")

// open returns the book in the database; nil: it is not open, and so nothing is known.
func (b *sharedBook) open() *postgres.Book {
	b.database.mu.Lock()
	store := b.database.store
	b.database.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case store == nil:
		return nil
	case store != b.of:
		b.of, b.book = store, store.Book(b.account, b.target)
	}
	return b.book
}

func (b *sharedBook) Put(entries map[string][]byte) error {
	if book := b.open(); book != nil {
		return book.Put(entries)
	}
	return errNotOpen
}

func (b *sharedBook) Get(key string) (value []byte, found bool, err error) {
	if book := b.open(); book != nil {
		return book.Get(key)
	}
	return nil, false, nil
}

func (b *sharedBook) All() (map[string][]byte, error) {
	if book := b.open(); book != nil {
		return book.All()
	}
	return nil, nil
}

func (b *sharedBook) Forget(keys ...string) {
	if book := b.open(); book != nil {
		book.Forget(keys...)
	}
}

func (b *sharedBook) Keep(name string, value []byte) error {
	if book := b.open(); book != nil {
		return book.Keep(name, value)
	}
	return errNotOpen
}

func (b *sharedBook) Kept(name string) ([]byte, error) {
	if book := b.open(); book != nil {
		return book.Kept(name)
	}
	return nil, nil
}

// sameState returns an error if a configuration that is read again has the state elsewhere, or the
// accounts.
func sameState(old, cfg *config.Config) error {
	const polls = "while popfetch polls; end popfetch and start it again"
	const cannot = "cannot change from %s to %s " + polls
	switch {
	case cfg.State != old.State:
		return cfg.Mistake(nil, &cfg.State, fmt.Errorf(cannot, old.State, cfg.State))
	case cfg.StateDir != old.StateDir:
		return cfg.Mistake(nil, &cfg.StateDir,
			fmt.Errorf("cannot change from %s to %q "+polls, old.StateDir, cfg.StateDir))
	case cfg.Lease != old.Lease:
		return cfg.Mistake(nil, &cfg.Lease,
			fmt.Errorf(cannot, config.TimeText(old.Lease), config.TimeText(cfg.Lease)))
	case cfg.StatePasswordCommand != old.StatePasswordCommand:
		return cfg.Mistake(nil, &cfg.StatePasswordCommand,
			errors.New("cannot change "+polls))
	case cfg.AccountsFrom != old.AccountsFrom:
		return cfg.Mistake(nil, &cfg.AccountsFrom, errors.New("cannot change "+polls))
	}
	return nil
}
