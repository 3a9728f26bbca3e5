package login

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/pop3"
)

// Mechanism is a way to log in, by the name that the configuration has for it. A mechanism of SASL
// has the name there in lower case.
type Mechanism string

// The mechanisms that popfetch has.
const (
	Plain    Mechanism = "plain"    // AUTH PLAIN (RFC 4616)
	Login    Mechanism = "login"    // AUTH LOGIN
	User     Mechanism = "user"     // USER and PASS (RFC 1939 section 7)
	Apop     Mechanism = "apop"     // APOP (RFC 1939 section 7)
	External Mechanism = "external" // AUTH EXTERNAL, by client certificate (RFC 4422 appendix A)
)

// mechanism is a row of the table.
type mechanism struct {
	name   Mechanism
	byName bool // tried only where the account names it
	// begin returns an attempt by the mechanism, or an error that says why there is none. An error
	// that is errNotOffered is not told where another mechanism can be tried. Nothing is sent.
	begin func(server, *identity) (*attempt, error)
}

// table has the mechanisms, the strongest first: an account that names none tries them in this
// order. APOP is not among those, since its MD5 is weak and servers announce it though it fails
// (V0008).
var table = []mechanism{
	{name: External, begin: beginExternal},
	{name: Plain, begin: beginPlain},
	{name: Login, begin: beginLogin},
	{name: User, begin: beginUser},
	{name: Apop, begin: beginApop, byName: true},
}

// errNotOffered says that a mechanism is not there for the account, on this server.
var errNotOffered = errors.New("the server does not offer it")

// server is what the choice of a mechanism depends on. A *pop3.Client is one.
type server interface {
	Capabilities() pop3.Capabilities // nil: the server announces nothing
	TLSState() (state tls.ConnectionState, ok bool)
}

// expectation is a server with the capabilities that are expected of it.
type expectation struct {
	server
	expected pop3.Capabilities
}

func (e expectation) Capabilities() pop3.Capabilities { return e.expected }

// identity is who logs in.
type identity struct {
	user        string
	certificate bool // there is a client certificate
	named       bool // the account names its mechanisms, so that they are tried on a server that announces nothing

	ask    func() (string, error)
	asked  bool
	secret string
	failed error // of ask
}

// password returns the password, which is asked for once. A mechanism calls it when it is sure that
// it can be tried.
func (id *identity) password() (string, error) {
	if !id.asked {
		id.asked = true
		id.secret, id.failed = id.ask()
	}
	return id.secret, id.failed
}

// attempt is one way to log in that server and account have in common.
type attempt struct {
	sasl pop3.SASLClient                           // what AUTH does; nil if the mechanism is none of SASL
	do   func(context.Context, *pop3.Client) error // what such a mechanism does
	// sent reports whether the password may have left for the server, or something that it can be
	// guessed from. It is called after the attempt with its error.
	sent func(err error) bool
}

// run logs in.
func (a *attempt) run(ctx context.Context, c *pop3.Client) error {
	if a.sasl != nil {
		return c.Auth(ctx, a.sasl)
	}
	return a.do(ctx, c)
}

// always and never are for attempt.sent.
func always(error) bool { return true }
func never(error) bool  { return false }

// checkSASL returns errNotOffered unless the server announces a mechanism of SASL, or announces
// nothing at all and the account names the mechanism.
func checkSASL(s server, id *identity, m Mechanism) error {
	caps := s.Capabilities()
	if caps == nil && id.named || announcesSASL(caps, m) {
		return nil
	}
	return errNotOffered
}

func announcesSASL(caps pop3.Capabilities, m Mechanism) bool {
	return slices.ContainsFunc(caps["SASL"], func(s string) bool { return strings.EqualFold(s, string(m)) })
}

// wanted returns what the account wants to try, in this order.
func (cr *Credentials) wanted() []mechanism {
	if len(cr.Mechanisms) == 0 {
		return slices.DeleteFunc(slices.Clone(table), func(m mechanism) bool { return m.byName })
	}
	var wanted []mechanism
	for _, name := range cr.Mechanisms {
		i := slices.IndexFunc(table, func(m mechanism) bool { return m.name == name })
		if i >= 0 {
			wanted = append(wanted, table[i])
		}
	}
	return wanted
}

// nothingInCommon lists what each side has (C0009).
func (cr *Credentials) nothingInCommon(caps pop3.Capabilities) error {
	offered := slices.Clone(caps["SASL"])
	if caps == nil || caps.Has("USER") {
		offered = append(offered, "USER")
	}
	if len(offered) == 0 {
		offered = []string{"nothing"}
	}
	allowed := cr.Mechanisms
	if len(allowed) == 0 {
		for _, m := range cr.wanted() {
			allowed = append(allowed, m.name)
		}
	}
	names := make([]string, len(allowed))
	for i, name := range allowed {
		names[i] = strings.ToUpper(string(name))
	}
	return fmt.Errorf("no way to log in that both sides have: the server offers %s, the account allows %s (see auth)",
		pop3.Escape(strings.Join(offered, " ")), strings.Join(names, " "))
}
