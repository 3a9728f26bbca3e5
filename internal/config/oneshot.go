package config

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
)

// OneShot returns a configuration of one account, called user@host, from the command line. The keys
// are those of the file. An absent key has its default. Commas separate the parts of a list.
// Relative paths start at the working folder.
//
// The server may be a POP URL (RFC 2384). It can give the user and the mechanism as well, but no
// password. The error is an Errors. Its keys are options: "--password-command" for
// password_command.
func OneShot(values map[string]string) (*Config, error) {
	folder, err := os.Getwd()
	if err != nil {
		return nil, Errors{{Err: fmt.Errorf("finding the working folder: %w", err)}}
	}
	top := place{source: &source{folder: folder}}
	settings := map[string]setting{}
	for key, text := range values {
		settings[key] = setting{value: value{raw: text, at: top.key(key), folder: folder, option: true}}
	}
	errs := checkOptions(settings)
	if urlErrors := readURL(settings); len(urlErrors) > 0 {
		return nil, append(errs, urlErrors...)
	}
	cfg := &Config{}
	errs = append(errs, readTop(cfg, only(topKeys, settings), top)...)
	account := Account{}
	d := newDraft(accountKeys, &account, top)
	d.override(only(accountKeys, settings))
	d.finish()
	if errs = append(errs, d.errs...); len(errs) > 0 {
		return nil, errs.tidy()
	}
	host := fillPort(&account)
	account.Name = account.User + "@" + host
	if err := account.namePaths(); err != nil {
		return nil, Errors{err}
	}
	cfg.Accounts = []Account{account}
	if errs := cfg.targets(); len(errs) > 0 {
		return nil, errs.tidy()
	}
	return cfg, nil
}

// NoDelivery completes the values of OneShot for a command that delivers nothing. If they name no
// target, it sets a target that refuses all messages.
func NoDelivery(values map[string]string) {
	const refuse = "false" // a program that refuses; it is no Finder, and makes nothing
	if NamesTarget(values) {
		return
	}
	var t Target
	r, _ := targetKeys.filling(&t, &t.MDA)
	values[r.name] = refuse
}

// NamesTarget reports whether the values of OneShot name a target.
func NamesTarget(values map[string]string) bool {
	for _, r := range targetKeys.members(targetGroup) {
		if _, named := values[r.name]; named {
			return true
		}
	}
	return false
}

// IsTarget reports whether the key called name says where messages go.
func IsTarget(name string) bool {
	r, _ := accountKeys.row(name)
	return r.group == targetGroup
}

// Option is the option of the command line for a key.
type Option struct {
	Key     string // as Keys returns it
	Name    string // without hyphens
	Short   string // one letter, or ""
	Usage   string // the name of the value is in `quotes`
	Number  bool   // the value is a number
	OneShot bool   // it describes the account of OneShot, and cannot be used with a file
}

// Options returns the options of all keys. Those for keys of the file's top come first.
func Options() []Option {
	return append(optionsOf(topKeys, false), optionsOf(accountKeys, true)...)
}

func optionsOf[T any](keys table[T], oneShot bool) []Option {
	var options []Option
	for _, r := range keys {
		if r.usage != "" {
			name := strings.TrimPrefix(option(r.name), "--")
			options = append(options, Option{r.name, name, r.short, r.usage, r.number, oneShot})
		}
	}
	return options
}

// only returns the settings whose keys are in keys.
func only[T any](keys table[T], settings map[string]setting) map[string]setting {
	chosen := map[string]setting{}
	for _, r := range keys {
		if s, found := settings[r.name]; found {
			chosen[r.name] = s
		}
	}
	return chosen
}

// checkOptions reports and removes keys that may not be on a command line.
func checkOptions(settings map[string]setting) Errors {
	var errs Errors
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		_, isTop := topKeys.row(key)
		r, isAccount := accountKeys.row(key)
		var err error
		switch {
		case !isTop && !isAccount:
			err = errors.New("is not a known option; see popfetch(1)")
		case r.secret != nil:
			err = fmt.Errorf("every user of the machine could read it in the process list; give %s", instead(r))
		default:
			continue
		}
		errs = append(errs, settings[key].mistake(err))
		delete(settings, key)
	}
	return errs
}

// instead returns the options to use instead of a secret.
func instead(secret *row[Account]) string {
	var options []string
	for _, key := range accountKeys.instead(secret) {
		options = append(options, option(key))
	}
	return listed(options, "or")
}

// readURL replaces a server "pop://user;AUTH=mechanism@host:port" by its parts (RFC 2384). With
// "pops", TLS begins with the first octet. Its errors do not show the URL, because somebody may have written a password into it.
func readURL(settings map[string]setting) Errors {
	var a Account
	key := func(address any) string {
		r, _ := accountKeys.filling(&a, address)
		return r.name
	}
	server := settings[key(&a.Server)]
	text, _ := server.raw.(string)
	scheme, address, isURL := strings.Cut(text, "://")
	if !isURL {
		return nil
	}
	parts, err := parseURL(scheme, address)
	if err != nil {
		return Errors{server.mistake(err)}
	}
	delete(settings, key(&a.Server))
	var errs Errors
	for _, part := range []struct {
		key  string
		text *string
	}{{key(&a.Server), &parts.server}, {key(&a.TLS), parts.tls}, {key(&a.User), parts.user}, {key(&a.Auth), parts.auth}} {
		if part.text == nil {
			continue
		}
		if given, found := settings[part.key]; found {
			errs = append(errs, given.mistake(fmt.Errorf("the URL of %s has it too; remove %s", option(key(&a.Server)), option(part.key))))
			continue
		}
		told := server
		told.raw = *part.text
		settings[part.key] = told
	}
	return errs
}

// urlParts are the parts of a POP URL.
type urlParts struct {
	server          string
	tls, user, auth *string // nil if absent
}

// parseURL parses the part of a URL behind the scheme.
func parseURL(scheme, address string) (urlParts, error) {
	const usage = "write pop://user;AUTH=mechanism@host:port"
	at := strings.LastIndexByte(address, '@')
	parts := urlParts{server: strings.TrimSuffix(address[at+1:], "/")}
	switch strings.ToLower(scheme) {
	case "pop":
	case "pops":
		implicit := "implicit"
		parts.tls = &implicit
	default:
		return urlParts{}, fmt.Errorf("%q is not the scheme of a POP URL; %s", scheme, usage)
	}
	if at < 0 {
		return parts, nil
	}
	who := address[:at]
	if strings.Contains(who, ":") {
		var a Account
		password, _ := accountKeys.filling(&a, &a.Password.Password)
		return urlParts{}, fmt.Errorf("a password cannot stand in the URL; give %s", instead(password))
	}
	name, parameter, hasParameter := strings.Cut(who, ";")
	user, err := url.PathUnescape(name)
	if err != nil {
		return urlParts{}, fmt.Errorf("the user in the URL is not percent-encoded correctly; %s", usage)
	}
	parts.user = &user
	if !hasParameter {
		return parts, nil
	}
	auth, err := url.PathUnescape(strings.ToLower(parameter))
	mechanism, isAuth := strings.CutPrefix(auth, "auth=")
	if err != nil || !isAuth {
		return urlParts{}, fmt.Errorf("the URL has a part that is not known; %s", usage)
	}
	switch mechanism {
	case "*":
		mechanism = "auto"
	case "+apop":
		mechanism = "apop"
	}
	parts.auth = &mechanism
	return parts, nil
}
