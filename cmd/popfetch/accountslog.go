package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/seen/postgres"
)

// auditEntry is a line of accounts log --json. Its field names are part of the contract.
type auditEntry struct {
	At      time.Time `json:"at"`
	User    string    `json:"user,omitempty"`
	Machine string    `json:"machine,omitempty"`
	Action  string    `json:"action"`
	Account string    `json:"account"`
	Keys    []string  `json:"keys,omitempty"`
}

// mostAudited is how many changes accounts log shows at most.
const mostAudited = 10_000

// accountsLog shows who changed accounts of the database, the newest change first. It knows removed
// accounts, too.
func (p *program) accountsLog(ctx context.Context) error {
	return p.withAccounts(ctx, toRead, func(_ *config.Config, store *sharedStore) error {
		entries, err := store.Audit(ctx, mostAudited, p.words...)
		if err == nil && len(entries) < mostAudited {
			err = p.requireNamed(ctx, store, func(name string) bool {
				return slices.ContainsFunc(entries, func(e postgres.Entry) bool { return e.Account == name })
			})
		}
		if err != nil {
			return err
		}
		rows := p.term.table("TIME", "BY", "ACTION", "ACCOUNT", "KEYS")
		for _, e := range entries {
			if p.view.json {
				err = p.term.printJSON(auditEntry{
					e.At.UTC(), e.By.User, e.By.Machine, e.Action, e.Account, e.Keys,
				})
			} else {
				by := "popfetch"
				if e.By != (postgres.By{}) {
					by = e.By.String()
				}
				err = rows.row(e.At.UTC().Format(time.RFC3339), printable(by), e.Action,
					printable(e.Account), printable(strings.Join(e.Keys, " ")))
			}
			if err != nil {
				break
			}
		}
		if printed := rows.flush(); err == nil {
			err = printed
		}
		return err
	})
}
