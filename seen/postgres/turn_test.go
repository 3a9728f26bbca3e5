package postgres

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
)

// An account whose workers end without releasing it is left alone after the third.
func TestClaim_abandoned(t *testing.T) {
	url := pgtest.Database(t)
	s := openAs(t, url, "first", time.Minute)
	schedule(t, s, Scheduled{Account: "bad"}, Scheduled{Account: "good", Spread: time.Hour})
	for n := range mostAbandoned {
		turns, names := claim(t, s, Claiming{Free: 5})
		if len(names) != 1 || turns[0].Abandoned != n || turns[0].TakenOver != (n > 0) {
			t.Fatalf("Claim() after %d abandoned leases = %+v", n, turns)
		}
		s.drop(turns[0].hold) // its process has ended
		sql(t, s, "UPDATE popfetch.turn SET until = now() - interval '1 s' WHERE holder <> ''")
	}
	for _, c := range []Claiming{{Free: 5}, {Free: 5, Hosts: 5}} {
		if _, names := claim(t, s, c); names != nil {
			t.Errorf("Claim(%+v) takes %q, which is to be left alone", c, names)
		}
	}
	list, err := s.Abandoned(t.Context())
	if err != nil || len(list) != 1 || list[0].Account != "bad" || list[0].Times != mostAbandoned ||
		list[0].Holder != "first" || list[0].Again < 59*time.Minute || list[0].Again > time.Hour {
		t.Errorf("Abandoned() = %+v, %v", list, err)
	}
	work, err := s.Work(t.Context())
	if err != nil || work != (Work{Scheduled: 2, Resting: 1}) {
		t.Errorf("Work() = %+v, %v, want one that rests", work, err)
	}
	if waiting, err := s.Waiting(t.Context(), 0, 5); err != nil || len(waiting) != 0 {
		t.Errorf("Waiting() = %+v, %v, want none", waiting, err)
	}
	sql(t, s, "UPDATE popfetch.turn SET until = now() - interval '61 min' WHERE holder <> ''")
	turns, _ := claim(t, s, Claiming{Free: 5})
	if len(turns) != 1 || turns[0].Abandoned != mostAbandoned {
		t.Fatalf("Claim() after an hour = %+v", turns)
	}
	if err := turns[0].End(t.Context(), Next{In: -time.Second}); err != nil {
		t.Fatal(err)
	}
	if list, err = s.Abandoned(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("Abandoned() after a release = %+v, %v, want none", list, err)
	}
	if turns, _ = claim(t, s, Claiming{Free: 5}); len(turns) != 1 || turns[0].Abandoned != 0 {
		t.Errorf("Claim() after a release = %+v", turns)
	}
}

// A turn ends although no run has locked its account. One that was lost changes nothing.
func TestTurn_End(t *testing.T) {
	url := pgtest.Database(t)
	first, second := openAs(t, url, "first", time.Minute), openAs(t, url, "second", time.Minute)
	schedule(t, first, Scheduled{Account: "a"})
	turns, _ := claim(t, first, Claiming{Free: 1})
	if err := turns[0].End(t.Context(), Next{In: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if err := turns[0].Hold().Err(); !errors.Is(err, seen.ErrLost) {
		t.Errorf("Err() after End = %v, want ErrLost", err)
	}
	if _, names := claim(t, second, Claiming{Free: 1}); names != nil {
		t.Errorf("Claim() takes %q before it is due", names)
	}
	sql(t, first, "UPDATE popfetch.turn SET due = now()")
	turns, _ = claim(t, first, Claiming{Free: 1})
	hold, err := first.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	sql(t, first, "UPDATE popfetch.turn SET until = now() - interval '1 s'")
	if _, names := claim(t, first, Claiming{Free: 1}); names != nil {
		t.Errorf("Claim() takes %q, whose run has not ended in this process", names)
	}
	others, _ := claim(t, second, Claiming{Free: 1})
	if len(others) != 1 || !others[0].TakenOver {
		t.Fatalf("Claim() of an account whose lease has ended = %+v", others)
	}
	before := row(t, first, "a")
	if err := hold.Release(); err != nil {
		t.Errorf("Release() = %v, want nil: it changes nothing", err)
	}
	if err := turns[0].End(t.Context(), Next{In: time.Hour, Fruitless: 7}); !errors.Is(err, seen.ErrLost) {
		t.Errorf("End() of a lost turn = %v, want ErrLost", err)
	}
	if after := row(t, first, "a"); after != before {
		t.Errorf("End() of a lost turn changed %s to %s", before, after)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := others[0].GiveUp(cancelled); err != nil {
		t.Fatalf("GiveUp() with a cancelled context = %v", err)
	}
	if turns, _ = claim(t, first, Claiming{Free: 1}); len(turns) != 1 || turns[0].TakenOver {
		t.Errorf("Claim() after GiveUp = %+v", turns)
	}
}

// A turn may end before its run. This process then leaves the account alone, so that the run finds
// no later hold to write under.
func TestTurn_endsFirst(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "first", time.Minute)
	schedule(t, s, Scheduled{Account: "a"})
	turns, _ := claim(t, s, Claiming{Free: 1})
	run, err := s.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := turns[0].End(t.Context(), Next{}); err != nil {
		t.Fatal(err)
	}
	if _, names := claim(t, s, Claiming{Free: 1}); names != nil {
		t.Errorf("Claim() takes %q, whose run has not ended", names)
	}
	if _, err := s.Lock(t.Context(), "a"); !errors.Is(err, seen.ErrLocked) {
		t.Errorf("Lock() before the run has ended = %v, want ErrLocked", err)
	}
	put := map[string][]byte{"token": []byte("value")}
	if err := s.Book("a", "maildir").Put(put); !errors.Is(err, seen.ErrLost) {
		t.Errorf("Put() by the run = %v, want ErrLost", err)
	}
	if err := run.Release(); err != nil {
		t.Fatal(err)
	}
	if _, names := claim(t, s, Claiming{Free: 1}); len(names) != 1 {
		t.Error("Claim() takes nothing after the run has ended")
	}
	if err := s.Book("a", "maildir").Put(put); err != nil {
		t.Errorf("Put() under the next hold = %v", err)
	}
}

// One run at a time has a claimed account. A second release of an earlier one changes nothing.
func TestLock_claimed(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "first", time.Minute)
	schedule(t, s, Scheduled{Account: "a"})
	claim(t, s, Claiming{Free: 1})
	first, err := s.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lock(t.Context(), "a"); !errors.Is(err, seen.ErrLocked) {
		t.Errorf("a second Lock() = %v, want ErrLocked", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lock(t.Context(), "a"); err != nil {
		t.Fatalf("Lock() after the release = %v", err)
	}
	_ = first.Release()
	if _, err := s.Lock(t.Context(), "a"); !errors.Is(err, seen.ErrLocked) {
		t.Errorf("Lock() after a second release of the first = %v, want ErrLocked", err)
	}
}

// A poll without news takes one statement to claim, and one to end. No statement names a time, so
// the clock of the machine does not matter.
func TestTurn_statements(t *testing.T) {
	s := openUnclosed(t, pgtest.Database(t), "first", 2*time.Second)
	schedule(t, s, Scheduled{Account: "a"})
	trace := &statements{}
	config := s.pool.Config()
	config.ConnConfig.Tracer = trace
	s.pool.Close()
	var err error
	if s.pool, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	turns, _ := claim(t, s, Claiming{Free: 5, Hosts: 3, Labels: []string{"x"}, Accounts: []string{"a"}})
	hold, err := s.Lock(t.Context(), "a")
	if err != nil || hold.Release() != nil || turns[0].End(t.Context(), Next{In: time.Hour}) != nil {
		t.Fatal("the turn did not go well")
	}
	if n := trace.count(); n != 2 {
		t.Errorf("%d statements for a turn, want a claim and an end:\n%q", n, trace.texts)
	}
	hold, err = s.Lock(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	s.Register(Registration{})
	within(t, 10*time.Second, "a renewal", func() bool {
		s.register.mu.Lock()
		defer s.register.mu.Unlock()
		return s.register.counts.Renewals > 0
	})
	err = errors.Join(hold.Release(), s.Hurry(t.Context(), "a"), s.Unschedule(t.Context(), []string{"a"}), s.Close())
	if err != nil {
		t.Error(err)
	}
	if trace.count() < 9 || trace.times {
		t.Errorf("%d statements, with a time: %v", trace.count(), trace.times)
	}
}

// statements traces what is sent to the database.
type statements struct {
	mu    sync.Mutex
	texts []string
	times bool // one had a time among its arguments
}

func (s *statements) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.texts)
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, q.SQL)
	for _, arg := range q.Args {
		_, is := arg.(time.Time)
		s.times = s.times || is
	}
	return ctx
}

func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

var _ pgx.QueryTracer = (*statements)(nil)
