package main

import (
	"context"
	"errors"
	"strings"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/config"
)

// config prints the configuration in force, or only reports whether it is valid. Without names it
// shows every account, also disabled ones.
func (p *program) config(ctx context.Context) error {
	choose := p.load
	if len(p.words) == 0 {
		choose = p.read
	}
	s, err := choose()
	if err != nil {
		return err
	}
	if len(p.words) == 0 {
		s.accounts = s.Accounts
	}
	if p.checkOnly {
		return s.checkFiles(ctx, len(p.words) > 0)
	}
	shown := *s.Config
	shown.Accounts = s.accounts
	var text strings.Builder
	if err := shown.Write(&text); err != nil {
		return err
	}
	return p.term.printf("%s", text.String())
}

// checkFiles returns the mistakes about files and programs that the accounts name. A disabled account
// may lack its files until it is enabled, or named on the command line.
func (s *setting) checkFiles(ctx context.Context, named bool) error {
	var mistakes config.Errors
	trusted := make(authorities)
	for i := range s.accounts {
		if !named && !s.accounts[i].Enabled {
			continue
		}
		var mistake *config.Error
		if _, err := readFiles(ctx, s, &s.accounts[i], trusted); errors.As(err, &mistake) {
			mistakes = append(mistakes, mistake)
		}
		if field, err := probe(ctx, &s.accounts[i]); err != nil {
			mistakes = append(mistakes, s.Mistake(&s.accounts[i], field, err))
		}
	}
	if len(mistakes) > 0 {
		return mistakes
	}
	return nil
}

// probe returns what keeps the account's target from taking messages, and the field that names the
// target. What was delivered before is not known here, so a missing Maildir is one to be made.
func probe(ctx context.Context, a *config.Account) (field *string, err error) {
	if a.Maildir != "" {
		return &a.Maildir, deliver.NewMaildir(a.Maildir).Probe(ctx, true)
	}
	return &a.MDA, (&deliver.MDA{Command: a.MDA}).Probe(ctx, true)
}
