// Package login logs a session in. Each mechanism has its own file.
//
// A mechanism is a row of the table in mechanism.go and a function. The function gets the server,
// with its capabilities and the state of TLS, and the identity of the account. It returns an
// attempt. For AUTH the attempt is a SASL client. If the mechanism cannot be used, the function
// returns an error that says why. Login tries the mechanisms in their order.
package login

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/popfetch/popfetch/internal/kerberos"
	"github.com/popfetch/popfetch/pop3"
)

// Credentials are the data that an account logs in with.
type Credentials struct {
	User string
	// Password is called when the password is needed, at most once a log-in.
	Password func(context.Context) (string, error)
	// Bearer says that Password returns an access token of OAuth 2. It then serves the mechanisms
	// that take one, and no other. Renew is called if the server refuses it. It returns a newer one,
	// or the same if there is none.
	Bearer bool
	// If its error has the method IsTemporary, and that returns true, the log-in ends with that error.
	Renew func(ctx context.Context, refused string) (string, error)
	// SignInID returns a text that stays the same until somebody signs in anew, or "" if it is not
	// known. It is for Changed and Mark, because access tokens change by themselves.
	SignInID func() string
	// Addr is host:port of the server, for OAUTHBEARER and GSSAPI.
	Addr string
	// Kerberos is where the tickets for GSSAPI are.
	Kerberos kerberos.Places
	// Asks says that Password asks a person at its first call, and then remembers the answer. If
	// that takes long, the server may give up. Then Login returns pop3.ErrUnexpected, and the
	// log-in goes on in a new session.
	Asks bool
	// Mechanisms may be tried, the strongest first, in whatever order they stand here. None means
	// all except those that must be named.
	Mechanisms []Mechanism
	// External reports whether there is a client certificate. EXTERNAL may then be tried even if
	// Mechanisms is empty.
	External bool
	// Charset is that of pop3.Options.Octets. Login does not use it. But other octets are other
	// credentials for Changed and Mark.
	Charset Charset

	mu         sync.Mutex
	last       string // the password of the last log-in that asked for one
	lastTicket string // the ID of the ticket of the last log-in that had one
}

// Login logs c in. Its error is an *Error, unless the session broke or ctx ended.
//
// The argument expected is the result of the function Expected. If it is nil, CAPA and UTF8 have
// been sent already. Otherwise Login sends them, if possible together with the beginning of the
// log-in. Then the error may be pop3.ErrUnexpected, and the caller should open a new session that
// expects nothing.
//
// Login sends a password only once, because servers lock accounts after failures. It tries a second
// mechanism only if the first was refused before the password was sent (C0010).
func (cr *Credentials) Login(ctx context.Context, c *pop3.Client, expected pop3.Capabilities) error {
	l := cr.newLogin(ctx, c)
	if expected == nil {
		return l.run(ctx, l.mechanisms)
	}
	if err := l.runExpecting(ctx, expected); err != nil {
		return err
	}
	if c.Capabilities().Has("UTF8") && !expected.Has("UTF8") {
		return fmt.Errorf("%w: it now announces UTF8, which must be sent before the log-in", pop3.ErrUnexpected)
	}
	return nil
}

// longestAsking is how long a server surely waits for a log-in. Many give up after a minute.
var longestAsking = 30 * time.Second

// login is one call of Login.
type login struct {
	credentials *Credentials
	client      *pop3.Client
	mechanisms  []mechanism
	identity    *identity

	refusal *Error // the error if no mechanism succeeds; nil if none was offered
	refused int    // number of attempts that the server refused, without those that count in scram
	scram   int    // 1 if it has refused SCRAM before the proof; all forms of SCRAM count as one
	noScram bool   // the forms without binding would be refused likewise
}

func (cr *Credentials) newLogin(ctx context.Context, c *pop3.Client) *login {
	ask := func() (string, error) {
		began := time.Now()
		password, err := cr.password(ctx)
		if took := time.Since(began); err == nil && cr.Asks && took > longestAsking {
			return "", fmt.Errorf("%w: it has waited for the password for %v", pop3.ErrUnexpected, took.Round(time.Second))
		}
		c.Conceal(password)
		cr.mu.Lock()
		defer cr.mu.Unlock()
		cr.last = password
		return password, err
	}
	renew := func(refused string) (string, error) {
		token, err := cr.renewed(ctx, refused)
		c.Conceal(token)
		return token, err
	}
	cr.mu.Lock()
	cr.last, cr.lastTicket = "", ""
	cr.mu.Unlock()
	id := &identity{user: cr.User, addr: cr.Addr, certificate: cr.External, named: len(cr.Mechanisms) > 0, ask: ask, renew: renew}
	l := &login{credentials: cr, client: c, mechanisms: cr.wanted(), identity: id}
	id.ticket = sync.OnceValues(func() (*kerberos.Ticket, error) { return l.ticket(ctx) })
	return l
}

// run tries mechanisms until one succeeds or none is left that may be tried.
func (l *login) run(ctx context.Context, mechanisms []mechanism) error {
	for _, m := range mechanisms {
		a, err := l.begin(m, l.client)
		if err != nil {
			return err
		}
		if a == nil {
			continue
		}
		if goesOn, err := l.outcome(ctx, m, a, a.run(ctx, l.client)); !goesOn {
			return err
		}
	}
	return l.failure()
}

// outcome is judge, but if an access token was refused, it first tries another one.
func (l *login) outcome(ctx context.Context, m mechanism, a *attempt, err error) (goesOn bool, _ error) {
	var reply *pop3.ReplyError
	if a.again == nil || !errors.As(err, &reply) || faultOf(reply, nil) != Refused || !a.sent(err) {
		return l.judge(m, a, err)
	}
	another, failed := a.again()
	if another != nil {
		if failed = another.run(ctx, l.client); failed == nil || isReply(failed) {
			return l.judge(m, another, failed)
		}
	}
	if temporary := (interface{ IsTemporary() bool })(nil); errors.As(failed, &temporary) && temporary.IsTemporary() {
		return false, failed // nobody knows whether the account has a better token
	}
	if failed != nil { // the refusal stands
		err = fmt.Errorf("%w; and with another token: %v", err, failed) //nolint:errorlint // it is not the cause
	}
	return l.judge(m, a, err)
}

// runExpecting does the same as run, but the server's capabilities are only expected. If the first
// usable mechanism is one of AUTH, it is tried together with CAPA.
func (l *login) runExpecting(ctx context.Context, expected pop3.Capabilities) error {
	first, a, err := l.first(expectation{l.client, expected})
	if err != nil {
		return err
	}
	if a == nil || a.sasl == nil || a.alone {
		if err := l.client.AuthExpecting(ctx, expected, nil); err != nil {
			return fmt.Errorf("asking for the capabilities: %w", err)
		}
		return l.run(ctx, l.mechanisms)
	}
	m := l.mechanisms[first]
	err = l.client.AuthExpecting(ctx, expected, a.sasl)
	if isReply(err) {
		if _, gone := m.begin(l.client, l.identity); gone != nil {
			err = fmt.Errorf("%w: %w", pop3.ErrUnexpected, err)
		}
	}
	if err != nil && (errors.Is(err, pop3.ErrUnexpected) || !isReply(err)) {
		return fmt.Errorf("logging in by %s: %w", m.name, err)
	}
	if goesOn, err := l.outcome(ctx, m, a, a.explained(err)); !goesOn {
		return err
	}
	return l.run(ctx, l.mechanisms[first+1:])
}

// first returns the first mechanism that can be used on s, and its attempt. The attempt is nil if
// there is none.
func (l *login) first(s server) (int, *attempt, error) {
	for i, m := range l.mechanisms {
		if a, err := l.begin(m, s); a != nil || err != nil {
			return i, a, err
		}
	}
	return 0, nil, nil
}

// begin returns the attempt of a mechanism, or nil if the mechanism cannot be used. An error ends
// the log-in.
func (l *login) begin(m mechanism, s server) (*attempt, error) {
	a, err := m.begin(s, l.identity)
	switch {
	case l.identity.failed != nil:
		return nil, l.identity.failed
	case a != nil && a.alone && l.noScram:
		return nil, nil
	case errors.Is(err, errNotOffered):
		return nil, nil
	case err != nil:
		l.note(m, err)
		return nil, nil
	}
	return a, nil
}

// note keeps the reason why a mechanism was not tried. Nothing was sent, so the next mechanism
// still counts as the first.
func (l *login) note(m mechanism, err error) {
	l.refusal = cmp.Or(l.refusal, &Error{Fault: Cannot, Err: fmt.Errorf("%s: %w", m.name, err)})
}

// judge decides by the outcome of an attempt whether the log-in goes on with the next mechanism. If
// not, err is the outcome of the log-in.
func (l *login) judge(m mechanism, a *attempt, err error) (goesOn bool, _ error) {
	if err == nil {
		return false, nil
	}
	sent := a.sent(err) && !errors.Is(err, pop3.ErrClosed) // closed before: nothing was sent any more
	fault := Cannot
	var reply *pop3.ReplyError
	var closed *pop3.CloseError
	var untrue *untrueError
	switch {
	case errors.As(err, &untrue):
		l.refusal = &Error{Fault: Untrue, Err: fmt.Errorf("%s: %w", m.name, err), Sent: sent}
		return false, l.failure()
	case errors.Is(err, pop3.ErrNonASCII):
		l.note(m, fmt.Errorf(`%w; if the server wants its octets all the same, write credentials_charset = "utf-8" or "iso-8859-1" (--credentials-charset)`, err))
		return true, nil
	case errors.Is(err, pop3.ErrArgument), errors.Is(err, errors.ErrUnsupported):
		l.note(m, err)
		return true, nil
	case errors.Is(err, pop3.ErrCancelled):
		if errors.Is(err, errWrong) {
			fault = Refused
		}
	case errors.As(err, &reply):
		fault = faultOf(reply, l.client.Capabilities())
	case l.refused > 0 && !sent: // the first refusal stands (C0010)
		return false, l.failure()
	case errors.As(err, &closed) && sent:
		fault = faultOf(new(pop3.ReplyError), l.client.Capabilities())
		err = fmt.Errorf("it closed the connection when it had got the password: %w", err)
	default:
		return false, fmt.Errorf("logging in by %s: %w", m.name, err)
	}
	l.refusal = &Error{Fault: fault, Err: fmt.Errorf("%s: %w", m.name, err), Sent: sent}
	if a.alone && !sent && reply != nil && (reply.Code == "" || reply.Code == pop3.CodeAuth) {
		l.scram, l.noScram = 1, l.noScram || a.unproved
		if l.identity.gaveWay { // it is the second mechanism
			return false, l.failure()
		}
		return true, nil // nothing was proved yet, so nothing was wrong
	}
	l.refused++
	l.identity.gaveWay = l.identity.gaveWay || !a.alone
	if sent || l.refused+l.scram >= 2 || reply != nil && reply.Code != "" {
		return false, l.failure()
	}
	return true, nil
}

// failure returns the error of a log-in in which no mechanism succeeded.
func (l *login) failure() error {
	if l.refusal == nil {
		return &Error{Fault: Cannot, Err: l.credentials.nothingInCommon(l.client.Capabilities())}
	}
	if l.refusal.Counts() {
		l.refusal.Credential = l.credentials.newMark(l.identity.secret, l.identity.ticketID)
	}
	return l.refusal
}

func isReply(err error) bool {
	var reply *pop3.ReplyError
	return errors.As(err, &reply)
}
