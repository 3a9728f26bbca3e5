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
	return &attempt{sasl: &external{}, sent: never}, nil
}

// external is the client's side of EXTERNAL. It names nobody: the server knows the owner.
type external struct {
	asked bool
}

func (e *external) Start() (mech string, ir []byte, err error) { return sasl.External, []byte{}, nil }

// Next answers one empty challenge. Courier sends it, because it takes an empty initial response for
// none.
func (e *external) Next(challenge []byte) ([]byte, error) {
	if e.asked || len(challenge) > 0 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	e.asked = true
	return []byte{}, nil
}
