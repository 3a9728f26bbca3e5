package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/internal/worker"
	"github.com/popfetch/popfetch/seen/postgres"
)

// A worker names its accounts in each claim only as long as it knows of strangers. The accounts of
// another roll may be what was strange before.
func TestRoll_strangers(t *testing.T) {
	s := &setting{Config: new(config.Config)}
	team := &team{poller: &poller{program: new(program)}}
	team.roll.Store(team.newRoll(s, nil))
	hasStrangers := func() bool { return team.roll.Load().hasStrangers.Load() }
	if hasStrangers() {
		t.Error("a new roll has strangers")
	}
	if outcome := team.poll(t.Context(), "stranger"); !outcome.Undone || !hasStrangers() {
		t.Errorf("the poll of a stranger: %+v, strangers: %v", outcome, hasStrangers())
	}
	team.roll.Store(team.newRoll(s, nil))
	if hasStrangers() {
		t.Error("the next roll has the strangers of the last one")
	}
	team.words = []string{"work"}
	if team.roll.Store(team.newRoll(s, nil)); !hasStrangers() {
		t.Error("a worker of named accounts claims others")
	}
}

// What a roll was to take out of the schedule is not forgotten if the next roll comes before that
// was done.
func TestRoll_follow(t *testing.T) {
	team := &team{poller: &poller{program: new(program)}}
	next := func(earlier *roll, intervals map[string]time.Duration) *roll {
		s := &setting{Config: new(config.Config)}
		var accounts []fetch.Account
		for _, name := range slices.Sorted(maps.Keys(intervals)) {
			s.accounts = append(s.accounts, config.Account{Name: name, Interval: intervals[name], Enabled: true})
			accounts = append(accounts, fetch.Account{Name: name})
		}
		r := team.newRoll(s, accounts)
		if earlier != nil {
			r.follow(earlier)
		}
		return r
	}
	const hour = time.Hour
	first := next(nil, map[string]time.Duration{"back": hour, "gone": hour, "long": hour, "short": hour, "still": hour})
	first.kept.Store(true)
	second := next(first, map[string]time.Duration{"long": 2 * hour, "short": time.Minute, "still": hour})
	third := next(second, map[string]time.Duration{"back": hour, "long": 2 * hour, "short": time.Minute})
	for _, test := range []struct {
		name     string
		roll     *roll
		unwanted []string
	}{{"second", second, []string{"back", "gone"}}, {"third", third, []string{"gone", "still"}}} {
		if got := slices.Sorted(slices.Values(test.roll.unwanted)); !slices.Equal(got, test.unwanted) {
			t.Errorf("the %s roll takes out %v, want %v", test.name, got, test.unwanted)
		}
		if want := map[string]time.Duration{"short": time.Minute}; !maps.Equal(test.roll.shortened, want) {
			t.Errorf("the %s roll shortens %v, want %v", test.name, test.roll.shortened, want)
		}
	}
	third.kept.Store(true)
	fourth := next(third, map[string]time.Duration{"back": hour, "long": 2 * hour, "short": time.Minute})
	if len(fourth.unwanted)+len(fourth.shortened) > 0 {
		t.Errorf("the fourth roll takes out %v and shortens %v, want nothing", fourth.unwanted, fourth.shortened)
	}
}

// Accounts of a file are put back into the schedule again and again. Those of the database are not:
// that would cost seconds for each worker and minute where very many are.
func TestRollKeeper(t *testing.T) {
	t.Parallel()
	none := func(context.Context, int) ([]*worker.Turn, error) { return nil, nil }
	for from, want := range map[string]bool{config.FromFile: true, config.FromDatabase: false} {
		url := pgtest.Database(t)
		p := &program{database: new(database)}
		store := openedBy(t, p, &config.Config{State: config.StateURL(url), Lease: time.Minute}, toWrite)
		defer store.Close()
		s := &setting{Config: &config.Config{AccountsFrom: from}}
		s.accounts = []config.Account{{Name: "work", Interval: time.Minute, Enabled: true}}
		if from == config.FromDatabase {
			spec := postgres.Spec{Name: "work", TOML: "x", Interval: time.Minute, Enabled: true}
			put := postgres.Put{Specs: []postgres.Spec{spec}, Keys: func(_, _ *postgres.Spec) []string { return nil }}
			if _, err := store.PutAccounts(t.Context(), postgres.By{}, put); err != nil {
				t.Fatal(err)
			}
		}
		team := &team{poller: &poller{program: p}, store: store, Worker: worker.New(none, nil, 1)}
		ended, end := context.WithCancel(t.Context())
		end()
		team.Run(ended) // so that nobody waits for it
		team.roll.Store(team.newRoll(s, []fetch.Account{{Name: "work"}}))
		keeper := rollKeeper{team: team}
		isScheduled := func() (scheduled bool) {
			t.Helper()
			if wait := keeper.keep(t.Context()); wait != keepEvery {
				t.Fatalf("keep() = %v", wait)
			}
			place, err := store.Overviews(t.Context(), []string{"work"}, 1)
			if err != nil {
				t.Fatal(err)
			}
			return !place["work"].Due.IsZero()
		}
		if !isScheduled() {
			t.Errorf("%v: the first time, the account is not put into the schedule", from)
		}
		if err := store.Unschedule(t.Context(), []string{"work"}); err != nil {
			t.Fatal(err)
		}
		if got := isScheduled(); got != want {
			t.Errorf("%v: the account is put back: %v, want %v", from, got, want)
		}
		keeper.full = time.Now().Add(-keepStoredEvery)
		if !isScheduled() {
			t.Errorf("%v: the account is not put back after an hour", from)
		}

		// A worker that is late learns that the account was disabled when it is enabled again.
		late := team.newRoll(&setting{Config: &config.Config{AccountsFrom: from}}, nil)
		late.follow(team.roll.Load())
		team.roll.Store(late)
		if got := isScheduled(); got == want {
			t.Errorf("%v: after a roll without the account, it is in the schedule: %v", from, got)
		}
	}
}

// An account that a worker cannot open stays in the schedule, however long nobody polls it: the key
// may come at any time.
func TestRollKeeper_unreadable(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	p := &program{database: new(database)}
	store := openedBy(t, p, &config.Config{State: config.StateURL(url), Lease: time.Minute}, toWrite)
	defer store.Close()
	put := postgres.Put{Keys: func(_, _ *postgres.Spec) []string { return nil }}
	put.Specs = []postgres.Spec{{Name: "locked", TOML: "x", Interval: time.Minute, Enabled: true}}
	if _, err := store.PutAccounts(t.Context(), postgres.By{}, put); err != nil {
		t.Fatal(err)
	}
	if err := pgtest.ExecIn(url, "UPDATE popfetch.turn SET due = now() - interval '2 days'"); err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{AccountsFrom: config.FromDatabase}
	s := &setting{Config: cfg, faults: map[string]error{"locked": errors.New("no key opens it")}}
	none := func(context.Context, int) ([]*worker.Turn, error) { return nil, nil }
	team := &team{poller: &poller{program: p}, store: store, Worker: worker.New(none, nil, 1)}
	ended, end := context.WithCancel(t.Context())
	end()
	team.Run(ended) // so that nobody waits for it
	team.roll.Store(team.newRoll(s, nil))
	if wait := (&rollKeeper{team: team}).keep(t.Context()); wait != keepEvery {
		t.Fatalf("keep() = %v", wait)
	}
	place, err := store.Overviews(t.Context(), []string{"locked"}, 1)
	if err != nil || place["locked"].Due.IsZero() {
		t.Errorf("the account is not in the schedule any more: %v, %v", place, err)
	}
}

// A worker takes out of the schedule what has left its accounts, but not what only it cannot read:
// an account may have a key that a later version knows.
func TestRoll_unreadable(t *testing.T) {
	for _, kept := range []bool{true, false} {
		s := &setting{Config: new(config.Config), faults: map[string]error{"unreadable": errors.New("is not a known key")}}
		team := &team{poller: &poller{program: new(program)}}
		r := team.newRoll(s, nil)
		earlier := &roll{names: []string{"unreadable", "gone"}, accounts: map[string]*known{"unreadable": {}, "gone": {}}}
		if !kept {
			earlier.unwanted = []string{"unreadable", "left"}
		}
		earlier.kept.Store(kept)
		r.follow(earlier)
		want := []string{"gone"}
		if !kept {
			want = []string{"left", "gone"}
		}
		if !slices.Equal(r.unwanted, want) {
			t.Errorf("kept %v: follow() takes out %q, want %q", kept, r.unwanted, want)
		}
	}
}
