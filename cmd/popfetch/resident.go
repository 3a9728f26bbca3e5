package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/resident"
)

// residence is a popfetch that polls alone: no other one polls with its state.
type residence struct {
	*poller
	*resident.Resident
	health *health
}

// stay polls until a signal comes, which is its normal end.
func (p *poller) stay(ctx context.Context, heard wishes, accounts []fetch.Account) error {
	s := p.setting
	unlock, err := lockResident(s.Config)
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the lock ends with the process
	r := &residence{poller: p, health: newHealth()}
	p.status = r.health.text
	r.Resident = resident.New(r.polled(s, accounts), p.atOnce(s))
	r.Crash, r.Alive, r.AliveEvery = p.crash, p.alive(), p.notifier.Interval()
	r.Planned = func(account string, next time.Time) {
		_ = p.runner.Store.NoteNext(ctx, s.stateOf(account), next) // status then lacks the time of the next poll
	}
	return p.until(ctx, heard, r, "polling "+plan(s))
}

// use polls the accounts of another setting from now on.
func (r *residence) use(_ context.Context, s *setting, accounts []fetch.Account) {
	r.Replace(r.polled(s, accounts), r.atOnce(s))
	r.notifier.Status(r.health.text())
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
	result := r.pass(ctx, s, account)
	if ctx.Err() == nil && r.health.note(&result, time.Now()) {
		r.notifier.Status(r.health.text())
	}
	return resident.Outcome{Fruitless: result.Fruitless(), Announced: result.NotBefore, Refused: result.RefusedUntil}
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
