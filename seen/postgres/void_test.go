package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
)

// loseAnswer has do carried out, but cuts the connection before its answer.
func loseAnswer(t *testing.T, s *Store, wire *shears, do func() error) {
	t.Helper()
	if err := s.pool.Ping(t.Context()); err != nil { // so the answer is the next that comes
		t.Fatal(err)
	}
	wire.set(1, 0)
	err := do()
	wire.set(0, -1)
	if !errors.Is(err, ErrAway) {
		t.Fatalf("without an answer: %v, want ErrAway", err)
	}
}

// What a claim took whose answer did not come is given back, and does not count as abandoned.
func TestClaim_unanswered(t *testing.T) {
	database := pgtest.Database(t)
	wire, through := newShears(t, database)
	other := openAs(t, database, "same name", time.Minute)
	s := openUnclosed(t, through, "same name", time.Minute)
	schedule(t, other, Scheduled{Account: "a"}, Scheduled{Account: "b", Spread: -time.Hour})
	kept, names := claim(t, other, Claiming{Free: 1}) // a process may have the same name and number
	if len(names) != 1 || names[0] != "b" {
		t.Fatalf("Claim() = %q", names)
	}
	lost := func() {
		t.Helper()
		s.mu.Lock()
		s.void = nil // so that the claim is all that is sent
		s.mu.Unlock()
		loseAnswer(t, s, wire, func() error {
			_, err := s.Claim(t.Context(), Claiming{Free: 5})
			return err
		})
		within(t, 10*time.Second, "the claim was carried out", func() bool {
			held, err := other.Holders(t.Context())
			return err == nil && len(held) == 2
		})
	}
	lost()
	turns, names := claim(t, s, Claiming{Free: 5})
	if len(turns) != 1 || names[0] != "a" || turns[0].TakenOver || turns[0].Abandoned != 0 {
		t.Fatalf("Claim() after one without an answer = %+v, want account a as if it were new", turns)
	}
	if _, names := claim(t, s, Claiming{Free: 5}); names != nil || turns[0].Hold().Err() != nil {
		t.Errorf("the next Claim() = %q, and the hold: %v", names, turns[0].Hold().Err())
	}
	if err := errors.Join(turns[0].GiveUp(t.Context()), kept[0].Hold().Err()); err != nil {
		t.Fatal(err)
	}
	// Another one has it by now, by a lock.
	lost()
	sql(t, other, `UPDATE popfetch.turn SET until = now() - interval '1 s'
		WHERE account = (SELECT id FROM popfetch.account WHERE name = 'a')`)
	taken := lock(t, other, "a")
	before := row(t, other, "a")
	if _, names := claim(t, s, Claiming{Free: 5}); names != nil || row(t, other, "a") != before {
		t.Errorf("Claim() = %q changes the row of another process to %s", names, row(t, other, "a"))
	}
	if err := taken.Release(); err != nil {
		t.Fatal(err)
	}
	// The process ends.
	lost()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if turns, names := claim(t, other, Claiming{Free: 5}); len(names) != 1 || turns[0].TakenOver {
		t.Errorf("Claim() after Close = %+v", turns)
	}
}

// A turn that has ended, though the answer did not come, can be ended again.
func TestTurn_unanswered(t *testing.T) {
	database := pgtest.Database(t)
	wire, through := newShears(t, database)
	s, direct := openAs(t, through, "first", time.Minute), openAs(t, database, "second", time.Minute)
	schedule(t, direct, Scheduled{Account: "a"})
	turns, _ := claim(t, s, Claiming{Free: 1})
	end := func() error { return turns[0].End(t.Context(), Next{In: time.Hour, Fruitless: 2}) }
	loseAnswer(t, s, wire, end)
	within(t, 10*time.Second, "the end was carried out", func() bool {
		held, err := direct.Holders(t.Context())
		return err == nil && len(held) == 0
	})
	if err := end(); err != nil {
		t.Errorf("End() again = %v, want nil: nobody else has had the account", err)
	}
	sql(t, direct, "UPDATE popfetch.turn SET due = now()")
	if turns, _ := claim(t, direct, Claiming{Free: 1}); len(turns) != 1 || turns[0].Fruitless != 2 {
		t.Fatalf("Claim() by the next = %+v", turns)
	}
	before := row(t, direct, "a")
	turns[0].hold.mu.Lock()
	turns[0].hold.ended = false // as if the answer had been lost once more
	turns[0].hold.mu.Unlock()
	if err := end(); !errors.Is(err, seen.ErrLost) || row(t, direct, "a") != before {
		t.Errorf("End() after another claim = %v, the row is %s", err, row(t, direct, "a"))
	}
}

// No call waits for ever for a database that does not answer.
func TestSwallowed(t *testing.T) {
	w, through := newWire(t, pgtest.Database(t))
	s := openUnclosed(t, through, "first", time.Minute)
	l, err := s.Look(t.Context(), "a", "", "")
	if err != nil {
		t.Fatal(err)
	}
	w.swallowAll()
	s.patience = 100 * time.Millisecond
	ctx := t.Context()
	for name, do := range map[string]func() error{
		"Schedule":   func() error { return s.Schedule(ctx, []Scheduled{{Account: "a"}}) },
		"Unschedule": func() error { return s.Unschedule(ctx, []string{"a"}) },
		"Retire":     func() error { return s.Retire(ctx, nil) },
		"Hurry":      func() error { return s.Hurry(ctx) },
		"Lock":       func() error { _, err := s.Lock(ctx, "a"); return err },
		"Workers":    func() error { _, err := s.Workers(ctx); return err },
		"Work":       func() error { _, err := s.Work(ctx); return err },
		"Holders":    func() error { _, err := s.Holders(ctx); return err },
		"Diff":       func() error { _, err := l.Diff(ctx, listingOf("a", 3), time.Time{}); return err },
		"a transaction": func() error {
			return s.tx(ctx, nil)
		},
	} {
		ended := make(chan error, 1)
		go func() { ended <- do() }()
		select {
		case err := <-ended:
			if name != "Diff" && !errors.Is(err, ErrAway) { // it need not ask for an unknown account
				t.Errorf("%s: %v, want ErrAway", name, err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s waits for a database that does not answer", name)
		}
	}
}
