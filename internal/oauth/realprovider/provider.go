package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/text/language"
)

// provider is zitadel's OpenID provider with the pages at which a person decides.
type provider struct {
	*op.Provider
	issuer  string
	storage *storage
}

func newProvider(issuer string, life, poll time.Duration) (*provider, error) {
	s, err := newStorage(life)
	if err != nil {
		return nil, err
	}
	config := &op.Config{
		CodeMethodS256:        true,
		AuthMethodPost:        true,
		GrantTypeRefreshToken: true,
		SupportedUILocales:    []language.Tag{language.English},
		SupportedScopes:       scopes,
		DeviceAuthorization: op.DeviceAuthorizationConfig{
			Lifetime:     5 * time.Minute,
			PollInterval: poll,
			UserFormPath: devicePath,
			UserCode:     op.UserCodeBase20,
		},
	}
	_, _ = rand.Read(config.CryptoKey[:]) // Read never fails
	p, err := op.NewProvider(config, s, op.StaticIssuer(issuer), op.WithAllowInsecure())
	if err != nil {
		return nil, fmt.Errorf("making the provider: %w", err)
	}
	return &provider{Provider: p, issuer: issuer, storage: s}, nil
}

// handler serves the protocol's endpoints and the person's pages.
func (p *provider) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", p.Provider)
	mux.HandleFunc(loginPath, p.login)
	mux.HandleFunc(devicePath, p.device)
	mux.HandleFunc("/approve", p.approve)
	mux.HandleFunc("/deny", p.deny)
	mux.HandleFunc("/expire", p.expire)
	return mux
}

// callback returns where a browser goes after the login page.
func (p *provider) callback(id string) string {
	return op.AuthCallbackURL(p)(op.ContextWithIssuer(context.Background(), p.issuer), id)
}

// description is what the program prints: where its endpoints are, and whom it knows. The names of
// the endpoints are those of the discovery document.
type description struct {
	Issuer         string            `json:"issuer"`
	Authorization  string            `json:"authorization_endpoint"`
	Device         string            `json:"device_authorization_endpoint"`
	Token          string            `json:"token_endpoint"`
	Introspection  string            `json:"introspection_endpoint"`
	Revocation     string            `json:"revocation_endpoint"`
	Keys           string            `json:"jwks_uri"`
	Users          map[string]string `json:"users"`
	Client         string            `json:"client_id"`
	Service        string            `json:"service_id"`
	ServiceSecret  string            `json:"service_secret"`
	Resource       string            `json:"resource_id"`
	ResourceSecret string            `json:"resource_secret"`
	Scope          string            `json:"scope"`
}

func (p *provider) description() description {
	return description{
		Issuer:         p.issuer,
		Authorization:  p.AuthorizationEndpoint().Absolute(p.issuer),
		Device:         p.DeviceAuthorizationEndpoint().Absolute(p.issuer),
		Token:          p.TokenEndpoint().Absolute(p.issuer),
		Introspection:  p.IntrospectionEndpoint().Absolute(p.issuer),
		Revocation:     p.RevocationEndpoint().Absolute(p.issuer),
		Keys:           p.KeysEndpoint().Absolute(p.issuer),
		Users:          users,
		Client:         nativeID,
		Service:        serviceID,
		ServiceSecret:  secrets[serviceID],
		Resource:       resourceID,
		ResourceSecret: secrets[resourceID],
		Scope:          scopePop,
	}
}
