package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/sealed"
	"github.com/popfetch/popfetch/seen/postgres"
)

// withAccounts calls do with the database of the configuration.
func (p *program) withAccounts(ctx context.Context, how access, do func(*config.Config, *sharedStore) error) error {
	if err := p.refuseServer(); err != nil {
		return err
	}
	cfg, err := p.readFile()
	if err != nil {
		return err
	}
	if cfg.State == "" {
		return cfg.Mistake(nil, &cfg.State, errors.New(`is missing: these are the accounts of a database; write state = "postgres://…"`))
	}
	store, err := p.openDatabase(ctx, cfg, how)
	switch {
	case how == toRead && errors.Is(err, postgres.ErrNoTables) && len(p.words) == 0:
		return nil // there are none yet
	case how == toRead && errors.Is(err, postgres.ErrNoTables):
		return p.unknownAccounts(&postgres.UnknownAccountsError{Names: p.words})
	case err != nil:
		return err
	}
	defer store.Close() //nolint:errcheck // each change was durable by itself
	return do(cfg, store)
}

// accountsPut adds and replaces accounts of the database.
func (p *program) accountsPut(ctx context.Context) error {
	if len(p.words) != 1 {
		return usagef("accounts put: name one file, or - for standard input")
	}
	put, err := config.LoadAccounts(p.words[0], os.Stdin)
	if err != nil {
		return err
	}
	return p.withAccounts(ctx, toWrite, func(cfg *config.Config, store *sharedStore) error {
		if cfg.AccountsFrom != config.FromDatabase {
			return cfg.Mistake(nil, &cfg.AccountsFrom, errors.New(
				`says that workers have their accounts from files, so none would poll these; `+
					`write accounts = "database"`))
		}
		keys, err := sealingKeys(cfg)
		if err != nil {
			return err
		}
		specs, err := specsOf(put, keys)
		if err != nil {
			return err
		}
		o, err := store.PutAccounts(ctx, who(), postgres.Put{Specs: specs, Replace: p.replace, Keys: changedKeys})
		if err != nil {
			return err
		}
		return p.tellChange(o)
	})
}

// specsOf returns the accounts of a file as the database has them. Without keys, a secret that is
// written in the file is a mistake.
func specsOf(put *config.Config, keys *sealed.Keys) ([]postgres.Spec, error) {
	specs := make([]postgres.Spec, 0, len(put.Accounts))
	if keys == nil {
		if mistakes := put.SecretMistakes(errors.New("would lie in the database in clear; write a key for a command or a file instead, " +
			"or accounts_key_file into the configuration, so that it is sealed")); mistakes != nil {
			return nil, mistakes
		}
	}
	for i := range put.Accounts {
		a := &put.Accounts[i]
		stored := put.Store(a)
		spec := postgres.Spec{
			Name: stored.Name, TOML: stored.TOML, Enabled: stored.Enabled,
			Host: hostOf(a.Server), Label: labelsText(a.Workers), Interval: a.Interval,
		}
		if len(stored.Secrets) > 0 {
			var err error
			if spec.Sealed, err = keys.Seal(stored.Name, stored.Secrets); err != nil {
				return nil, err
			}
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

// changedKeys returns in which keys an account differs from what it was, for the audit.
func changedKeys(old, changed *postgres.Spec) []string {
	var before postgres.Spec
	before.Enabled = true
	if old != nil {
		before = *old
	}
	keys := config.ChangedKeys(before.TOML, changed.TOML)
	if before.Enabled != changed.Enabled {
		keys = append(keys, "enabled")
	}
	if old != nil && changed.Sealed != nil { // whether they differ, nobody can tell
		keys = append(keys, "secrets")
	}
	return keys
}

// accountsChange is the line of accounts put, remove, enable and disable --json. Its field names
// are part of the contract.
type accountsChange struct {
	Added     []string `json:"added"`
	Changed   []string `json:"changed"`
	Removed   []string `json:"removed"`
	Unchanged []string `json:"unchanged"`
}

// tellChange tells what has become of accounts.
func (p *program) tellChange(o postgres.Outcome) error {
	if p.view.json {
		list := func(names []string) []string { return append([]string{}, names...) }
		return p.term.printJSON(accountsChange{list(o.Added), list(o.Changed), list(o.Removed), list(o.Unchanged)})
	}
	var parts []string
	for _, part := range []struct {
		what  string
		names []string
	}{{"added", o.Added}, {"changed", o.Changed}, {"removed", o.Removed}, {"unchanged", o.Unchanged}} {
		if len(part.names) > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", len(part.names), part.what))
		}
	}
	if len(parts) == 0 {
		parts = []string{"0 changed"} // only tokens were sealed
	}
	if p.term.talks && !p.view.quiet {
		p.term.sayf(news, "accounts: %s", strings.Join(parts, ", "))
	}
	return nil
}

// accountsGet prints accounts of the database as TOML, with secrets masked.
func (p *program) accountsGet(ctx context.Context) error {
	return p.withAccounts(ctx, toRead, func(_ *config.Config, store *sharedStore) error {
		specs, err := p.specs(ctx, store)
		if err != nil {
			return err
		}
		for i := range specs {
			s := &specs[i]
			text := s.TOML
			if !s.Enabled {
				text += "enabled = false\n"
			}
			if p.view.json {
				err = p.term.printJSON(storedAccount{Account: s.Name, Enabled: s.Enabled, ChangedAt: s.Changed.UTC(), TOML: text})
			} else {
				err = p.term.printf("%s%s", strings.Repeat("\n", min(i, 1)), text)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// storedAccount is a line of accounts get --json. Its field names are part of the contract.
type storedAccount struct {
	Account   string    `json:"account"`
	Enabled   bool      `json:"enabled"`
	ChangedAt time.Time `json:"changed_at"`
	TOML      string    `json:"toml"`
}

// specs returns the named accounts of the database, or all.
func (p *program) specs(ctx context.Context, store *sharedStore) ([]postgres.Spec, error) {
	specs, err := store.AccountSpecs(ctx, p.words...)
	if err != nil || len(p.words) == 0 {
		return specs, err
	}
	return specs, p.requireNamed(ctx, store, func(name string) bool {
		return slices.ContainsFunc(specs, func(s postgres.Spec) bool { return s.Name == name })
	})
}

// requireNamed returns an error for the names on the command line that were not found.
func (p *program) requireNamed(
	ctx context.Context, store *sharedStore, found func(name string) bool,
) error {
	missing := slices.DeleteFunc(slices.Clone(p.words), found)
	if len(missing) == 0 {
		return nil
	}
	all, err := store.AccountSpecs(ctx)
	if err != nil {
		return err
	}
	unknown := &postgres.UnknownAccountsError{Names: missing}
	for i := range all {
		unknown.Known = append(unknown.Known, all[i].Name)
	}
	return p.unknownAccounts(unknown)
}

// unknownAccounts returns the error of a command that names accounts which the database does not
// have.
func (p *program) unknownAccounts(err error) error {
	var unknown *postgres.UnknownAccountsError
	if !errors.As(err, &unknown) {
		return err
	}
	for _, name := range unknown.Names {
		if near := config.Nearest(name, unknown.Known); len(near) > 0 {
			return usagef("%w; the nearest name to %q is %s", err, name, near[0])
		}
	}
	return usagef("%w; %s shows all", err, proposed(p.source.options(), "accounts", "list"))
}

// listedAccount is a line of accounts list --json. Its field names are part of the contract.
type listedAccount struct {
	Account        string     `json:"account"`
	State          string     `json:"state"` // enabled, disabled or removed
	Host           string     `json:"host,omitempty"`
	Workers        []string   `json:"workers,omitempty"`
	ChangedAt      time.Time  `json:"changed_at"`
	RemovedBy      string     `json:"removed_by,omitempty"`
	RecordsExpire  *time.Time `json:"records_expire,omitempty"`
	HasSecrets     bool       `json:"sealed"`
	IntervalSecond float64    `json:"interval_seconds"` // 0: manual
}

// accountsList lists the accounts of the database, also those that were removed and have records
// yet.
func (p *program) accountsList(ctx context.Context) error {
	if len(p.words) > 0 {
		return usagef("accounts list: takes no names; accounts get shows an account")
	}
	return p.withAccounts(ctx, toRead, func(_ *config.Config, store *sharedStore) error {
		specs, _, err := store.AccountChanges(ctx, 0)
		if err != nil {
			return err
		}
		rows := p.term.table("ACCOUNT", "STATE", "HOST", "INTERVAL", "WORKERS", "CHANGED")
		for i := range specs {
			if err = p.listAccount(rows, &specs[i]); err != nil {
				break
			}
		}
		if printed := rows.flush(); err == nil {
			err = printed
		}
		return err
	})
}

func (p *program) listAccount(rows *table, s *postgres.Spec) error {
	line := listedAccount{
		Account: s.Name, State: "enabled", Host: s.Host, Workers: strings.Fields(s.Label), ChangedAt: s.Changed.UTC(),
		HasSecrets: s.Sealed != nil, IntervalSecond: s.Interval.Seconds(),
	}
	changed := s.Changed.UTC().Format(time.RFC3339)
	switch {
	case s.IsRemoved():
		expire := s.Removed.Add(postgres.RecordsStay).UTC()
		line.State, line.RemovedBy, line.RecordsExpire = "removed", s.RemovedBy, &expire
		changed += fmt.Sprintf(" by %s; its records go on %s", printable(s.RemovedBy), expire.Format(time.DateOnly))
	case !s.Enabled:
		line.State = "disabled"
	}
	if p.view.json {
		return p.term.printJSON(line)
	}
	interval := "manual"
	if s.Interval > 0 {
		interval = config.TimeText(s.Interval)
	}
	return rows.row(printable(s.Name), line.State, printable(s.Host), interval, s.Label, changed)
}

// accountsRemove removes accounts of the database. Their records stay for a while.
func (p *program) accountsRemove(ctx context.Context) error {
	return p.changeAccounts(ctx, (*postgres.Store).RemoveAccounts)
}

// accountsEnable has workers poll accounts again.
func (p *program) accountsEnable(ctx context.Context) error { return p.enableAccounts(ctx, true) }

// accountsDisable has workers poll accounts no more.
func (p *program) accountsDisable(ctx context.Context) error { return p.enableAccounts(ctx, false) }

func (p *program) enableAccounts(ctx context.Context, enabled bool) error {
	return p.changeAccounts(ctx, func(s *postgres.Store, ctx context.Context, by postgres.By, names []string) (postgres.Outcome, error) {
		return s.EnableAccounts(ctx, by, names, enabled)
	})
}

// changeAccounts changes the named accounts, all or none.
func (p *program) changeAccounts(
	ctx context.Context, do func(*postgres.Store, context.Context, postgres.By, []string) (postgres.Outcome, error),
) error {
	if len(p.words) == 0 {
		return usagef("%s: name the accounts", p.command)
	}
	return p.withAccounts(ctx, toWrite, func(_ *config.Config, store *sharedStore) error {
		o, err := do(store.Store, ctx, who(), p.words)
		if err != nil {
			return p.unknownAccounts(err)
		}
		return p.tellChange(o)
	})
}
