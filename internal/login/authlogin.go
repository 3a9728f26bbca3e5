package login

import (
	"github.com/emersion/go-sasl"
)

// beginLogin logs in by AUTH LOGIN, which no RFC defines.
func beginLogin(s server, id *identity) (*attempt, error) {
	if err := checkSASL(s, id, sasl.Login); err != nil {
		return nil, err
	}
	password, err := id.password()
	if err != nil {
		return nil, err
	}
	p := &prompted{name: id.user, password: password}
	return &attempt{sasl: p, sent: func(error) bool { return p.asked > 1 }}, nil
}

// prompted is the mechanism LOGIN. A server asks twice, in words of its own. Not every server
// accepts an initial response, so the name waits until the server asks.
type prompted struct {
	name, password string
	asked          int
}

func (p *prompted) Start() (mech string, ir []byte, err error) { return sasl.Login, nil, nil }

func (p *prompted) Next([]byte) ([]byte, error) {
	switch p.asked {
	case 0:
		p.asked++
		return []byte(p.name), nil
	case 1:
		p.asked++
		return []byte(p.password), nil
	}
	return nil, sasl.ErrUnexpectedServerChallenge
}
