// Package config reads the configuration file into checked values.
//
// The file is TOML; popfetch.toml(5) describes it. Each known key has one row in keys.go, and
// everything else derives from the rows. Load reads a file. OneShot takes the same keys from the
// command line. Both return a Config in which everything is checked: times are durations, paths are
// absolute, ports are filled in, and [defaults] has been applied.
//
//	cfg, err := config.Load(config.DefaultPath())
//	accounts, err := cfg.Select([]string{"work"})
//	password, err := accounts[0].Password.Resolve(ctx, accounts[0].User)
//
// All mistakes are reported at once, as Errors. Each has its file, line and key, and says how to
// mend it. No error contains a password, and neither does the output of Write and of package fmt. A
// password is read only by Secret.Resolve. So a configuration can be checked without running the
// command that prints the password.
//
// A file may include others, which have further accounts. Limits: a file is at most 1 MiB; files are
// included at most 8 deep, and at most 10,000 of them.
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

// Config is a whole, checked configuration.
type Config struct {
	File     string    // the path that Load was given; "" for OneShot
	StateDir string    // absolute; "" with State, or if the file has none and there is no home folder
	Jobs     int       // how many accounts are worked on at once, at least 1
	Accounts []Account // in the order of the files
	Targets  []Target  // the tables [target.NAME], in the order of the files

	State                StateURL      // the database that has the state; "": StateDir has it
	StatePasswordCommand string        // prints the database's password; "" means none
	Lease                time.Duration // how long an account is held without a renewal, at least 5 s
	AccountsFrom         string        // FromFile or FromDatabase
	AccountsKeyFile      string        // absolute path of the key that opens sealed secrets, or ""

	include []string           // patterns of further files, as absolute paths
	main    *source            // where the keys outside of accounts come from; nil for OneShot
	homes   map[string]*source // the files that the accounts are in, by their names

	targetHomes map[string]targetHome // the same for targets

	stored map[string]*Config // the accounts of Add, each with its own targets
}

// targetHome says where a target is.
type targetHome struct {
	source *source
	index  int // in Targets
}

// Mistake returns err as a mistake of the key that fills the field at address. If a is nil, that is
// a field of c. Otherwise it is a field of a, which may be a copy of an account of c. The mistake
// names the place where the key is written: the account, [defaults], or an option.
func (c *Config) Mistake(a *Account, address any, err error) *Error {
	if a != nil {
		c = c.home(a.Name)
	}
	top := place{source: c.main}
	if c.main == nil {
		top.source = &source{}
	}
	if a == nil {
		at, _ := topKeys.place(c, address, top)
		return at.mistake(err)
	}
	own, _ := accountKeys.place(a, address, c.account(a.Name))
	inherited, _ := accountKeys.place(a, address, top.key(defaultsTable))
	switch {
	case c.File == "":
		own.path = own.path[2:] // an option does not name its account
	case own.line() == 0 && inherited.line() > 0:
		return inherited.mistake(err)
	}
	return own.mistake(err)
}

// Wrote reports whether the account's own table in a file has the key that fills the field at
// address, which is a field of a. A key of [defaults] does not count.
func (c *Config) Wrote(a *Account, address any) bool {
	own, _ := accountKeys.place(a, address, c.account(a.Name))
	return own.line() > 0
}

// FileOf returns the file that has the account called name. For OneShot it is "".
func (c *Config) FileOf(name string) string { return c.account(name).source.file }

// account returns the place of the table of the account called name.
func (c *Config) account(name string) place {
	c = c.home(name)
	home := c.homes[name]
	if home == nil {
		home = &source{file: c.File}
	}
	return place{source: home}.key(accountTable, name)
}

// Account is one checked account with [defaults] applied. Each field has the name of its key. The
// keys are described in popfetch.toml(5).
type Account struct {
	Name               string
	Server             string   // host:port; the host in lower case and ASCII, the port filled in
	TLS                string   // implicit, starttls or none
	ConnectCommand     string   // for /bin/sh -c; "" means TCP
	Proxy              Proxy    // the zero value means none; never together with ConnectCommand
	TLSCA              string   // absolute path, or ""
	TLSServerName      string   // in lower case and ASCII; "" means the host of Server
	TLSCAOnly          bool     // the authorities of the system are not trusted
	TLSMinVersion      string   // 1.3; "" means 1.2
	TLSLegacy          bool     // TLS 1.0 and RSA key exchange are allowed
	TLSFingerprint     []string // SHA-256 in lower-case hexadecimal digits; empty if none is pinned
	TLSCert            string   // absolute path, or ""; set together with TLSKey
	TLSKey             string
	User               string // not empty, no control octets
	Password           Secret
	OAuth              OAuth    // the zero value: the account has a password
	Auth               []string // of AuthWords, but not auto; empty means auto
	CredentialsCharset string   // ascii, utf-8 or iso-8859-1
	Target                      // where mail goes, unless Deliver says it; and defaults for the targets
	Deliver            []string // names of targets; empty if Target has the place
	EnvelopeHeader     []string // names of header fields
	AddHeaders         []string // received, delivered-to, return-path, popfetch; empty: none
	Filter             string   // for /bin/sh -c; "" means none
	FilterHeaders      string   // for /bin/sh -c; "" means none
	Routes             []Route  // the first that matches decides
	Delete             Delete
	MaxSize            int64 // octets; 0 means no limit
	MaxMessages        int   // of one pass; 0 means no limit
	MaxOctets          int64 // of one pass; 0 means no limit
	Since              Since
	SessionMessages    int // of one session; 0 means no limit
	Initial            Initial
	UIDL               string        // required or fallback
	NewUIDs            string        // match, fetch or stop
	QuarantineAfter    int           // refusals of one message, at least 1
	Order              string        // oldest or newest
	Pipelining         string        // auto or never
	Timeout            time.Duration // above 0
	Deadline           time.Duration // 0 means none
	Interval           time.Duration // 0 means manual
	TellAfter          time.Duration // 0: temporary trouble is told at once
	PreCommand         string        // for /bin/sh -c, as are the next four; "" means none
	PostCommand        string
	OnNew              string
	OnError            string
	OnRecovered        string
	HookTimeout        time.Duration // above 0
	Workers            []string      // labels of the workers that poll the account; empty: all do
	Enabled            bool

	written writtenNames
}

// Delete is the value of the key delete. The zero value never deletes.
type Delete struct {
	Enabled    bool          // After is a rule
	After      time.Duration // time since the delivery; 0 means as soon as it is delivered
	LargerThan int64         // octets; what is larger is deleted as soon as delivered; 0: no such rule
	KeepNewest int           // so many messages always stay; 0: no such rule
	Removed    bool          // what the user removed from the Maildir is deleted
	Imported   bool          // what another program delivered is deleted too
	Verify     bool          // only while the delivered file is as it was
}

// Deletes reports whether there is a rule that deletes.
func (d Delete) Deletes() bool { return d.Enabled || d.LargerThan > 0 || d.Removed }

// Since is the value of the key since. What is older is left out. The zero value leaves out nothing.
type Since struct {
	Within time.Duration // the age of the oldest message; 0: Date counts
	Date   time.Time     // the begin of a day, in local time
}

// IsZero reports whether nothing is left out.
func (s Since) IsZero() bool { return s.Within == 0 && s.Date.IsZero() }

// Initial is the value of the key initial. The zero value fetches all messages.
type Initial struct {
	Limited bool
	Within  time.Duration // a first run fetches messages up to this age; 0 means none
}

// DefaultPath returns the configuration file to read if the person names none. It is
// $XDG_CONFIG_HOME/popfetch/config.toml if that exists; without the variable, ~/.config stands in
// its place. Otherwise it is /etc/popfetch/config.toml if that exists, and else the first of both.
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

// DefaultStateDir returns the folder of the state if state_dir names none. It is
// $XDG_STATE_HOME/popfetch, or ~/.local/state/popfetch. Without a home folder it is empty.
func DefaultStateDir() string {
	folder, err := xdgFolder("XDG_STATE_HOME", ".local/state")
	if err != nil {
		return ""
	}
	return filepath.Join(folder, "popfetch")
}

// exists reports whether there is a file at path. If that cannot be read, exists returns true.
// Reading the file will then report the reason.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// xdgFolder returns the folder that variable names, or the one below the home folder. As the XDG
// specification demands, it ignores a relative path in the variable.
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

// Select returns the named accounts, enabled or not. If names is empty, it returns all enabled
// accounts. The order is that of the file, and each account is there once. If a name is no
// account's, the error proposes similar names. If no name is given and all accounts are disabled,
// that is an error.
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
		return nil, errors.New("every account has enabled = false; name an account on the command line")
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
