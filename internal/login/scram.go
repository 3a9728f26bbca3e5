package login

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"

	"github.com/popfetch/popfetch/pop3"
)

// The iterations that a server may ask for. With fewer (RFC 7677 section 4), the password is guessed
// too easily from the proof. With more, a server could keep the processor busy for long.
const (
	fewestIterations = 4096
	mostIterations   = 1_000_000
)

// beginScram returns the function that logs in by SCRAM (RFC 5802, RFC 7677). The password is not
// sent, and the server must prove that it knows the password, too. sasl is the mechanism's SASL name.
// A name that ends with -PLUS binds the log-in to the TLS session, so that nobody can stand between.
func beginScram(sasl string, hash scram.HashGeneratorFcn) func(server, *identity) (*attempt, error) {
	return func(s server, id *identity) (*attempt, error) {
		bound := strings.HasSuffix(sasl, plusSuffix)
		if err := checkSASL(s, id, sasl); err != nil {
			return nil, err
		}
		state, protected := s.TLSState()
		var binding scram.ChannelBinding
		if bound {
			if !protected || !announcesSASL(s.Capabilities(), sasl) {
				return nil, errNotOffered
			}
			var err error
			if binding, err = bindingTo(&state); err != nil {
				return nil, errNotOffered
			}
		}
		password, err := id.password()
		if err != nil {
			return nil, err
		}
		client, err := hash.NewClient(id.user, password, "")
		if err != nil {
			return nil, fmt.Errorf("preparing name and password (RFC 4013): %w: %w", err, pop3.ErrArgument)
		}
		p := &proof{sasl: sasl}
		switch {
		case bound:
			p.conversation = client.NewConversationWithChannelBinding(binding)
		case protected && s.Capabilities() != nil && !announcesSASL(s.Capabilities(), sasl+plusSuffix):
			// A server that has -PLUS refuses this: somebody has removed it from the announcement.
			p.conversation = client.NewConversationAdvertisingChannelBinding()
		default:
			p.conversation = client.NewConversation()
		}
		a := &attempt{sasl: p, sent: func(error) bool { return p.sent }, alone: true, unproved: !bound}
		if bound {
			a.why = p.boundOtherwise
		}
		return a, nil
	}
}

// plusSuffix ends the names of mechanisms that bind a log-in to the TLS session.
const plusSuffix = "-PLUS"

// bindingTo returns what binds a log-in to a TLS session: with TLS 1.3 tls-exporter (RFC 9266), and
// before that tls-unique (RFC 5929), the only one that Cyrus knows. If a resumed session has no secure
// tls-unique, it is tls-server-end-point.
func bindingTo(state *tls.ConnectionState) (scram.ChannelBinding, error) {
	switch {
	case state.Version >= tls.VersionTLS13:
		return scram.NewTLSExporterBinding(state)
	case len(state.TLSUnique) > 0:
		return scram.NewTLSUniqueBinding(state.TLSUnique), nil
	}
	return scram.NewTLSServerEndpointBinding(state)
}

// proof is the client's side of a SCRAM exchange.
type proof struct {
	sasl         string
	conversation *scram.ClientConversation
	nonce        string // the client's own
	sent         bool   // the proof, from which the password can be guessed
}

func (p *proof) Start() (mech string, ir []byte, err error) {
	first, err := p.conversation.Step("")
	p.nonce = attribute(first, "r")
	return p.sasl, []byte(first), err
}

func (p *proof) Next(challenge []byte) ([]byte, error) {
	text := string(challenge)
	if cause, failed := strings.CutPrefix(text, "e="); failed {
		return nil, refusedProof(cause)
	}
	if !p.sent {
		if err := p.check(text); err != nil {
			return nil, err
		}
	}
	answer, err := p.conversation.Step(text)
	if err != nil {
		err = errors.New(pop3.Escape(err.Error()))
		if p.sent {
			err = &untrueError{fmt.Errorf("the server does not prove that it knows the password: %w", err)}
		}
		return nil, err
	}
	p.sent = true
	return []byte(answer), nil
}

// check refuses a challenge that no honest server sends, before the password is proved to it.
func (p *proof) check(challenge string) error {
	if nonce := attribute(challenge, "r"); nonce != "" && (!strings.HasPrefix(nonce, p.nonce) || nonce == p.nonce) {
		return &untrueError{errors.New("the server has not added to the nonce")}
	}
	digits := attribute(challenge, "i")
	if n, err := strconv.Atoi(digits); digits != "" && (err != nil || n < fewestIterations || n > mostIterations) {
		return &untrueError{fmt.Errorf("the server asks for %s iterations, and %d to %d are allowed", pop3.Escape(digits), fewestIterations, mostIterations)}
	}
	return nil
}

// Complete is called at the positive reply. Without the server's proof, it may come from anybody.
func (p *proof) Complete() error {
	if !p.conversation.Valid() {
		return &untrueError{errors.New("the server has not proved that it knows the password")}
	}
	return nil
}

// boundOtherwise adds to a refusal of the proof that the password may be right.
func (p *proof) boundOtherwise(err error) error {
	var reply *pop3.ReplyError
	if !p.sent || !errors.As(err, &reply) || reply.Code != "" && reply.Code != pop3.CodeAuth {
		return err
	}
	return fmt.Errorf(`%w; if the password is right, the server binds to TLS in another way: write auth = "auto"`, err)
}

// attribute returns an attribute of a SCRAM message; "": it has none.
func attribute(message, name string) string {
	for part := range strings.SplitSeq(message, ",") {
		if text, ok := strings.CutPrefix(part, name+"="); ok {
			return text
		}
	}
	return ""
}

// untrueError says that the server is not the one that it should be. Nothing else is sent to it.
type untrueError struct{ error }

func (e *untrueError) Unwrap() error { return e.error }

// errWrong says that the name or the password is wrong.
var errWrong = errors.New("name or password is wrong")

// refusedProof returns the error for the one that a server names instead of its proof (RFC 5802
// section 7).
func refusedProof(cause string) error {
	err := fmt.Errorf("the server refuses the proof: %s", pop3.Escape(cause))
	switch cause {
	case "invalid-proof", "unknown-user":
		return fmt.Errorf("%w: %w", err, errWrong)
	case "channel-bindings-dont-match", "server-does-support-channel-binding":
		return &untrueError{fmt.Errorf("%w; somebody may stand between popfetch and the server", err)}
	}
	return err
}
