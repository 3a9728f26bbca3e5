package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
)

// setting is the configuration that a command works with.
type setting struct {
	*config.Config
	accounts []config.Account // chosen
	oneShot  bool             // made of options, not read from a file
}

// load reads the configuration, or makes one of the options, and chooses the accounts that are
// named.
func (p *program) load() (*setting, error) {
	s, err := p.read()
	if err != nil {
		return nil, err
	}
	names := p.words
	if s.oneShot {
		names = nil
	}
	if s.accounts, err = s.Select(names); err != nil {
		return nil, usageError{p.orCommand(err)}
	}
	return s, nil
}

// read is load without the choice.
func (p *program) read() (*setting, error) {
	if p.keep && p.delete {
		return nil, usagef("--keep and --delete contradict each other")
	}
	if p.jobs != nil && *p.jobs < 1 {
		return nil, usagef("--jobs %d: at least one account must be at work", *p.jobs)
	}
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
	if dir := p.source.stateDir; dir != "" && !oneShot {
		s.StateDir, err = absolute(dir)
	}
	return s, err
}

// orCommand adds to an error about names the command that the first of them may be a slip of.
func (p *program) orCommand(err error) error {
	if p.command != "popfetch" || len(p.words) == 0 {
		return err
	}
	if near := config.Nearest(p.words[0], p.commands); len(near) > 0 {
		return errors.Join(err, fmt.Errorf("the command nearest to %q is %s", p.words[0], near[0]))
	}
	return err
}

// makeConfig makes the configuration of the options that stand for a file.
func (p *program) makeConfig() (*config.Config, error) {
	if p.source.file != nil {
		return nil, usagef("--server needs no configuration file: leave out --config, or write the account into the file")
	}
	if len(p.words) > 0 {
		return nil, usagef("%s: with --server there is no account to be named", p.words[0])
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
	if _, oneShot := p.source.oneShot["server"]; oneShot {
		return nil, usagef("%s: --server is for fetching; the records are found by --state-dir alone", p.command)
	}
	for _, o := range config.Options() {
		if _, given := p.source.oneShot[o.Key]; given {
			return nil, usagef("--%s goes with --server, which takes the place of a configuration file", o.Name)
		}
	}
	if p.source.file != nil {
		return config.Load(*p.source.file)
	}
	cfg, err := config.Load(config.DefaultPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w, or do without one: popfetch --once --server HOST --user NAME --maildir DIR", err)
	}
	return cfg, err
}

// accountOf returns the account whose run an error has ended, an empty one if it was none that is
// chosen.
func (s *setting) accountOf(err error) config.Account {
	var run *fetch.Error
	if !errors.As(err, &run) {
		return config.Account{}
	}
	for i := range s.accounts {
		if s.accounts[i].Name == run.Account {
			return s.accounts[i]
		}
	}
	return config.Account{}
}
