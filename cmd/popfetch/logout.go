package main

import (
	"context"
	"errors"
	"fmt"

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
	s, err := p.read(ctx)
	if err != nil {
		return err
	}
	if s.StateDir == "" && s.State == "" {
		return noStateDir(s.Config)
	}
	if fault := s.faults[p.words[0]]; fault != nil {
		return fault
	}
	users := []*config.Account{{Name: p.words[0]}} // the account may have no client any more
	for i := range s.Accounts {
		if signIns := s.signIns(&s.Accounts[i]); s.Accounts[i].Name == p.words[0] && len(signIns) > 0 {
			users = signIns
		}
	}
	for _, user := range users {
		err = errors.Join(err, p.logoutUser(ctx, s, user))
	}
	return err
}

// logoutUser signs out an account, or the user of a mailbox.
func (p *program) logoutUser(ctx context.Context, s *setting, user *config.Account) error {
	name := user.Name
	var client *oauth.Client
	var err error
	if user.OAuth.ClientID != "" {
		if client, err = s.oauthClient(user, make(authorities)); err != nil {
			return err
		}
	}
	revoked := false
	var refusal error
	err = s.tokens(name).Remove(ctx, func(grant *oauth.Grant) (err error) {
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
