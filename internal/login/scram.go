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
	mostIterations   = 5_000_000
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
		client.WithMinIterations(fewestIterations)
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
		return &attempt{sasl: p, sent: func(error) bool { return p.sent }}, nil
	}
}

// plusSuffix ends the names of mechanisms that bind a log-in to the TLS session.
const plusSuffix = "-PLUS"

// bindingTo returns what binds a log-in to a TLS session: tls-exporter (RFC 9266), or with TLS 1.2
// without extended master secret tls-server-end-point (RFC 5929).
func bindingTo(state *tls.ConnectionState) (scram.ChannelBinding, error) {
	if binding, err := scram.NewTLSExporterBinding(state); err == nil {
		return binding, nil
	}
	return scram.NewTLSServerEndpointBinding(state)
}

// proof is the client's side of a SCRAM exchange.
type proof struct {
	sasl         string
	conversation *scram.ClientConversation
	sent         bool // the proof, from which the password can be guessed
}

func (p *proof) Start() (mech string, ir []byte, err error) {
	first, err := p.conversation.Step("")
	return p.sasl, []byte(first), err
}

func (p *proof) Next(challenge []byte) ([]byte, error) {
	if cause, failed := strings.CutPrefix(string(challenge), "e="); failed {
		return nil, &scramError{cause}
	}
	if n := iterations(string(challenge)); !p.sent && n > mostIterations {
		return nil, fmt.Errorf("the server asks for %d iterations, and %d are allowed", n, mostIterations)
	}
	answer, err := p.conversation.Step(string(challenge))
	if err != nil {
		return nil, err
	}
	p.sent = true
	return []byte(answer), nil
}

// Complete is called at the positive reply. Without the server's proof, it may come from anybody.
func (p *proof) Complete() error {
	if !p.conversation.Valid() {
		return errUnproved
	}
	return nil
}

var errUnproved = errors.New("the server has not proved that it knows the password, so it may be another one")

// iterations returns the number that a server asks for; 0: none.
func iterations(challenge string) int {
	for _, attribute := range strings.Split(challenge, ",") {
		if digits, ok := strings.CutPrefix(attribute, "i="); ok {
			n, _ := strconv.Atoi(digits)
			return n
		}
	}
	return 0
}

// scramError is an error that the server names instead of its proof (RFC 5802 section 7).
type scramError struct{ name string }

func (e *scramError) Error() string {
	text := "the server refuses the proof: " + pop3.Escape(e.name)
	if e.isBetween() {
		text += "; somebody may stand between popfetch and the server"
	}
	return text
}

// isBetween reports whether server and client have different TLS sessions, or the server's
// announcement was changed on the way. Then nothing else may be sent.
func (e *scramError) isBetween() bool {
	return e.name == "channel-bindings-dont-match" || e.name == "server-does-support-channel-binding"
}

// isWrong reports whether the name or the password is wrong.
func (e *scramError) isWrong() bool { return e.name == "invalid-proof" || e.name == "unknown-user" }
