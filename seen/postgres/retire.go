package postgres

import (
	"context"
	"fmt"
)

// retireAfter is for how long nobody polls an account before Retire takes it out.
const retireAfter = "1 day"

// Retire takes accounts out of the schedule that are not among known, and that nobody has polled
// for a day although they were due. Nobody seems to know them any more. Schedule puts them back.
func (s *Store) Retire(ctx context.Context, known []string) error {
	if known == nil {
		known = []string{}
	}
	err := s.exec(ctx, `
		UPDATE popfetch.turn AS t SET due = 'infinity' FROM (
			SELECT o.account FROM popfetch.turn AS o JOIN popfetch.account AS a ON a.id = o.account
			WHERE o.due < now() - interval '`+retireAfter+`' AND o.until < now() - interval '`+retireAfter+`'
				AND a.name <> ALL ($1)
			ORDER BY o.account FOR NO KEY UPDATE OF o
		) AS o WHERE t.account = o.account`, known)
	if err != nil {
		return fmt.Errorf("taking accounts out of the schedule that nobody polls: %w", err)
	}
	return nil
}
