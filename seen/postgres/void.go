package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// voided notes that the answer to a claim did not come. The database may have carried it out, or may
// do so later, but hardly after a lease. Nobody works on what it took. Those leases would run out,
// and then count as abandoned.
func (s *Store) voided(claim int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.void == nil {
		s.void = make(map[int64]time.Time)
	}
	s.void[claim] = time.Now().Add(s.lease)
}

// giveBackVoid gives back what void claims took.
func (s *Store) giveBackVoid(ctx context.Context, to interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}) error {
	s.mu.Lock()
	maps.DeleteFunc(s.void, func(_ int64, until time.Time) bool { return time.Now().After(until) })
	claims := slices.Collect(maps.Keys(s.void))
	s.mu.Unlock()
	if len(claims) == 0 {
		return nil
	}
	_, err := to.Exec(ctx, "UPDATE popfetch.turn SET "+released+" WHERE account IN ("+`
		SELECT account FROM popfetch.turn WHERE holder <> '' AND claim = ANY ($1)
		ORDER BY account FOR NO KEY UPDATE)`, claims)
	if err != nil {
		return fmt.Errorf("giving back what a claim without an answer took: %w", s.explain(err))
	}
	return nil
}
