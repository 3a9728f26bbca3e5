package main

import (
	"context"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/seen"
)

// repair fetches again what a verification has found missing or altered.
type repair struct {
	p        *program
	s        *setting
	store    seen.Store
	accounts []fetch.Account
}

// newRepair makes the engine's values of the accounts. A repair deletes nothing, leaves no message
// out, and asks no filter of headers: only the messages that are named to it count.
func (p *program) newRepair(ctx context.Context, s *setting, store seen.Store) (*repair, error) {
	accounts, err := p.fetchAccounts(ctx, s)
	for i := range accounts {
		a := &accounts[i]
		a.Policy = fetch.Policy{
			Delete: fetch.DeletePolicy{Keep: true}, NewUIDs: a.NewUIDs, UIDLFallback: a.UIDLFallback, Newest: a.Newest,
		}
	}
	return &repair{p, s, store, accounts}, err
}

// run repairs the account of a verification. left counts the messages that are still not whole.
func (r *repair) run(ctx context.Context, v *verification, index int) (statuses []int, left int, err error) {
	account := &r.accounts[index]
	account.Missing = v.missing
	if r.p.dryRun {
		statuses, err = r.foretell(ctx, v, account)
		return statuses, v.missing.Len(), err
	}
	report := &reporter{term: r.p.term, view: r.p.view, setting: r.s}
	runner := r.p.runner(r.s, r.store, report)
	var broken error // of standard output
	repaired := 0
	runner.Observe = func(e fetch.Event) {
		switch e.Kind {
		case fetch.Started, fetch.Listed, fetch.Finished:
		case fetch.Delivered:
			repaired++
			message := &seen.Record{Key: seen.Key{UniqueID: e.UniqueID}, Came: seen.Sum{Octets: e.Octets}}
			if err := v.showMessage(stateRepaired, message, nil); broken == nil {
				broken = err
			}
		default:
			report.observe(e)
		}
	}
	result := runner.Run(ctx, []fetch.Account{*account})[0]
	if result.Err != nil {
		r.p.term.errorf("%v%s", result.Err, r.s.mend(result.Err))
	}
	v.sum.Repaired = &repaired
	if broken != nil {
		return nil, 0, broken
	}
	left, err = r.showLeft(ctx, v)
	return runStatuses(result), left, err
}

// foretell shows what would be fetched again.
func (r *repair) foretell(ctx context.Context, v *verification, account *fetch.Account) ([]int, error) {
	err := r.p.lookWith(ctx, r.s, r.store, (*fetch.Runner).Look, []fetch.Account{*account}, looker{show: func(survey *fetch.Survey) error {
		for e := range survey.Plan.Retrieve.All() {
			message := &seen.Record{Key: e.Key, Came: seen.Sum{Octets: e.Octets}}
			if err := v.showMessage(stateWouldRepair, message, nil); err != nil {
				return err
			}
		}
		return nil
	}})
	return statusesOf(err)
}

// showLeft shows and counts the messages that could not be repaired: their records are the same as
// before.
func (r *repair) showLeft(ctx context.Context, v *verification) (left int, err error) {
	ledger, err := v.ledger(ctx)
	if err != nil {
		return 0, err
	}
	for record, err := range ledger.All(ctx) {
		if err != nil {
			return 0, err
		}
		if _, missing := v.missing.Whole(&record); !missing {
			continue
		}
		left++
		if err := v.showMessage(stateNotRepaired, &record, nil); err != nil {
			return 0, err
		}
	}
	return left, nil
}
