package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/oauth"
)

// logout removes what login has kept. Where the provider can, it revokes that first. If the provider
// is unreachable, nothing is removed, so that it can be tried again.
func (p *program) logout(ctx context.Context) error {
	if err := p.refuseServer(); err != nil {
		return err
	}
	if len(p.words) != 1 {
		return usagef("%s: name one account", p.command)
	}
	s, err := p.read()
	if err != nil {
		return err
	}
	if s.StateDir == "" {
		return noStateDir(s.Config)
	}
	name := p.words[0]
	client, err := s.clientOf(name)
	if err != nil {
		return err
	}
	revoked := false
	var refusal error
	err = oauth.NewFile(s.StateDir, name).Remove(ctx, func(grant *oauth.Grant) (err error) {
		if client != nil && client.Owns(grant) {
			revoked, err = client.Revoke(ctx, grant)
		}
		if fault := (*oauth.Error)(nil); errors.As(err, &fault) && fault.Fault == oauth.Refused {
			refusal, err = err, nil // the next try would end in the same way
		}
		return err
	})
	const settings = "to end popfetch's access, use the settings of your account there"
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case refusal != nil:
		return fmt.Errorf("%s: the tokens are removed here, but not revoked: %w; %s", name, refusal, settings)
	case revoked:
		return p.term.printf("%s: signed out; %s has revoked the tokens\n", name, client.Provider)
	}
	return p.term.printf("%s: signed out: the tokens are removed here; the provider cannot revoke them from here; %s\n", name, settings)
}

// clientOf returns the client of an account, or nil if the account has none any more.
func (s *setting) clientOf(name string) (*oauth.Client, error) {
	at := slices.IndexFunc(s.Accounts, func(a config.Account) bool { return a.Name == name })
	if at < 0 || s.Accounts[at].OAuth.ClientID == "" {
		return nil, nil
	}
	return s.oauthClient(&s.Accounts[at], make(authorities))
}
