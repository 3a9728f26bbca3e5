package login

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"

	"github.com/popfetch/popfetch/internal/kerberos"
	"github.com/popfetch/popfetch/pop3"
)

// Mechanism is a way to log in. Its value is its name in the configuration. For a mechanism of
// SASL, this is the SASL name in lower case.
type Mechanism string

// The mechanisms that popfetch has.
const (
	External    Mechanism = "external"      // AUTH EXTERNAL, by client certificate (RFC 4422 appendix A)
	OAuthBearer Mechanism = "oauthbearer"   // AUTH OAUTHBEARER, by an access token (RFC 7628)
	XOAuth2     Mechanism = "xoauth2"       // AUTH XOAUTH2, by an access token
	ScramSHA256 Mechanism = "scram-sha-256" // AUTH SCRAM-SHA-256-PLUS and SCRAM-SHA-256 (RFC 7677)
	ScramSHA1   Mechanism = "scram-sha-1"   // AUTH SCRAM-SHA-1-PLUS and SCRAM-SHA-1 (RFC 5802)
	Plain       Mechanism = "plain"         // AUTH PLAIN (RFC 4616)
	Login       Mechanism = "login"         // AUTH LOGIN
	User        Mechanism = "user"          // USER and PASS (RFC 1939 section 7)
	GSSAPI      Mechanism = "gssapi"        // AUTH GSSAPI, by a ticket of Kerberos 5 (RFC 4752)
	NTLM        Mechanism = "ntlm"          // AUTH NTLM, with NTLMv2 alone ([MS-OXPOP3])
	CramMD5     Mechanism = "cram-md5"      // AUTH CRAM-MD5 (RFC 2195)
	Apop        Mechanism = "apop"          // APOP (RFC 1939 section 7)
)

// mechanism is a row of the table.
type mechanism struct {
	name   Mechanism
	sasl   string // its SASL name; "" if it is none of SASL
	byName bool   // tried only if the account names it
	// begin returns an attempt by the mechanism, or an error that says why there is none. It sends
	// nothing. A person does not see an error that is errNotOffered if another mechanism can be
	// tried.
	begin func(server, *identity) (*attempt, error)
}

// table has the mechanisms, the strongest first, and tries them in this order (R5034-3). Those with
// MD5 are weak, and some servers announce APOP although it always fails (V0008). A server that binds
// the log-in to TLS in another way than popfetch refuses a right password like a wrong one. So -PLUS
// must be named.
var table = []mechanism{
	{name: External, sasl: sasl.External, begin: beginExternal},
	{name: GSSAPI, sasl: gssapi, begin: beginGSSAPI, byName: true},
	{name: OAuthBearer, sasl: oauthBearer, begin: beginOAuthBearer},
	{name: XOAuth2, sasl: xoauth2, begin: beginXOAuth2},
	{name: ScramSHA256, sasl: "SCRAM-SHA-256-PLUS", begin: beginScram("SCRAM-SHA-256-PLUS", scram.SHA256), byName: true},
	{name: ScramSHA256, sasl: "SCRAM-SHA-256", begin: beginScram("SCRAM-SHA-256", scram.SHA256)},
	{name: ScramSHA1, sasl: "SCRAM-SHA-1-PLUS", begin: beginScram("SCRAM-SHA-1-PLUS", scram.SHA1), byName: true},
	{name: ScramSHA1, sasl: "SCRAM-SHA-1", begin: beginScram("SCRAM-SHA-1", scram.SHA1)},
	{name: Plain, sasl: sasl.Plain, begin: beginPlain},
	{name: Login, sasl: sasl.Login, begin: beginLogin},
	{name: User, begin: beginUser},
	{name: NTLM, sasl: ntlm, begin: beginNTLM, byName: true},
	{name: CramMD5, sasl: "CRAM-MD5", begin: beginCramMD5, byName: true},
	{name: Apop, begin: beginApop, byName: true},
}

// Mechanisms returns the names of all mechanisms, the strongest first.
func Mechanisms() []Mechanism {
	var names []Mechanism
	for _, m := range table {
		if !slices.Contains(names, m.name) {
			names = append(names, m.name)
		}
	}
	return names
}

// errNotOffered says that this server does not offer the mechanism, or that the account cannot use
// it.
var errNotOffered = errors.New("the server does not offer it")

// server is the part of a session that the choice of a mechanism depends on. A *pop3.Client is one.
type server interface {
	Capabilities() pop3.Capabilities // nil: the server announces nothing
	TLSState() (state tls.ConnectionState, ok bool)
}

// expectation is a server with its expected capabilities.
type expectation struct {
	server
	expected pop3.Capabilities
}

func (e expectation) Capabilities() pop3.Capabilities { return e.expected }

// identity is who logs in.
type identity struct {
	user        string
	addr        string // host:port of the server; "" if that is unknown
	certificate bool   // there is a client certificate
	// named reports whether the account names its mechanisms. They are then tried even if the
	// server announces nothing.
	named   bool
	gaveWay bool // a mechanism other than SCRAM was refused already

	ask      func() (string, error)
	renew    func(refused string) (string, error) // see Credentials.Renew
	ticket   func() (*kerberos.Ticket, error)     // for the service pop on the server; asks only once
	asked    bool
	secret   string
	failed   error  // the error of ask
	ticketID string // of the ticket; "" if there is none
}

// password returns the password. It asks for the password at the first call only. A mechanism calls
// it only when nothing else prevents the attempt.
func (id *identity) password() (string, error) {
	if !id.asked {
		id.asked = true
		id.secret, id.failed = id.ask()
	}
	return id.secret, id.failed
}

// attempt is one way to log in that server and account have in common.
type attempt struct {
	sasl pop3.SASLClient                           // for AUTH; nil if this is not a mechanism of SASL
	do   func(context.Context, *pop3.Client) error // logs in by another command
	// sent reports whether the server may have received the password, or data from which it can be
	// guessed. It is called after the attempt, with the attempt's error.
	sent func(err error) bool
	// alone says that nothing is sent before the server's present announcement is known.
	alone bool
	// unproved says that another form of SCRAM would be refused like this one, before the proof: the
	// server cannot check any, for example because it keeps only hashes of another kind.
	unproved bool
	// again returns the attempt to make after a refusal, because the account may have another access
	// token; nil: there is none.
	again func() (*attempt, error)
	// why adds to the error of the attempt what is known about it; nil: nothing is.
	why func(error) error
}

// run logs in.
func (a *attempt) run(ctx context.Context, c *pop3.Client) error {
	if a.sasl == nil {
		return a.do(ctx, c)
	}
	return a.explained(c.Auth(ctx, a.sasl))
}

// explained returns the error of the attempt, with what is known about it.
func (a *attempt) explained(err error) error {
	if err == nil || a.why == nil {
		return err
	}
	return a.why(err)
}

// always and never are values for attempt.sent.
func always(error) bool { return true }
func never(error) bool  { return false }

// checkSASL returns nil if the server announces the mechanism of SASL. It also returns nil if the
// server announces nothing at all and the account names its mechanisms. Otherwise it returns
// errNotOffered.
func checkSASL(s server, id *identity, sasl string) error {
	caps := s.Capabilities()
	if caps == nil && id.named || announcesSASL(caps, sasl) {
		return nil
	}
	return errNotOffered
}

func announcesSASL(caps pop3.Capabilities, sasl string) bool {
	return slices.ContainsFunc(caps["SASL"], func(s string) bool { return strings.EqualFold(s, sasl) })
}

// wanted returns the mechanisms that the account may try, the strongest first.
func (cr *Credentials) wanted() []mechanism {
	return slices.DeleteFunc(slices.Clone(table), func(m mechanism) bool {
		takesToken := m.name == OAuthBearer || m.name == XOAuth2
		switch {
		case m.name != External && m.name != GSSAPI && takesToken != cr.Bearer:
			return true
		case len(cr.Mechanisms) == 0:
			return m.byName
		}
		return !slices.Contains(cr.Mechanisms, m.name)
	})
}

// nothingInCommon returns an error that lists the mechanisms of each side (C0009).
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
		allowed = slices.Compact(allowed)
	}
	names := make([]string, len(allowed))
	for i, name := range allowed {
		names[i] = strings.ToUpper(string(name))
	}
	return fmt.Errorf("no log-in mechanism in common: the server offers %s, the account allows %s (see the key auth)",
		pop3.Escape(strings.Join(offered, " ")), strings.Join(names, " "))
}
