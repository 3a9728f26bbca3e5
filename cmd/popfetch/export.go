package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// exportForm writes messages in the form of another program.
type exportForm func(seen.Account, []seen.Record) (string, error)

// exportForms are the forms of each program. The first one is used if none is named.
var exportForms = map[string][]struct {
	name  string
	write exportForm
}{
	"mpop":    {{"mpop-1.4.18", mpopIDs(false)}, {"mpop-1.4.23", mpopIDs(true)}},
	"getmail": {{"getmail", getmailIDs}},
}

// export prints what an account has seen, in the form that another program reads. These are the
// messages that may still be on the server.
func (p *program) export(ctx context.Context) error {
	if len(p.words) != 2 || exportForms[p.words[0]] == nil {
		programs := slices.Sorted(maps.Keys(exportForms))
		return usagef("export: name a program and an account: popfetch export %s ACCOUNT", strings.Join(programs, "|"))
	}
	write, err := formOf(p.words[0], p.format)
	if err != nil {
		return err
	}
	store, err := p.openState(ctx, toRead)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	account, err := accountNamed(ctx, store, p.words[1])
	if err != nil {
		return err
	}
	ledger, err := store.Look(ctx, account.Name, account.Server, account.User)
	if err != nil {
		return err
	}
	records, err := exported(ctx, ledger)
	if err != nil {
		return err
	}
	text, err := write(account, records)
	if err != nil {
		return err
	}
	return p.term.printf("%s", text)
}

// formOf returns the form of a program that bears the name; "" is the usual one.
func formOf(program, name string) (exportForm, error) {
	var names []string
	for _, form := range exportForms[program] {
		if name == "" || name == form.name {
			return form.write, nil
		}
		names = append(names, form.name)
	}
	return nil, usagef("export %s: the format %q is not known; name %s", program, name, strings.Join(names, " or "))
}

// exported returns the records of messages that may still be listed, one for each unique-id, by
// unique-id. It leaves out messages that have none of the server's: no other program can know them.
func exported(ctx context.Context, ledger seen.Ledger) (records []seen.Record, err error) {
	now := time.Now()
	for r, err := range ledger.Remaining(ctx) {
		if err != nil {
			return nil, err
		}
		if r.Copy > 0 || strings.HasPrefix(r.UniqueID, " ") {
			continue
		}
		if r.DeliveredAt.IsZero() {
			r.DeliveredAt = now
		}
		records = append(records, seen.Record{Key: r.Key, DeliveredAt: r.DeliveredAt})
	}
	return records, nil
}

// mpopIDs returns the form of mpop's uidls_file, with the time at which a message was first seen or
// without it.
func mpopIDs(times bool) exportForm {
	return func(account seen.Account, records []seen.Record) (string, error) {
		host, _, err := net.SplitHostPort(account.Server)
		if err != nil {
			return "", fmt.Errorf("the server %s of the account: %w", account.Server, err)
		}
		if strings.ContainsAny(account.User, " \t") {
			return "", usagef("export mpop: mpop's file cannot hold the user %q, which has a blank", account.User)
		}
		var b strings.Builder
		b.WriteString("# This file was written by popfetch export.\n")
		fmt.Fprintf(&b, " %d %s %s\n", len(records), host, account.User)
		for _, r := range records {
			b.WriteString(r.UniqueID)
			if times {
				fmt.Fprintf(&b, " %d", r.DeliveredAt.Unix())
			}
			b.WriteString("\n")
		}
		return b.String(), nil
	}
}

// getmailIDs is the form of getmail's oldmail files. getmail writes each "/" of a unique-id as "-".
func getmailIDs(_ seen.Account, records []seen.Record) (string, error) {
	var b strings.Builder
	for _, r := range records {
		fmt.Fprintf(&b, "%s\x00%d\n", seen.Sanitize(r.UniqueID), r.DeliveredAt.Unix())
	}
	return b.String(), nil
}
