package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/seen"
)

// fetch runs the accounts: one pass with --once, else each at its interval until a signal.
func (p *program) fetch(c *cli.Context) error {
	s, err := p.load(c)
	if err != nil {
		return err
	}
	accounts, err := p.fetchAccounts(s)
	if err != nil {
		return err
	}
	if c.Bool("once") && !s.oneShot && !c.Args().Present() {
		accounts = slices.DeleteFunc(accounts, func(a fetch.Account) bool { return a.Interval == 0 })
		if len(accounts) == 0 {
			return usagef("every account has interval = \"manual\"; name the one that is meant")
		}
	}
	open := s.openStore
	if c.Bool("dry-run") {
		open = s.openStoreToLook
	}
	store, err := open(c.Context)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // each commit was durable by itself
	if c.Bool("dry-run") {
		return p.foretell(c, p.runner(s, store, nil), accounts)
	}
	stopped := context.AfterFunc(c.Context, func() {
		if p.term.talks {
			p.term.errorf("finishing what was asked for; interrupt once more to end at once")
		}
	})
	defer stopped()
	output := broken{term: p.term}
	runner := p.runner(s, store, &output)
	if !c.Bool("once") {
		return p.poll(c, runner, accounts)
	}
	outcome := p.outcome(c, runner.Run(c.Context, accounts))
	if output.err != nil {
		outcome = withStatus(outcome, faultStatus(output.err))
	}
	return outcome
}

// broken tells of the first error of standard output and keeps it: mail goes on without it, but the exit status tells.
type broken struct {
	term *terminal
	once sync.Once
	err  error
}

func (b *broken) set(err error) {
	b.once.Do(func() {
		b.err = err
		b.term.errorf("%v", err)
	})
}

func (p *program) runner(s *setting, store seen.Store, output *broken) *fetch.Runner {
	r := &fetch.Runner{Store: store, Jobs: s.Jobs, Quiet: s.cli.Bool("quiet"), Crash: p.crash}
	if s.cli.IsSet("jobs") {
		r.Jobs = s.cli.Int("jobs")
	}
	failed := func(error) {}
	if output != nil {
		failed = output.set
	}
	r.Observe = p.observe(s.cli.Bool("json"), s.cli.Bool("quiet"), failed)
	return r
}

// poll fetches until a signal, which is the way to end it.
func (p *program) poll(c *cli.Context, runner *fetch.Runner, accounts []fetch.Account) error {
	polled := 0
	for _, a := range accounts {
		if a.Interval > 0 {
			polled++
		}
	}
	if polled == 0 {
		return usagef("no account has an interval to be polled at; for one pass say --once")
	}
	runner.Poll(c.Context, accounts, nil)
	return nil
}

// outcome prints one line an account on a terminal, and makes one error of all results.
func (p *program) outcome(c *cli.Context, results []fetch.Result) error {
	var statuses []int
	fresh := 0
	for _, r := range results {
		statuses = append(statuses, resultStatuses(r)...)
		fresh += r.New
		if p.term.talks && !c.Bool("quiet") && (r.Err == nil || r.Listed > 0) {
			p.term.errorf("%s", summary(r))
		}
	}
	switch {
	case len(statuses) > 0:
		return &runError{statuses}
	case fresh == 0 && c.Bool("fail-empty"):
		return errEmpty
	}
	return nil
}

// summary tells the outcome of one account in a line.
func summary(r fetch.Result) string {
	parts := []string{fmt.Sprintf("%d listed", r.Listed), fmt.Sprintf("%d delivered", r.Delivered)}
	for _, count := range []struct {
		n    int
		what string
	}{
		{r.Recognised, "recognised"}, {r.Marked, "left out"}, {r.Skipped, "too large"}, {r.Quarantined, "quarantined"}, {r.Failed, "failed"}, {r.Unusable, "unusable"}, {r.Deleted, "deleted"},
	} {
		if count.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count.n, count.what))
		}
	}
	return r.Account + ": " + strings.Join(parts, ", ")
}

// foretell prints what a run would do.
func (p *program) foretell(c *cli.Context, runner *fetch.Runner, accounts []fetch.Account) error {
	return p.lookAt(c, runner, (*fetch.Runner).Look, accounts, func(survey *fetch.Survey) error {
		plan := survey.Plan
		for _, e := range plan.Retrieve {
			if err := p.foretellOne(c, survey.Account, "retrieve", *e); err != nil {
				return err
			}
		}
		for _, e := range plan.Skip {
			if err := p.foretellOne(c, survey.Account, "skip", e); err != nil {
				return err
			}
		}
		for _, e := range plan.Mark {
			if err := p.foretellOne(c, survey.Account, "mark", e); err != nil {
				return err
			}
		}
		for _, e := range plan.Recognise {
			if err := p.foretellOne(c, survey.Account, "recognise", e); err != nil {
				return err
			}
		}
		for _, e := range plan.Delete {
			if err := p.foretellOne(c, survey.Account, "delete", e); err != nil {
				return err
			}
		}
		return nil
	})
}

// foretold is one line of --dry-run --json. Its field names are part of the contract.
type foretold struct {
	Account  string `json:"account"`
	Would    string `json:"would"`
	Number   int    `json:"number"`
	UniqueID string `json:"unique_id"`
	Octets   int64  `json:"octets"`
}

func (p *program) foretellOne(c *cli.Context, account, what string, e seen.Entry) error {
	if c.Bool("json") {
		return p.term.printJSON(foretold{account, what, e.Number, writeID(e.UniqueID), e.Octets})
	}
	return p.term.printf("%s: would %s message %d (unique-id %s, %d octets)\n", account, what, e.Number, writeID(e.UniqueID), e.Octets)
}

// lookFunc is fetch.Runner's Look or Check.
type lookFunc func(*fetch.Runner, context.Context, *fetch.Account) (*fetch.Survey, error)

// lookAt looks at the accounts, as many at once as a run works at, and shows in their order what it finds; one account's
// trouble is not another's.
func (p *program) lookAt(c *cli.Context, runner *fetch.Runner, at lookFunc, accounts []fetch.Account, show func(*fetch.Survey) error) error {
	type look struct {
		survey *fetch.Survey
		err    error
	}
	looks := make([]chan look, len(accounts))
	for i := range accounts {
		looks[i] = make(chan look, 1)
		go func() {
			defer p.guard()
			survey, err := at(runner, c.Context, &accounts[i])
			looks[i] <- look{survey, err}
		}()
	}
	var statuses []int
	var broken error // standard output
	for i := range accounts {
		found := <-looks[i]
		switch err := found.err; {
		case broken != nil:
			continue
		case err != nil:
			p.term.errorf("%v%s", err, p.mend(err))
			statuses = append(statuses, faultStatus(err))
			continue
		}
		if found.survey.Unusable > 0 {
			statuses = append(statuses, exitProtocol)
		}
		broken = show(found.survey)
		if len(found.survey.Plan.Quarantined) > 0 { // show may have settled that
			statuses = append(statuses, exitQuarantined)
		}
	}
	if broken != nil {
		return broken
	}
	if len(statuses) > 0 {
		return &runError{statuses}
	}
	return nil
}

// describe returns the text of an error that nobody has printed yet.
func describe(err error) string {
	var caught signalError
	var runs *runError
	switch {
	case err == nil, errors.Is(err, errEmpty), errors.As(err, &runs), errors.As(err, &caught):
		return ""
	}
	return err.Error()
}
