package main

import (
	"context"
	"errors"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/seen"
)

// looker shows the results of looks.
type looker struct {
	show func(*fetch.Survey) error
	// fail, if set, is called for an account that could not be looked at, after standard error was
	// told.
	fail func(s *setting, account string, err error) error
	// tells says that show and fail tell a person what is wrong. Standard error, which is the same
	// terminal, is then not told again.
	tells bool
}

// look looks at the chosen accounts, and shows each result.
func (p *program) look(ctx context.Context, at lookFunc, l looker) error {
	s, accounts, err := p.toLookAt(ctx)
	if err != nil {
		return err
	}
	return p.lookAt(ctx, s, at, accounts, l)
}

// toLookAt returns the chosen accounts.
func (p *program) toLookAt(ctx context.Context) (*setting, []fetch.Account, error) {
	s, err := p.load(ctx)
	if err != nil {
		return nil, nil, err
	}
	accounts, err := p.fetchAccounts(ctx, s)
	for i := range accounts {
		accounts[i].All = false // a seen message is shown as seen
	}
	return s, accounts, err
}

// lookFunc is fetch.Runner's Look or Check.
type lookFunc func(*fetch.Runner, context.Context, *fetch.Account) (*fetch.Survey, error)

// lookAt looks at the accounts, as many at once as a run would. It shows the results in the order
// of the accounts. A fault of one account does not affect the others.
func (p *program) lookAt(ctx context.Context, s *setting, at lookFunc, accounts []fetch.Account, l looker) error {
	store, err := p.openStore(ctx, s.Config, toRead)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	return p.lookWith(ctx, s, store, at, accounts, l)
}

// lookWith is like lookAt, with an open store.
func (p *program) lookWith(ctx context.Context, s *setting, store seen.Store, at lookFunc, accounts []fetch.Account, l looker) error {
	runner := p.runner(s, store, &reporter{term: p.term, view: p.view, setting: s})
	if l.tells {
		runner.Observe = except(runner.Observe, reported)
	}
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
			if !l.tells {
				p.term.errorf("%v%s", err, s.mend(err))
			}
			statuses = append(statuses, faultStatus(err))
			if l.fail != nil {
				broken = l.fail(s, accounts[i].Name, err)
			}
			continue
		}
		broken = l.show(found.survey)
		if found.survey.Unready != nil && !l.tells {
			p.term.errorf("%v", found.survey.Unready)
		}
		statuses = append(statuses, surveyStatuses(found.survey)...) // show may have settled something
		if quarantined := len(found.survey.Plan.Quarantined); quarantined > 0 && !l.tells {
			p.term.errorf("%s: %d quarantined%s", found.survey.Account, quarantined, s.waiting(found.survey.Account, quarantined))
		}
	}
	if broken != nil && (len(statuses) == 0 || !errors.Is(broken, errUnread)) {
		return broken
	}
	if len(statuses) > 0 {
		return &runError{statuses}
	}
	return nil
}

// surveyStatuses returns the statuses of what a look has found wrong.
func surveyStatuses(survey *fetch.Survey) []int {
	return runStatuses(fetch.Result{Unusable: survey.Unusable, Failed: survey.Failed, Quarantined: len(survey.Plan.Quarantined), Err: survey.Unready,
		Selection: fetch.Selection{Unlisted: survey.Unlisted}})
}
