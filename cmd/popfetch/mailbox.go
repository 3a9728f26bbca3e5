package main

import (
	"github.com/popfetch/popfetch/internal/config"
)

// mailboxUser returns the user of a target's mailbox as an account, because the keys about trust and
// tokens mean the same for both. Its name is no account's. Accounts that use the mailbox share it, and
// so the sign-in.
func mailboxUser(t *config.Target) *config.Account {
	return &config.Account{
		Name: "imap " + t.IMAP.User + " " + t.IMAP.Server, User: t.IMAP.User, Server: t.IMAP.Server,
		TLSCA: t.IMAPTLSCA, TLSFingerprint: t.IMAPTLSFingerprint, OAuth: t.Tokens(),
	}
}

// signIns returns what is signed in for with OAuth 2: the account itself, and the users of the
// mailboxes that its mail goes to.
func (s *setting) signIns(a *config.Account) (users []*config.Account) {
	if a.OAuth.ClientID != "" {
		users = append(users, a)
	}
	used := s.Uses(a)
	for i := range used {
		if used[i].IMAPOAuth.ClientID != "" {
			users = append(users, mailboxUser(&used[i]))
		}
	}
	return users
}

// signInMistake returns err as a mistake of a field of what signIns has returned.
func (s *setting) signInMistake(a *config.Account, field any, err error) error {
	for i := range s.Accounts {
		if s.Accounts[i].Name == a.Name {
			return s.Mistake(a, field, err)
		}
	}
	return &config.Error{File: s.File, Key: a.Name, Err: err}
}
