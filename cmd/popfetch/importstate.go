package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/foreign"
	"github.com/popfetch/popfetch/seen"
)

// writeState records what the other program has seen. It comes before the configuration: if it is
// interrupted, popfetch does not know the account yet, and so fetches nothing again. The accounts
// stay locked until unlock is called.
func (imp *importing) writeState(ctx context.Context) (unlock func(), err error) {
	cfg := *imp.config
	if err := imp.useStateDir(&cfg); err != nil {
		return nil, err
	}
	store, err := imp.openStore(ctx, &cfg, toWrite)
	if err != nil {
		return nil, err
	}
	var locks []func() error
	unlock = func() {
		for _, end := range locks {
			_ = end() // otherwise the lock ends with the process
		}
		_ = store.Close() // each commit was durable by itself
	}
	if err := imp.writeLocked(ctx, store, &locks); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// writeLocked locks the accounts and writes their records. It adds what ends the locks to locks.
func (imp *importing) writeLocked(ctx context.Context, store seen.Store, locks *[]func() error) error {
	for i := range imp.accounts {
		hold, err := lockAccount(ctx, store, imp.accounts[i].Name)
		if err != nil {
			return err
		}
		*locks = append(*locks, hold.Release)
	}
	var err error
	// Another import may just have ended.
	if imp.config, err = config.Preview(imp.file, imp.accounts...); err != nil {
		return err
	}
	accounts, err := imp.config.Select(imp.names())
	if err != nil {
		return err
	}
	for i := range accounts { // before anything is written
		if err := checkState(ctx, store, &accounts[i]); err != nil {
			return err
		}
	}
	for i := range accounts {
		if err := imp.record(ctx, store, &accounts[i]); err != nil {
			return err
		}
	}
	return nil
}

func (imp *importing) names() (names []string) {
	for i := range imp.accounts {
		names = append(names, imp.accounts[i].Name)
	}
	return names
}

// errOtherState says that the state has another account of the same name.
var errOtherState = errors.New("the state has records of another account of that name")

// checkState refuses an account whose name has records of another server or user.
func checkState(ctx context.Context, store seen.Store, a *config.Account) error {
	ledger, err := store.Look(ctx, a.Name, a.Server, a.User)
	if err != nil {
		return err
	}
	known := ledger.Account()
	if known.Records == 0 || known.Server == a.Server && known.User == a.User {
		return nil
	}
	return fmt.Errorf("%s: %w: %s at %s, and not %s at %s; seen rename gives them another name, and seen forget --all removes them",
		a.Name, errOtherState, printable(known.User), known.Server, printable(a.User), a.Server)
}

// record adds the records of an account. Existing records stay as they are.
func (imp *importing) record(ctx context.Context, store seen.Store, a *config.Account) error {
	var from *foreign.Account
	for i := range imp.found.Accounts {
		if imp.found.Accounts[i].Name == a.Name {
			from = &imp.found.Accounts[i]
		}
	}
	if len(from.Seen) == 0 {
		return nil
	}
	ledger, err := store.Enter(ctx, a.Name, a.Server, a.User)
	if err != nil {
		return err
	}
	recorded := make(map[seen.Key]bool)
	if ledger.Account().Records > 0 {
		for r, err := range ledger.All(ctx) {
			if err != nil {
				return err
			}
			recorded[r.Key] = true
		}
	}
	now := time.Now()
	records := func(yield func(seen.Record) bool) {
		for _, s := range from.Seen {
			r := importedRecord(s, from.Sanitized, now)
			if !recorded[r.Key] && !yield(r) {
				return
			}
		}
	}
	return ledger.Apply(ctx, seen.Changes{Records: records})
}

// importedRecord returns the record of a message that another program has seen. If it does not say
// when, or names a time that is still to come, the time is that of the import: a record from the
// future would make the clock look wrong.
func importedRecord(s foreign.Seen, sanitized bool, now time.Time) seen.Record {
	r := seen.Record{Key: seen.Key{UniqueID: s.UniqueID}, Kind: seen.Imported, DeliveredAt: s.FirstSeen}
	if sanitized && strings.Contains(s.UniqueID, "-") {
		r.Kind = seen.Sanitized
	}
	if s.FirstSeen.Unix() <= 0 || s.FirstSeen.After(now) {
		r.DeliveredAt = now
	}
	return r
}
