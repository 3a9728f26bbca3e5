package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// record is one line of seen list --json. Its field names are part of the contract.
type record struct {
	Account     string     `json:"account"`
	UniqueID    string     `json:"unique_id"`
	Copy        int        `json:"copy,omitempty"`
	Kind        string     `json:"kind"`
	DeliveredAt *time.Time `json:"delivered_at,omitempty"`
	FirstSeenAt *time.Time `json:"first_seen_at,omitempty"` // by another program
	RefusedAt   *time.Time `json:"refused_at,omitempty"`
	DeletedAt   *time.Time `json:"deleted_at,omitempty"`
	Octets      int64      `json:"octets"`
	SHA256      string     `json:"sha256,omitempty"`
	Place       string     `json:"place,omitempty"`
	Refusals    int        `json:"refusals,omitempty"`
	Error       string     `json:"error,omitempty"`
}

func (p *program) seenList(ctx context.Context) error {
	store, err := p.openState(ctx, toRead)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	accounts, err := store.Accounts(ctx)
	if err != nil {
		return err
	}
	if len(p.words) > 0 {
		accounts = nil
		for _, name := range p.words {
			a, err := accountNamed(ctx, store, name)
			if err != nil {
				return err
			}
			accounts = append(accounts, a)
		}
	}
	rows := p.term.table("ACCOUNT", "UNIQUE-ID", "KIND", "TIME", "OCTETS", "FILE OR ERROR")
	err = p.seenAll(ctx, store, accounts, rows)
	if printed := rows.flush(); err == nil {
		err = printed
	}
	return err
}

// seenAll shows all records of the accounts.
func (p *program) seenAll(ctx context.Context, store seen.Store, accounts []seen.Account, rows *table) error {
	for _, a := range accounts {
		ledger, err := store.Look(ctx, a.Name, a.Server, a.User)
		if err != nil {
			return err
		}
		for r, err := range ledger.All(ctx) {
			if err != nil {
				return err
			}
			if err := p.showRecord(rows, a.Name, r); err != nil {
				return err
			}
		}
		asides, err := ledger.Asides(ctx)
		if err != nil {
			return err
		}
		for _, aside := range asides {
			if err := p.showRefused(rows, a.Name, aside); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *program) showRecord(rows *table, account string, r seen.Record) error {
	kind := recordKind(r.Kind)
	if !p.view.json {
		return rows.row(printable(account), writeID(r.UniqueID), kind, timeOf(r), strconv.FormatInt(r.Came.Octets, 10), printable(placeOf(r)))
	}
	line := record{Account: account, UniqueID: writeID(r.UniqueID), Copy: r.Copy, Kind: kind, Octets: r.Came.Octets, Place: placeOf(r)}
	if !r.DeliveredAt.IsZero() {
		at := r.DeliveredAt.UTC()
		if r.Kind.IsImported() {
			line.FirstSeenAt = &at
		} else {
			line.DeliveredAt = &at
		}
	}
	if !r.DeletedAt.IsZero() {
		at := r.DeletedAt.UTC()
		line.DeletedAt = &at
	}
	if r.Kind == seen.Delivered {
		line.SHA256 = fmt.Sprintf("%x", r.Came.SHA256)
	}
	return p.term.printJSON(line)
}

func recordKind(kind seen.Kind) string {
	switch {
	case kind == seen.Marked:
		return "marked"
	case kind.IsImported():
		return "imported"
	case kind == seen.Dropped:
		return "dropped"
	case kind == seen.Discarded:
		return "discarded"
	}
	return "delivered"
}

// timeOf returns when a message was delivered, or when another program first saw it. While the clock was clearly wrong, nobody knew.
func timeOf(r seen.Record) string {
	if r.DeliveredAt.IsZero() {
		return "unknown"
	}
	return r.DeliveredAt.UTC().Format(time.RFC3339)
}

// placeOf returns the name of the only place of a message, or "" if it has none.
func placeOf(r seen.Record) string {
	if len(r.Places) == 0 {
		return ""
	}
	return r.Places[0].Name
}

// showRefused shows a message without a record that was refused last time and is still listed.
func (p *program) showRefused(rows *table, account string, a seen.Aside) error {
	if a.Reason == seen.TooLarge || a.Text == "" || !a.AbsentAt.IsZero() {
		return nil
	}
	kind := "refused"
	if a.Reason == seen.Quarantined {
		kind = "quarantined"
	}
	at, cause := a.Last.UTC(), printable(a.Text)
	if !p.view.json {
		return rows.row(printable(account), writeID(a.UniqueID), kind, at.Format(time.RFC3339), strconv.FormatInt(a.Listed, 10), cause)
	}
	return p.term.printJSON(record{Account: account, UniqueID: writeID(a.UniqueID), Copy: a.Copy, Kind: kind, RefusedAt: &at, Octets: a.Listed, Refusals: a.Count, Error: cause})
}
