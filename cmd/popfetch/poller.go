package main

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/resident"
)

// longestEnd is how long a popfetch that polls takes to end after a signal, whatever holds it up: a
// terminal that is stopped, or a disk. A kill is safe at any moment.
const longestEnd = 9 * time.Second

// poller is a popfetch that polls until a signal ends it: alone, or as one of many workers.
type poller struct {
	*program
	runner   *fetch.Runner
	report   *reporter
	metrics  *metricsWriter
	notifier *resident.Notifier
	memory   idleCollector
	setting  *setting      // in force; guarded by reloading
	status   func() string // how the program is, in one line

	reloading sync.Mutex // held while another setting is put into force
}

// polling is what a poller does until it ends.
type polling interface {
	Run(ctx context.Context)
	Wake()
	use(ctx context.Context, s *setting, accounts []fetch.Account)
}

func (p *program) newPoller(
	ctx context.Context, s *setting, runner *fetch.Runner, report *reporter, metrics *metricsWriter,
) *poller {
	context.AfterFunc(ctx, func() {
		time.AfterFunc(longestEnd, func() { os.Exit(exitOK) }) // nothing may be printed any more
	})
	runner.Jobs = config.MostJobs // whoever polls bounds them
	return &poller{
		program: p, runner: runner, report: report, metrics: metrics, notifier: p.serviceManager(), setting: s,
	}
}

// poll polls the accounts, alone or as a worker, until a signal comes.
func (p *poller) poll(ctx context.Context, heard wishes, accounts []fetch.Account) error {
	if shared, ok := p.runner.Store.(*sharedStore); ok {
		return p.share(ctx, heard, shared, accounts)
	}
	return p.stay(ctx, heard, accounts)
}

// notifier returns the notifier of a popfetch that polls.
func (p *program) notifier() *resident.Notifier {
	n, err := resident.NotifierFromEnvironment()
	if err != nil {
		p.term.sayf(caution, "the service manager is told nothing: %v", err)
	}
	return n
}

// until polls until a signal comes, and tells of the beginning and the end.
func (p *poller) until(ctx context.Context, heard wishes, one polling, plan string) error {
	stopping := sync.OnceFunc(p.notifier.Stopping)
	context.AfterFunc(ctx, stopping) // a poll at work may take seconds to end
	n, watched := len(p.setting.toPoll()), p.watchAccounts(ctx, one)
	obeyed := p.onWishes(ctx, heard, one.Wake, func() { p.reload(ctx, one) })
	p.report.program(programEvent{Event: programStarted, Accounts: &n})
	p.say("%s", plan)
	one.Run(ctx)
	obeyed()
	watched()
	stopping()
	p.report.program(programEvent{Event: programStopped})
	return errEnded
}

// alive returns what the loop calls as long as it makes progress.
func (p *poller) alive() func() {
	ready := sync.OnceFunc(func() {
		p.notifier.Ready()
		p.notifier.Status(p.status())
	})
	return func() {
		ready()
		p.notifier.Alive()
	}
}

// pass makes one pass over an account.
func (p *poller) pass(ctx context.Context, s *setting, account *fetch.Account) fetch.Result {
	defer p.memory.begin()()
	defer p.report.use(account.Name, s)()
	result := p.runner.Run(ctx, []fetch.Account{*account})[0]
	if hasNews(&result) {
		p.say("%s", summary(result))
	}
	p.metrics.changed()
	return result
}

// mayPoll returns an error if no chosen account is to be polled.
func mayPoll(s *setting) error {
	if len(s.toPoll()) == 0 && s.AccountsFrom != config.FromDatabase { // there, some may be put at any time
		return usagef("no account has an interval; for a single pass add --once")
	}
	return nil
}

// hasNews reports whether a pass has changed anything.
func hasNews(r *fetch.Result) bool {
	return r.Delivered+r.Recognised+r.Marked+r.Filtered.Dropped+r.Filtered.Left+r.Filtered.Discarded+r.Deleted > 0
}

// say tells a person who watches, and the journal.
func (p *poller) say(format string, args ...any) {
	if p.report.speaks() && !p.view.quiet {
		p.term.sayf(news, format, args...)
	}
}

// reload reads the configuration again. If that is broken, the old one stays in force.
func (p *poller) reload(ctx context.Context, one polling) {
	p.notifier.Reloading()
	defer p.notifier.Ready()
	p.reloading.Lock()
	defer p.reloading.Unlock()
	s, accounts, err := p.reread(ctx)
	if err != nil {
		p.term.errorf("%v\nthe configuration was not read again; what was in force before stays so", err)
		return
	}
	p.apply(ctx, one, s, accounts)
	p.say("the configuration was read again; polling %s", plan(s))
}

// apply puts a setting into force. The caller holds p.reloading.
func (p *poller) apply(ctx context.Context, one polling, s *setting, accounts []fetch.Account) {
	p.setting = s
	p.metrics.use(s)
	one.use(ctx, s, accounts)
	n := len(s.toPoll())
	p.report.program(programEvent{Event: programReloaded, Accounts: &n})
}

// reread is what fetch does before it polls.
func (p *poller) reread(ctx context.Context) (*setting, []fetch.Account, error) {
	s, err := p.load(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := sameState(p.setting.Config, s.Config); err != nil {
		return nil, nil, err
	}
	if err := mayPoll(s); err != nil {
		return nil, nil, err
	}
	accounts, err := p.fetchAccounts(ctx, s)
	return s, accounts, err
}
