package login

import (
	"context"
	"errors"

	"github.com/popfetch/popfetch/pop3"
)

// beginUser logs in by USER and PASS (RFC 1939 section 7). A server without CAPA is assumed to have
// them.
func beginUser(s server, id *identity) (*attempt, error) {
	if caps := s.Capabilities(); caps != nil && !caps.Has("USER") {
		return nil, errNotOffered
	}
	password, err := id.password()
	if err != nil {
		return nil, err
	}
	return &attempt{
		do: func(ctx context.Context, c *pop3.Client) error { return c.User(ctx, id.user, password) },
		sent: func(err error) bool {
			var reply *pop3.ReplyError
			var closed *pop3.CloseError
			return !(errors.As(err, &reply) && reply.Command == "USER" || errors.As(err, &closed) && closed.Command == "USER")
		},
	}, nil
}
