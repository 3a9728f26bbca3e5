package oauth

import (
	"context"
	"errors"
	"time"
)

// Grant is what a provider has given an account.
type Grant struct {
	TokenURL string    `json:"token_url"` // a refresh token is good only there,
	ClientID string    `json:"client_id"` // and only for this client
	SignedIn time.Time `json:"signed_in"`

	AccessToken  string    `json:"access_token"`
	Obtained     time.Time `json:"obtained"` // when the access token was given
	Expires      time.Time `json:"expires"`  // when it ends; zero: the provider does not say
	RefreshToken string    `json:"refresh_token,omitempty"`
}

// isFresh reports whether the access token can be used for some time yet. A minute is left for the
// log-in, or half of the token's life if that is shorter.
func (g *Grant) isFresh(now time.Time) bool {
	if g.AccessToken == "" {
		return false
	}
	margin := min(time.Minute, g.Expires.Sub(g.Obtained)/2)
	return g.Expires.IsZero() || now.Add(margin).Before(g.Expires)
}

// HasEnded reports whether nobody but a person can get another access token.
func (g *Grant) HasEnded(now time.Time) bool {
	return g.AccessToken == "" || g.RefreshToken == "" && !g.Expires.IsZero() && now.After(g.Expires)
}

// Store keeps the grant of one account. Several processes may use it at the same time. Where a
// method fails, the error is a *Error, or what a given function returned.
type Store interface {
	// Read returns the grant. Without one, the error is SignedOut.
	Read(ctx context.Context) (*Grant, error)
	// Ready checks that a grant can be kept, before somebody signs in.
	Ready(ctx context.Context) error
	// Write replaces the grant, whatever there is.
	Write(ctx context.Context, g *Grant) error
	// Remove removes the grant, after revoke has returned no error for it. A damaged one is only
	// removed. Without one, the error is SignedOut.
	Remove(ctx context.Context, revoke func(*Grant) error) error
	// Update replaces the grant by what renew makes of it, if isStale reports true. It returns the
	// grant in force, and the error of renew. One process at a time updates. The grant that isStale
	// and renew get is nil if there is none.
	Update(ctx context.Context, isStale func(*Grant) bool, renew func(*Grant) (*Grant, error)) (*Grant, error)
}

// errSignedOut means that there is no grant.
var errSignedOut = errors.New("nobody is signed in")

// SignedOut returns the error of a Store without a grant.
func SignedOut() error { return &Error{Fault: Refused, Err: errSignedOut} }

// LongestRenewal is how long a refresh takes at most: a command that gives the client's secret may
// take a minute, and then the provider is asked.
const LongestRenewal = time.Minute + answerTimeout
