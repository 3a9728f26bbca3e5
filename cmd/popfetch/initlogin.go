package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/login"
)

// askSecret asks for the password and tries the log-in. If the server refuses it, both user name and
// password are asked for again.
func (in *interview) askSecret(ctx context.Context) error {
	if in.signsIn() {
		return in.askClient(ctx)
	}
	for try := 1; ; try++ {
		if err := in.askPassword(ctx); err != nil {
			return err
		}
		err := in.logIn(ctx)
		if err == nil || !isRefused(err) || in.hasSource() || try == tries {
			return err
		}
		hint := ""
		if strings.Contains(in.get("user"), "@") {
			hint = "Some servers want only the part before the @ as user name.\n"
		}
		if err := in.say("%v\n%s", err, hint); err != nil {
			return err
		}
		if err := in.askUser(ctx); err != nil {
			return err
		}
	}
}

// askPassword asks for the password, unless an option gives its source.
func (in *interview) askPassword(ctx context.Context) error {
	if in.hasSource() {
		return nil
	}
	question := "Password (it is not shown): "
	for try := 1; ; try++ {
		password, err := in.p.term.ask(ctx, question)
		if err != nil {
			return asked(err)
		}
		in.account.Password = string(password)
		clear(password)
		if in.account.Password != "" {
			return in.mistake("password_file")
		}
		if try == tries {
			return &runError{[]int{exitNoPerm}}
		}
	}
}

// isRefused reports whether the server has refused user name or password.
func isRefused(err error) bool {
	var failed *login.Error
	return errors.As(err, &failed) && failed.Fault == login.Refused
}

// logIn looks at the maildrop as popfetch check does, with the account as it will be written.
func (in *interview) logIn(ctx context.Context) error {
	cfg, err := config.Preview(in.path, in.account)
	if err != nil {
		return err
	}
	accounts, err := cfg.Select([]string{in.account.Name})
	if err != nil {
		return err
	}
	if in.account.Password != "" { // its file is not written yet
		accounts[0].Password = config.Secret{Password: in.account.Password}
	}
	s := &setting{Config: cfg, accounts: accounts, options: in.p.source.options()}
	if err := in.p.useStateDir(cfg); err != nil {
		return err
	}
	account, err := in.p.fetchAccount(ctx, s, &accounts[0], make(authorities))
	if err != nil {
		return err
	}
	if account.Lacks != nil {
		return account.Lacks
	}
	store, err := in.p.openStore(ctx, cfg, toRead)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	if err := in.say("Logging in ...\n"); err != nil {
		return err
	}
	survey, err := in.p.runner(s, store, &reporter{term: in.p.term, view: in.p.view, setting: s}).Check(ctx, &account)
	if err != nil {
		return fmt.Errorf("%w%s", err, s.mend(err))
	}
	if survey.Unready != nil {
		return survey.Unready
	}
	in.tellMaildrop(survey)
	return nil
}

// tellMaildrop keeps for the end what the maildrop holds.
func (in *interview) tellMaildrop(survey *fetch.Survey) {
	octets, fresh := totals(survey)
	in.mailbox = fmt.Sprintf("Logged in: %d messages (%d octets), %d of them new.\n", len(survey.Listing), octets, fresh)
}

// askClient asks for the OAuth 2 client that the person has registered. The sign-in comes later, by
// popfetch login.
func (in *interview) askClient(ctx context.Context) error {
	err := in.say("docs/providers.md shows how to register a client with %s, which takes some minutes.\n", in.found.Provider.Name)
	if err != nil {
		return err
	}
	_, err = in.ask(ctx, "Client id", "", func(answer string) error {
		in.set("oauth", []config.Setting{{Key: "provider", Value: in.found.Provider.OAuth}, {Key: "client_id", Value: answer}})
		return in.mistake("client_id")
	})
	return err
}
