package main

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/due"
	"github.com/popfetch/popfetch/internal/hosts"
	"github.com/popfetch/popfetch/seen/postgres"
)

// roll is the accounts that a worker knows from its file.
//
// The workers of one database may have different files, so that none knows which accounts there are
// in all. These are the rules for the schedule:
//
//   - A worker puts the accounts of its file into the schedule when it starts, at SIGHUP, and again
//     every minute (accounts of the database: when it starts, and every hour).
//   - It takes out accounts that its file has no longer since SIGHUP, and those that its file has
//     but does not want polled. If another worker polls such an account, that one puts it back
//     within a minute.
//   - It takes out accounts that it does not know, if nobody has polled them for a day although
//     they were due. So an account goes that has left the file of a worker which was then started
//     anew.
//
// So an account is polled as long as it is in the file of one worker that runs.
type roll struct {
	setting   *setting
	accounts  map[string]*known // that are polled
	names     []string          // of these
	scheduled []postgres.Scheduled
	unwanted  []string                 // to be taken out once
	shortened map[string]time.Duration // intervals that have become shorter
	kept      atomic.Bool              // the schedule has its accounts, and no unwanted ones
	labels    []string                 // what the worker claims by
	// hasStrangers says that the schedule has accounts that this worker does not know. Then it
	// names in each claim those that it knows, which is a longer statement. An account that was
	// just put into the database is a stranger until the next roll has it.
	hasStrangers atomic.Bool
}

const (
	// keepEvery is how often a worker makes sure that the schedule has the accounts of its file.
	keepEvery = time.Minute
	// keepStoredEvery is the same for accounts of the database. A change of them also changes the
	// schedule. So this only mends what a person or a backup has broken, and may be seldom: it
	// takes seconds for 100,000 accounts.
	keepStoredEvery = time.Hour
	// keepLimit is how long that may take.
	keepLimit = 5 * time.Minute
)

// newRoll returns the accounts of a setting.
func (t *team) newRoll(s *setting, accounts []fetch.Account) *roll {
	r := &roll{setting: s, accounts: make(map[string]*known, len(accounts)), labels: slices.Clone(t.labels)}
	r.hasStrangers.Store(len(t.words) > 0)
	polled := s.toPoll()
	for i, a := range polled {
		r.names = append(r.names, a.Name)
		label := labelsText(a.Workers)
		r.scheduled = append(r.scheduled, postgres.Scheduled{
			Account: a.Name, Host: hostOf(a.Server), Label: label, Spread: due.Spread(a.Interval, i, len(polled)),
		})
		mine := func(l string) bool { return slices.Contains(t.labels, l) }
		if slices.ContainsFunc(a.Workers, mine) && !slices.Contains(r.labels, label) {
			r.labels = append(r.labels, label)
		}
	}
	intervals := s.intervals()
	for i := range accounts {
		if interval := intervals[accounts[i].Name]; interval > 0 {
			r.accounts[accounts[i].Name] = &known{&accounts[i], interval}
		}
	}
	for i := range s.Accounts {
		a := &s.Accounts[i]
		if r.accounts[a.Name] == nil && (!a.Enabled || a.Interval <= 0) {
			r.unwanted = append(r.unwanted, a.Name)
		}
	}
	return r
}

// labelsText is the labels of an account as one text, which is its label in the schedule. A worker
// that has one of them claims by the whole text.
func labelsText(labels []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(labels))), " ")
}

// hostOf returns the host by which sessions of all workers are counted. On its own machine, each
// worker has a server of its own.
func hostOf(server string) string {
	host, _, err := net.SplitHostPort(server)
	if err != nil || hosts.IsLoopback(server) {
		return ""
	}
	return strings.ToLower(host)
}

// follow notes what is different from an earlier roll. What only that one has is to be taken out of
// the schedule, but not what only this worker cannot read or open: it stays there for others. If the
// database was away, what that roll was to take out is to be taken out still.
func (r *roll) follow(earlier *roll) {
	r.shortened = make(map[string]time.Duration)
	if !earlier.kept.Load() {
		for _, name := range earlier.unwanted {
			if r.isGone(name) {
				r.unwanted = append(r.unwanted, name)
			}
		}
		for name := range earlier.shortened {
			if now := r.accounts[name]; now != nil {
				r.shortened[name] = now.interval
			}
		}
	}
	for _, name := range earlier.names {
		switch now := r.accounts[name]; {
		case r.isGone(name): // it may be named twice, which does no harm
			r.unwanted = append(r.unwanted, name)
		case now != nil && now.interval < earlier.accounts[name].interval:
			r.shortened[name] = now.interval
		}
	}
}

// known returns the names of all accounts of the roll, also of those that only this worker cannot
// read or open.
func (r *roll) known() []string {
	return slices.AppendSeq(slices.Clone(r.names), maps.Keys(r.setting.faults))
}

// isGone reports whether the roll has no account of that name, not even one that it cannot read.
func (r *roll) isGone(name string) bool {
	return r.accounts[name] == nil && r.setting.faults[name] == nil
}

// keepRoll keeps the accounts of the roll in the schedule until ctx ends; stop waits for its end.
func (t *team) keepRoll(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Add(1)
	go func() {
		defer ended.Done()
		defer t.guard()
		keeper := rollKeeper{team: t}
		for ctx.Err() == nil {
			wait := keeper.keep(ctx)
			select {
			case <-time.After(wait):
			case <-t.rollChanged:
			case <-ctx.Done():
			}
		}
	}()
	return func() { cancel(); ended.Wait() }
}

// rollKeeper is what the goroutine of keepRoll knows.
type rollKeeper struct {
	*team
	told string    // the last error
	full time.Time // when it has last gone through all accounts
}

// keep puts the accounts of the roll into the schedule, and takes others out. It returns when to do
// so again.
func (k *rollKeeper) keep(ctx context.Context) time.Duration {
	r := k.roll.Load()
	limited, cancel := context.WithTimeout(ctx, keepLimit)
	defer cancel()
	var err error
	stored := r.setting.AccountsFrom == config.FromDatabase
	all := !stored || time.Since(k.full) >= keepStoredEvery
	switch {
	case all && stored:
		err = k.store.ScheduleStored(limited)
	case all:
		err = k.store.Schedule(limited, r.scheduled)
	}
	// What leaves the database has left the schedule with it. A late worker must not take out what
	// somebody has enabled again meanwhile.
	if err == nil && !stored && !r.kept.Load() && len(r.unwanted) > 0 {
		err = k.store.Unschedule(limited, r.unwanted)
	}
	if err == nil && !r.kept.Load() && len(r.shortened) > 0 {
		err = k.store.Shorten(limited, r.shortened)
	}
	if err == nil && all && len(k.words) == 0 { // otherwise the roll is only a part of the file
		err = k.store.Retire(limited, r.known())
	}
	switch {
	case err == nil:
		if all {
			k.full = time.Now()
		}
		if k.told = ""; !r.kept.Swap(true) {
			k.Worker.Wake()
		}
		return keepEvery
	case !errors.Is(err, postgres.ErrAway) && ctx.Err() == nil && err.Error() != k.told: // claims tell of that
		k.told = err.Error()
		k.term.errorf("%v", err)
	}
	return keepRetry
}

// keepRetry is when a worker tries again that could not reach the schedule.
const keepRetry = 5 * time.Second
