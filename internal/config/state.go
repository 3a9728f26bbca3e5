package config

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Where the accounts come from: the values of the key accounts.
const (
	FromFile     = "file"
	FromDatabase = "database"
)

// leastLease is the shortest value of the key lease. A worker that renews it every few seconds must
// have time to try again.
const leastLease = 5 * time.Second

// StateURL names the database that has the state, as libpq does. "" means that the state is in a
// folder. It may have a password, which neither String nor package fmt shows: string(u) does.
type StateURL string

// String returns the URL with its password masked.
func (u StateURL) String() string {
	scheme, rest, _ := strings.Cut(string(u), "://")
	if scheme == "" {
		return ""
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, rest := rest[:end], rest[end:]
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		if user, _, found := strings.Cut(authority[:at], ":"); found {
			authority = user + ":***" + authority[at:]
		}
	}
	path, query, found := strings.Cut(rest, "?")
	if !found {
		return scheme + "://" + authority + path
	}
	parameters := strings.Split(query, "&")
	for i, p := range parameters {
		if name, _, found := strings.Cut(p, "="); found && isPassword(name) {
			parameters[i] = name + "=***"
		}
	}
	return scheme + "://" + authority + path + "?" + strings.Join(parameters, "&")
}

// GoString returns String, so that %#v does not show the password.
func (u StateURL) GoString() string { return u.String() }

// HasPassword reports whether the URL has a password.
func (u StateURL) HasPassword() bool { return u.String() != string(u) }

// isPassword reports whether a parameter of the URL is a password.
func isPassword(name string) bool {
	plain, err := url.QueryUnescape(name)
	return err != nil || plain == "password" || plain == "sslpassword"
}

// stateURLs is the URL of a database.
var stateURLs = kind[StateURL]{value.stateURL, func(u StateURL) string { return quoteSome(u.String()) }}

// stateURL returns the URL of a database. No error shows it, because it may have a password.
func (v value) stateURL() (StateURL, error) {
	const usage = `write "postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full"`
	text, err := v.printable()
	if err != nil {
		return "", err
	}
	scheme, rest, found := strings.Cut(text, "://")
	switch scheme {
	case "postgres", "postgresql":
	default:
		if found {
			return "", fmt.Errorf("%q is no kind of database that popfetch knows; %s", scheme, usage)
		}
		return "", errors.New("is no URL of a database; " + usage)
	}
	parsed, err := url.Parse(text)
	if err != nil || strings.ContainsAny(rest, "#") || strings.Contains(parsed.Path, "@") {
		return "", errors.New(`is no URL; a character such as "@", "/", "?", "#" or "%" in name or password is written as %40, %2F, %3F, %23 or %25; ` + usage)
	}
	if _, err := url.ParseQuery(parsed.RawQuery); err != nil {
		return "", errors.New(`has a part behind "?" that is written wrongly; ` + usage)
	}
	return StateURL(text), nil
}

// hasPassword reports whether the URL of a database as it is written may have a password.
func hasPassword(raw any) bool {
	text, _ := raw.(string)
	return StateURL(text).HasPassword()
}

// leases is the time that an account is held without a renewal.
var leases = kind[time.Duration]{
	func(v value) (time.Duration, error) {
		d, err := v.duration()
		if err == nil && d < leastLease {
			err = fmt.Errorf("%s is too short; write at least %s", timeText(d, ""), timeText(leastLease, ""))
		}
		return d, err
	},
	duration.write,
}

// accountSources is where the accounts come from.
var accountSources = text(func(v value) (string, error) {
	if _, isTable := v.raw.(map[string]any); isTable {
		return "", errors.New("is a table; an account is written as [account.NAME]")
	}
	return v.oneOf(FromFile, FromDatabase)
})

// labelForm is what a label may look like.
var labelForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// CheckLabel refuses a word that cannot be the label of a worker.
func CheckLabel(label string) error {
	if !labelForm.MatchString(label) {
		return fmt.Errorf("%q is no label; write letters, digits and . _ -, at most 63 of them", label)
	}
	return nil
}

// labels are those of workers.
var labels = kind[[]string]{func(v value) ([]string, error) {
	list, err := v.list()
	for i := 0; i < len(list) && err == nil; i++ {
		err = CheckLabel(list[i])
	}
	return list, err
}, quoteListSome}

// isShared reports whether the state is in a database that machines share.
func (c *Config) isShared() bool { return c.State != "" }

// onlyShared checks that a key has a meaning: that the state is in a database.
func onlyShared(d *draft[Config]) error {
	if !d.has(&d.result.State) {
		return errNotShared
	}
	return nil
}

var errNotShared = errors.New(`has a meaning only where many machines share a database; write state = "postgres://…", or remove it`)

// sharedAccounts is onlyShared for where the accounts come from, unless that was no word at all.
func sharedAccounts(d *draft[Config]) error {
	if d.result.AccountsFrom == "" {
		return nil
	}
	return onlyShared(d)
}

// onePassword checks that the URL has no password beside the command for it.
func onePassword(d *draft[Config]) error {
	if d.result.State.HasPassword() {
		return fmt.Errorf("the URL of %s has a password already; keep one of them", d.named(&d.result.State))
	}
	return onlyShared(d)
}

// checkShared returns the mistakes of keys that contradict where the state and the accounts are.
func (c *Config) checkShared() (errs Errors) {
	for i := range c.Accounts {
		a := &c.Accounts[i]
		if len(a.Workers) > 0 && !c.isShared() {
			errs = append(errs, c.Mistake(a, &a.Workers, errNotShared))
		}
	}
	if c.AccountsFrom != FromDatabase {
		return errs
	}
	const instead = `the accounts come from the database; take it out, and give it to "popfetch accounts put"`
	for i := range c.Accounts {
		errs = append(errs, c.account(c.Accounts[i].Name).mistake(errors.New(instead)))
	}
	for _, t := range c.Targets {
		home := c.targetHomes[t.Name]
		errs = append(errs, place{source: home.source}.key(targetTable, t.Name).mistake(errors.New(instead)))
	}
	if at := (place{source: c.main}).key(defaultsTable); at.line() > 0 {
		errs = append(errs, at.mistake(errors.New(instead)))
	}
	return errs
}

// StatePassword returns what gives the password of the database for each new connection; nil: the
// URL or the environment does. Its errors are those of Secret.Resolve.
func (c *Config) StatePassword() func(ctx context.Context) (string, error) {
	if c.StatePasswordCommand == "" {
		return nil
	}
	r, _ := topKeys.filling(c, &c.StatePasswordCommand)
	return func(ctx context.Context) (string, error) {
		return Secret{Command: c.StatePasswordCommand}.resolve(ctx, r.name, "the password")
	}
}
