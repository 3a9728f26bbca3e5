package postgres

import (
	"context"
	"fmt"
	"time"
)

// Shorten makes accounts wait no longer than the given intervals, from the start of their last
// poll. What is at work is left as it is, and so is an account whose server refuses log-ins until
// that is over.
func (s *Store) Shorten(ctx context.Context, intervals map[string]time.Duration) error {
	names, periods := make([]string, 0, len(intervals)), make([]int64, 0, len(intervals))
	for name, interval := range intervals {
		names, periods = append(names, name), append(periods, interval.Milliseconds())
	}
	_, err := s.pool.Exec(ctx, `
		UPDATE popfetch.turn AS t SET due = o.soon FROM (
			SELECT t.account, greatest(now(), t.since + i.period * interval '1 ms', t.hold_until) AS soon
			FROM unnest($1::text[], $2::bigint[]) AS i (name, period)
			JOIN popfetch.account AS a ON a.name = i.name JOIN popfetch.turn AS t ON t.account = a.id
			WHERE t.holder = '' AND t.due < 'infinity'
				AND t.due > greatest(now(), t.since + i.period * interval '1 ms', t.hold_until)
			ORDER BY t.account FOR NO KEY UPDATE OF t
		) AS o WHERE t.account = o.account`, names, periods)
	if err != nil {
		return fmt.Errorf("shortening the waits of accounts: %w", s.explain(err))
	}
	return nil
}
