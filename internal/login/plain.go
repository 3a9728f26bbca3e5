package login

import (
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"

	"github.com/popfetch/popfetch/pop3"
)

// beginPlain logs in by AUTH PLAIN (RFC 4616).
func beginPlain(s server, id *identity) (*attempt, error) {
	if err := checkSASL(s, id, sasl.Plain); err != nil {
		return nil, err
	}
	password, err := id.password()
	if err != nil {
		return nil, err
	}
	if strings.Contains(id.user+password, "\x00") { // NUL separates the fields (RFC 4616 section 2)
		return nil, fmt.Errorf("name or password contains NUL: %w", pop3.ErrArgument)
	}
	return &attempt{sasl: sasl.NewPlainClient("", id.user, password), sent: always}, nil
}
