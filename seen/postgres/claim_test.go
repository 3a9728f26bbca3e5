package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
)

func schedule(t *testing.T, s *Store, accounts ...Scheduled) {
	t.Helper()
	if err := s.Schedule(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
}

// claim claims, and returns the turns by account.
func claim(t *testing.T, s *Store, c Claiming) (turns []*Turn, names []string) {
	t.Helper()
	turns, err := s.Claim(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, turn := range turns {
		names = append(names, turn.Account)
	}
	return turns, names
}

// sql changes rows as no program does.
func sql(t *testing.T, s *Store, statement string, args ...any) {
	t.Helper()
	if _, err := s.pool.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// row returns all of an account's row of turn.
func row(t *testing.T, s *Store, account string) (text string) {
	t.Helper()
	err := s.pool.QueryRow(t.Context(), `SELECT t::text FROM popfetch.turn AS t
		JOIN popfetch.account AS a ON a.id = t.account WHERE a.name = $1`, account).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What has waited longest is taken first, and only what the worker may take.
func TestClaim_which(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "first", time.Minute)
	for i, name := range []string{"new", "old", "oldest"} {
		schedule(t, s, Scheduled{Account: name, Spread: -time.Duration(i) * time.Hour})
	}
	schedule(t, s, Scheduled{Account: "here", Label: "here"}, Scheduled{Account: "there", Label: "there"},
		Scheduled{Account: "later", Spread: time.Hour}, Scheduled{Account: "never"})
	if err := s.Unschedule(t.Context(), []string{"never"}); err != nil {
		t.Fatal(err)
	}
	turns, names := claim(t, s, Claiming{Free: 2})
	if !slices.Equal(names, []string{"oldest", "old"}) {
		t.Errorf("Claim() takes %q, want the oldest first", names)
	}
	if late := turns[0].Late; late < 2*time.Hour || late > 3*time.Hour {
		t.Errorf("Late = %v, want two hours", late)
	}
	if _, names = claim(t, s, Claiming{Free: 9, Accounts: []string{"there", "later"}}); names != nil {
		t.Errorf("Claim() without the label takes %q", names)
	}
	if _, names = claim(t, s, Claiming{Free: 9, Accounts: []string{"there", "new"}, Labels: []string{"there"}}); len(names) != 2 {
		t.Errorf("Claim() takes %q, want the two that the worker knows", names)
	}
	if _, names = claim(t, s, Claiming{Free: 9, Labels: []string{"x", "here"}, Hosts: 1}); !slices.Equal(names, []string{"here"}) {
		t.Errorf("Claim() takes %q, want the last one", names)
	}
	if _, names = claim(t, s, Claiming{Free: 0}); names != nil {
		t.Errorf("Claim() of none takes %q", names)
	}
	if err := s.Hurry(t.Context(), "later", "never"); err != nil {
		t.Fatal(err)
	}
	if _, names = claim(t, s, Claiming{Free: 9}); !slices.Equal(names, []string{"later"}) {
		t.Errorf("Claim() after Hurry takes %q, want what is scheduled", names)
	}
	if err := s.Hurry(t.Context()); err != nil {
		t.Errorf("Hurry() of all = %v", err)
	}
}

// Nobody can have an account polled whose server refuses log-ins. An announced time is no refusal.
func TestHurry_refused(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "first", time.Minute)
	schedule(t, s, Scheduled{Account: "refused"}, Scheduled{Account: "delayed"})
	turns, _ := claim(t, s, Claiming{Free: 2})
	for _, turn := range turns {
		next := Next{In: 2 * time.Hour}
		if turn.Account == "refused" {
			next.Refused = time.Hour
		}
		if err := turn.End(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Hurry(t.Context()); err != nil {
		t.Fatal(err)
	}
	turns, names := claim(t, s, Claiming{Free: 9})
	if !slices.Equal(names, []string{"delayed"}) {
		t.Errorf("Claim() after Hurry takes %q", names)
	}
	var when time.Duration
	err := s.pool.QueryRow(t.Context(), "SELECT min(due) - now() FROM popfetch.turn WHERE holder = ''").Scan(&when)
	if err != nil || when < 59*time.Minute || when > time.Hour {
		t.Errorf("the other one is due after %v, %v; want an hour", when, err)
	}
	sql(t, s, "UPDATE popfetch.turn SET hold_until = now(), due = now() + interval '1 hour'")
	if err := errors.Join(s.Hurry(t.Context()), turns[0].End(t.Context(), Next{In: time.Hour})); err != nil {
		t.Fatal(err)
	}
	if _, names = claim(t, s, Claiming{Free: 9}); !slices.Equal(names, []string{"refused"}) {
		t.Errorf("Claim() when the refusal is over takes %q", names)
	}
}

// However many workers claim at the same moment, a host gets no more than its bound, and no less.
func TestClaim_hostsTogether(t *testing.T) {
	const workers, bound, rounds = 6, 5, 15
	url := pgtest.Database(t)
	var stores []*Store
	for i := range workers {
		stores = append(stores, openAs(t, url, fmt.Sprint(i), time.Minute))
	}
	var accounts []Scheduled
	for i := range 60 {
		accounts = append(accounts, Scheduled{Account: fmt.Sprint(i), Host: "one"})
	}
	schedule(t, stores[0], accounts...)
	schedule(t, stores[0], Scheduled{Account: "other", Host: "two"}, Scheduled{Account: "none"})
	for range rounds {
		var mu sync.Mutex
		var taken []*Turn
		var all group
		start := make(chan struct{})
		for _, s := range stores {
			all.run(func() {
				<-start
				turns, err := s.Claim(t.Context(), Claiming{Free: 3, Hosts: bound})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				taken = append(taken, turns...)
			})
		}
		close(start)
		all.Wait()
		if len(taken) != bound+2 {
			t.Fatalf("%d workers took %d accounts, want %d of one host and 2 others", workers, len(taken), bound)
		}
		for _, turn := range taken {
			if err := turn.End(t.Context(), Next{In: -time.Second}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Workers that lose leases share accounts, and never have one at the same time.
func TestClaim_shared(t *testing.T) {
	t.Parallel()
	const (
		workers, runs, accounts = 3, 4, 20
		hosts, bound, enough    = 4, 3, 400
		lease                   = time.Second
	)
	url := pgtest.Database(t)
	var mu sync.Mutex
	believed := make(map[seen.Hold]int) // accounts, by the holds of those who are at work
	var last [accounts]int64
	var turns, lost atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	enter := func(hold seen.Hold, n int) {
		mu.Lock()
		defer mu.Unlock()
		if last[n] >= hold.Epoch() {
			t.Errorf("account %d: epoch %d after %d", n, hold.Epoch(), last[n])
		}
		last[n] = hold.Epoch()
		believed[hold] = n
		atHost := 0
		for other, account := range believed {
			switch {
			case other.Err() != nil:
			case account == n && other != hold && hold.Err() == nil:
				t.Errorf("account %d: two believe in their holds", n)
			case account%hosts == n%hosts:
				atHost++
			}
		}
		if atHost > bound {
			t.Errorf("%d accounts of host %d are at work, want %d", atHost, n%hosts, bound)
		}
	}
	work := func(s *Store, turn *Turn) {
		var n int
		_, _ = fmt.Sscan(turn.Account, &n)
		hold, err := s.Lock(ctx, turn.Account)
		if err != nil {
			t.Errorf("Lock() of a claimed account = %v", err)
			return
		}
		enter(hold, n)
		if rand.IntN(20) == 0 { // it stands still for longer than its lease
			s.stopRenewing(turn.Account)
			<-hold.Lost()
			lost.Add(1)
		}
		time.Sleep(rand.N(5 * time.Millisecond)) // the work
		mu.Lock()
		delete(believed, hold)
		mu.Unlock()
		if err := hold.Release(); err != nil {
			t.Error(err)
		}
		if rand.IntN(40) == 0 { // it ends
			s.drop(turn.hold)
			return
		}
		err = turn.End(ctx, Next{In: -time.Millisecond})
		if err != nil && !errors.Is(err, seen.ErrLost) {
			t.Error(err)
		}
	}
	var all group
	for i := range workers {
		s := openAs(t, url, fmt.Sprint(i), lease)
		for a := range accounts {
			schedule(t, s, Scheduled{Account: fmt.Sprint(a), Host: fmt.Sprint(a % hosts)})
		}
		for range runs {
			all.run(func() {
				for turns.Load() < enough && ctx.Err() == nil {
					got, err := s.Claim(ctx, Claiming{Free: 2, Hosts: bound})
					if err != nil && !errors.Is(err, context.DeadlineExceeded) { // a busy machine
						t.Error(err)
						return
					}
					for _, turn := range got {
						work(s, turn)
						turns.Add(1)
					}
				}
			})
		}
	}
	all.Wait()
	if turns.Load() < enough || lost.Load() == 0 {
		t.Errorf("%d turns, %d of them lost, want %d and some", turns.Load(), lost.Load(), enough)
	}
}

// The bound does not hold for accounts whose host is not known.
func TestClaim_hostless(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "first", time.Minute)
	schedule(t, s, Scheduled{Account: "a"}, Scheduled{Account: "b"}, Scheduled{Account: "c"})
	if _, names := claim(t, s, Claiming{Free: 5, Hosts: 2}); len(names) != 3 {
		t.Errorf("Claim() takes %q, want all", names)
	}
}

// Workers that start at the same time schedule the same accounts in different orders. A second
// scheduling writes nothing.
func TestSchedule_together(t *testing.T) {
	const workers, accounts = 4, 400
	url := pgtest.Database(t)
	var all group
	var first *Store
	for i := range workers {
		s := openAs(t, url, fmt.Sprint(i), time.Minute)
		first = s
		list := make([]Scheduled, accounts)
		for n, p := range rand.Perm(accounts) {
			list[n] = Scheduled{Account: fmt.Sprint(p), Host: "one"}
		}
		all.run(func() {
			if err := s.Schedule(t.Context(), list); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	xmin := func() (text string) {
		err := first.pool.QueryRow(t.Context(), "SELECT string_agg(xmin::text || xmax::text, ',') FROM popfetch.turn").Scan(&text)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := xmin()
	schedule(t, first, Scheduled{Account: "7", Host: "one"}, Scheduled{Account: "8", Host: "one"})
	if xmin() != before {
		t.Error("a second scheduling wrote rows")
	}
	schedule(t, first, Scheduled{Account: "7", Host: "two"})
	if xmin() == before {
		t.Error("another host is not noted")
	}
}
