package main

import (
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The clients.
const (
	nativeID   = "popfetch" // public: it acts for a person
	serviceID  = "service"  // confidential: it acts for itself
	resourceID = "dovecot"  // the POP3 server: it asks whether tokens are good
)

// scopePop is the scope that gives access to the POP3 server. Tokens without it are not good for
// that server.
const scopePop = "pop"

var (
	users   = map[string]string{"alice": "secret", "bob": "hidden"}
	secrets = map[string]string{serviceID: "service-secret", resourceID: "dovecot-secret"}
	scopes  = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeOfflineAccess, scopePop}
	clients = map[string]*client{
		nativeID: {
			id: nativeID, kind: op.ApplicationTypeNative, auth: oidc.AuthMethodNone,
			grants: []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken, oidc.GrantTypeDeviceCode},
		},
		serviceID:  {id: serviceID, auth: oidc.AuthMethodPost, grants: []oidc.GrantType{oidc.GrantTypeClientCredentials}},
		resourceID: {id: resourceID, auth: oidc.AuthMethodBasic},
	}
	errNoClient = errors.New("no such client, or its secret is wrong")
)

// client is an op.Client.
type client struct {
	id     string
	kind   op.ApplicationType
	auth   oidc.AuthMethod
	grants []oidc.GrantType
}

// authorize checks the secret of a client. Public clients have none.
func authorize(id, secret string) error {
	if want, ok := secrets[id]; !ok || secret != want {
		return errNoClient
	}
	return nil
}

// audience returns for whom a token is.
func audience(client string, scopes []string) []string {
	if slices.Contains(scopes, scopePop) {
		return []string{client, resourceID}
	}
	return []string{client}
}

func (c *client) GetID() string { return c.id }

// RedirectURIs is empty, because RedirectURIGlobs has them.
func (c *client) RedirectURIs() []string { return nil }

// RedirectURIGlobs allows any port and path of loopback (RFC 8252 section 7.3).
func (c *client) RedirectURIGlobs() []string {
	if !slices.Contains(c.grants, oidc.GrantTypeCode) {
		return nil
	}
	return []string{"http://localhost:*/**", "http://127.0.0.1:*/**", `http://\[::1\]:*/**`}
}

func (c *client) PostLogoutRedirectURIs() []string     { return nil }
func (c *client) PostLogoutRedirectURIGlobs() []string { return nil }
func (c *client) ApplicationType() op.ApplicationType  { return c.kind }
func (c *client) AuthMethod() oidc.AuthMethod          { return c.auth }
func (c *client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c *client) GrantTypes() []oidc.GrantType         { return c.grants }
func (c *client) LoginURL(id string) string            { return loginPath + "?id=" + url.QueryEscape(id) }
func (c *client) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (c *client) IDTokenLifetime() time.Duration       { return time.Hour }
func (c *client) DevMode() bool                        { return false }
func (c *client) IsScopeAllowed(scope string) bool     { return slices.Contains(scopes, scope) }
func (c *client) IDTokenUserinfoClaimsAssertion() bool { return false }
func (c *client) ClockSkew() time.Duration             { return 0 }

//nolint:revive // zitadel's interface spells it so
func (c *client) RestrictAdditionalIdTokenScopes() func(scopes []string) []string {
	return slices.Clone
}

func (c *client) RestrictAdditionalAccessTokenScopes() func(scopes []string) []string {
	return slices.Clone
}
