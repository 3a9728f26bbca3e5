package postgres

import (
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
)

// TestNextEpoch takes leases in a database, in one that is restored from before them, and in a new
// one.
func TestNextEpoch(t *testing.T) {
	url := pgtest.Database(t)
	s, latest := openAs(t, url, "first", time.Minute), int64(0)
	take := func(s *Store, claims bool) {
		t.Helper()
		if claims {
			turns, err := s.Claim(t.Context(), Claiming{Free: 1})
			if err != nil || len(turns) != 1 {
				t.Fatalf("Claim() = %v, %v", turns, err)
			}
			defer turns[0].GiveUp(t.Context()) //nolint:errcheck // the next claim finds out
		}
		hold, err := s.Lock(t.Context(), "work")
		if err != nil {
			t.Fatal(err)
		}
		if hold.Epoch() <= latest {
			t.Errorf("epoch %d after %d", hold.Epoch(), latest)
		}
		latest = hold.Epoch()
		if err := hold.Release(); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		take(s, false)
	}
	if err := s.Schedule(t.Context(), []Scheduled{{Account: "work"}}); err != nil {
		t.Fatal(err)
	}
	for _, claims := range []bool{true, false} {
		if _, err := s.pool.Exec(t.Context(), "UPDATE popfetch.turn SET epoch = 1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond) // a fail-over takes longer
		take(s, claims)
	}
	time.Sleep(2 * time.Millisecond)
	take(openAs(t, pgtest.Database(t), "second", time.Minute), false)
	// A clock that is behind: epochs still grow.
	if _, err := s.pool.Exec(t.Context(), "UPDATE popfetch.turn SET epoch = $1", latest+1e9); err != nil {
		t.Fatal(err)
	}
	latest += 1e9
	for _, claims := range []bool{true, false} {
		take(s, claims)
	}
}
