package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/seen"
)

// fetch runs the accounts. With --once it makes one pass. Otherwise it runs each account at its
// interval, until a signal comes.
func (p *program) fetch(ctx context.Context) error {
	var heard wishes
	if p.polls() {
		ctx, heard = hearWishes(ctx)
		defer heard.end(nil)
	}
	var s *setting
	err := p.untilThere(ctx, func() (err error) {
		s, err = p.load(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if err := p.mayShare(s); err != nil {
		return err
	}
	accounts, err := p.fetchAccounts(ctx, s)
	if err != nil {
		return err
	}
	if p.once && !s.oneShot && len(p.words) == 0 {
		intervals := s.intervals()
		accounts = slices.DeleteFunc(accounts, func(a fetch.Account) bool { return intervals[a.Name] == 0 })
		if len(accounts) == 0 {
			return usagef("every account has interval = \"manual\"; name an account on the command line")
		}
	}
	if len(p.uids) > 0 && len(accounts) != 1 {
		return usagef("--uid: name one account, because a unique-id belongs to one; these are %d", len(accounts))
	}
	if p.dryRun {
		return p.foretell(ctx, s, accounts)
	}
	if !p.once {
		if err := mayPoll(s); err != nil {
			return err
		}
	}
	store, err := p.openForPasses(ctx, s)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // each commit was durable by itself
	report := p.newReporter(s)
	report.record = newRecorder(ctx, store, report)
	after, finishHooks := newHooks(ctx, p)
	defer finishHooks()
	report.hooks, report.notices.hooks = after, after.watchTrouble
	report.shows = p.newProgress(accounts)
	defer report.shows.begin()()
	var unwritten atomic.Bool // the metrics file
	metrics, err := p.metricsFor(ctx, s, store, func(err error) {
		unwritten.Store(true)
		p.term.errorf("%v", err)
	})
	if err != nil {
		return err
	}
	stopped := context.AfterFunc(ctx, func() {
		if p.term.talks && !p.term.isAsking() && report.retrieving.Load() > 0 {
			p.term.errorf("finishing the messages that were asked for; interrupt again to stop at once")
		}
	})
	defer stopped()
	runner := p.runner(s, store, report)
	runner.Notices, runner.Done = report.notices, after.done
	var outcome error
	if p.once {
		outcome = p.outcome(runner.Run(ctx, accounts))
	} else {
		outcome = p.newPoller(ctx, s, runner, report, metrics).poll(ctx, heard, accounts)
	}
	metrics.end()
	if p.once && len(s.unread()) > 0 && len(p.words) == 0 {
		outcome = withStatus(outcome, exitConfig)
	}
	if unwritten.Load() {
		outcome = withStatus(outcome, exitIO)
	}
	if broken := report.broken(); broken != nil {
		outcome = withStatus(outcome, faultStatus(broken))
	}
	return outcome
}

// newReporter returns the reporter of a command that fetches. If standard output cannot be written,
// mail goes on, but the exit status reports it.
func (p *program) newReporter(s *setting) *reporter {
	r := &reporter{term: p.term, view: p.view, setting: s, notices: newNotices(p.view.quiet), resident: !p.once}
	r.notices.tellAfter = r.tellAfter
	var mu sync.Mutex
	var broken error
	r.failed = func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if broken == nil {
			broken = err
			p.term.errorf("%v", err)
		}
	}
	r.broken = func() error {
		mu.Lock()
		defer mu.Unlock()
		return broken
	}
	return r
}

// runner makes the engine. It reports its events to r.
func (p *program) runner(s *setting, store seen.Store, r *reporter) *fetch.Runner {
	return &fetch.Runner{Store: store, Jobs: p.atOnce(s), Observe: r.observe, Crash: p.crash, Made: madeAt(debug.ReadBuildInfo())}
}

// atOnce returns how many accounts are worked on at the same time.
func (p *program) atOnce(s *setting) int {
	if p.jobs != nil {
		return *p.jobs
	}
	return s.Jobs
}

// outcome makes one error of all results. It also sums up each account.
func (p *program) outcome(results []fetch.Result) error {
	var statuses []int
	fresh := 0
	for _, r := range results {
		statuses = append(statuses, runStatuses(r)...)
		fresh += r.New
		p.sumUp(r)
	}
	switch {
	case len(statuses) > 0:
		return &runError{statuses}
	case fresh == 0 && p.failEmpty:
		return errEmpty
	}
	return nil
}

// sumUp prints the outcome of one account on a terminal. In the journal only news are worth a line.
func (p *program) sumUp(r fetch.Result) {
	told := p.term.talks && (r.Err == nil || r.Listed > 0) || p.term.journal && hasNews(&r)
	if told && !p.view.quiet {
		p.term.sayf(news, "%s", summary(r))
	}
}

// summary returns the outcome of one account in one line.
func summary(r fetch.Result) string {
	parts := []string{fmt.Sprintf("%d listed", r.Listed), fmt.Sprintf("%d delivered", r.Delivered)}
	for _, count := range []struct {
		n    int
		what string
	}{
		{r.Recognised, "recognised"}, {r.Marked, "left out"}, {r.Filtered.Dropped, "dropped"},
		{r.Filtered.Left, "left"}, {r.Filtered.Discarded, "discarded"},
		{r.Skipped, "too large"}, {r.LeftOut, "too old"},
		{r.Quarantined, "quarantined"}, {r.Failed, "failed"}, {r.Unusable, "unusable"}, {r.Deleted, "deleted"},
		{r.Waiting, "wait"},
	} {
		if count.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count.n, count.what))
		}
	}
	return r.Account + ": " + strings.Join(parts, ", ")
}
