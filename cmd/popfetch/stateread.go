package main

import (
	"context"
	"errors"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/postgres"
)

// accountState is what the state tells of one account.
type accountState struct {
	shownAccount
	history     seen.History
	holder      *seen.LockedError // the process that is at it; nil: none is
	leftAlone   time.Time         // until then no log-in is tried; zero: it is not left alone
	refusals    int               // refused log-ins in a row
	quarantined int
	due         *int // deletions that are due; nil: unknown

	shared *postgres.Overview // nil: the state is in a folder
}

// stateReader reads what the state tells of accounts. It takes no lock of an account.
type stateReader struct {
	store seen.Store
	now   time.Time
	days  int  // how many days of counts are read
	brief bool // neither who is at it, nor deletions that are due: to count them may read many records
}

func (r *stateReader) readAll(ctx context.Context, accounts []shownAccount) ([]accountState, error) {
	if shared, is := r.store.(*sharedStore); is {
		return r.readShared(ctx, shared, accounts)
	}
	all := make([]accountState, len(accounts))
	for i, a := range accounts {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		var err error
		if all[i], err = r.read(ctx, a); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (r *stateReader) read(ctx context.Context, a shownAccount) (state accountState, err error) {
	state.shownAccount = a
	if state.history, err = r.store.History(ctx, a.state, r.days); err != nil {
		return state, err
	}
	if !r.brief {
		if state.holder, err = r.store.Holder(ctx, a.state); err != nil {
			return state, err
		}
	}
	state.quarantined = state.history.Maildrop.Quarantined
	ledger, err := r.store.Look(ctx, a.state, "", "")
	if errors.Is(err, seen.ErrUnsettled) {
		return state, nil // a run writes many records at this moment
	}
	if err != nil {
		return state, err
	}
	return state, r.readLedger(ctx, ledger, &state)
}

// readLedger adds what the records tell.
func (r *stateReader) readLedger(ctx context.Context, ledger seen.Ledger, state *accountState) error {
	standing, err := ledger.Standing(ctx)
	if err != nil {
		return err
	}
	state.refusals = standing.Refusals
	if standing.NotBefore.After(r.now) {
		state.leftAlone = standing.NotBefore
	}
	asides, err := ledger.Asides(ctx)
	if err != nil {
		return err
	}
	state.quarantined = 0
	for _, a := range asides {
		if a.Reason == seen.Quarantined && a.AbsentAt.IsZero() {
			state.quarantined++
		}
	}
	if state.config == nil || r.brief {
		return nil
	}
	due, err := countDue(ctx, ledger, state.config.Delete, r.now)
	state.setDue(due)
	return err
}

// setDue notes how many deletions are due, but for the newest messages that always stay.
func (a *accountState) setDue(due int) {
	if newest := a.config.Delete.KeepNewest; newest > 0 && a.history.Maildrop.Listed > 0 {
		due = min(due, max(0, a.history.Maildrop.Listed-newest))
	}
	a.due = &due
}

// countDue counts the messages that are due for deletion by the rules about time since delivery. What
// is larger than a limit, or was removed, shows only in the listing of the server.
func countDue(ctx context.Context, ledger seen.Ledger, rule config.Delete, now time.Time) (int, error) {
	latest := dueBefore(rule, now)
	if latest.IsZero() {
		return 0, nil
	}
	due, err := ledger.CountDue(ctx, latest)
	if !rule.Imported || err != nil {
		return due, err
	}
	for _, err := range ledger.Imported(ctx, latest) {
		if err != nil {
			return 0, err
		}
		due++
	}
	return due, nil
}

// dueBefore returns the latest delivery that is due for deletion; zero: none is.
func dueBefore(rule config.Delete, now time.Time) time.Time {
	switch {
	case !rule.Enabled:
		return time.Time{}
	case rule.After == 0:
		return seen.AnyTime
	}
	return now.Add(-rule.After)
}

// hasSucceeded reports whether a run succeeded within a time. A success in the future was noted by
// a wrong clock. It counts only if it is near.
func (a *accountState) hasSucceeded(within time.Duration, now time.Time) bool {
	at := a.history.SucceededAt
	return !at.IsZero() && now.Sub(at).Abs() <= within
}

// fails reports whether the last run failed.
func (a *accountState) fails() bool { return !a.history.Error.Since.IsZero() }
