package login

import (
	"github.com/emersion/go-sasl"
)

// beginExternal logs in by AUTH EXTERNAL (RFC 4422 appendix A). The owner of the client certificate
// of TLS is logged in.
func beginExternal(s server, id *identity) (*attempt, error) {
	if !id.named && !id.certificate {
		return nil, errNotOffered
	}
	if err := checkSASL(s, id, sasl.External); err != nil {
		return nil, err
	}
	return &attempt{sasl: sasl.NewExternalClient(""), sent: never}, nil
}
