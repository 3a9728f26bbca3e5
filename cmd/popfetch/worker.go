package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/resident"
	"github.com/popfetch/popfetch/internal/worker"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/postgres"
)

// workerCommand is the command that polls with others. So does popfetch without a command, if its
// state is in a database.
const workerCommand = "worker"

// mostAtHost bounds how many accounts of one server host all workers together have at work.
// Otherwise all workers would log in at one provider at the same moment when they come back after
// an outage. Few servers of one host take more at once as they come: Courier takes 40 sessions, and
// Dovecot 100 processes that log in. At a third of a second for each poll, 64 are enough for 50,000
// accounts of one host at five minutes. A host that refuses sessions because of others gets fewer:
// each worker finds that out by itself (package hosts).
const mostAtHost = 64

// mayShare returns an error if a worker has no database.
func (p *program) mayShare(s *setting) error {
	if p.command != workerCommand || s.State != "" {
		return nil
	}
	return s.Mistake(nil, &s.State, errors.New(`is missing; workers share the accounts of a database; `+
		`write state = "postgres://…", or run popfetch without the word worker, which polls alone`))
}

// openForPasses opens the store for passes. A popfetch that polls waits for a database that cannot
// be reached.
func (p *program) openForPasses(ctx context.Context, s *setting) (seen.Store, error) {
	var store seen.Store
	err := p.untilThere(ctx, func() (err error) {
		store, err = p.openStore(ctx, s.Config, toWrite)
		return err
	})
	return store, err
}

// untilThere calls do. A popfetch that polls calls it again until the database can be reached. Its
// service manager goes on waiting meanwhile.
func (p *program) untilThere(ctx context.Context, do func() error) error {
	var manager *resident.Notifier
	if p.polls() {
		manager = p.serviceManager() // before a program is started, which must not know it
	}
	err := do()
	if !p.polls() || !errors.Is(err, postgres.ErrAway) {
		return err
	}
	p.term.errorf("%v; popfetch tries again until it can", err)
	manager.Status("waiting for the database")
	var retry worker.Retry
	for errors.Is(err, postgres.ErrAway) {
		manager.Starting(longestTry)
		select {
		case <-time.After(retry.Next()):
		case <-ctx.Done():
			return errEnded
		}
		err = do()
	}
	return err
}

// longestTry is longer than a try to reach the database takes, with the pause before.
const longestTry = 2 * longestConnect

// team is a popfetch that shares the accounts of a database with others.
type team struct {
	*poller
	*worker.Worker
	store       *sharedStore
	roll        atomic.Pointer[roll]
	rollChanged chan struct{}
	troubled    atomic.Int64 // polls that have failed
	away        atomic.Pointer[time.Time]
}

// known is an account that this worker polls.
type known struct {
	*fetch.Account
	interval time.Duration
}

// share polls as a worker until a signal comes.
func (p *poller) share(ctx context.Context, heard wishes, store *sharedStore, accounts []fetch.Account) error {
	t := &team{poller: p, store: store, rollChanged: make(chan struct{}, 1)}
	p.status = t.text
	t.roll.Store(t.newRoll(p.setting, accounts))
	t.Worker = worker.New(t.claim, t.poll, p.atOnce(p.setting))
	t.Crash, t.Away, t.Unsettled = p.crash, t.tellAway, t.tellUnsettled
	t.AliveEvery = p.notifier.Interval()
	alive := p.alive()
	t.Alive = func() {
		alive()
		p.notifier.Status(t.text())
	}
	t.register(p.setting)
	defer t.keepRoll(ctx)()
	defer t.meter(ctx)()
	return p.until(ctx, heard, t, "sharing "+plan(p.setting))
}

// register tells the other machines of this worker.
func (t *team) register(s *setting) {
	host, _ := os.Hostname() // "" if it is unknown
	t.store.Register(postgres.Registration{Host: host, Version: versionText(), Labels: t.labels, Jobs: t.atOnce(s)})
}

// use polls the accounts of another setting from now on.
func (t *team) use(_ context.Context, s *setting, accounts []fetch.Account) {
	next := t.newRoll(s, accounts)
	next.follow(t.roll.Load())
	t.roll.Store(next)
	t.register(s)
	t.SetJobs(t.atOnce(s))
	select {
	case t.rollChanged <- struct{}{}:
	default: // it is told already
	}
}

// Wake has all accounts polled now, by whichever worker.
func (t *team) Wake() {
	ctx, cancel := context.WithTimeout(context.Background(), wakeLimit)
	defer cancel()
	if err := t.store.Hurry(ctx, t.words...); err != nil {
		t.term.errorf("%v", err)
	}
	t.Worker.Wake()
}

// wakeLimit is how long SIGUSR1 waits for the database.
const wakeLimit = 10 * time.Second

// claim takes accounts that are due.
func (t *team) claim(ctx context.Context, free int) ([]*worker.Turn, error) {
	r := t.roll.Load()
	claiming := postgres.Claiming{Free: free, Labels: r.labels, Hosts: mostAtHost}
	if r.hasStrangers.Load() {
		claiming.Accounts = r.names
	}
	claimed, err := t.store.Claim(ctx, claiming)
	turns := make([]*worker.Turn, 0, len(claimed))
	for _, c := range claimed {
		turns = append(turns, &worker.Turn{
			Account: c.Account, Fruitless: c.Fruitless, Lost: c.Hold().Lost(),
			End: func(ctx context.Context, n worker.Next) error {
				return settled(c.End(ctx, postgres.Next(n)))
			},
			GiveUp: func(ctx context.Context) error { return settled(c.GiveUp(ctx)) },
		})
	}
	return turns, err
}

// settled tells the worker in its words why an account could not be given back.
func settled(err error) error {
	var secret *config.SecretError
	switch {
	case err == nil, errors.Is(err, postgres.ErrAway), errors.As(err, &secret) && secret.Temporary:
		return err
	case errors.Is(err, seen.ErrLost):
		return fmt.Errorf("%w: %w", worker.ErrLost, err)
	}
	return fmt.Errorf("%w: %w", worker.ErrRefused, err)
}

// poll makes one pass over an account. The run gets the hold of the turn, because this process has
// it.
func (t *team) poll(ctx context.Context, name string) worker.Outcome {
	r := t.roll.Load()
	account := r.accounts[name]
	if account == nil {
		r.hasStrangers.Store(true)
		return worker.Outcome{Undone: true}
	}
	result := t.pass(ctx, r.setting, account.Account)
	if ctx.Err() == nil && troubleOf(&result) != "" {
		t.troubled.Add(1)
	}
	if changed := t.roll.Load().accounts[name]; changed != nil {
		account = changed
	}
	return worker.Outcome{
		Interval: account.interval, Fruitless: result.Fruitless(), Delivered: result.Delivered,
		Announced: untilThen(result.NotBefore), Refused: untilThen(result.RefusedUntil),
		Undone: result.Err != nil && (ctx.Err() != nil || errors.Is(result.Err, seen.ErrLost) ||
			errors.Is(result.Err, postgres.ErrAway)),
	}
}

// untilThen returns how long it is until a time; the zero time is now.
func untilThen(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return time.Until(at)
}

// tellAway tells once that the database is away, and that it is back.
func (t *team) tellAway(err error) {
	if err == nil {
		since := t.away.Swap(nil)
		lasted := time.Since(*since).Round(time.Second)
		t.term.errorf("the database can be reached again, after %s", config.TimeText(lasted))
	} else {
		now := time.Now()
		t.away.Store(&now)
		t.term.errorf("%v; popfetch tries again until it can", err)
	}
	t.metrics.changed()
	t.notifier.Status(t.text())
}

// tellUnsettled tells of an account that could not be given back. That it was lost, the run has
// told.
func (t *team) tellUnsettled(account string, err error) {
	if !errors.Is(err, worker.ErrLost) {
		t.term.errorf("%s: %v; another worker takes it when its lease is over", account, err)
	}
}

// text returns how this worker is, in one line. How the accounts are, popfetch status tells: others
// poll them, too.
func (t *team) text() string {
	c := t.Counts()
	text := fmt.Sprintf("%s shared with others; here %d at work, %d polls, %d in trouble, %d lost",
		accountsOf(len(t.roll.Load().names)), c.Working, c.Polls, t.troubled.Load(), c.Lost)
	if since := t.away.Load(); since != nil {
		text += "; database away since " + clockTime(*since, time.Now())
	}
	return text
}
