package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/seen"
)

// loggedDeletion is one line of log --json. Its field names are part of the contract.
type loggedDeletion struct {
	Account     string     `json:"account"`
	UniqueID    string     `json:"unique_id"`
	Rule        string     `json:"rule"`
	Octets      int64      `json:"octets"`
	SHA256      string     `json:"sha256,omitempty"`
	DeliveredAt *time.Time `json:"delivered_at,omitempty"`
	DeletedAt   time.Time  `json:"deleted_at"`
}

// log shows what was deleted on servers, from the state alone.
func (p *program) log(ctx context.Context) error {
	since, err := p.logSince(time.Now())
	if err != nil {
		return err
	}
	_, store, accounts, err := p.openShown(ctx)
	if err != nil {
		return err
	}
	defer store.Close()                         //nolint:errcheck // nothing was written
	if shared, is := store.(*sharedStore); is { // so that most accounts cost nothing
		deleting, err := shared.Deleting(ctx, since)
		if err != nil {
			return err
		}
		accounts = slices.DeleteFunc(accounts, func(a shownAccount) bool { return !deleting[a.state] })
	}
	rows := p.term.table("ACCOUNT", "DELETED", "RULE", "UNIQUE-ID", "OCTETS", "DELIVERED", "SHA-256")
	for _, a := range accounts {
		if err := p.logOne(ctx, store, a, since, rows); err != nil {
			return errors.Join(err, rows.flush())
		}
	}
	return rows.flush()
}

// logOne shows the deletions of one account.
func (p *program) logOne(ctx context.Context, store seen.Store, a shownAccount, since time.Time, rows *table) error {
	ledger, err := store.Look(ctx, a.state, "", "")
	if err != nil {
		return err
	}
	for d, err := range ledger.Deletions(ctx, since) {
		if err != nil {
			return err
		}
		if err := p.showDeletion(rows, a.name, d); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) showDeletion(rows *table, account string, d seen.Deletion) error {
	sum := hexOf(d.SHA256)
	if !p.view.json {
		delivered := "unknown"
		if !d.DeliveredAt.IsZero() {
			delivered = d.DeliveredAt.UTC().Format(time.RFC3339)
		}
		return rows.row(printable(account), d.DeletedAt.UTC().Format(time.RFC3339), printable(d.Rule), writeID(d.UniqueID),
			strconv.FormatInt(d.Octets, 10), delivered, sum)
	}
	line := loggedDeletion{Account: account, UniqueID: writeID(d.UniqueID), Rule: d.Rule, Octets: d.Octets, SHA256: sum, DeletedAt: d.DeletedAt.UTC()}
	if !d.DeliveredAt.IsZero() {
		at := d.DeliveredAt.UTC()
		line.DeliveredAt = &at
	}
	return p.term.printJSON(line)
}

// logSince returns the time of --since; zero: all is shown.
func (p *program) logSince(now time.Time) (time.Time, error) {
	if p.since == nil {
		return time.Time{}, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, *p.since, time.Local); err == nil {
		return day, nil
	}
	within, err := config.ParseTime(*p.since)
	if err != nil {
		return time.Time{}, usagef("--since: %w, or a date such as 2026-01-31", err)
	}
	return now.Add(-within), nil
}
