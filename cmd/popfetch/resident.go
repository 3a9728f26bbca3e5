package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/resident"
)

// longestEnd is how long a resident popfetch takes to end after a signal, whatever holds it up: a
// terminal that is stopped, or a disk. A kill is safe at any moment.
const longestEnd = 9 * time.Second

// residence is a popfetch that polls until a signal ends it.
type residence struct {
	*program
	*resident.Resident
	runner   *fetch.Runner
	report   *reporter
	metrics  *metricsWriter
	notifier *resident.Notifier
	health   *health
	memory   idleCollector
	setting  *setting // in force; only the goroutine of signals changes it
}

// stay polls until a signal comes, which is its normal end.
func (p *program) stay(
	ctx context.Context, heard wishes, s *setting, accounts []fetch.Account, runner *fetch.Runner,
	report *reporter, metrics *metricsWriter,
) error {
	unlock, err := lockResident(s.Config)
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the lock ends with the process
	context.AfterFunc(ctx, func() {
		time.AfterFunc(longestEnd, func() { os.Exit(exitOK) }) // nothing may be printed any more
	})
	r := &residence{program: p, runner: runner, report: report, metrics: metrics, setting: s, health: newHealth()}
	if r.notifier, err = resident.NotifierFromEnvironment(); err != nil {
		p.term.sayf(caution, "the service manager is told nothing: %v", err)
	}
	r.runner.Jobs = config.MostJobs // the residence itself bounds them
	r.Resident = resident.New(r.polled(s, accounts), p.atOnce(s))
	r.Crash, r.Alive, r.AliveEvery = p.crash, r.alive(), r.notifier.Interval()
	r.Planned = func(account string, next time.Time) {
		_ = runner.Store.NoteNext(ctx, s.stateOf(account), next) // status then lacks the time of the next poll
	}
	stopping := sync.OnceFunc(r.notifier.Stopping)
	context.AfterFunc(ctx, stopping) // a poll at work may take seconds to end
	obeyed := p.onWishes(ctx, heard, r.Wake, func() { r.reload(ctx) })
	n := len(s.toPoll())
	report.program(programEvent{Event: programStarted, Accounts: &n})
	r.say("polling %s", plan(s))
	r.Run(ctx)
	obeyed()
	stopping()
	report.program(programEvent{Event: programStopped})
	return errEnded
}

// mayPoll returns an error if no chosen account is to be polled.
func mayPoll(s *setting) error {
	if len(s.toPoll()) == 0 {
		return usagef("no account has an interval; for a single pass add --once")
	}
	return nil
}

// alive returns what the loop calls as long as it makes progress.
func (r *residence) alive() func() {
	ready := sync.OnceFunc(func() {
		r.notifier.Ready()
		r.notifier.Status(r.health.text())
	})
	return func() {
		ready()
		r.notifier.Alive()
	}
}

// polled returns the accounts as the loop knows them. Each is polled as s says, even if another
// setting comes into force meanwhile.
func (r *residence) polled(s *setting, accounts []fetch.Account) []resident.Account {
	intervals := s.intervals()
	polled := make([]resident.Account, 0, len(accounts))
	for i := range accounts {
		account := &accounts[i]
		polled = append(polled, resident.Account{
			Name: account.Name, Interval: intervals[account.Name],
			Poll: func(ctx context.Context) resident.Outcome { return r.poll(ctx, s, account) },
		})
	}
	r.health.keep(polled)
	return polled
}

// poll makes one pass over an account.
func (r *residence) poll(ctx context.Context, s *setting, account *fetch.Account) resident.Outcome {
	defer r.memory.begin()()
	defer r.report.use(account.Name, s)()
	result := r.runner.Run(ctx, []fetch.Account{*account})[0]
	if hasNews(&result) {
		r.say("%s", summary(result))
	}
	if ctx.Err() == nil && r.health.note(&result, time.Now()) {
		r.notifier.Status(r.health.text())
	}
	r.metrics.changed()
	return resident.Outcome{Fruitless: result.Fruitless(), Announced: result.NotBefore, Refused: result.RefusedUntil}
}

// hasNews reports whether a pass has changed anything.
func hasNews(r *fetch.Result) bool {
	return r.Delivered+r.Recognised+r.Marked+r.Filtered.Dropped+r.Filtered.Left+r.Filtered.Discarded+r.Deleted > 0
}

// say tells a person who watches, and the journal.
func (r *residence) say(format string, args ...any) {
	if r.report.speaks() && !r.view.quiet {
		r.term.sayf(news, format, args...)
	}
}

// reload reads the configuration again. If that is broken, the old one stays in force.
func (r *residence) reload(ctx context.Context) {
	r.notifier.Reloading()
	defer r.notifier.Ready()
	s, accounts, err := r.reread(ctx)
	if err != nil {
		r.term.errorf("%v\nthe configuration was not read again; what was in force before stays so", err)
		return
	}
	r.setting = s
	r.metrics.use(s)
	r.Replace(r.polled(s, accounts), r.atOnce(s))
	r.notifier.Status(r.health.text())
	n := len(s.toPoll())
	r.report.program(programEvent{Event: programReloaded, Accounts: &n})
	r.say("the configuration was read again; polling %s", plan(s))
}

// reread is what fetch does before it polls.
func (r *residence) reread(ctx context.Context) (*setting, []fetch.Account, error) {
	s, err := r.load()
	if err != nil {
		return nil, nil, err
	}
	if err := sameState(r.setting.Config, s.Config); err != nil {
		return nil, nil, err
	}
	if err := mayPoll(s); err != nil {
		return nil, nil, err
	}
	accounts, err := r.fetchAccounts(ctx, s)
	return s, accounts, err
}

// mostNamed is how many accounts a line names.
const mostNamed = 5

// plan says which accounts are polled, and how often.
func plan(s *setting) string {
	var polled []string
	var shortest, longest time.Duration
	for _, a := range s.toPoll() {
		polled = append(polled, fmt.Sprintf("%s every %s", a.Name, config.TimeText(a.Interval)))
		longest = max(longest, a.Interval)
		if shortest == 0 || a.Interval < shortest {
			shortest = a.Interval
		}
	}
	what := accountsOf(len(polled))
	switch {
	case len(polled) == 1:
		return polled[0]
	case len(polled) <= mostNamed:
		return what + ", " + strings.Join(polled, ", ")
	case shortest == longest:
		return what + " every " + config.TimeText(shortest)
	}
	return fmt.Sprintf("%s, each every %s to %s", what, config.TimeText(shortest), config.TimeText(longest))
}
