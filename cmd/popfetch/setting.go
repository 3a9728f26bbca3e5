package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/oauth"
)

// setting is the configuration that a command works with.
type setting struct {
	*config.Config
	accounts []config.Account // the chosen accounts
	oneShot  bool             // made from options, not read from a file
	options  []string         // those that another command needs to find the same state
	// tokens returns where the tokens of an account are, or of the user of a mailbox.
	tokens func(name string) oauth.Store
	// faults are what is wrong with accounts of the database, by name.
	faults map[string]error
}

// load reads the configuration, or makes one from the options, and chooses the named accounts.
func (p *program) load(ctx context.Context) (*setting, error) {
	if p.command == "" && len(p.words) > 0 && config.IsReserved(p.words[0]) && !slices.Contains(p.commands, p.words[0]) {
		return nil, usagef("popfetch has no command %s, and no account can be called so; popfetch --help lists the commands", p.words[0])
	}
	s, err := p.read(ctx)
	if err != nil {
		return nil, err
	}
	names := p.words
	if s.oneShot {
		names = nil
	}
	if s.AccountsFrom == config.FromDatabase {
		return s, p.chooseStored(s)
	}
	if s.accounts, err = s.Select(names); err != nil {
		return nil, usageError{p.orCommand(err)}
	}
	return s, nil
}

// read is like load, but chooses no accounts.
func (p *program) read(ctx context.Context) (*setting, error) {
	_, oneShot := p.source.oneShot["server"]
	s := &setting{oneShot: oneShot}
	var err error
	if oneShot {
		s.Config, err = p.makeConfig()
	} else {
		s.Config, err = p.readFile()
	}
	if err != nil {
		return nil, err
	}
	if !oneShot {
		if err := p.useStateDir(s.Config); err != nil {
			return nil, err
		}
	}
	if s.options = p.source.options(); oneShot {
		s.options = []string{"--state-dir", s.StateDir}
	}
	s.tokens = p.tokenStore(s.Config)
	if s.AccountsFrom == config.FromDatabase {
		return s, p.takeAccounts(ctx, s)
	}
	return s, nil
}

// pathOf returns the path that an option gives, as an absolute one.
func pathOf(option, path string) (string, error) {
	path, err := config.Path(path)
	if err != nil {
		return "", usagef("--%s: %w", option, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", fmt.Errorf("--%s: finding the current folder: %w", option, err)
	}
	return path, nil
}

// orCommand adds the nearest command to an error about unknown names.
func (p *program) orCommand(err error) error {
	if p.command != "" || len(p.words) == 0 {
		return err
	}
	if near := config.Nearest(p.words[0], p.commands); len(near) > 0 {
		return errors.Join(err, fmt.Errorf("the command nearest to %q is %s", p.words[0], near[0]))
	}
	return err
}

// makeConfig makes the configuration from the options that replace a file.
func (p *program) makeConfig() (*config.Config, error) {
	if p.source.file != nil {
		return nil, usagef("--server needs no configuration file: leave out --config, or write the account into the file")
	}
	if len(p.words) > 0 {
		err := fmt.Errorf("%s: with --server no account can be named; leave out the name", p.words[0])
		return nil, usageError{p.orCommand(err)}
	}
	values := maps.Clone(p.source.oneShot)
	if p.source.stateDir != "" {
		values["state_dir"] = p.source.stateDir
	}
	if p.command == "check" || p.command == "list" {
		config.NoDelivery(values)
	}
	cfg, err := config.OneShot(values)
	if err == nil && p.delete {
		cfg.Accounts[0].Delete = config.Delete{Enabled: true}
	}
	return cfg, err
}

// readFile reads the configuration file.
func (p *program) readFile() (*config.Config, error) {
	for _, o := range config.Options() {
		if _, given := p.source.oneShot[o.Key]; given {
			return nil, usagef("--%s works only with --server, which replaces a configuration file", o.Name)
		}
	}
	if p.source.file != nil {
		path, err := pathOf("config", *p.source.file)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(*p.source.file, "~") { // mistakes are told with the path as it was given
			path = *p.source.file
		}
		return config.Load(path)
	}
	cfg, err := config.Load(config.DefaultPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w, or do without one: popfetch --once --server HOST --user NAME --maildir DIR", err)
	}
	return cfg, err
}

// account returns a chosen account, or an empty one if there is none of that name.
func (s *setting) account(name string) config.Account {
	for i := range s.accounts {
		if s.accounts[i].Name == name {
			return s.accounts[i]
		}
	}
	return config.Account{}
}

// intervals returns the time between two polls of each chosen account; 0 means that it is not polled.
func (s *setting) intervals() map[string]time.Duration {
	intervals := make(map[string]time.Duration, len(s.accounts))
	for i := range s.accounts {
		intervals[s.accounts[i].Name] = s.accounts[i].Interval
	}
	return intervals
}

// toPoll returns the chosen accounts that a resident popfetch polls.
func (s *setting) toPoll() (polled []*config.Account) {
	for i := range s.accounts {
		if s.accounts[i].Interval > 0 {
			polled = append(polled, &s.accounts[i])
		}
	}
	return polled
}

// tryAgain returns the command that has an account's quarantined messages tried again.
func (s *setting) tryAgain(name string) string {
	if s.oneShot {
		name = stateName(&s.accounts[0])
	}
	return s.commandLine("seen", "forget", name, "--quarantined")
}

// options returns the options by which another command finds the same state, from any folder.
func (s *source) options() (options []string) {
	if s.file != nil {
		options = append(options, "--config", absolute(*s.file))
	}
	if s.stateDir != "" {
		options = append(options, "--state-dir", absolute(s.stateDir))
	}
	return options
}

// absolute is pathOf for a path that a person reads.
func absolute(path string) string {
	if whole, err := pathOf("", path); err == nil {
		return whole
	}
	return path
}

func (s *setting) commandLine(words ...string) string { return proposed(s.options, words...) }

// proposed returns a command line of popfetch, as a person may copy it into a shell.
func proposed(options []string, words ...string) string {
	line := "popfetch"
	for _, word := range slices.Concat(words, options) {
		line += " " + shellWord(word)
	}
	return line
}

// waiting tells of so many quarantined messages, behind other words. Of none it says nothing.
func (s *setting) waiting(name string, quarantined int) string {
	if quarantined == 0 {
		return ""
	}
	return "; " + s.tryAgain(name) + " has what is quarantined tried again"
}

// stateName is the name of the state of an account that is made from options: it depends on server,
// user and target together.
func stateName(a *config.Account) string {
	place := a.Where()
	if len(a.Rcpt) > 0 {
		place += " for " + strings.Join(a.Rcpt, ",")
	}
	return fmt.Sprintf("%s at %s to %s", a.User, a.Server, place)
}

// shellWord quotes a word for a shell, if it needs that.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%+=:,./_-", r)
	}
	if word != "" && strings.TrimFunc(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// accountOf returns the chosen account whose run ended with err, or an empty account.
func (s *setting) accountOf(err error) config.Account {
	var run *fetch.Error
	if !errors.As(err, &run) {
		return config.Account{}
	}
	return s.account(run.Account)
}
