package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// oneShotOptions are the options that stand for a configuration file, by their configuration key.
var oneShotOptions = map[string]string{
	"server": "server", "user": "user", "tls": "tls", "tls-ca": "tls_ca", "tls-fingerprint": "tls_fingerprint", "auth": "auth",
	"password-file": "password_file", "password-command": "password_command", "maildir": "maildir", "mda": "mda",
}

// setting is a configuration with what the command line changes of it.
type setting struct {
	*config.Config
	accounts []config.Account // chosen by name
	oneShot  bool
	cli      *cli.Context
}

// load reads the configuration, or makes one of the one-shot options, and picks the accounts that are named.
func (p *program) load(c *cli.Context) (*setting, error) {
	if c.Bool("keep") && c.Bool("delete") {
		return nil, usagef("--keep and --delete contradict each other")
	}
	if c.IsSet("jobs") && c.Int("jobs") < 1 {
		return nil, usagef("--jobs %d: at least one account must be at work", c.Int("jobs"))
	}
	p.verbosity = c.Count("verbose")
	s := &setting{cli: c, oneShot: c.IsSet("server")}
	var err error
	if s.oneShot {
		s.Config, err = p.oneShot(c)
	} else {
		s.Config, err = readFile(c)
	}
	if err != nil {
		return nil, err
	}
	if dir := c.String("state-dir"); dir != "" && !s.oneShot {
		if s.StateDir, err = absolute(dir); err != nil {
			return nil, err
		}
	}
	names := c.Args().Slice()
	if s.oneShot {
		names = nil
	}
	if c.Command.Name == "config" && len(names) == 0 { // disabled ones too
		s.accounts = s.Accounts
		return s, nil
	}
	if s.accounts, err = s.Select(names); err != nil {
		return nil, usageError{orCommand(c, err)}
	}
	p.accounts = s.accounts
	return s, nil
}

// orCommand adds to an error about names the command that the first of them may be a slip of.
func orCommand(c *cli.Context, err error) error {
	if c.Command.Name != c.App.Name { // a command was given
		return err
	}
	var commands []string
	for _, command := range c.App.Commands {
		commands = append(commands, command.Name)
	}
	if near := config.Nearest(c.Args().First(), commands); len(near) > 0 {
		return errors.Join(err, fmt.Errorf("the command nearest to %q is %s", c.Args().First(), near[0]))
	}
	return err
}

func (p *program) oneShot(c *cli.Context) (*config.Config, error) {
	if c.IsSet("config") {
		return nil, usagef("--server needs no configuration file: leave out --config, or write the account into the file")
	}
	if c.Args().Present() {
		return nil, usagef("%s: with --server there is no account to be named", c.Args().First())
	}
	values := make(map[string]string)
	for option, key := range oneShotOptions {
		if c.IsSet(option) {
			values[key] = c.String(option)
		}
	}
	if c.Bool("delete") {
		values["delete"] = "delivered"
	}
	if dir := c.String("state-dir"); dir != "" {
		values["state_dir"] = dir
	}
	_, maildir := values["maildir"]
	_, mda := values["mda"]
	if name := c.Command.Name; (name == "check" || name == "list") && !maildir && !mda {
		values["mda"] = "false" // These two deliver nothing; a program is not asked what it holds, nor made.
	}
	return config.OneShot(values)
}

func readFile(c *cli.Context) (*config.Config, error) {
	if c.IsSet("server") {
		return nil, usagef("%s: --server is for fetching; the records are found by --state-dir alone", c.Command.Name)
	}
	for option := range oneShotOptions {
		if c.IsSet(option) {
			return nil, usagef("--%s goes with --server, which takes the place of a configuration file", option)
		}
	}
	if c.IsSet("config") {
		return config.Load(c.String("config"))
	}
	cfg, err := config.Load(config.DefaultPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w, or do without one: popfetch --once --server HOST --user NAME --maildir DIR", err)
	}
	return cfg, err
}

// checkFiles reports what is wrong with the files that the accounts name.
func (s *setting) checkFiles() error {
	var mistakes config.Errors
	for i := range s.accounts {
		var mistake *config.Error
		if _, err := readFiles(s, &s.accounts[i]); errors.As(err, &mistake) {
			mistakes = append(mistakes, mistake)
		}
	}
	if len(mistakes) > 0 {
		return mistakes
	}
	return nil
}

// fetchAccounts makes values for the engine of all chosen accounts. Nothing is contacted yet; every fault here is one of
// the configuration.
func (p *program) fetchAccounts(s *setting) ([]fetch.Account, error) {
	accounts := make([]fetch.Account, 0, len(s.accounts))
	var mistakes config.Errors
	for i := range s.accounts {
		account, err := p.fetchAccount(s, &s.accounts[i])
		var mistake *config.Error
		switch {
		case errors.As(err, &mistake):
			mistakes = append(mistakes, mistake)
		case err != nil:
			return nil, err
		}
		accounts = append(accounts, account)
	}
	if len(mistakes) > 0 {
		return nil, mistakes
	}
	return accounts, nil
}

func (p *program) fetchAccount(s *setting, a *config.Account) (fetch.Account, error) {
	tlsConfig, err := readFiles(s, a)
	if err != nil {
		return fetch.Account{}, err
	}
	credentials := &fetch.Credentials{User: a.User, Password: a.Password.Resolve, External: a.TLSCert != ""}
	for _, name := range a.Auth {
		credentials.Mechanisms = append(credentials.Mechanisms, fetch.Mechanism(name))
	}
	if a.Password.IsZero() && !slices.Equal(a.Auth, []string{string(fetch.External)}) {
		if credentials.Password, err = p.term.askPassword(s, a); err != nil {
			return fetch.Account{}, err
		}
	}
	account := fetch.Account{
		Name:   a.Name,
		Server: a.Server,
		User:   a.User,
		POP3: pop3.Options{
			TLS:             tlsModes[a.TLS],
			TLSConfig:       tlsConfig,
			DialTimeout:     min(a.Timeout, maxDialTimeout),
			GreetingTimeout: a.Timeout,
			ReplyTimeout:    a.Timeout,
			StallTimeout:    a.Timeout,
		},
		Login:           credentials.Login,
		Changed:         credentials.Changed,
		Shared:          s.sharing(a),
		Delete:          fetch.DeletePolicy{Enabled: a.Delete.Enabled, After: a.Delete.After},
		All:             s.cli.Bool("all"),
		MaxSize:         a.MaxSize,
		Initial:         fetch.InitialPolicy{Limited: a.Initial.Limited, Within: a.Initial.Within},
		NewUIDs:         newUIDs[a.NewUIDs],
		Newest:          a.Order == "newest",
		QuarantineAfter: a.QuarantineAfter,
		Deadline:        a.Deadline,
		Interval:        a.Interval,
	}
	account.UIDLFallback = a.UIDL == "fallback"
	if a.Pipelining == "never" {
		account.POP3.Window = 1
	}
	if p.verbosity >= 2 {
		account.POP3.Trace = p.term.trace(a.Name)
	}
	switch {
	case s.cli.Bool("keep"):
		account.Delete = fetch.DeletePolicy{}
	case s.cli.Bool("delete"):
		account.Delete = fetch.DeletePolicy{Enabled: true}
	}
	var place string
	if a.Maildir != "" {
		account.Target, place = deliver.NewMaildir(a.Maildir), "maildir "+a.Maildir
	} else {
		account.Target = &deliver.MDA{Command: a.MDA, Timeout: a.MDATimeout, Deliveries: a.MaxDeliveries}
		place = "mda " + a.MDA
	}
	if s.oneShot { // its state belongs to server, user and target together
		account.State = fmt.Sprintf("%s at %s to %s", a.User, a.Server, place)
	}
	return account, nil
}

// sharing returns the other accounts in use that are of a's maildrop.
func (s *setting) sharing(a *config.Account) []string {
	var names []string
	for _, other := range s.Accounts {
		chosen := slices.ContainsFunc(s.accounts, func(c config.Account) bool { return c.Name == other.Name })
		if other.Name != a.Name && (other.Enabled || chosen) && strings.EqualFold(other.Server, a.Server) && other.User == a.User {
			names = append(names, other.Name)
		}
	}
	return names
}

// readFiles reads the files that the account names, so that a fault of theirs is told, as a *config.Error, before anything is
// contacted. A password is read again at each log-in: it may change while popfetch polls.
func readFiles(s *setting, a *config.Account) (*tls.Config, error) {
	c, key, err := tlsConfig(a)
	if err == nil && (a.Password.File != "" || a.Password.Credential != "") {
		key = "password_file"
		if a.Password.Credential != "" {
			key = "password_credential"
		}
		_, err = a.Password.Resolve(s.cli.Context)
		err = errors.Unwrap(err) // its text begins with the key
	}
	if err != nil {
		return nil, s.Mistake(a.Name, key, err)
	}
	return c, nil
}

// maxDialTimeout is the longest wait for one address, so that a second one gets its turn.
const maxDialTimeout = 30 * time.Second

var tlsModes = map[string]pop3.TLSMode{"implicit": pop3.TLSImplicit, "starttls": pop3.TLSStart, "none": pop3.TLSNone}

var newUIDs = map[string]fetch.NewUIDs{"match": fetch.NewUIDsMatch, "fetch": fetch.NewUIDsFetch, "stop": fetch.NewUIDsStop}

// openStore opens the seen-table of the setting.
func (s *setting) openStore(ctx context.Context) (*sqlite.Store, error) {
	return s.openStoreBy(ctx, sqlite.Open)
}

// openStoreToLook opens it for a command that fetches nothing, and makes nothing.
func (s *setting) openStoreToLook(ctx context.Context) (*sqlite.Store, error) {
	return s.openStoreBy(ctx, sqlite.OpenExisting)
}

func (s *setting) openStoreBy(ctx context.Context, open func(context.Context, string) (*sqlite.Store, error)) (*sqlite.Store, error) {
	if s.StateDir == "" {
		return nil, config.Errors{{File: s.File, Key: "state_dir", Err: errors.New("there is no home folder and so no default; write state_dir or say --state-dir")}}
	}
	store, err := open(ctx, s.StateDir)
	if err != nil {
		return nil, fmt.Errorf("the state in %s: %w", s.StateDir, err)
	}
	return store, nil
}
