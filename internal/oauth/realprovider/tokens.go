package main

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// grant is what one sign-in has permitted. All tokens of a sign-in belong to it.
type grant struct {
	client, user string
	scopes       []string
	at           time.Time
	current      string // the refresh token that serves next, if any
	revoked      bool
}

// access is an access token.
type access struct {
	*grant
	scopes  []string // a refresh may ask for fewer
	expires time.Time
}

// renewal is an op.RefreshTokenRequest.
type renewal struct {
	*grant
	scopes []string
}

func (r *renewal) GetAMR() []string                 { return []string{"pwd"} }
func (r *renewal) GetAudience() []string            { return audience(r.client, r.scopes) }
func (r *renewal) GetAuthTime() time.Time           { return r.at }
func (r *renewal) GetClientID() string              { return r.client }
func (r *renewal) GetScopes() []string              { return r.scopes }
func (r *renewal) GetSubject() string               { return r.user }
func (r *renewal) SetCurrentScopes(scopes []string) { r.scopes = scopes }

// service is the op.TokenRequest of a client that acts for itself.
type service struct {
	id     string
	scopes []string
}

func (r service) GetAudience() []string { return audience(r.id, r.scopes) }
func (r service) GetClientID() string   { return r.id }
func (r service) GetScopes() []string   { return r.scopes }
func (r service) GetSubject() string    { return r.id }

// ClientCredentials implements op.ClientCredentialsStorage.
func (s *storage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	if err := authorize(id, secret); err != nil {
		return nil, err
	}
	return s.GetClientByClientID(ctx, id)
}

// ClientCredentialsTokenRequest implements op.ClientCredentialsStorage.
func (s *storage) ClientCredentialsTokenRequest(
	_ context.Context, id string, asked []string,
) (op.TokenRequest, error) {
	if slices.ContainsFunc(asked, func(scope string) bool { return scope != scopePop }) {
		return nil, oidc.ErrInvalidScope()
	}
	return service{id, asked}, nil
}

// CreateAccessToken implements op.AuthStorage.
func (s *storage) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, expires := s.issue(newGrant(r), r.GetScopes())
	return id, expires, nil
}

// CreateAccessAndRefreshTokens implements op.AuthStorage. The argument used is the refresh token that
// the client sent, or "" at a sign-in.
func (s *storage) CreateAccessAndRefreshTokens(
	_ context.Context, r op.TokenRequest, used string,
) (accessID, refresh string, expires time.Time, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := newGrant(r)
	if used != "" {
		var err error
		if g, err = s.redeem(used); err != nil {
			return "", "", time.Time{}, err
		}
	}
	g.current = rand.Text()
	s.refresh[g.current] = g
	accessID, expires = s.issue(g, r.GetScopes())
	return accessID, g.current, expires, nil
}

func newGrant(r op.TokenRequest) *grant {
	g := &grant{user: r.GetSubject(), scopes: r.GetScopes(), at: time.Now()}
	if c, ok := r.(interface{ GetClientID() string }); ok {
		g.client = c.GetClientID()
	}
	return g
}

// issue returns the id of a new access token.
func (s *storage) issue(g *grant, scopes []string) (string, time.Time) {
	id, expires := rand.Text(), time.Now().Add(s.life)
	s.access[id] = access{g, scopes, expires}
	return id, expires
}

// redeem returns the grant of a refresh token. If the token was used before, somebody else has a
// copy of it. Then the whole grant is revoked (RFC 9700 section 4.14.2).
func (s *storage) redeem(token string) (*grant, error) {
	g, ok := s.refresh[token]
	switch {
	case !ok:
		return nil, oidc.ErrInvalidGrant().WithDescription("unknown refresh token")
	case g.revoked:
		return nil, oidc.ErrInvalidGrant().WithDescription("revoked")
	case g.current != token:
		g.revoked = true
		return nil, oidc.ErrInvalidGrant().WithDescription("this refresh token was used before, so the sign-in is revoked")
	}
	return g, nil
}

// TokenRequestByRefreshToken implements op.AuthStorage.
func (s *storage) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.redeem(token)
	if err != nil {
		return nil, err
	}
	return &renewal{g, g.scopes}, nil
}

// TerminateSession implements op.AuthStorage.
func (s *storage) TerminateSession(_ context.Context, user, client string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.access {
		if a.user == user && a.client == client {
			a.revoked = true
		}
	}
	return nil
}

// GetRefreshTokenInfo implements op.AuthStorage. The id of a refresh token is the token itself.
func (s *storage) GetRefreshTokenInfo(_ context.Context, _, token string) (string, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g, ok := s.refresh[token]; ok {
		return g.user, token, nil
	}
	return "", "", op.ErrInvalidRefreshToken
}

// RevokeToken implements op.AuthStorage. With a refresh token, all tokens of the sign-in end (RFC
// 7009 section 2.1). An unknown token is no error there.
func (s *storage) RevokeToken(_ context.Context, id, _, client string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, isRefresh := s.refresh[id]
	a, isAccess := s.access[id]
	switch {
	case isRefresh && g.client != client, isAccess && a.client != client:
		return oidc.ErrInvalidClient().WithDescription("the token belongs to another client")
	case isRefresh:
		g.revoked = true
	case isAccess:
		delete(s.access, id)
	}
	return nil
}

// token returns a good access token.
func (s *storage) token(id string) (access, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.access[id]
	if !ok || a.revoked || !time.Now().Before(a.expires) {
		return access{}, errUnknown
	}
	return a, nil
}

// expire makes all access tokens expire that there are. Refresh tokens stay good.
func (s *storage) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.access)
}

// SetIntrospectionFromToken implements op.OPStorage (RFC 7662). An error says that the token is not
// active, as far as this client is concerned.
func (s *storage) SetIntrospectionFromToken(
	_ context.Context, answer *oidc.IntrospectionResponse, id, _, client string,
) error {
	a, err := s.token(id)
	if err != nil || !slices.Contains(audience(a.client, a.scopes), client) {
		return errUnknown
	}
	answer.Scope, answer.ClientID, answer.TokenType = a.scopes, a.client, oidc.BearerToken
	answer.Subject, answer.Username = a.user, a.user
	answer.Audience, answer.Expiration = audience(a.client, a.scopes), oidc.FromTime(a.expires)
	return nil
}

// SetUserinfoFromToken implements op.OPStorage.
func (s *storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, id, _, _ string) error {
	a, err := s.token(id)
	if err != nil {
		return err
	}
	info.Subject, info.PreferredUsername = a.user, a.user
	return nil
}

// An ID token says no more than who signed in.

func (s *storage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}
