package login

import (
	"errors"
	"fmt"
	"net"

	"github.com/emersion/go-sasl"

	"github.com/popfetch/popfetch/internal/kerberos"
)

const gssapi = "GSSAPI"

// beginGSSAPI logs in by AUTH GSSAPI (RFC 4752), with a ticket of Kerberos 5 for the service pop on
// the server's host. The server must prove that it is that service.
func beginGSSAPI(s server, id *identity) (*attempt, error) {
	if err := checkSASL(s, id, gssapi); err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(id.addr)
	if err != nil {
		return nil, fmt.Errorf("the server's name is not known: %w", err)
	}
	ticket, err := id.ticket(host)
	if err != nil {
		return nil, err
	}
	context, token, err := ticket.Begin()
	if err != nil {
		return nil, err
	}
	return &attempt{sasl: &ticketed{user: id.user, context: context, token: token}, sent: never}, nil
}

// ticketed is the client's side of GSSAPI. The first challenge is empty. The second is the server's
// proof. The third has its security layers.
type ticketed struct {
	user    string
	context *kerberos.Context
	token   []byte
	step    int
}

func (g *ticketed) Start() (mech string, ir []byte, err error) { return gssapi, nil, nil }

func (g *ticketed) Next(challenge []byte) ([]byte, error) {
	answer, err := g.answer(challenge)
	if err != nil {
		g.step = ended
		if errors.Is(err, kerberos.ErrUntrue) {
			err = &untrueError{err}
		}
		return nil, err
	}
	g.step++
	return answer, nil
}

// The values of ticketed.step after the exchange.
const (
	complete = 3
	ended    = 4 // by an error
)

func (g *ticketed) answer(challenge []byte) ([]byte, error) {
	switch g.step {
	case 0:
		return g.token, nil
	case 1:
		return []byte{}, g.context.Establish(challenge)
	case 2:
		return g.choose(challenge)
	}
	return nil, sasl.ErrUnexpectedServerChallenge
}

// noLayer is the bit of the layer that neither protects nor encrypts what follows the log-in.
const noLayer = 1

// choose answers the server's choice of layers by none, and names the user (RFC 4752 section 3.1).
func (g *ticketed) choose(challenge []byte) ([]byte, error) {
	layers, err := g.context.Unwrap(challenge)
	switch {
	case err != nil:
		return nil, err
	case len(layers) != 4:
		return nil, errors.New("the server does not name its security layers")
	case layers[0]&noLayer == 0:
		return nil, errors.New("the server insists on a security layer, which popfetch lacks; log in under TLS")
	}
	return g.context.Wrap(append([]byte{noLayer, 0, 0, 0}, g.user...))
}

// Complete is called at the positive reply. Without the server's proof, it may come from anybody.
func (g *ticketed) Complete() error {
	if g.step != complete {
		return &untrueError{errors.New("the server has not proved itself")}
	}
	return nil
}
