package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/oauth"
)

// tokens returns the functions that give an account's access tokens, and replace refused ones.
func (s *setting) tokens(a *config.Account, trusted authorities) (token func(context.Context) (string, error), renew func(context.Context, string) (string, error), err error) {
	if a.OAuth.ClientID == "" {
		return a.OAuth.Token, func(ctx context.Context, _ string) (string, error) { return a.OAuth.Token(ctx) }, nil
	}
	client, err := s.oauthClient(a, trusted)
	if err != nil {
		return nil, nil, err
	}
	source := &oauth.Source{
		Client: client,
		File:   oauth.NewFile(s.StateDir, a.Name),
		Own:    a.OAuth.SignIn().Flow == "client_credentials",
		SignIn: s.commandLine("login", a.Name),
	}
	return source.Token, source.Renew, nil
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
			return nil, s.Mistake(a, &a.TLSCA, err)
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
