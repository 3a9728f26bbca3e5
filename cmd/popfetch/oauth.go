package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/oauth"
)

// useTokens makes an account log in by its access tokens. Signing in for the account called name gets
// them.
func (s *setting) useTokens(c *login.Credentials, a *config.Account, name string, trusted authorities) error {
	c.Bearer = true
	if a.OAuth.ClientID == "" {
		c.Password = a.OAuth.Token
		c.Renew = func(ctx context.Context, _ string) (string, error) { return a.OAuth.Token(ctx) }
		return nil
	}
	client, err := s.oauthClient(a, trusted)
	if err != nil {
		return err
	}
	source := &oauth.Source{
		Client:       client,
		Store:        s.tokens(a.Name),
		Own:          a.OAuth.SignIn().Flow == clientCredentials,
		LoginCommand: s.commandLine("login", name),
	}
	c.Password, c.Renew, c.SignInID = source.Token, source.Renew, source.SignInID
	return nil
}

// oauthClient returns the client of an account at its provider. The provider is reached by the proxy
// of the environment, and trusted by the system's authorities and those of tls_ca. An error is a
// *config.Error.
func (s *setting) oauthClient(a *config.Account, trusted authorities) (*oauth.Client, error) {
	signIn := a.OAuth.SignIn()
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.TLSCA != "" {
		var err error
		if tlsConfig.RootCAs, err = trusted.with(authority{file: a.TLSCA}); err != nil {
			return nil, s.signInMistake(a, &a.TLSCA, err)
		}
	}
	client := &oauth.Client{
		Provider:  signIn.Provider,
		AuthURL:   signIn.AuthURL,
		TokenURL:  signIn.TokenURL,
		DeviceURL: signIn.DeviceURL,
		RevokeURL: signIn.RevokeURL,
		ID:        signIn.ClientID,
		Basic:     signIn.Basic,
		Scopes:    signIn.Scopes,
		Redirect:  signIn.Redirect,
		Extra:     signIn.Extra,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     tlsConfig,
			TLSHandshakeTimeout: 10 * time.Second,
			DisableKeepAlives:   true, // there are few requests, with long pauses
		},
	}
	if !signIn.Secret.IsZero() {
		client.Secret = a.OAuth.ResolveSecret
	}
	return client, nil
}
