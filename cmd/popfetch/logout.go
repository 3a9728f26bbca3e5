package main

import (
	"context"
	"fmt"

	"github.com/popfetch/popfetch/internal/oauth"
)

// logout removes what login has kept. Where the provider can, it revokes that first. If this fails,
// nothing is removed, so that it can be tried again.
func (p *program) logout(ctx context.Context) error {
	s, a, err := p.signInAccount()
	if err != nil {
		return err
	}
	client, err := s.oauthClient(a, make(authorities))
	if err != nil {
		return err
	}
	revoked := false
	err = oauth.NewFile(s.StateDir, a.Name).Remove(ctx, func(grant *oauth.Grant) (err error) {
		if client.Owns(grant) {
			revoked, err = client.Revoke(ctx, grant)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", a.Name, err)
	}
	if revoked {
		return p.term.printf("%s: signed out; %s has revoked the tokens\n", a.Name, client.Provider)
	}
	return p.term.printf("%s: signed out, and the tokens are removed here; %s cannot revoke them from here: to end popfetch's access, use the settings of your account there\n",
		a.Name, client.Provider)
}
