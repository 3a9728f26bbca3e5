package login

import (
	"context"

	"github.com/popfetch/popfetch/pop3"
)

// beginApop logs in by APOP (RFC 1939 section 7). Whether the server has it, only the timestamp in
// the greeting tells; without one the attempt sends nothing.
func beginApop(_ server, id *identity) (*attempt, error) {
	password, err := id.password()
	if err != nil {
		return nil, err
	}
	do := func(ctx context.Context, c *pop3.Client) error { return c.Apop(ctx, id.user, password) }
	return &attempt{do: do, sent: always}, nil
}
