package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/headerfilter"
	"github.com/popfetch/popfetch/internal/kerberos"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/tunnel"
	"github.com/popfetch/popfetch/pop3"
)

// fetchAccounts makes the engine's values for all chosen accounts. It contacts no server, so every
// error is one of the configuration. An account that lacks a password fails alone, by its Lacks, and so
// does one of the database that has any mistake. If there is no other account, that is an error too.
func (p *program) fetchAccounts(ctx context.Context, s *setting) ([]fetch.Account, error) {
	accounts := make([]fetch.Account, 0, len(s.accounts))
	var mistakes config.Errors
	shared, trusted, origin := s.shared(), make(authorities), s.origin()
	for i := range s.accounts {
		a := &s.accounts[i]
		account, err := p.fetchAccount(ctx, s, a, trusted)
		var mistake *config.Error
		switch fault := s.faults[a.Name]; {
		case fault != nil:
			account = lacking(a, fault)
		case errors.As(err, &mistake) && s.AccountsFrom == config.FromDatabase:
			account = lacking(a, mistake)
		case errors.As(err, &mistake):
			mistakes = append(mistakes, mistake)
		case err != nil:
			return nil, err
		}
		account.Shared, account.Origin = shared[a.Name], origin
		accounts = append(accounts, account)
	}
	waits := p.polls() && s.AccountsFrom == config.FromDatabase // for an account that can be worked on
	if len(mistakes) == 0 && !waits && !slices.ContainsFunc(accounts, func(a fetch.Account) bool { return a.Lacks == nil }) {
		for i := range accounts {
			var mistake *config.Error
			if errors.As(accounts[i].Lacks, &mistake) {
				mistakes = append(mistakes, mistake)
			}
		}
	}
	if len(mistakes) > 0 {
		return nil, mistakes
	}
	return accounts, nil
}

func (p *program) fetchAccount(ctx context.Context, s *setting, a *config.Account, trusted authorities) (fetch.Account, error) {
	tlsConfig, err := readFiles(ctx, s, a, trusted)
	if err != nil {
		return fetch.Account{}, err
	}
	credentials, lacks, err := p.credentials(s, a, trusted)
	if err != nil {
		return fetch.Account{}, err
	}
	account := fetch.Account{
		Name:   a.Name,
		Server: a.Server,
		User:   a.User,
		POP3: pop3.Options{
			TLS:             tlsModes[a.TLS],
			TLSConfig:       tlsConfig,
			OldTLS:          a.TLSLegacy,
			DialTimeout:     min(a.Timeout, maxDialTimeout),
			GreetingTimeout: a.Timeout,
			ReplyTimeout:    a.Timeout,
			StallTimeout:    a.Timeout,
			Octets:          login.Charset(a.CredentialsCharset).Octets(),
		},
		Login:   credentials.Login,
		Changed: credentials.Changed,
		Mark:    credentials.Mark,
		Lacks:   lacks,
		Policy: fetch.Policy{
			Delete:          p.deletePolicy(&a.Delete),
			All:             p.all,
			MaxSize:         a.MaxSize,
			Newest:          a.Order == "newest",
			Headers:         a.OnNew != "",
			Initial:         fetch.InitialPolicy{Limited: a.Initial.Limited, Within: a.Initial.Within, Chosen: s.Wrote(a, &a.Initial)},
			NewUIDs:         newUIDs[a.NewUIDs],
			UIDLFallback:    a.UIDL == "fallback",
			QuarantineAfter: a.QuarantineAfter,
			Select:          p.selection(a),
		},
		Around: aroundRun(s, a),
		Times:  fetch.Times{Deadline: a.Deadline, TellAfter: a.TellAfter},
	}
	if a.FilterHeaders != "" {
		account.FilterHeaders = headerfilter.New(a.FilterHeaders,
			headerfilter.Options{Timeout: a.MDATimeout, AtOnce: a.MaxDeliveries, Envelope: a.EnvelopeHeader})
	}
	switch {
	case a.ConnectCommand != "":
		account.POP3.Dial = tunnel.Command(a.ConnectCommand)
	case !a.Proxy.IsZero():
		account.POP3.Dial = tunnel.Proxy(a.Proxy).Dial
	}
	if a.Pipelining == "never" {
		account.POP3.Window = 1
	}
	if p.view.verbosity >= 2 {
		account.POP3.Trace = p.term.trace(a.Name)
	}
	if s.oneShot {
		account.State = stateName(a)
	}
	account.Target, err = p.target(ctx, s, a, trusted)
	return account, err
}

// selection returns what an account takes in a pass, with what the options say for this run.
func (p *program) selection(a *config.Account) fetch.SelectPolicy {
	switch p.command {
	case "", workerCommand:
	case "list", "check": // they show what a pass would leave to a later one as new
		return fetch.SelectPolicy{Within: a.Since.Within, Since: a.Since.Date}
	default:
		return fetch.SelectPolicy{}
	}
	chosen := fetch.SelectPolicy{Messages: a.MaxMessages, Octets: a.MaxOctets, Within: a.Since.Within, Since: a.Since.Date,
		Session: a.SessionMessages, Drain: p.drain, Only: p.only()}
	if p.limit != nil && (chosen.Messages == 0 || *p.limit < chosen.Messages) {
		chosen.Messages = *p.limit
	}
	return chosen
}

// deletePolicy returns the rules of an account, with what the options say for this run.
func (p *program) deletePolicy(d *config.Delete) fetch.DeletePolicy {
	return fetch.DeletePolicy{
		Enabled: d.Enabled, After: d.After, Larger: d.LargerThan, Newest: d.KeepNewest, Removed: d.Removed,
		Imported: d.Imported, Verify: d.Verify, Keep: p.keep, All: p.delete,
	}
}

// credentials returns the credentials of an account. If no source is configured for the password, a
// person is asked for it during the log-in. The error lacks says that nobody can be asked.
func (p *program) credentials(s *setting, a *config.Account, trusted authorities) (c *login.Credentials, lacks, err error) {
	c = ways(a)
	c.Password = func(ctx context.Context) (string, error) { return a.Password.Resolve(ctx, a.User) }
	if !a.OAuth.IsZero() {
		return c, nil, s.useTokens(c, a, a.Name, trusted)
	}
	if !a.Password.IsZero() || a.Secretless() {
		return c, nil, nil
	}
	c.Password, c.Asks = p.term.passwordAsker(s.FileOf(a.Name), a), true
	return c, mayAsk(s.FileOf(a.Name), a), nil
}

// ways returns credentials without the secret. They tell which ways to log in an account has.
func ways(a *config.Account) *login.Credentials {
	c := &login.Credentials{User: a.User, External: a.TLSCert != "", Bearer: !a.OAuth.IsZero(),
		Charset: login.Charset(a.CredentialsCharset), Addr: a.Server,
		Kerberos: kerberos.Places{Cache: os.Getenv("KRB5CCNAME"), Config: os.Getenv("KRB5_CONFIG")}}
	for _, name := range a.Auth {
		c.Mechanisms = append(c.Mechanisms, login.Mechanism(name))
	}
	return c
}

// shared returns, for each account in use, the other accounts in use with the same maildrop.
// Thousands of accounts may share one maildrop. So the lists of one maildrop are parts of one
// array.
func (s *setting) shared() map[string][]string {
	type maildrop struct{ server, user string }
	chosen := make(map[string]bool, len(s.accounts))
	for i := range s.accounts {
		chosen[s.accounts[i].Name] = true
	}
	sharers := make(map[maildrop][]string)
	for i := range s.Accounts {
		if a := &s.Accounts[i]; a.Enabled || chosen[a.Name] {
			drop := maildrop{strings.ToLower(a.Server), a.User}
			sharers[drop] = append(sharers[drop], a.Name)
		}
	}
	shared := make(map[string][]string)
	for _, names := range sharers {
		twice := append(names, names...) // the others of a name are between its two occurrences
		for i, name := range names {
			shared[name] = twice[i+1 : i+len(names) : i+len(names)]
		}
	}
	return shared
}

// origin returns where the accounts come from. An account made of options comes from nowhere.
//
// Several configuration files may share a state folder. So an account that another file has fetched
// is looked up there. If that file cannot be read, the account may still stand in it.
func (s *setting) origin() fetch.Origin {
	if s.File == "" {
		return fetch.Origin{Command: s.commandLine}
	}
	own, err := filepath.Abs(s.File)
	if err != nil {
		own = s.File
	}
	return fetch.Origin{File: own, Command: s.commandLine, Has: func(file, name string) bool {
		named := func(a config.Account) bool { return a.Name == name }
		if file == "" || file == own || slices.ContainsFunc(s.Accounts, named) {
			return slices.ContainsFunc(s.Accounts, named)
		}
		other, err := config.Load(file)
		if err != nil {
			return !errors.Is(err, fs.ErrNotExist)
		}
		return slices.ContainsFunc(other.Accounts, named)
	}}
}

// readFiles reads the files that the account names. An error is a *config.Error, which is reported
// before a server is contacted. A password is read again at each log-in, because it may change
// while popfetch polls.
func readFiles(ctx context.Context, s *setting, a *config.Account, trusted authorities) (*tls.Config, error) {
	c, field, err := tlsConfig(a, trusted)
	if err == nil && (a.Password.File != "" || a.Password.Credential != "") {
		field = &a.Password.File
		if a.Password.Credential != "" {
			field = &a.Password.Credential
		}
		_, err = a.Password.Resolve(ctx, a.User)
		if secret := (*config.SecretError)(nil); errors.As(err, &secret) {
			err = secret.Err // the mistake names the key already
		}
	}
	if err != nil {
		return nil, s.Mistake(a, field, err)
	}
	return c, nil
}

// maxDialTimeout bounds the wait for one address, so that there is time for a second one.
const maxDialTimeout = 30 * time.Second

var tlsModes = map[string]pop3.TLSMode{"implicit": pop3.TLSImplicit, "starttls": pop3.TLSStart, "none": pop3.TLSNone}

var newUIDs = map[string]fetch.NewUIDs{"match": fetch.NewUIDsMatch, "fetch": fetch.NewUIDsFetch, "stop": fetch.NewUIDsStop}
