// Package config reads the configuration file into checked values.
//
// The file is TOML; popfetch.toml(5) describes it, and every key that is known
// has one row in keys.go, and everything else derives from that. Load reads a file, OneShot takes the same keys from the
// command line; both return a Config in which nothing is left to check: times
// are durations, paths are absolute, ports are filled in, and [defaults] has
// been applied.
//
//	cfg, err := config.Load(config.DefaultPath())
//	accounts, err := cfg.Select([]string{"work"})
//	password, err := accounts[0].Password.Resolve(ctx)
//
// All mistakes are reported at once, as Errors, each with file, line, key and
// the mend. No error holds a password, and neither does what Write and the
// verbs of package fmt show. Passwords are read when Secret.Resolve is called,
// not before: a configuration can be checked without the command that prints
// the password being run.
//
// Limits: a file is at most 1 MiB, and other files cannot be included yet.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Config is a whole configuration, checked.
type Config struct {
	File     string    // as given to Load; "" for one-shot use
	StateDir string    // absolute; empty where none is written and there is no home folder
	Jobs     int       // accounts at work at once, at least 1
	Accounts []Account // in the file's order

	lines map[string]int // of the file, by dotted name
}

// Mistake says what is wrong with the value of one key, where it is written: at
// the account, in [defaults], or as an option. The key is the one that fills the
// field at address. That is a field of a, which may be a copy of an account of c;
// if a is nil, it is a field of c.
func (c *Config) Mistake(a *Account, address any, err error) *Error {
	top := place{source: &source{file: c.File, lines: c.lines}}
	if a == nil {
		at, _ := topKeys.place(c, address, top)
		return at.mistake(err)
	}
	own, _ := accountKeys.place(a, address, top.key(accountTable, a.Name))
	inherited, _ := accountKeys.place(a, address, top.key(defaultsTable))
	switch {
	case c.File == "":
		own.path = own.path[2:] // an option does not name its account
	case own.line() == 0 && inherited.line() > 0:
		return inherited.mistake(err)
	}
	return own.mistake(err)
}

// Account is one account, checked and with [defaults] applied. A field bears
// its key's name; the keys are described in popfetch.toml(5).
type Account struct {
	Name            string
	Server          string   // host:port, host in lower case, port filled in
	TLS             string   // implicit, starttls, none
	TLSCA           string   // absolute path, or ""
	TLSServerName   string   // "": the host of Server
	TLSFingerprint  []string // lower-case hexadecimal SHA-256; empty: none is pinned
	TLSCert         string   // absolute path, or ""; set together with TLSKey
	TLSKey          string
	User            string // not empty, no control octets
	Password        Secret
	Auth            []string      // plain, login, user, apop, external; empty: auto
	Maildir         string        // absolute; exactly one of Maildir and MDA is set
	MDA             string        // for /bin/sh -c
	MDATimeout      time.Duration // above 0
	MaxDeliveries   int           // at least 1
	Delete          Delete
	MaxSize         int64 // octets; 0: none
	Initial         Initial
	UIDL            string        // required, fallback
	NewUIDs         string        // match, fetch, stop
	QuarantineAfter int           // refusals of one message, at least 1
	Order           string        // oldest, newest
	Pipelining      string        // auto, never
	Timeout         time.Duration // above 0
	Deadline        time.Duration // 0: none
	Interval        time.Duration // 0: manual
	Enabled         bool
}

// Delete is the value of delete: the zero value never deletes.
type Delete struct {
	Enabled bool
	After   time.Duration // since the delivery; 0: as soon as it is delivered
}

// Initial is the value of initial: the zero value fetches all.
type Initial struct {
	Limited bool
	Within  time.Duration // of which age messages are fetched in a first run; 0: none are
}

// DefaultPath returns the configuration file to read where none is named:
// $XDG_CONFIG_HOME/popfetch/config.toml (~/.config for an unset variable) if it
// exists, else /etc/popfetch/config.toml if that exists, else the first.
func DefaultPath() string {
	const system = "/etc/popfetch/config.toml"
	folder, err := xdgFolder("XDG_CONFIG_HOME", ".config")
	if err != nil {
		return system
	}
	own := filepath.Join(folder, "popfetch", "config.toml")
	if !exists(own) && exists(system) {
		return system
	}
	return own
}

// DefaultStateDir returns where the state is kept unless state_dir says
// otherwise: $XDG_STATE_HOME/popfetch, or ~/.local/state/popfetch. It is empty
// where there is no home folder.
func DefaultStateDir() string {
	folder, err := xdgFolder("XDG_STATE_HOME", ".local/state")
	if err != nil {
		return ""
	}
	return filepath.Join(folder, "popfetch")
}

// exists reports whether there is something at path. What cannot be looked at
// counts as there, so that reading it tells the person why.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// xdgFolder returns the folder that variable names, or the one below the home
// folder. The XDG specification has relative paths in its variables ignored.
func xdgFolder(variable, below string) (string, error) {
	if folder := os.Getenv(variable); filepath.IsAbs(folder) {
		return folder, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, below), nil
}

// Select returns the accounts to work on, in the file's order and each once:
// the named ones, enabled or not, or all enabled ones if names is empty. A name
// that is no account is an error that tells the nearest names; so is a
// configuration whose accounts are all disabled, if none is named.
func (c *Config) Select(names []string) ([]Account, error) {
	if err := c.checkNames(names); err != nil {
		return nil, err
	}
	var selected []Account
	for _, a := range c.Accounts {
		if slices.Contains(names, a.Name) || len(names) == 0 && a.Enabled {
			selected = append(selected, a)
		}
	}
	if len(selected) == 0 {
		return nil, errors.New("every account has enabled = false; name the one that is meant")
	}
	return selected, nil
}

// checkNames reports every name that is not an account's.
func (c *Config) checkNames(names []string) error {
	var known []string
	for _, a := range c.Accounts {
		known = append(known, a.Name)
	}
	var errs []error
	for _, name := range names {
		if slices.Contains(known, name) {
			continue
		}
		candidates := Nearest(name, known)
		if len(candidates) == 0 {
			candidates = known
		}
		errs = append(errs, fmt.Errorf("no account is called %q; there is %s", name, quoteAll(candidates)))
	}
	return errors.Join(errs...)
}

// quoteAll returns words quoted and separated by commas.
func quoteAll(words []string) string {
	var quoted []string
	for _, word := range words {
		quoted = append(quoted, fmt.Sprintf("%q", word))
	}
	return strings.Join(quoted, ", ")
}
