package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// stateOf opens the seen-table without asking for a valid account: mending the state must work on a machine whose
// configuration is gone, and for accounts that it no longer has.
func (p *program) stateOf(c *cli.Context, open func(*setting, context.Context) (*sqlite.Store, error)) (*sqlite.Store, error) {
	if c.Bool("dry-run") && c.Command.Name != "list" {
		return nil, usagef("--dry-run goes with fetching; seen %s does what it says", c.Command.Name)
	}
	s := &setting{Config: &config.Config{}, cli: c}
	var err error
	if dir := c.String("state-dir"); dir != "" {
		s.StateDir, err = absolute(dir)
	} else {
		s.Config, err = readFile(c)
		if !c.IsSet("config") && errors.Is(err, fs.ErrNotExist) {
			s.Config, err = &config.Config{StateDir: config.DefaultStateDir()}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return open(s, c.Context)
}

// accountNamed finds an account of the store; a one-shot account is known by its long name.
func accountNamed(c *cli.Context, store seen.Store, name string) (seen.Account, error) {
	accounts, err := store.Accounts(c.Context)
	if err != nil {
		return seen.Account{}, err
	}
	at := slices.IndexFunc(accounts, func(a seen.Account) bool { return a.Name == name })
	if at < 0 {
		return seen.Account{}, usagef("nothing is known of an account %q; popfetch seen list shows all", name)
	}
	return accounts[at], nil
}

// enter returns the ledger of an account that is known; the caller has its lock.
func enter(c *cli.Context, store seen.Store, a seen.Account) (seen.Ledger, error) {
	return store.Enter(c.Context, a.Name, a.Server, a.User)
}

// record is one line of seen list --json. Its field names are part of the contract.
type record struct {
	Account     string     `json:"account"`
	UniqueID    string     `json:"unique_id"`
	Copy        int        `json:"copy,omitempty"`
	Kind        string     `json:"kind"`
	DeliveredAt *time.Time `json:"delivered_at,omitempty"`
	RefusedAt   *time.Time `json:"refused_at,omitempty"`
	DeletedAt   *time.Time `json:"deleted_at,omitempty"`
	Octets      int64      `json:"octets"`
	SHA256      string     `json:"sha256,omitempty"`
	Place       string     `json:"place,omitempty"`
	Refusals    int        `json:"refusals,omitempty"`
	Error       string     `json:"error,omitempty"`
}

func (p *program) seenList(c *cli.Context) error {
	store, err := p.stateOf(c, (*setting).openStoreToLook)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	accounts, err := store.Accounts(c.Context)
	if err != nil {
		return err
	}
	if c.Args().Present() {
		accounts = nil
		for _, name := range c.Args().Slice() {
			a, err := accountNamed(c, store, name)
			if err != nil {
				return err
			}
			accounts = append(accounts, a)
		}
	}
	for _, a := range accounts {
		ledger, err := store.Look(c.Context, a.Name, a.Server, a.User)
		if err != nil {
			return err
		}
		for r, err := range ledger.All(c.Context) {
			if err != nil {
				return err
			}
			if err := p.showRecord(c, a.Name, r); err != nil {
				return err
			}
		}
		asides, err := ledger.Asides(c.Context)
		if err != nil {
			return err
		}
		for _, aside := range asides {
			if err := p.showRefused(c, a.Name, aside); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *program) showRecord(c *cli.Context, account string, r seen.Record) error {
	kind := "delivered"
	if r.Kind == seen.Marked {
		kind = "marked"
	}
	if !c.Bool("json") {
		return p.term.printf("%s\t%s\t%s\t%s\t%d\t%s\n", printable(account), writeID(r.UniqueID), kind, r.DeliveredAt.UTC().Format(time.RFC3339), r.Came.Octets, printable(placeOf(r)))
	}
	at := r.DeliveredAt.UTC()
	line := record{Account: account, UniqueID: writeID(r.UniqueID), Copy: r.Copy, Kind: kind, DeliveredAt: &at, Octets: r.Came.Octets, Place: placeOf(r)}
	if !r.DeletedAt.IsZero() {
		at := r.DeletedAt.UTC()
		line.DeletedAt = &at
	}
	if r.Kind == seen.Delivered {
		line.SHA256 = fmt.Sprintf("%x", r.Came.SHA256)
	}
	return p.term.printJSON(line)
}

// placeOf is the name of the one place that a message was delivered to; "" if there is none.
func placeOf(r seen.Record) string {
	if len(r.Places) == 0 {
		return ""
	}
	return r.Places[0].Name
}

// showRefused shows, beside the records, what was refused last time and is listed still.
func (p *program) showRefused(c *cli.Context, account string, a seen.Aside) error {
	if a.Reason == seen.TooLarge || a.Text == "" || !a.AbsentAt.IsZero() {
		return nil
	}
	kind := "refused"
	if a.Reason == seen.Quarantined {
		kind = "quarantined"
	}
	at, cause := a.Last.UTC(), printable(a.Text)
	if !c.Bool("json") {
		return p.term.printf("%s\t%s\t%s\t%s\t%d\t%s\n", account, writeID(a.UniqueID), kind, at.Format(time.RFC3339), a.Listed, cause)
	}
	return p.term.printJSON(record{Account: account, UniqueID: writeID(a.UniqueID), Copy: a.Copy, Kind: kind, RefusedAt: &at, Octets: a.Listed, Refusals: a.Count, Error: cause})
}

// seenMark counts messages as seen that popfetch has not delivered: those named, or all that the server lists now.
func (p *program) seenMark(c *cli.Context) error {
	if !c.Args().Present() || c.Bool("all") == (c.NArg() > 1) {
		return usagef("seen mark: name an account and its unique-ids, or one account and --all")
	}
	name := c.Args().First()
	if c.Bool("all") {
		return p.markListed(c, name)
	}
	store, err := p.stateOf(c, (*setting).openStore)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // each commit was durable by itself
	account, err := accountNamed(c, store, name)
	if err != nil {
		if account, err = configured(c, name, err); err != nil {
			return err
		}
	}
	ids, err := readIDs(c.Args().Tail())
	if err != nil {
		return err
	}
	var keys []seen.Entry
	for _, id := range ids {
		keys = append(keys, seen.Entry{Key: seen.Key{UniqueID: id}})
	}
	unlock, err := store.Lock(account.Name)
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the lock goes with the process
	ledger, err := enter(c, store, account)
	if err != nil {
		return err
	}
	return p.mark(c, ledger, pointers(keys))
}

// configured returns an account that is configured but was never fetched; unknown is the error if it is not.
func configured(c *cli.Context, name string, unknown error) (seen.Account, error) {
	cfg, err := readFile(c)
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

// markListed marks what a look at the server shows as new.
func (p *program) markListed(c *cli.Context, name string) error {
	if c.Bool("dry-run") {
		return usagef("--dry-run goes with fetching; popfetch list %s shows what would be marked", name)
	}
	s, err := p.load(c)
	if err != nil {
		return err
	}
	accounts, err := p.fetchAccounts(s)
	if err != nil {
		return err
	}
	store, err := s.openStore(c.Context)
	if err != nil {
		return err
	}
	defer store.Close()             //nolint:errcheck // each commit was durable by itself
	unlock, err := store.Lock(name) // before the server is troubled
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the lock goes with the process
	accounts[0].All = false
	return p.lookAt(c, p.runner(s, store, nil), (*fetch.Runner).Look, accounts, func(survey *fetch.Survey) error {
		a := accounts[0]
		ledger, err := store.Enter(c.Context, name, a.Server, a.User)
		if err != nil {
			return err
		}
		entries := append(survey.Plan.Retrieve, pointers(survey.Plan.Skip)...)
		entries = append(entries, pointers(survey.Plan.Mark)...)
		for _, m := range survey.Plan.Quarantined {
			entries = append(entries, &survey.Listing[m.Index])
		}
		survey.Plan.Quarantined = nil // they are given up now
		return p.mark(c, ledger, entries)
	})
}

func pointers(entries []seen.Entry) []*seen.Entry {
	all := make([]*seen.Entry, len(entries))
	for i := range entries {
		all[i] = &entries[i]
	}
	return all
}

// mark makes records of kind Marked; the caller has the lock of the account.
func (p *program) mark(c *cli.Context, ledger seen.Ledger, entries []*seen.Entry) error {
	marked := 0
	for chunk := range slices.Chunk(entries, 1000) { // a maildrop may be huge, and a record is several times an entry
		records, err := unrecorded(c.Context, ledger, chunk)
		if err != nil {
			return err
		}
		if err := ledger.Apply(c.Context, seen.Changes{Records: slices.Values(records)}); err != nil {
			return err
		}
		marked += len(records)
	}
	return p.report(c, done{Account: ledger.Account().Name, Marked: &marked}, "marked as seen")
}

// unrecorded makes records for the entries that have none: to mark a delivered message would lose what is known of it.
func unrecorded(ctx context.Context, ledger seen.Ledger, entries []*seen.Entry) ([]seen.Record, error) {
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

// done is what seen mark and seen forget tell with --json. Its field names are part of the contract.
type done struct {
	Account   string `json:"account"`
	Marked    *int   `json:"marked,omitempty"`
	Forgotten *int   `json:"forgotten,omitempty"`
}

func (p *program) report(c *cli.Context, d done, what string) error {
	if c.Bool("json") {
		return p.term.printJSON(d)
	}
	return p.term.printf("%s: %d %s\n", printable(d.Account), *cmp.Or(d.Marked, d.Forgotten), what)
}

func (p *program) seenForget(c *cli.Context) error {
	if !c.Args().Present() || c.Bool("all") == (c.NArg() > 1) {
		return usagef("seen forget: name an account and its unique-ids, or one account and --all")
	}
	store, err := p.stateOf(c, (*setting).openStore)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // each commit was durable by itself
	account, err := accountNamed(c, store, c.Args().First())
	if err != nil {
		return err
	}
	unlock, err := store.Lock(account.Name)
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the lock goes with the process
	ids, err := readIDs(c.Args().Tail())
	if err != nil {
		return err
	}
	ledger, err := enter(c, store, account)
	if err != nil {
		return err
	}
	if err := allKnown(c.Context, ledger, ids); err != nil {
		return err
	}
	n, err := ledger.Forget(c.Context, ids...)
	if err != nil {
		return err
	}
	return p.report(c, done{Account: account.Name, Forgotten: &n}, "forgotten")
}

// allKnown tells which of the unique-ids neither have a record nor were refused, before any is forgotten: one of them is mistyped.
func allKnown(ctx context.Context, ledger seen.Ledger, ids []string) error {
	records, err := ledger.Records(ctx, ids)
	if err != nil {
		return err
	}
	asides, err := ledger.Asides(ctx)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return slices.ContainsFunc(records, func(r seen.Record) bool { return r.UniqueID == id }) ||
			slices.ContainsFunc(asides, func(a seen.Aside) bool { return a.UniqueID == id && a.Reason != seen.TooLarge })
	})
	if len(missing) > 0 {
		return usagef("%s has no record of unique-id %s; nothing was forgotten", ledger.Account().Name, writeID(missing[0]))
	}
	return nil
}

func (p *program) seenRename(c *cli.Context) error {
	if c.NArg() != 2 || c.Args().Get(0) == c.Args().Get(1) {
		return usagef("seen rename: name the old and the new account")
	}
	store, err := p.stateOf(c, (*setting).openStore)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // the rename was durable by itself
	from, to := c.Args().Get(0), c.Args().Get(1)
	for _, name := range []string{from, to} {
		unlock, err := store.Lock(name)
		if err != nil {
			return err
		}
		defer unlock() //nolint:errcheck // the lock goes with the process
	}
	if _, err := accountNamed(c, store, from); err != nil {
		return err
	}
	err = store.Rename(c.Context, from, to)
	if errors.Is(err, seen.ErrTaken) {
		return usagef("%w; popfetch seen forget --all %s drops them, if they are of no use", err, to)
	}
	return err
}
