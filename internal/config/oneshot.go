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

// OneShot returns a configuration of one account, called user@host, from the
// command line. The keys are those of the file; an absent key has its default.
// Lists are separated by commas, and relative paths start at the working
// folder. The server may be a POP URL (RFC 2384), which can tell the user and
// the mechanism as well, but no password. The error is an Errors whose keys are
// the options: "--password-command" for password_command.
func OneShot(values map[string]string) (*Config, error) {
	folder, err := os.Getwd()
	if err != nil {
		return nil, Errors{{Err: fmt.Errorf("finding the working folder: %w", err)}}
	}
	settings := map[string]setting{}
	for key, text := range values {
		settings[key] = setting{
			value: value{raw: text, folder: folder, option: true},
			at:    Error{Key: option(key)},
		}
	}
	errs := checkOptions(settings)
	if urlErrors := readURL(settings); len(urlErrors) > 0 {
		return nil, append(errs, urlErrors...)
	}
	cfg := &Config{}
	errs = append(errs, readTop(cfg, settings)...)
	d := newDraft("", Error{})
	d.override(settings)
	account := d.finish()
	if errs = append(errs, d.errs...); len(errs) > 0 {
		return nil, errs.tidy()
	}
	account.Name = account.User + "@" + d.host
	cfg.Accounts = []Account{account}
	return cfg, nil
}

// option returns the command line's name for a key.
func option(key string) string {
	return "--" + strings.ReplaceAll(key, "_", "-")
}

// checkOptions reports and removes what cannot be given on a command line.
func checkOptions(settings map[string]setting) Errors {
	var errs Errors
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		var err error
		switch {
		case key == "password":
			err = errors.New("every user of the machine could read it in the process list; give --password-command or --password-file")
		case !slices.Contains(Keys(), key):
			err = errors.New("is no known option; see popfetch(1)")
		default:
			continue
		}
		errs = append(errs, settings[key].mistake(err))
		delete(settings, key)
	}
	return errs
}

// readURL replaces a server "pop://user;AUTH=mechanism@host:port" by what it
// says (RFC 2384). Its errors do not show the URL: somebody may have written a
// password into it.
func readURL(settings map[string]setting) Errors {
	server := settings["server"]
	text, _ := server.raw.(string)
	scheme, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		return nil
	}
	parts, err := parseURL(scheme, rest)
	if err != nil {
		return Errors{server.mistake(err)}
	}
	delete(settings, "server")
	var errs Errors
	for _, key := range []string{"server", "user", "auth"} {
		text, told := parts[key]
		if !told {
			continue
		}
		if _, given := settings[key]; given {
			errs = append(errs, &Error{Key: option(key), Err: fmt.Errorf("the URL of --server tells it too; remove %s", option(key))})
			continue
		}
		part := server
		part.raw = text
		settings[key] = part
	}
	return errs
}

// parseURL takes apart what follows the scheme and returns it by key.
func parseURL(scheme, rest string) (map[string]string, error) {
	const usage = "write pop://user;AUTH=mechanism@host:port"
	if !strings.EqualFold(scheme, "pop") {
		return nil, fmt.Errorf("%q is not the scheme of a POP URL; %s", scheme, usage)
	}
	at := strings.LastIndexByte(rest, '@')
	parts := map[string]string{"server": strings.TrimSuffix(rest[at+1:], "/")}
	if at < 0 {
		return parts, nil
	}
	who := rest[:at]
	if strings.Contains(who, ":") {
		return nil, errors.New("a password cannot stand in the URL; give --password-command or --password-file")
	}
	name, parameter, hasParameter := strings.Cut(who, ";")
	user, err := url.PathUnescape(name)
	if err != nil {
		return nil, fmt.Errorf("the user in the URL is not encoded well; %s", usage)
	}
	parts["user"] = user
	if !hasParameter {
		return parts, nil
	}
	auth, err := url.PathUnescape(strings.ToLower(parameter))
	mechanism, isAuth := strings.CutPrefix(auth, "auth=")
	if err != nil || !isAuth {
		return nil, fmt.Errorf("the URL has a part that is not known; %s", usage)
	}
	switch mechanism {
	case "*":
		mechanism = "auto"
	case "+apop":
		mechanism = "apop"
	}
	parts["auth"] = mechanism
	return parts, nil
}
