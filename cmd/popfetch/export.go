package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// exportForm writes an account's messages in the form of another program. n is their number.
type exportForm func(w io.Writer, account seen.Account, n int, records iter.Seq[seen.Record]) error

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
	n, written := 0, 0
	for _, err := range exported(ctx, ledger) {
		if err != nil {
			return err
		}
		n++
	}
	var broken error
	records := func(yield func(seen.Record) bool) {
		for r, err := range exported(ctx, ledger) {
			if broken = err; err != nil || written == n || !yield(r) {
				return
			}
			written++
		}
	}
	out := bufio.NewWriter(dataWriter{p.term})
	if err := write(out, account, n, records); err != nil {
		return err
	}
	if err := errors.Join(broken, out.Flush()); err != nil {
		return err
	}
	if written < n {
		return fmt.Errorf("%s: a run has just changed what was seen; try again", account.Name)
	}
	return nil
}

// dataWriter writes on standard output.
type dataWriter struct{ *terminal }

func (w dataWriter) Write(octets []byte) (int, error) {
	return len(octets), w.printf("%s", octets)
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

// exported yields the records of messages that may still be listed, one for each unique-id, by
// unique-id. It leaves out messages that have none of the server's: no other program can know them.
func exported(ctx context.Context, ledger seen.Ledger) iter.Seq2[seen.Record, error] {
	return func(yield func(seen.Record, error) bool) {
		now := time.Now()
		for r, err := range ledger.Remaining(ctx) {
			if err == nil && (r.Copy > 0 || strings.HasPrefix(r.UniqueID, " ")) {
				continue
			}
			if r.DeliveredAt.IsZero() {
				r.DeliveredAt = now
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// mpopIDs returns the form of mpop's uidls_file, with the time at which a message was first seen or
// without it.
func mpopIDs(times bool) exportForm {
	return func(w io.Writer, account seen.Account, n int, records iter.Seq[seen.Record]) error {
		host, _, err := net.SplitHostPort(account.Server)
		if err != nil {
			return fmt.Errorf("the server %s of the account: %w", account.Server, err)
		}
		if strings.ContainsAny(account.User, " \t") {
			return usagef("export mpop: mpop's file cannot hold the user %q, which has a blank", account.User)
		}
		if _, err := fmt.Fprintf(w, "# This file was written by popfetch export.\n %d %s %s\n", n, host, account.User); err != nil {
			return err
		}
		for r := range records {
			line := r.UniqueID
			if times {
				line = fmt.Sprintf("%s %d", line, r.DeliveredAt.Unix())
			}
			if _, err := io.WriteString(w, line+"\n"); err != nil {
				return err
			}
		}
		return nil
	}
}

// getmailIDs is the form of getmail's oldmail files. getmail writes each "/" of a unique-id as "-".
func getmailIDs(w io.Writer, _ seen.Account, _ int, records iter.Seq[seen.Record]) error {
	for r := range records {
		if _, err := fmt.Fprintf(w, "%s\x00%d\n", seen.Sanitize(r.UniqueID), r.DeliveredAt.Unix()); err != nil {
			return err
		}
	}
	return nil
}
