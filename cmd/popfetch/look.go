package main

import (
	"context"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/seen"
)

// look looks at the chosen accounts, and calls show with each result.
func (p *program) look(ctx context.Context, at lookFunc, show func(*fetch.Survey) error) error {
	s, err := p.load()
	if err != nil {
		return err
	}
	accounts, err := p.fetchAccounts(ctx, s)
	if err != nil {
		return err
	}
	for i := range accounts {
		accounts[i].All = false // a seen message is shown as seen
	}
	return p.lookAt(ctx, s, at, accounts, show)
}

// lookFunc is fetch.Runner's Look or Check.
type lookFunc func(*fetch.Runner, context.Context, *fetch.Account) (*fetch.Survey, error)

// lookAt looks at the accounts, as many at once as a run would. It shows the results in the order
// of the accounts. A fault of one account does not affect the others.
func (p *program) lookAt(ctx context.Context, s *setting, at lookFunc, accounts []fetch.Account, show func(*fetch.Survey) error) error {
	store, err := openStore(ctx, s.Config, toRead)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	return p.lookWith(ctx, s, store, at, accounts, show)
}

// lookWith is like lookAt, with an open store.
func (p *program) lookWith(ctx context.Context, s *setting, store seen.Store, at lookFunc, accounts []fetch.Account, show func(*fetch.Survey) error) error {
	runner := p.runner(s, store, &reporter{term: p.term, view: p.view, setting: s})
	type look struct {
		survey *fetch.Survey
		err    error
	}
	looks := make([]chan look, len(accounts))
	for i := range accounts {
		looks[i] = make(chan look, 1)
		go func() {
			defer p.guard()
			survey, err := at(runner, ctx, &accounts[i])
			looks[i] <- look{survey, err}
		}()
	}
	var statuses []int
	var broken error // an error of standard output
	for i := range accounts {
		found := <-looks[i]
		switch err := found.err; {
		case broken != nil:
			continue
		case err != nil:
			p.term.errorf("%v%s", err, s.mend(err))
			statuses = append(statuses, faultStatus(err))
			continue
		}
		if found.survey.Unusable > 0 {
			statuses = append(statuses, exitProtocol)
		}
		broken = show(found.survey)
		if len(found.survey.Plan.Quarantined) > 0 { // show may have settled that
			p.term.errorf("%s: %d quarantined%s", found.survey.Account, len(found.survey.Plan.Quarantined), s.waiting(found.survey.Account, len(found.survey.Plan.Quarantined)))
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
