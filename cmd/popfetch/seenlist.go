package main

import (
	"context"
	"strconv"
	"strings"
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
	Place       string     `json:"place,omitempty"`  // of the first target
	Places      []place    `json:"places,omitempty"` // if a target has a name
	Refusals    int        `json:"refusals,omitempty"`
	Error       string     `json:"error,omitempty"`
}

// place is one of the places of a message.
type place struct {
	Target string `json:"target"`
	Name   string `json:"name,omitempty"`
}

func (p *program) seenList(ctx context.Context) error {
	store, err := p.openState(ctx, toRead)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	accounts, err := accountsNamed(ctx, store, p.words)
	if err != nil {
		return err
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
		return rows.row(printable(account), writeID(r.UniqueID), kind, timeOf(r),
			strconv.FormatInt(r.Came.Octets, 10), printable(placesOf(r)))
	}
	line := record{Account: account, UniqueID: writeID(r.UniqueID), Copy: r.Copy, Kind: kind,
		Octets: r.Came.Octets, SHA256: hexOf(r.Came.SHA256)}
	if len(r.Places) > 0 {
		line.Place = r.Places[0].Name
	}
	for _, at := range r.Places {
		if at.Target != "" {
			line.Places = append(line.Places, place{at.Target, at.Name})
		}
	}
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

// placesOf returns the names of the places of a message. Each has the name of its target in front,
// if that has one.
func placesOf(r seen.Record) string {
	names := make([]string, 0, len(r.Places))
	for _, at := range r.Places {
		switch {
		case at.Target == "":
			names = append(names, at.Name)
		case at.Name == "":
			names = append(names, at.Target)
		default:
			names = append(names, at.Target+": "+at.Name)
		}
	}
	return strings.Join(names, ", ")
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
