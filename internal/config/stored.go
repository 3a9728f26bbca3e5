package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// Stored is an account as a database keeps it. It is complete in itself: [defaults] is applied,
// paths are absolute, and the targets that it uses are in it.
type Stored struct {
	Name string
	// TOML has the targets, and then the account, without the key enabled. Keys that have their
	// default are left out. Secrets are masked.
	TOML    string
	Secrets map[string]string // by their keys, such as "password" or "target.lists.imap_password"
	Enabled bool
}

// GoString shows no secret.
func (s Stored) GoString() string {
	return fmt.Sprintf("account %q with %d secrets", s.Name, len(s.Secrets))
}

// String shows no secret.
func (s Stored) String() string { return s.GoString() }

const (
	// maxAccountsFile bounds a file of accounts. It may have some 100,000.
	maxAccountsFile = 64 << 20
	// maskText stands for a secret.
	maskText = "***"
	// storedIn is where a stored account is, for mistakes.
	storedIn = "database"
)

// LoadAccounts reads and checks a file of accounts for a database, as Load does a configuration
// file. The path "-" means input. The file has accounts, targets and [defaults] alone. Its error is
// an Errors with all mistakes.
func LoadAccounts(path string, input io.Reader) (*Config, error) {
	const mend = "name a file with accounts, or - for standard input"
	file, text, info := path, "", fs.FileInfo(nil)
	var err error
	if path == "-" {
		file = "standard input"
		text, err = readText(input, maxAccountsFile, mend)
	} else {
		text, info, err = readFileUpTo(path, maxAccountsFile, mend)
	}
	if err != nil {
		return nil, Errors{{File: file, Err: err}}
	}
	l := newLoader()
	l.accountsOnly = true
	l.read(&Config{File: file}, file, text, info)
	if len(l.errs) == 0 {
		l.errs = l.cfg.mistakesInAccounts()
	}
	if len(l.errs) > 0 {
		return nil, l.errs.tidy()
	}
	return l.cfg, nil
}

// mistakesInAccounts returns the mistakes that only a file of accounts can have, and those of
// targets.
func (c *Config) mistakesInAccounts() Errors {
	if len(c.Accounts) == 0 {
		top := place{source: c.main}
		return Errors{top.key(accountTable).mistake(fmt.Errorf("%w; write [account.NAME] with %s", errNoAccount, accountKeys.required()))}
	}
	errs := c.targets()
	used := map[string]bool{}
	for i := range c.Accounts {
		a := &c.Accounts[i]
		for _, t := range c.Uses(a) {
			used[t.Name] = true
		}
		for _, s := range c.secretsOf(a) {
			if *s.value == maskText {
				errs = append(errs, s.mistake(errors.New(
					`is "***", which stands for a secret in what "popfetch accounts get" prints; write the secret itself, or another key for it`)))
			}
		}
	}
	for i := range c.Targets {
		if t := &c.Targets[i]; !used[t.Name] {
			home := place{source: c.targetHomes[t.Name].source}
			errs = append(errs, home.key(targetTable, t.Name).mistake(errors.New(
				"is the target of no account in this file, so the database would not have it; remove it, or name it in deliver")))
		}
	}
	return errs
}

// readMachineless reports the keys of a file of accounts that are not about accounts.
func (r *reader) readMachineless(cfg *Config, document map[string]any) {
	rest := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(document)) {
		_, isTop := topKeys.row(key)
		include, _ := topKeys.filling(cfg, &cfg.include)
		switch {
		case key == include.name:
			r.report(r.top.key(key), errors.New("a file of accounts includes no others; remove it, and put each of the files"))
		case isTop:
			r.report(r.top.key(key), errors.New("belongs to a machine, and not to its accounts; remove it here, and write it into the configuration of the machines"))
		default:
			rest[key] = document[key]
		}
	}
	r.readTop(cfg, rest)
}

// storedSecret is a secret of an account or of a target that it uses.
type storedSecret struct {
	key     string
	value   *string
	mistake func(error) *Error
}

// secretsOf returns the secrets that are written for an account, in c's own values.
func (c *Config) secretsOf(a *Account) []storedSecret {
	var secrets []storedSecret
	add := func(value *string, field any) {
		if *value == "" {
			return
		}
		at, _ := accountKeys.place(a, field, place{})
		secrets = append(secrets, storedSecret{dotted(at.path...), value, func(err error) *Error { return c.Mistake(a, field, err) }})
	}
	add(&a.Proxy.Password, &a.Proxy)
	for _, value := range []*string{
		&a.Password.Password, &a.OAuth.ClientSecret.Password, &a.IMAPPassword.Password, &a.IMAPOAuth.ClientSecret.Password,
	} {
		add(value, value)
	}
	for i := range c.Targets {
		t := &c.Targets[i]
		if !c.uses(a, t.Name) {
			continue
		}
		for _, field := range []func(*Target) *string{
			func(t *Target) *string { return &t.IMAPPassword.Password },
			func(t *Target) *string { return &t.IMAPOAuth.ClientSecret.Password },
		} {
			if *field(t) == "" {
				continue
			}
			at, _ := targetKeys.place(t, field(t), place{}.key(targetTable, t.Name))
			secrets = append(secrets, storedSecret{dotted(at.path...), field(t), func(err error) *Error {
				return c.TargetMistake(a, t, func(t *Target) any { return field(t) }, err)
			}})
		}
	}
	return secrets
}

// SecretMistakes returns err as a mistake of each secret that is written for an account, and not
// only where it can be found.
func (c *Config) SecretMistakes(err error) error {
	var errs Errors
	for i := range c.Accounts {
		for _, s := range c.secretsOf(&c.Accounts[i]) {
			errs = append(errs, s.mistake(err))
		}
	}
	return errs.tidy().orNil()
}

// uses reports whether the account delivers to the target called name.
func (c *Config) uses(a *Account, name string) bool {
	return slices.Contains(a.Deliver, name) ||
		slices.ContainsFunc(a.Routes, func(r Route) bool { return slices.Contains(r.Deliver, name) })
}

// Store returns an account as a database keeps it.
func (c *Config) Store(a *Account) Stored {
	s := Stored{Name: a.Name, Enabled: a.Enabled}
	for _, secret := range c.secretsOf(a) {
		if s.Secrets == nil {
			s.Secrets = map[string]string{}
		}
		s.Secrets[secret.key] = *secret.value
	}
	var b strings.Builder
	for i := range c.Targets {
		if t := &c.Targets[i]; c.uses(a, t.Name) {
			writeStored(&b, targetKeys, t, &Target{}, targetTable, t.Name)
		}
	}
	usual, plain := emptyAccount(a.Name), *a
	plain.Enabled = usual.Enabled
	writeStored(&b, accountKeys, &plain, &usual, accountTable, a.Name)
	s.TOML = b.String()
	return s
}

// writeStored writes a table without the keys that are as in usual.
func writeStored[T any](b *strings.Builder, keys table[T], t, usual *T, path ...string) {
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	fmt.Fprintf(b, "[%s]\n", dottedTOML(path...))
	for i := range keys {
		r := &keys[i]
		text := r.toml(t)
		if text == "" || text == r.toml(usual) || r.means != nil && !r.means(t) {
			continue
		}
		fmt.Fprintf(b, "%s = %s\n", r.name, text)
	}
}

// ReadAccount is an account of a database that is read and checked. It never changes, and several
// Configs may have it.
type ReadAccount struct{ own *Config }

// Account returns the account.
func (r *ReadAccount) Account() *Account { return &r.own.Accounts[0] }

// Read reads and checks an account that Store has made. If it is broken, or lacks a secret, the
// error is an Errors.
func (s Stored) Read() (*ReadAccount, error) { return s.read(false) }

// ReadMasked is Read where nobody can open the secrets. Each is a mask then.
func (s Stored) ReadMasked() (*ReadAccount, error) { return s.read(true) }

func (s Stored) read(masked bool) (*ReadAccount, error) {
	l := newLoader()
	l.accountsOnly = true
	l.read(&Config{File: storedIn}, storedIn, s.TOML, nil)
	own := l.cfg
	own.main.unlined = true
	switch {
	case len(l.errs) > 0:
		for _, e := range l.errs {
			e.Line = 0
		}
		return nil, l.errs.tidy()
	case len(own.Accounts) != 1 || own.Accounts[0].Name != s.Name:
		return nil, Errors{AccountMistake(s.Name, errors.New("its specification is that of another account; put it again"))}
	}
	a := &own.Accounts[0]
	a.Enabled = s.Enabled
	for _, secret := range own.secretsOf(a) {
		switch value, found := s.Secrets[secret.key]; {
		case masked:
		case !found:
			return nil, Errors{AccountMistake(s.Name, fmt.Errorf("%s has no sealed value; put the account again", secret.key))}
		default:
			*secret.value = value
		}
	}
	if errs := own.targets(); len(errs) > 0 {
		return nil, errs.tidy()
	}
	return &ReadAccount{own}, nil
}

// Add adds an account of a database.
func (c *Config) Add(r *ReadAccount) {
	if c.stored == nil {
		c.stored = map[string]*Config{}
	}
	a := r.own.Accounts[0]
	c.stored[a.Name] = r.own
	c.Accounts = append(c.Accounts, a)
}

// WithoutAccounts returns a copy of c without its accounts.
func (c *Config) WithoutAccounts() *Config {
	copied := *c
	copied.Accounts, copied.stored = nil, nil
	return &copied
}

// AccountMistake returns err as a mistake of an account of the database.
func AccountMistake(name string, err error) *Error {
	return &Error{File: storedIn, Key: dotted(accountTable, name), Err: err}
}

// home returns the configuration that has an account: its own one, if it is a stored one, and else
// c.
func (c *Config) home(name string) *Config {
	if own := c.stored[name]; own != nil {
		return own
	}
	return c
}

// ChangedKeys returns the keys in which the TOML of two stored accounts differs, sorted. A key of a
// target has its table in front.
func ChangedKeys(old, changed string) []string {
	before, after := assigned(old), assigned(changed)
	var keys []string
	for key, value := range after {
		if other, found := before[key]; !found || other != value {
			keys = append(keys, key)
		}
	}
	for key := range before {
		if _, found := after[key]; !found {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// assigned returns the values of a text of Store, by their keys.
func assigned(text string) map[string]string {
	values := map[string]string{}
	table, key := "", ""
	for line := range strings.Lines(text) {
		name, value, isKey := strings.Cut(line, " = ")
		switch {
		case strings.HasPrefix(line, "[account."), line == "\n":
			table, key = "", ""
		case strings.HasPrefix(line, "["+targetTable+"."):
			table = strings.TrimSuffix(line[1:], "]\n") + "."
		case isKey && !strings.HasPrefix(line, " "):
			key = table + name
			values[key] = value
		default: // a list goes on
			values[key] += line
		}
	}
	return values
}

// readText returns all of input, unless it is longer than limit.
func readText(input io.Reader, limit int64, mend string) (string, error) {
	text, err := io.ReadAll(io.LimitReader(input, limit+1))
	if err != nil {
		return "", fmt.Errorf("reading the file: %w", err)
	}
	if int64(len(text)) > limit {
		return "", fmt.Errorf("is larger than %d MiB; %s", limit>>20, mend)
	}
	return string(text), nil
}

// ReadKeyFile returns the text of the file of the key accounts_key_file. A file with an identity
// must be readable by nobody else. isSecret reports whether the text has one.
func ReadKeyFile(path string, isSecret func(text string) bool) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	text, err := readText(f, maxSecret, "name the file that age-keygen has made")
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if isSecret(text) {
		err = checkSecretFile(info, path)
	} else {
		err = checkNotWritten(info, path)
	}
	return text, err
}
