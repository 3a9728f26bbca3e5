package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrAway says that the database cannot be reached, or has ended the connection. The same may succeed
// later.
var ErrAway = errors.New("seen: the database cannot be reached now")

// explain adds to an error of the database what it means.
func (s *Store) explain(err error) error {
	var refused *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &refused):
		switch refused.Code[:2] {
		case "08", "53", "57": // connection, resources, operator intervention
			return fmt.Errorf("%w: %w", ErrAway, err)
		}
		return err
	case pgconn.Timeout(err), pgconn.SafeToRetry(err):
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	return err
}
