package login

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/emersion/go-sasl"

	"github.com/popfetch/popfetch/internal/kerberos"
	"github.com/popfetch/popfetch/pop3"
)

const gssapi = "GSSAPI"

// beginGSSAPI logs in by AUTH GSSAPI (RFC 4752), with a ticket of Kerberos 5 for the service pop on
// the server's host. The server must prove that it is that service.
func beginGSSAPI(s server, id *identity) (*attempt, error) {
	if err := checkSASL(s, id, gssapi); err != nil {
		return nil, err
	}
	ticket, err := id.ticket()
	if err != nil {
		return nil, err
	}
	context, token, err := ticket.Begin()
	if err != nil {
		return nil, err
	}
	g := &ticketed{user: id.user, context: context, token: token}
	return &attempt{sasl: g, sent: never, why: func(err error) error { return g.why(err, ticket) }}, nil
}

// why adds to a refusal what it may mean. Servers do not say what they dislike about a ticket.
func (g *ticketed) why(err error, t *kerberos.Ticket) error {
	var reply *pop3.ReplyError
	switch {
	case !errors.As(err, &reply) || reply.Code != "" && reply.Code != pop3.CodeAuth:
		return err
	case g.step == complete:
		return fmt.Errorf("%w; the server knows the ticket, but perhaps %s may not be %s there", err, t.Client(), pop3.Escape(g.user))
	}
	return fmt.Errorf("%w; perhaps the ticket is too old for the server: run kinit; "+
		"or the clocks differ, or the server lacks the key of %s", err, t.Service())
}

// ticket gets a ticket for the service pop on the server, and notes its ID.
func (l *login) ticket(ctx context.Context) (*kerberos.Ticket, error) {
	cr, id := l.credentials, l.identity
	host, _, err := net.SplitHostPort(cr.Addr)
	if err != nil {
		return nil, fmt.Errorf("the server's name is not known: %w", err)
	}
	ticket, err := cr.Kerberos.Ticket(ctx, "pop", host)
	switch {
	case ctx.Err() != nil: // the run ends for another reason
		id.failed = fmt.Errorf("the Kerberos ticket: %w", err)
	case err == nil:
		id.ticketID = ticket.ID()
		cr.mu.Lock()
		cr.lastTicket = id.ticketID
		cr.mu.Unlock()
	}
	return ticket, err
}

// ticketID returns what a mark of the present ticket is of; "" if there is no ticket.
func (cr *Credentials) ticketID() string {
	host, _, err := net.SplitHostPort(cr.Addr)
	if err != nil {
		return ""
	}
	return cr.Kerberos.TicketID("pop", host)
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

// choose answers the server's choice of layers by none, and names the user (RFC 4752 section 3.1). The
// size of packets is not checked. It should be zero if there is no layer, but Dovecot sends another.
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
