package login

import (
	"errors"
	"fmt"

	"github.com/Azure/go-ntlmssp"
	"github.com/emersion/go-sasl"
)

var errNoTLS = errors.New("it is used only under TLS, because others could pass the answer on to another server")

// beginNTLM logs in by AUTH NTLM ([MS-OXPOP3] section 3.1.4). Only NTLMv2 is used. The name may be
// DOMAIN\user or user@domain.
func beginNTLM(s server, id *identity) (*attempt, error) {
	if err := checkSASL(s, id, ntlm); err != nil {
		return nil, err
	}
	if _, protected := s.TLSState(); !protected {
		return nil, errNoTLS
	}
	password, err := id.password()
	if err != nil {
		return nil, err
	}
	n := &negotiation{name: id.user, password: password}
	return &attempt{sasl: n, sent: func(error) bool { return n.step > 1 }}, nil
}

const ntlm = "NTLM"

// negotiation is the client's side of NTLM. The first challenge is empty.
type negotiation struct {
	name, password string
	step           int
}

func (n *negotiation) Start() (mech string, ir []byte, err error) { return ntlm, nil, nil }

func (n *negotiation) Next(challenge []byte) ([]byte, error) {
	switch n.step {
	case 0:
		n.step++
		return ntlmssp.NewNegotiateMessage("", "")
	case 1:
		answer, err := ntlmssp.NewAuthenticateMessage(challenge, n.name, n.password, nil)
		if err != nil {
			return nil, fmt.Errorf("the challenge is not one of NTLMv2: %w", err)
		}
		n.step++
		return answer, nil
	}
	return nil, sasl.ErrUnexpectedServerChallenge
}
