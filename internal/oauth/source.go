package oauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Source gives the access tokens of one account. Its methods may be called at the same time, also by
// several processes. If they have no token, the error is a *Error, or what Client.Secret returned.
type Source struct {
	Client *Client
	Store  Store
	// Own says that the client itself has tokens, and no person signs in (RFC 6749 section 4.4).
	Own bool
	// LoginCommand signs a person in; for error texts.
	LoginCommand string
}

// justObtained is how long ago a token may have been obtained so that another one would be refused
// as well.
const justObtained = time.Minute

// Token returns an access token that is good for a while. It is refreshed before it ends.
func (s *Source) Token(ctx context.Context) (string, error) {
	g, err := s.Store.Read(ctx)
	if err == nil && s.belongs(g) && g.isFresh(time.Now()) {
		return g.AccessToken, nil
	}
	return s.obtain(ctx, func(g *Grant) bool { return !g.isFresh(time.Now()) })
}

// Renew returns another access token than the one that a server has refused. If that one was given
// only a moment ago, Renew returns it again, because the next one would be refused too.
func (s *Source) Renew(ctx context.Context, refused string) (string, error) {
	return s.obtain(ctx, func(g *Grant) bool {
		age := time.Since(g.Obtained) // below 0 if the clock was set back
		return g.AccessToken == refused && (age < 0 || age > justObtained)
	})
}

// SignInID returns a text that stays the same until somebody signs in anew, or "" if nobody is signed
// in.
func (s *Source) SignInID() string {
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	g, err := s.Store.Read(ctx)
	if err != nil {
		return ""
	}
	return g.TokenURL + " " + g.ClientID + " " + g.SignedIn.UTC().Format(time.RFC3339)
}

// obtain returns the access token, after a refresh if isStale reports that it needs one.
func (s *Source) obtain(ctx context.Context, isStale func(*Grant) bool) (string, error) {
	isOfNoUse := func(g *Grant) bool { return g == nil || !s.belongs(g) || g.AccessToken == "" || isStale(g) }
	g, err := s.Store.Update(ctx, isOfNoUse, func(g *Grant) (*Grant, error) { return s.renew(ctx, g) })
	if err != nil {
		return "", err
	}
	return g.AccessToken, nil
}

// belongs reports whether the grant is the configured client's.
func (s *Source) belongs(g *Grant) bool { return s.Client.Owns(g) }

// Owns reports whether a grant is this client's. Another client cannot use it.
func (c *Client) Owns(g *Grant) bool { return g.TokenURL == c.TokenURL && g.ClientID == c.ID }

// renew asks the provider for another grant. If the sign-in has ended, it also returns a grant
// without access token: a server would count each log-in by the old one as a wrong password.
func (s *Source) renew(ctx context.Context, old *Grant) (*Grant, error) {
	if ctx.Err() != nil { // the lock may have been free
		return nil, s.Client.fault(Later, context.Cause(ctx))
	}
	if s.Own {
		g, err := s.Client.ClientCredentials(ctx)
		if g = s.Client.stamp(g); g != nil && old != nil && s.belongs(old) {
			g.SignedIn = old.SignedIn
		}
		return g, err
	}
	switch {
	case old == nil:
		return nil, s.mustSignIn(errSignedOut)
	case !s.belongs(old):
		return nil, s.mustSignIn(errors.New("the sign-in is that of another client or provider"))
	case old.RefreshToken == "":
		return nil, s.mustSignIn(errors.New("the access token has ended, and the provider gave no refresh token"))
	}
	ctx, cancel := outlasting(ctx) // a refresh token may be good only once
	defer cancel()
	g, err := s.Client.refresh(ctx, old.RefreshToken)
	var refusal *Error
	if errors.As(err, &refusal) && slices.Contains(endings, refusal.Code) {
		ended := *old
		ended.AccessToken = ""
		return &ended, s.mustSignIn(fmt.Errorf("the sign-in has ended or was revoked: %w", err))
	}
	if err != nil {
		return nil, err
	}
	g = s.Client.stamp(g)
	g.SignedIn = old.SignedIn
	return g, nil
}

// endings are the error codes that mean that a person must sign in again (RFC 6749 section 5.2, OpenID
// Connect Core section 3.1.2.6).
var endings = []string{"invalid_grant", "interaction_required", "login_required", "consent_required"}

// mustSignIn returns an error that only signing in mends.
func (s *Source) mustSignIn(why error) error {
	return &Error{Fault: Refused, Err: fmt.Errorf("%w; sign in: %s", why, s.LoginCommand)}
}

// stamped is stamp for the results of signing in.
func (c *Client) stamped(g *Grant, err error) (*Grant, error) { return c.stamp(g), err }

// stamp records which client the grant belongs to, and that somebody has signed in.
func (c *Client) stamp(g *Grant) *Grant {
	if g != nil {
		g.TokenURL, g.ClientID, g.SignedIn = c.TokenURL, c.ID, g.Obtained
	}
	return g
}

// grace is how long an answer is still waited for after a run was told to end.
const grace = 5 * time.Second

// outlasting returns a context that ends some time after ctx, for an answer that must not be lost.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
	})
	return longer, func() {
		stop()
		cancel(nil)
	}
}
