package login

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/internal/kerberos"
	"github.com/popfetch/popfetch/pop3"
)

// Choice says what becomes of one mechanism at a log-in.
type Choice struct {
	Name    string // of the mechanism at the server: "PLAIN", "USER" or "APOP"; escaped
	Offered bool   // the server offers it, as far as that can be seen before an attempt
	Named   bool   // the account names it
	Why     string // why it is not tried; empty: it is, in its turn
}

// Announced is what a server has shown of itself before the log-in.
type Announced struct {
	Caps      pop3.Capabilities // nil: it announces nothing
	TLS       *tls.ConnectionState
	Timestamp bool // its greeting has one, without which there is no APOP
}

// Capabilities and TLSState make an Announced a server.
func (a Announced) Capabilities() pop3.Capabilities { return a.Caps }

// TLSState returns the state of TLS. The result ok reports whether there is any.
func (a Announced) TLSState() (state tls.ConnectionState, ok bool) {
	if a.TLS == nil {
		return tls.ConnectionState{}, false
	}
	return *a.TLS, true
}

// errAsked is the error of a password, or a ticket, that Explain does not ask for.
var errAsked = errors.New("nobody is asked for a secret")

// Explain returns what becomes of each mechanism at a log-in to such a server, in the order in which
// Login tries them. Behind them come those that only the server has. It sends nothing, and asks for
// neither a password nor a ticket.
func (cr *Credentials) Explain(server Announced) []Choice {
	var choices []Choice
	for _, m := range table {
		c := Choice{Name: m.title(), Offered: server.offers(m), Named: slices.Contains(cr.Mechanisms, m.name)}
		c.Why = cr.whyNot(m, server)
		choices = append(choices, c)
	}
	for _, name := range server.Caps["SASL"] {
		if !slices.ContainsFunc(table, func(m mechanism) bool { return strings.EqualFold(m.sasl, name) }) {
			choices = append(choices, Choice{Name: pop3.Escape(name), Offered: true, Why: "popfetch does not have it"})
		}
	}
	return choices
}

// title is the mechanism's name as servers announce it.
func (m mechanism) title() string {
	if m.sasl != "" {
		return m.sasl
	}
	return strings.ToUpper(string(m.name))
}

// offers reports whether the server offers the mechanism. A server that announces nothing is assumed
// to have USER.
func (a Announced) offers(m mechanism) bool {
	switch {
	case m.sasl != "":
		return announcesSASL(a.Caps, m.sasl)
	case m.name == Apop:
		return a.Timestamp
	}
	return a.Caps == nil || a.Caps.Has(strings.ToUpper(string(m.name)))
}

// whyNot returns why a log-in does not try the mechanism, or "" if it does.
func (cr *Credentials) whyNot(m mechanism, server Announced) string {
	if !slices.ContainsFunc(cr.wanted(), func(w mechanism) bool { return w.sasl == m.sasl && w.name == m.name }) {
		return cr.whyUnwanted(m)
	}
	id := &identity{user: cr.User, addr: cr.Addr, certificate: cr.External, named: len(cr.Mechanisms) > 0,
		ask: func() (string, error) { return "", errAsked }}
	id.ticket = func() (*kerberos.Ticket, error) {
		id.failed = errAsked
		return nil, errAsked
	}
	_, err := m.begin(server, id)
	switch _, protected := server.TLSState(); {
	case m.name == Apop && !server.Timestamp:
		return "the greeting has no timestamp"
	case err == nil, id.failed != nil: // nothing but the secret is lacking
		return ""
	case m.name == External && len(cr.Mechanisms) == 0 && !cr.External:
		return "no client certificate"
	case strings.HasSuffix(m.sasl, plusSuffix) && !protected:
		return "there is no TLS to bind it to"
	default:
		return err.Error()
	}
}

// whyUnwanted returns why the account does not want the mechanism, whatever the server has.
func (cr *Credentials) whyUnwanted(m mechanism) string {
	takesToken := m.name == OAuthBearer || m.name == XOAuth2
	switch {
	case takesToken && !cr.Bearer:
		return "no access token"
	case cr.Bearer && !takesToken && m.name != External && m.name != GSSAPI:
		return "an access token and no password"
	case len(cr.Mechanisms) > 0:
		return "auth does not name it"
	}
	return "only if auth names it"
}
