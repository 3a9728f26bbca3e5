package postgres

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
)

// takenOver is how much longer than the lease a successor may have to wait.
const takenOver = 3 * time.Second

func lock(t *testing.T, s *Store, account string) seen.Hold {
	t.Helper()
	hold, err := s.Lock(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return hold
}

// lasts fails the test if the hold is lost within a time.
func lasts(t *testing.T, hold seen.Hold, d time.Duration, why string) {
	t.Helper()
	select {
	case <-hold.Lost():
		t.Fatalf("the hold is lost %s", why)
	case <-time.After(d):
	}
	if err := hold.Err(); err != nil {
		t.Fatalf("Err() = %v %s", err, why)
	}
}

func isLost(t *testing.T, hold seen.Hold, limit time.Duration) {
	t.Helper()
	select {
	case <-hold.Lost():
	case <-time.After(limit):
		t.Fatalf("the hold is not lost within %v", limit)
	}
	if err := hold.Err(); !errors.Is(err, seen.ErrLost) {
		t.Fatalf("Err() = %v, want ErrLost", err)
	}
}

// takes waits until the store can lock the account.
func takes(t *testing.T, s *Store, account string, limit time.Duration) seen.Hold {
	t.Helper()
	var hold seen.Hold
	within(t, limit, "another worker takes the account over", func() bool {
		var err error
		if hold, err = s.Lock(t.Context(), account); err != nil && !errors.Is(err, seen.ErrLocked) {
			t.Logf("Lock() = %v", err)
		}
		return err == nil
	})
	return hold
}

// Runs that use all connections of the pool do not keep holds from being renewed.
func TestRenew_poolUsedUp(t *testing.T) {
	t.Parallel()
	s := openAs(t, pgtest.Database(t), "first", 2*time.Second)
	hold := lock(t, s, "a")
	for range s.pool.Config().MaxConns {
		conn, err := s.pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
	}
	lasts(t, hold, 2*s.lease, "while runs use up the pool")
}

// A run whose transaction has locked its account keeps only this account from being renewed. A
// process that stands still in such a transaction does not keep others from taking the account
// over.
func TestRenew_rowLocked(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	first, second := openAs(t, url, "first", 2*time.Second), openAs(t, url, "second", time.Minute)
	locked, free := lock(t, first, "a"), lock(t, first, "b")
	tx, err := first.pool.BeginTx(t.Context(), first.beginning())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	const fence = `SELECT FROM popfetch.turn WHERE epoch = $1 AND holder <> ''
		AND account = (SELECT id FROM popfetch.account WHERE name = 'a') FOR SHARE`
	if tag, err := tx.Exec(t.Context(), fence, locked.Epoch()); err != nil || tag.RowsAffected() != 1 {
		t.Fatal(tag, err)
	}
	isLost(t, locked, 2*first.lease)
	takes(t, second, "a", first.lease+takenOver)
	lasts(t, free, first.lease/2, "although another account's row is locked")
}

// A connection that is cut, or swallows what is sent, does not end a hold while new ones can be
// made.
func TestRenew_connectionLost(t *testing.T) {
	t.Parallel()
	w, url := newWire(t, pgtest.Database(t))
	s := openAs(t, url, "first", 3*time.Second)
	hold := lock(t, s, "a")
	for what, fail := range map[string]func(){"cut": w.cut, "swallowed": w.swallowOpen} {
		t.Run(what, func(t *testing.T) {
			before := s.renewals()
			within(t, 2*s.lease, "a renewal", func() bool { return s.renewals() > before })
			fail()
			lasts(t, hold, 3*s.lease/2, "although only its connection was "+what)
		})
	}
}

func (s *Store) renewals() int64 {
	s.register.mu.Lock()
	defer s.register.mu.Unlock()
	return s.register.counts.Renewals - s.register.counts.Unrenewed
}

// A worker that cannot reach the database loses its holds before the database gives them away, and
// works again as soon as it can.
func TestRenew_swallowed(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	w, wired := newWire(t, url)
	first, second := openAs(t, wired, "first", 2*time.Second), openAs(t, url, "second", time.Minute)
	hold := lock(t, first, "a")
	before := first.renewals()
	within(t, 2*first.lease, "a renewal", func() bool { return first.renewals() > before })
	w.swallowAll()
	began := time.Now()
	isLost(t, hold, first.lease)
	var left time.Duration
	err := second.pool.QueryRow(t.Context(), "SELECT until - now() FROM popfetch.turn").Scan(&left)
	if err != nil || left <= 0 {
		t.Errorf("the database gives the account away %v after the hold is lost, %v; want before", -left, err)
	}
	taken := takes(t, second, "a", first.lease+takenOver-time.Since(began))
	if taken.Epoch() <= hold.Epoch() {
		t.Errorf("epoch %d after %d", taken.Epoch(), hold.Epoch())
	}
	w.restore()
	within(t, 20*time.Second, "the first worker works again", func() bool {
		other, err := first.Lock(t.Context(), "b")
		return err == nil && other.Err() == nil
	})
	if err := hold.Release(); !errors.Is(err, seen.ErrLost) {
		t.Errorf("Release() of a lost hold = %v, want ErrLost", err)
	}
	if err := taken.Err(); err != nil {
		t.Errorf("Err() of the second = %v", err)
	}
	if first.register.counts.Lost != 1 {
		t.Errorf("%d lost leases are counted, want 1", first.register.counts.Lost)
	}
}

// A note that is due waits for a renewal that is near, as each is while the database is away. The
// goroutine sleeps meanwhile.
func TestRenew_noteWaits(t *testing.T) {
	h := &heart{store: &Store{lease: time.Minute}, renewAt: time.Now().Add(time.Second)}
	if pause := h.beat(); pause <= 0 || pause > time.Second {
		t.Errorf("beat() = %v, want the time until the renewal", pause)
	}
}

// A renewal whose answer comes too late does not bring back what a run has seen as lost.
func TestRenew_late(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "first", time.Minute)
	lock(t, s, "a")
	h := s.holds["a"]
	h.mu.Lock()
	h.until = time.Now()
	h.mu.Unlock()
	h.renewed(time.Now())
	if err := h.Err(); !errors.Is(err, seen.ErrLost) {
		t.Errorf("Err() after a late renewal = %v, want ErrLost", err)
	}
	if h.wanted() {
		t.Error("a lost hold is still renewed")
	}
}

// A renewal that the database gets after the end of the lease does not bring it back either, and a
// lease that another worker has is lost at once.
func TestRenew_ended(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "first", time.Minute)
	for change, hold := range map[string]seen.Hold{
		"until = now() - interval '1 ms'": lock(t, s, "a"), "epoch = epoch + 1": lock(t, s, "b"),
		"holder = ''": lock(t, s, "c"),
	} {
		sql(t, s, "UPDATE popfetch.turn SET "+change+" WHERE account = $1", hold.(*loan).id)
		h := &heart{store: s, ctx: t.Context()}
		if !h.renewAll() {
			t.Fatal("the renewal has failed")
		}
		h.disconnect()
		if err := hold.Err(); !errors.Is(err, seen.ErrLost) {
			t.Errorf("Err() after %s = %v, want ErrLost", change, err)
		}
	}
}

// Holds outlive a short absence of the database. After a longer one they are lost, and the work
// goes on.
func TestRenew_serverStops(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	url := server.Database(t)
	const lease = 6 * time.Second
	first, second := openAs(t, url, "first", lease), openAs(t, url, "second", lease)
	hold := lock(t, first, "a")
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		before := first.renewals()
		server.Stop(signal)
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		within(t, lease, "a renewal after "+signal.String(), func() bool { return first.renewals() > before })
		if err := hold.Err(); err != nil {
			t.Fatalf("Err() after a restart by %v = %v", signal, err)
		}
	}
	server.Stop(syscall.SIGINT)
	stopped := time.Now()
	isLost(t, hold, lease)
	within(t, lease, "the end of the lease", func() bool { return time.Since(stopped) > lease })
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	takes(t, second, "a", takenOver)
}

// Close gives everything back at once, and removes the worker from the register.
func TestClose(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	first, second := openUnclosed(t, url, "first", time.Minute), openAs(t, url, "second", time.Minute)
	schedule(t, first, Scheduled{Account: "a"})
	first.Register(Registration{Host: "here"})
	claim(t, first, Claiming{Free: 1})
	hold := lock(t, first, "b")
	within(t, 20*time.Second, "the worker is in the register", func() bool {
		workers, err := second.Workers(t.Context())
		return err == nil && len(workers) == 1
	})
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	if err := hold.Err(); !errors.Is(err, seen.ErrLost) {
		t.Errorf("Err() after Close = %v, want ErrLost", err)
	}
	if err := hold.Release(); err != nil {
		t.Errorf("Release() after Close = %v, want nil", err)
	}
	if turns, _ := claim(t, second, Claiming{Free: 5}); len(turns) != 1 || turns[0].Account != "a" || turns[0].TakenOver {
		t.Errorf("Claim() after Close = %+v, want what the first had", turns)
	}
	if err := lock(t, second, "b").Err(); err != nil {
		t.Error(err)
	}
	if workers, err := second.Workers(t.Context()); err != nil || len(workers) != 0 {
		t.Errorf("Workers() after Close = %+v, %v", workers, err)
	}
}

// Without an answer from the database, Close ends all the same.
func TestClose_swallowed(t *testing.T) {
	t.Parallel()
	w, url := newWire(t, pgtest.Database(t))
	s := openUnclosed(t, url, "first", time.Minute)
	lock(t, s, "a")
	w.swallowAll()
	done := make(chan struct{})
	began := time.Now()
	go func() {
		<-s.ending
		s.closed.Wait()
		close(done)
	}()
	go func() { _ = s.Close() }()
	select {
	case <-done:
		t.Logf("it ends after %v", time.Since(began))
	case <-time.After(2 * closing):
		t.Error("Close waits for a database that does not answer")
	}
}

// The register shows who works, how much, and who has not been seen for long.
func TestWorkers(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	first, second := openAs(t, url, "first", time.Minute), openAs(t, url, "second", time.Minute)
	schedule(t, first, Scheduled{Account: "a", Spread: -time.Hour}, Scheduled{Account: "b"}, Scheduled{Account: "c"},
		Scheduled{Account: "d"}, Scheduled{Account: "e", Spread: time.Hour})
	sql(t, first, `INSERT INTO popfetch.worker SELECT 'old', 'old', 1, 'h', 'v', '{}', 1, now() - interval '2 days',
		now() - interval '25 hours', 0, 0, 0, 0, 0, 0, 0, '0', '0', '0'`)
	sql(t, first, `UPDATE popfetch.turn SET holder = 'old', until = now() - interval '1 s'
		WHERE account = (SELECT id FROM popfetch.account WHERE name = 'a')`)
	turns, _ := claim(t, first, Claiming{Free: 3})
	if err := turns[2].End(t.Context(), Next{In: time.Hour, Delivered: 5}); err != nil {
		t.Fatal(err)
	}
	registration := Registration{Host: "here", Version: "1.2", Labels: []string{"x"}, Jobs: 4}
	first.Register(registration)
	second.Register(Registration{Host: "there"})
	var workers []Worker
	within(t, 20*time.Second, "both workers are in the register, and the old one is not", func() bool {
		var err error
		if workers, err = first.Workers(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(workers) == 2 && workers[0].Name == "first" && workers[1].Name == "second"
	})
	w := workers[0]
	if w.Name != "first" || w.Process != 1 || fmt.Sprint(w.Registration) != fmt.Sprint(registration) || !w.Alive() ||
		w.Held != 2 || workers[1].Held != 0 || time.Since(w.SeenAt).Abs() > time.Hour {
		t.Errorf("Workers() = %+v", workers)
	}
	if w.Claims != 3 || w.Polls != 1 || w.Delivered != 5 || w.TakeOvers != 1 || w.Latest < time.Hour || w.Late < w.Latest {
		t.Errorf("its counts are %+v", w.Counts)
	}
	work, err := first.Work(t.Context())
	if err != nil || work.Scheduled != 5 || work.Due != 1 || work.Longest != "d" || work.Overdue <= 0 ||
		work.Held != 2 || work.Resting != 0 {
		t.Errorf("Work() = %+v, %v", work, err)
	}
	waiting, err := first.Waiting(t.Context(), 0, 5)
	if err != nil || len(waiting) != 1 || waiting[0].Account != "d" || waiting[0].Late <= 0 {
		t.Errorf("Waiting() = %+v, %v", waiting, err)
	}
	held, err := first.Holders(t.Context())
	if err != nil || len(held) != 2 || held[0].Account != "a" || held[0].Holder != "first" || held[0].For <= 0 {
		t.Errorf("Holders() = %+v, %v", held, err)
	}
}
