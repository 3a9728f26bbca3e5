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
	s, err := choose(ctx)
	if err != nil {
		return err
	}
	if len(p.words) == 0 {
		s.accounts = s.Accounts
	}
	if p.checkOnly {
		return p.checkFiles(ctx, s, len(p.words) > 0)
	}
	shown := *s.Config
	shown.Accounts = s.accounts
	var text strings.Builder
	if err := shown.Write(&text); err != nil {
		return err
	}
	return p.term.printf("%s", text.String())
}

// checkFiles returns the mistakes about the URL of the state, and about files and programs that the
// accounts name. A disabled account may lack its files until it is enabled, or named on the command
// line.
func (p *program) checkFiles(ctx context.Context, s *setting, named bool) error {
	mistakes := checkDatabase(s.Config)
	trusted := make(authorities)
	for i := range s.accounts {
		if !named && !s.accounts[i].Enabled {
			continue
		}
		var mistake *config.Error
		if _, err := readFiles(ctx, s, &s.accounts[i], trusted); errors.As(err, &mistake) {
			mistakes = append(mistakes, mistake)
		}
		mistakes = append(mistakes, p.probe(ctx, s, &s.accounts[i], trusted)...)
	}
	if len(mistakes) > 0 {
		return mistakes
	}
	return nil
}

// probe returns what keeps the account's targets and filters on this machine from taking messages. What
// was delivered before is not known here, so a missing Maildir is one to be made. No server is
// contacted.
func (p *program) probe(ctx context.Context, s *setting, a *config.Account, trusted authorities) (mistakes config.Errors) {
	m := &assembly{p: p, s: s, account: a, trusted: trusted}
	used := s.Uses(a)
	for i := range used {
		t := &used[i]
		place, err := m.open(ctx, t)
		var mistake *config.Error
		if errors.As(err, &mistake) {
			mistakes = append(mistakes, mistake)
		}
		prober, ok := place.(deliver.Prober)
		if err != nil || !ok || t.LMTP != "" || t.SMTP != "" || !t.IMAP.IsZero() {
			continue
		}
		if err := prober.Probe(ctx, true); err != nil {
			mistakes = append(mistakes, m.mistake(t, err))
		}
	}
	for _, command := range []*string{&a.Filter, &a.FilterHeaders} {
		filter, _ := deliver.NewFilter(deliver.Filter{Command: *command}, deliver.Drop{}).(deliver.Prober)
		if err := filter.Probe(ctx, true); err != nil {
			mistakes = append(mistakes, s.Mistake(a, command, err))
		}
	}
	return mistakes
}
