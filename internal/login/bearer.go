package login

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"strings"

	"github.com/emersion/go-sasl"

	"github.com/popfetch/popfetch/pop3"
)

// The mechanisms that log in by an access token of OAuth 2.
const (
	oauthBearer = "OAUTHBEARER" // RFC 7628
	xoauth2     = "XOAUTH2"     // of Google and Microsoft, older than the RFC
)

// beginOAuthBearer logs in by AUTH OAUTHBEARER (RFC 7628).
func beginOAuthBearer(s server, id *identity) (*attempt, error) {
	return beginBearer(s, id, oauthBearer, func(token string) *bearer {
		name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(id.user) // RFC 5801 section 4
		b := &bearer{sasl: oauthBearer, token: token, refused: []byte{1}}
		b.message = "n,a=" + name + ",\x01"
		if host, port, err := net.SplitHostPort(id.addr); err == nil {
			b.message += "host=" + host + "\x01port=" + port + "\x01"
		}
		b.message += "auth=Bearer " + token + "\x01\x01"
		return b
	})
}

// beginXOAuth2 logs in by AUTH XOAUTH2.
func beginXOAuth2(s server, id *identity) (*attempt, error) {
	return beginBearer(s, id, xoauth2, func(token string) *bearer {
		b := &bearer{sasl: xoauth2, token: token, message: "user=" + id.user + "\x01auth=Bearer " + token + "\x01\x01", refused: []byte{}}
		b.oneLine = !id.gaveWay && announcesSASL(s.Capabilities(), xoauth2) && b.fits()
		return b
	})
}

// beginBearer begins with the token that the account has. If the server refuses it, again begins with
// a new one, once.
func beginBearer(s server, id *identity, sasl string, with func(token string) *bearer) (*attempt, error) {
	if err := checkSASL(s, id, sasl); err != nil {
		return nil, err
	}
	token, err := id.password()
	if err != nil {
		return nil, err
	}
	begin := func(token string, oneLine bool) (*attempt, *bearer, error) {
		if strings.ContainsAny(id.user+token, "\x00\x01") { // \x01 separates the fields
			return nil, nil, fmt.Errorf("name or token contains a control character: %w", pop3.ErrArgument)
		}
		b := with(token)
		b.oneLine = b.oneLine && oneLine
		return &attempt{sasl: b, sent: func(error) bool { return b.sent }, why: b.why}, b, nil
	}
	a, b, err := begin(token, true)
	if err != nil {
		return nil, err
	}
	a.again = func() (*attempt, error) {
		another, err := id.renew(token)
		if err != nil || another == token && !b.mayNotTakeOneLine() {
			return nil, err
		}
		a, _, err := begin(another, false)
		return a, err
	}
	return a, nil
}

// bearer is the client's side of both mechanisms. Usually the message has a line of its own: most tokens
// are longer than a command may be, and OAUTHBEARER may give way only before the token is sent.
type bearer struct {
	sasl    string
	token   string
	message string
	refused []byte // the answer to a challenge that refuses the token
	oneLine bool   // the message is a part of the command

	sent   bool
	reason string // what such a challenge said
}

func (b *bearer) Start() (mech string, ir []byte, err error) {
	if !b.oneLine {
		return b.sasl, nil, nil
	}
	b.sent = true
	return b.sasl, []byte(b.message), nil
}

// fits reports whether a command has room for the message (RFC 2449 section 4).
func (b *bearer) fits() bool {
	const longest = 255 - len("AUTH  \r\n")
	return len(b.sasl)+base64.StdEncoding.EncodedLen(len(b.message)) <= longest
}

// mayNotTakeOneLine reports whether the server refused a command with the message, without a word about
// the token. Some servers take the message only as a line of its own.
func (b *bearer) mayNotTakeOneLine() bool { return b.oneLine && b.reason == "" }

func (b *bearer) Next(challenge []byte) ([]byte, error) {
	switch {
	case !b.sent:
		b.sent = true
		return []byte(b.message), nil
	case b.reason != "":
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	b.reason = b.readRefusal(challenge)
	return b.refused, nil
}

// why returns the error of the attempt with what the server said about the token.
func (b *bearer) why(err error) error {
	if b.reason == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, b.reason)
}

// readRefusal returns what a challenge says about a refused token (RFC 7628 section 3.2.2). It may
// repeat the token.
func (b *bearer) readRefusal(challenge []byte) string {
	shown := func(text string) string { return pop3.Escape(strings.ReplaceAll(text, b.token, "***")) }
	var said struct{ Status, Scope string }
	if err := json.Unmarshal(challenge, &said); err != nil || said.Status == "" {
		return "the server says no more"
	}
	text := "status " + shown(said.Status)
	if said.Scope != "" && b.sasl == oauthBearer { // by XOAUTH2, servers name it whatever is wrong
		text += ", it wants the scope " + shown(said.Scope)
	}
	return text
}
