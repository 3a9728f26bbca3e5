package imapbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"unicode"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"

	"github.com/popfetch/popfetch/internal/escape"
)

const xoauth2 = "XOAUTH2" // of Google and Microsoft, older than RFC 7628

// open connects and logs in. A token that is refused is renewed once, on another connection.
func (a *Account) open(ctx context.Context) (*Box, error) {
	if a.Token == nil {
		secret, err := a.Password(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrLogin, err)
		}
		return a.openBy(ctx, secret)
	}
	token, err := a.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLogin, err)
	}
	b, err := a.openBy(ctx, token)
	var reply *Reply
	if err == nil || a.Renew == nil || !errors.Is(err, ErrLogin) || !errors.As(err, &reply) {
		return b, err
	}
	another, renewErr := a.Renew(ctx, token)
	switch {
	case renewErr != nil:
		return nil, fmt.Errorf("%w: %w", ErrLogin, renewErr)
	case another == token:
		return nil, err
	}
	return a.openBy(ctx, another)
}

// openBy connects, and logs in by a password or a token.
func (a *Account) openBy(ctx context.Context, secret string) (*Box, error) {
	w, err := a.dial(ctx)
	if err != nil {
		return nil, err
	}
	b := &Box{account: a, wire: w}
	end := w.begin(ctx, mostSaid)
	defer end()
	b.client = imapclient.New(w, nil)
	if err := b.enter(ctx, secret); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// enter waits for the greeting and logs in.
func (b *Box) enter(ctx context.Context, secret string) error {
	if err := b.client.WaitGreeting(); err != nil {
		return broken(ctx, replyOf(err, ""))
	}
	// The greeting may tell only some of the capabilities.
	var err error
	if b.caps, err = b.client.Capability().Wait(); err != nil {
		return broken(ctx, replyOf(err, ""))
	}
	if b.client.State() == imap.ConnStateAuthenticated { // PREAUTH
		return nil
	}
	if b.account.Token != nil {
		err = b.loginByToken(ctx, secret)
	} else {
		err = b.loginByPassword(ctx, secret)
	}
	if err != nil {
		return err
	}
	// The library learns new capabilities some time after the log-in.
	if b.caps, err = b.client.Capability().Wait(); err != nil {
		return broken(ctx, replyOf(err, ""))
	}
	if !b.sendsUTF8() || !strings.ContainsFunc(b.account.Mailbox, func(r rune) bool { return r > unicode.MaxASCII }) {
		return nil
	}
	// The library then sends names in UTF-8. The server expects that only when it is told so.
	if _, err := b.client.Enable(imap.CapIMAP4rev2).Wait(); err != nil {
		return broken(ctx, replyOf(err, ""))
	}
	return nil
}

// sendsUTF8 reports whether names of mailboxes go in UTF-8, and not in modified UTF-7.
func (b *Box) sendsUTF8() bool { return b.caps.Has(imap.CapIMAP4rev2) }

func (b *Box) has(mechanism string) bool { return b.caps.Has(imap.AuthCap(mechanism)) }

func (b *Box) loginByPassword(ctx context.Context, password string) (err error) {
	user := b.account.User
	switch {
	case b.has(sasl.Plain):
		err = b.client.Authenticate(sasl.NewPlainClient("", user, password))
	case !b.caps.Has(imap.CapLoginDisabled):
		err = b.client.Login(user, password).Wait()
	case b.has(sasl.Login):
		err = b.client.Authenticate(sasl.NewLoginClient(user, password))
	default:
		return b.noWay("PLAIN, LOGIN")
	}
	return notLoggedIn(ctx, err, password)
}

func (b *Box) loginByToken(ctx context.Context, token string) error {
	user, host, port := b.account.User, "", ""
	if strings.ContainsAny(user+token, "\x00\x01") { // \x01 separates the fields
		return fmt.Errorf("%w: name or token contains a control character", ErrLogin)
	}
	end := "auth=Bearer " + token + "\x01\x01"
	var client *bearer
	switch {
	case b.has(sasl.OAuthBearer): // RFC 7628
		host, port, _ = net.SplitHostPort(b.account.Address) // the address was good for dialling
		name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user)
		client = &bearer{sasl.OAuthBearer, "n,a=" + name + ",\x01host=" + host + "\x01port=" + port + "\x01" + end, "\x01"}
	case b.has(xoauth2):
		client = &bearer{xoauth2, "user=" + user + "\x01" + end, ""}
	default:
		return b.noWay("OAUTHBEARER, XOAUTH2")
	}
	return notLoggedIn(ctx, b.client.Authenticate(client), token)
}

// noWay is the error of a server that knows none of the mechanisms.
func (b *Box) noWay(wanted string) error {
	offered := "none"
	if all := b.caps.AuthMechanisms(); len(all) > 0 {
		slices.Sort(all)
		offered = strings.Join(all, ", ")
	}
	return fmt.Errorf("%w: it offers the mechanisms %s, and popfetch has %s",
		ErrLogin, escape.Text([]byte(offered), maxShown), wanted)
}

// notLoggedIn is the error of an attempt.
func notLoggedIn(ctx context.Context, err error, secret string) error {
	if err == nil {
		return nil
	}
	var reply *Reply
	if err = replyOf(err, secret); !errors.As(err, &reply) {
		return broken(ctx, err)
	}
	if reply.passes() {
		return fmt.Errorf("%w: the log-in: %w", ErrUnreachable, reply)
	}
	return fmt.Errorf("%w: %w", ErrLogin, reply)
}

// bearer is the client's side of both mechanisms for tokens.
type bearer struct{ mechanism, message, refused string }

func (b *bearer) Start() (mech string, ir []byte, err error) {
	return b.mechanism, []byte(b.message), nil
}

// Next answers the challenge by which a token is refused. A tagged reply follows.
func (b *bearer) Next([]byte) ([]byte, error) { return []byte(b.refused), nil }
