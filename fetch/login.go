package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"

	"github.com/popfetch/popfetch/pop3"
)

// Mechanism is a way to log in, by the name that the configuration has for it.
type Mechanism string

// The mechanisms that popfetch has.
const (
	Plain    Mechanism = "plain"    // AUTH PLAIN (RFC 4616)
	Login    Mechanism = "login"    // AUTH LOGIN
	User     Mechanism = "user"     // USER and PASS (RFC 1939 section 7)
	Apop     Mechanism = "apop"     // APOP (RFC 1939 section 7)
	External Mechanism = "external" // AUTH EXTERNAL, by client certificate (RFC 4422 appendix A)
)

// preference is what an account without named mechanisms tries, the strongest first. APOP is missing: its MD5 is weak,
// and servers announce it though it fails (V0008).
var preference = []Mechanism{External, Plain, Login, User}

// Credentials are what an account logs in with.
type Credentials struct {
	User       string
	Password   func(context.Context) (string, error) // asked once by each log-in, and only when it is needed
	Mechanisms []Mechanism                           // empty: what the server offers, by strength
	External   bool                                  // there is a client certificate, so EXTERNAL may be tried unnamed
}

// Login logs c in. Its error is a *LoginError, unless the session broke. A password is sent once: a second mechanism is
// tried only where the first was refused before the password had left (C0010), since servers lock accounts.
func (cr *Credentials) Login(ctx context.Context, c *pop3.Client) error {
	usable := cr.usable(c)
	if c.Expecting() && (len(usable) == 0 || !byAuth(usable[0])) {
		if err := askFirst(ctx, c); err != nil {
			return err
		}
		usable = cr.usable(c)
	}
	if len(usable) == 0 {
		return &LoginError{Fault: LoginCannot, Err: cr.nothingInCommon(c)}
	}
	var password string
	var refusal *LoginError
	submissions := 0
	for _, mechanism := range usable {
		if c.Expecting() && !byAuth(mechanism) {
			if err := askFirst(ctx, c); err != nil {
				return err
			}
		}
		if !offers(c, mechanism, len(cr.Mechanisms) > 0) { // it was only expected
			continue
		}
		if mechanism != External && password == "" {
			var err error
			if password, err = cr.password(ctx); err != nil {
				return err
			}
			c.Conceal(password)
		}
		expecting := c.Expecting()
		shown, err := cr.attempt(ctx, c, mechanism, password)
		if err == nil {
			return nil
		}
		if expecting && !c.Expecting() && (!isReply(err) || !offers(c, mechanism, len(cr.Mechanisms) > 0)) {
			return fmt.Errorf("logging in by %s: %w: %w", mechanism, errUnexpected, err)
		}
		fault := LoginCannot
		var reply *pop3.ReplyError
		switch {
		case errors.Is(err, pop3.ErrArgument), errors.Is(err, errors.ErrUnsupported):
			// Nothing was sent, so that the next one is still the first.
			refusal = cmp.Or(refusal, &LoginError{Fault: fault, Err: fmt.Errorf("%s: %w", mechanism, err)})
			continue
		case errors.Is(err, pop3.ErrCancelled):
		case errors.As(err, &reply):
			fault = faultOf(reply, c.Capabilities())
		case submissions > 0 && !shown: // the first refusal was the server's last word (C0010)
			return refusal
		default:
			return fmt.Errorf("logging in by %s: %w", mechanism, err)
		}
		refusal = &LoginError{Fault: fault, Err: fmt.Errorf("%s: %w", mechanism, err)}
		submissions++
		if shown || submissions == 2 || reply != nil && reply.Code != "" {
			break
		}
	}
	if refusal == nil { // none that was expected is there
		return &LoginError{Fault: LoginCannot, Err: cr.nothingInCommon(c)}
	}
	if refusal.Fault == LoginRefused {
		refusal.Credential = cr.newMark(password)
	}
	return refusal
}

// byAuth tells whether a mechanism is one of AUTH, which asks by itself for what was only expected.
func byAuth(m Mechanism) bool { return m != User && m != Apop }

// askFirst replaces what was only expected of the server by what it says.
func askFirst(ctx context.Context, c *pop3.Client) error {
	if _, err := c.Capa(ctx); err != nil && !isReply(err) {
		return fmt.Errorf("%w: %w", errUnexpected, err)
	}
	return nil
}

// attempt tries one mechanism and tells whether the password was shown to the server.
func (cr *Credentials) attempt(ctx context.Context, c *pop3.Client, m Mechanism, password string) (shown bool, err error) {
	switch m {
	case Plain:
		if strings.Contains(cr.User+password, "\x00") { // it separates the fields (RFC 4616 section 2)
			return false, fmt.Errorf("name or password holds NUL: %w", pop3.ErrArgument)
		}
		return true, c.Auth(ctx, sasl.NewPlainClient("", cr.User, password))
	case Login:
		mech := &prompted{Client: sasl.NewLoginClient(cr.User, password)}
		err = c.Auth(ctx, mech)
		return mech.shown, err
	case External:
		return false, c.Auth(ctx, sasl.NewExternalClient(""))
	case Apop:
		return true, c.Apop(ctx, cr.User, password)
	default:
		err = c.User(ctx, cr.User, password)
		var reply *pop3.ReplyError
		return !errors.As(err, &reply) || reply.Command != "USER", err
	}
}

// prompted is LOGIN as servers want it: they ask twice, in words of their own, and not each takes an initial response.
type prompted struct {
	sasl.Client
	name  []byte
	asked int
	shown bool // the password was given
}

// Start gives the name back, until the server asks.
func (p *prompted) Start() (mech string, ir []byte, err error) {
	mech, p.name, err = p.Client.Start()
	return mech, nil, err
}

func (p *prompted) Next([]byte) ([]byte, error) {
	p.asked++
	switch p.asked {
	case 1:
		return p.name, nil
	case 2:
		p.shown = true
		return p.Client.Next([]byte("Password:"))
	}
	return nil, sasl.ErrUnexpectedServerChallenge
}

// faultOf tells what a negative reply to a log-in means (RFC 2449 section 8, RFC 3206). Where the server announces
// AUTH-RESP-CODE, only [AUTH] says that the credentials are wrong; text is never interpreted.
func faultOf(reply *pop3.ReplyError, caps pop3.Capabilities) LoginFault {
	switch {
	case reply.Code == pop3.CodeAuth:
		return LoginRefused
	case reply.Code == pop3.CodeSysPerm:
		return LoginBroken
	case reply.Code == pop3.CodeInUse, reply.Code == pop3.CodeLoginDelay, reply.Code == pop3.CodeSysTemp:
		return LoginLater
	case caps.Has("AUTH-RESP-CODE"):
		return LoginLater
	default:
		return LoginRefused
	}
}

// usable returns the mechanisms that both sides have, the strongest first; a server without CAPA is taken to have USER.
func (cr *Credentials) usable(c *pop3.Client) []Mechanism {
	wanted := cr.Mechanisms
	if len(wanted) == 0 {
		wanted = preference
		if !cr.External {
			wanted = slices.DeleteFunc(slices.Clone(wanted), func(m Mechanism) bool { return m == External })
		}
	}
	named := len(cr.Mechanisms) > 0
	return slices.DeleteFunc(slices.Clone(wanted), func(m Mechanism) bool {
		return !offers(c, m, named)
	})
}

// offers tells whether the server has a mechanism. One that is named in the configuration is tried on a server that
// announces nothing.
func offers(c *pop3.Client, m Mechanism, named bool) bool {
	caps := c.Capabilities()
	switch m {
	case Apop:
		return true // it is tried only if it is named, and sends nothing without a timestamp
	case User:
		return caps == nil || caps.Has("USER")
	default:
		if caps == nil {
			return named
		}
		return slices.ContainsFunc(caps["SASL"], func(s string) bool { return strings.EqualFold(s, string(m)) })
	}
}

// nothingInCommon lists what each side has (C0009).
func (cr *Credentials) nothingInCommon(c *pop3.Client) error {
	caps := c.Capabilities()
	var offered []string
	offered = append(offered, caps["SASL"]...)
	if caps == nil || caps.Has("USER") {
		offered = append(offered, "USER")
	}
	if len(offered) == 0 {
		offered = []string{"nothing"}
	}
	wanted := cr.Mechanisms
	if len(wanted) == 0 {
		wanted = preference
	}
	names := make([]string, len(wanted))
	for i, m := range wanted {
		names[i] = strings.ToUpper(string(m))
	}
	return fmt.Errorf("no way to log in that both sides have: the server offers %s, the account allows %s (see auth)",
		pop3.Escape(strings.Join(offered, " ")), strings.Join(names, " "))
}
