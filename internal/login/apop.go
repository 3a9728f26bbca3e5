package login

import (
	"context"

	"github.com/popfetch/popfetch/pop3"
)

// beginApop logs in by APOP (RFC 1939 section 7). Only the timestamp in the greeting shows whether
// the server has APOP. Without one, the attempt sends nothing.
func beginApop(_ server, id *identity) (*attempt, error) {
	password, err := id.password()
	if err != nil {
		return nil, err
	}
	do := func(ctx context.Context, c *pop3.Client) error { return c.Apop(ctx, id.user, password) }
	return &attempt{do: do, sent: always}, nil
}
