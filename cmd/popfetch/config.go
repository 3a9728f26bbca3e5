package main

import (
	"context"
	"errors"
	"strings"

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
		return s.checkFiles(ctx)
	}
	shown := *s.Config
	shown.Accounts = s.accounts
	var text strings.Builder
	if err := shown.Write(&text); err != nil {
		return err
	}
	return p.term.printf("%s", text.String())
}

// checkFiles returns the mistakes about files that the accounts name.
func (s *setting) checkFiles(ctx context.Context) error {
	var mistakes config.Errors
	trusted := make(authorities)
	for i := range s.accounts {
		var mistake *config.Error
		if _, err := readFiles(ctx, s, &s.accounts[i], trusted); errors.As(err, &mistake) {
			mistakes = append(mistakes, mistake)
		}
	}
	if len(mistakes) > 0 {
		return mistakes
	}
	return nil
}
