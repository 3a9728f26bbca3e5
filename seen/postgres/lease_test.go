package postgres

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(childURL); url != "" {
		child(url)
		return
	}
	pgtest.Main(m)
}

func openAs(t testing.TB, url, worker string, lease time.Duration) *Store {
	t.Helper()
	s := openUnclosed(t, url, worker, lease)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// openUnclosed is openAs for a test that closes the store itself.
func openUnclosed(t testing.TB, url, worker string, lease time.Duration) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{URL: url, Lease: lease, Worker: worker, Process: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// One worker at a time has an account. A new lease has a larger epoch, and a release frees it at
// once.
func TestLock(t *testing.T) {
	url := pgtest.Database(t)
	first, second := openAs(t, url, "first", time.Minute), openAs(t, url, "second", time.Minute)
	hold, err := first.Lock(t.Context(), "work")
	if err != nil || hold.Err() != nil {
		t.Fatalf("Lock() = %v, %v", hold, err)
	}
	for _, s := range []*Store{first, second} {
		if _, err := s.Lock(t.Context(), "work"); !errors.Is(err, seen.ErrLocked) {
			t.Errorf("Lock() by %s = %v, want ErrLocked", s.worker, err)
		}
	}
	if err := errors.Join(hold.Release(), hold.Release()); err != nil {
		t.Fatal(err)
	}
	next, err := second.Lock(t.Context(), "work")
	if err != nil || next.Epoch() <= hold.Epoch() {
		t.Errorf("Lock() after the release = %v, %v, want an epoch above %d", next, err, hold.Epoch())
	}
}

// Workers share what is due. A turn that ends says when its account is due again.
func TestClaim(t *testing.T) {
	url := pgtest.Database(t)
	first, second := openAs(t, url, "first", time.Minute), openAs(t, url, "second", time.Minute)
	accounts := []Scheduled{{Account: "a"}, {Account: "b"}, {Account: "c", Spread: time.Hour}}
	if err := first.Schedule(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
	turns, err := first.Claim(t.Context(), Claiming{Free: 1})
	if err != nil || len(turns) != 1 {
		t.Fatalf("Claim() = %v, %v", turns, err)
	}
	others, err := second.Claim(t.Context(), Claiming{Free: 5})
	if err != nil || len(others) != 1 || others[0].Account == turns[0].Account {
		t.Fatalf("Claim() by the second = %v, %v, want the other account that is due", others, err)
	}
	hold, err := first.Lock(t.Context(), turns[0].Account)
	if err != nil || hold.Release() != nil {
		t.Fatalf("Lock() of a claimed account = %v", err)
	}
	if _, err := second.Lock(t.Context(), turns[0].Account); !errors.Is(err, seen.ErrLocked) {
		t.Errorf("Lock() by the second between run and End = %v, want ErrLocked", err)
	}
	if err := turns[0].End(t.Context(), Next{In: -time.Second, Fruitless: 2}); err != nil {
		t.Fatal(err)
	}
	again, err := second.Claim(t.Context(), Claiming{Free: 5})
	if err != nil || len(again) != 1 || again[0].Account != turns[0].Account || again[0].Fruitless != 2 || again[0].TakenOver {
		t.Errorf("Claim() after End = %+v, %v", again, err)
	}
}

// A worker that stood still for longer than its lease loses its accounts, and knows it when it
// looks.
func TestLease_ends(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	first, second := openAs(t, url, "first", time.Second), openAs(t, url, "second", time.Minute)
	hold, err := first.Lock(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	end := time.After(2 * first.lease) // it is renewed meanwhile
	select {
	case <-hold.Lost():
		t.Fatal("the hold is lost in spite of renewals")
	case <-end:
	}
	first.stopRenewing("work")
	select {
	case <-hold.Lost():
	case <-time.After(10 * time.Second):
		t.Fatal("the hold is not lost")
	}
	if !errors.Is(hold.Err(), seen.ErrLost) {
		t.Errorf("Err() = %v, want ErrLost", hold.Err())
	}
	var taken seen.Hold
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if taken, err = second.Lock(t.Context(), "work"); err == nil {
			break
		}
	}
	if err != nil || taken.Epoch() <= hold.Epoch() {
		t.Fatalf("Lock() by the second = %v, %v", taken, err)
	}
	if err := hold.Release(); !errors.Is(err, seen.ErrLost) {
		t.Errorf("Release() of a lost hold = %v, want ErrLost", err)
	}
	if err := taken.Err(); err != nil {
		t.Errorf("Err() of the second = %v", err)
	}
}

// No more accounts of one host are at work than all workers together may have.
func TestClaim_hosts(t *testing.T) {
	url := pgtest.Database(t)
	s := openAs(t, url, "first", time.Minute)
	err := s.Schedule(t.Context(), []Scheduled{{Account: "a", Host: "one"}, {Account: "b", Host: "one"}, {Account: "c", Host: "one"}, {Account: "d", Host: "two"}})
	if err != nil {
		t.Fatal(err)
	}
	turns, err := s.Claim(t.Context(), Claiming{Free: 10, Hosts: 2})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, turn := range turns {
		names = append(names, turn.Account)
	}
	if len(names) != 3 || !slices.Contains(names, "d") {
		t.Errorf("Claim() takes %q, want two of host one, and d", names)
	}
}

// stopRenewing is what happens to a process that stands still.
func (s *Store) stopRenewing(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.holds, account)
}
