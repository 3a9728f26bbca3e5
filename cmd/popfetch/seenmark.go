package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"slices"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/seen"
)

// seenMark marks messages as seen that popfetch has not delivered: those that are named, or all
// that the server lists now.
func (p *program) seenMark(ctx context.Context) error {
	if len(p.words) == 0 || p.all == (len(p.words) > 1) {
		return usagef("seen mark: name an account and its unique-ids, or one account and --all")
	}
	name := p.words[0]
	if p.all {
		return p.markListed(ctx, name)
	}
	store, err := p.openState(ctx, toWrite)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // each commit was durable by itself
	account, err := accountNamed(ctx, store, name)
	if err != nil {
		if account, err = p.configured(name, err); err != nil {
			return err
		}
	}
	ids, err := readIDs(p.words[1:])
	if err != nil {
		return err
	}
	var keys []seen.Entry
	for _, id := range ids {
		keys = append(keys, seen.Entry{Key: seen.Key{UniqueID: id}})
	}
	hold, err := lockAccount(ctx, store, account.Name)
	if err != nil {
		return err
	}
	defer hold.Release() //nolint:errcheck // the lock ends with the process
	ledger, err := store.Enter(ctx, account.Name, account.Server, account.User)
	if err != nil {
		return err
	}
	return p.mark(ctx, ledger, slices.Values(keys))
}

// configured returns an account that is configured but was never fetched. If it is not configured,
// it returns the error unknown.
func (p *program) configured(name string, unknown error) (seen.Account, error) {
	cfg, err := p.readFile()
	if errors.Is(err, fs.ErrNotExist) {
		return seen.Account{}, unknown
	}
	if err != nil {
		return seen.Account{}, err
	}
	accounts, err := cfg.Select([]string{name})
	if err != nil {
		return seen.Account{}, usageError{err}
	}
	return seen.Account{Name: name, Server: accounts[0].Server, User: accounts[0].User}, nil
}

// markListed marks all messages that a look at the server shows as new.
func (p *program) markListed(ctx context.Context, name string) error {
	if p.dryRun {
		return usagef("--dry-run works only with fetching; %s shows what would be marked",
			proposed(p.source.options(), "list", name))
	}
	at := func(*fetch.Account) (lookFunc, error) { return (*fetch.Runner).Look, nil }
	return p.lookLocked(ctx, name, at, func(survey *fetch.Survey, ledger seen.Ledger) error {
		entries := func(yield func(seen.Entry) bool) {
			for _, some := range []fetch.Entries{survey.Plan.Retrieve, survey.Plan.Skip, survey.Plan.Mark} {
				for e := range some.All() {
					if !yield(e) {
						return
					}
				}
			}
			for _, m := range survey.Plan.Quarantined {
				if !yield(survey.Listing[m.Index]) {
					return
				}
			}
		}
		err := p.mark(ctx, ledger, entries)
		survey.Plan.Quarantined = nil // they are given up now
		return err
	})
}

// lookLocked looks at the named account while it is locked, and calls do with the result and with a
// ledger that can be written. how returns the kind of look.
func (p *program) lookLocked(ctx context.Context, name string, how func(*fetch.Account) (lookFunc, error), do func(*fetch.Survey, seen.Ledger) error) error {
	if err := p.refuseServer(); err != nil {
		return err
	}
	s, err := p.load(ctx)
	if err != nil {
		return err
	}
	accounts, err := p.fetchAccounts(ctx, s)
	if err != nil {
		return err
	}
	at, err := how(&accounts[0])
	if err != nil {
		return err
	}
	store, err := p.openStore(ctx, s.Config, toWrite)
	if err != nil {
		return err
	}
	defer store.Close()                        //nolint:errcheck // each commit was durable by itself
	hold, err := lockAccount(ctx, store, name) // before the server is contacted
	if err != nil {
		return err
	}
	defer hold.Release() //nolint:errcheck // the lock ends with the process
	accounts[0].All = false
	return p.lookWith(ctx, s, store, at, accounts, looker{show: func(survey *fetch.Survey) error {
		ledger, err := store.Enter(ctx, name, accounts[0].Server, accounts[0].User)
		if err != nil {
			return err
		}
		return do(survey, ledger)
	}})
}

// mark adds records of kind Marked. The caller has the lock of the account.
func (p *program) mark(ctx context.Context, ledger seen.Ledger, entries iter.Seq[seen.Entry]) error {
	marked := 0
	flush := func(part []seen.Entry) error {
		records, err := unrecorded(ctx, ledger, part)
		if err != nil {
			return err
		}
		marked += len(records)
		return ledger.Apply(ctx, seen.Changes{Records: slices.Values(records)})
	}
	part := make([]seen.Entry, 0, 1000) // a maildrop may be huge, and a record is several times an entry
	for e := range entries {
		if part = append(part, e); len(part) == cap(part) {
			if err := flush(part); err != nil {
				return err
			}
			part = part[:0]
		}
	}
	if err := flush(part); err != nil {
		return err
	}
	return p.report(done{Account: ledger.Account().Name, Marked: &marked}, "marked as seen")
}

// unrecorded makes records for the entries that have none. An existing record is not replaced: it
// would lose the facts about a delivered message.
func unrecorded(ctx context.Context, ledger seen.Ledger, entries []seen.Entry) ([]seen.Record, error) {
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.UniqueID)
	}
	known, err := ledger.Records(ctx, ids)
	if err != nil {
		return nil, err
	}
	recorded := make(map[seen.Key]bool, len(known))
	for _, r := range known {
		recorded[r.Key] = true
	}
	var records []seen.Record
	for _, e := range entries {
		if !recorded[e.Key] {
			records = append(records, seen.Record{Key: e.Key, Kind: seen.Marked, Listed: e.Octets, DeliveredAt: time.Now()})
		}
	}
	return records, nil
}

// done is the output of seen mark, seen forget and seen rebuild with --json. Its field names are part
// of the contract.
type done struct {
	Account   string `json:"account"`
	Marked    *int   `json:"marked,omitempty"`
	Forgotten *int   `json:"forgotten,omitempty"`
	Rebuilt   *int   `json:"rebuilt,omitempty"`
}

func (p *program) report(d done, what string) error {
	if p.view.json {
		return p.term.printJSON(d)
	}
	return p.term.printf("%s: %d %s\n", printable(d.Account), *cmp.Or(d.Marked, d.Forgotten, d.Rebuilt), what)
}
