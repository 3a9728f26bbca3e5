package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// command returns a text for /bin/sh -c.
func (v value) command() (string, error) {
	s, err := v.text()
	if err == nil && strings.TrimSpace(s) == "" {
		err = errors.New("is blank; write a command or remove the key")
	}
	if err == nil && strings.ContainsRune(s, 0) {
		err = errors.New("holds a NUL character; remove it")
	}
	return s, err
}

// secretFile returns a path, or "/dev/stdin" for "-".
func (v value) secretFile() (string, error) {
	if s, err := v.text(); err == nil && s == "-" {
		return stdin, nil
	}
	return v.path()
}

// credential returns the name of a systemd credential. Such a name is a file name.
func (v value) credential() (string, error) {
	s, err := v.printable()
	if err == nil && (strings.Contains(s, "/") || s == "." || s == "..") {
		err = errors.New("is no name of a credential; write the name alone, as in LoadCredential=")
	}
	return s, err
}

// AuthWords are the values of auth: "auto", and a word for each way to log in.
var AuthWords = []string{"auto", "plain", "login", "user", "apop", "ntlm", "cram-md5", "scram-sha-1", "scram-sha-256", "oauthbearer", "xoauth2", "external", "gssapi"}

// mechanisms returns the ways to log in. An empty list means "auto".
func (v value) mechanisms() ([]string, error) {
	list, err := v.list()
	if err != nil {
		return nil, err
	}
	for i, name := range list {
		if _, err := (value{raw: name}).oneOf(AuthWords...); err != nil {
			return nil, err
		}
		if name == "auto" && len(list) > 1 {
			return nil, errors.New(`"auto" is not alone; write "auto" alone or remove it`)
		}
		if slices.Contains(list[:i], name) {
			return nil, fmt.Errorf("%q is there twice; remove one", name)
		}
	}
	if list[0] == "auto" {
		return nil, nil
	}
	return list, nil
}

// deletePolicy returns the time when a delivered message is deleted.
func (v value) deletePolicy() (Delete, error) {
	switch v.raw {
	case "never":
		return Delete{}, nil
	case "delivered":
		return Delete{Enabled: true}, nil
	}
	after, err := v.duration("never", "delivered")
	return Delete{Enabled: err == nil, After: after}, err
}

// deletionRule is deletePolicy for a table of rules. There "never" would contradict the others.
func (v value) deletionRule() (Delete, error) {
	if v.raw == "delivered" {
		return Delete{Enabled: true}, nil
	}
	after, err := v.duration("delivered")
	return Delete{Enabled: err == nil, After: after}, err
}

// initial returns which messages a first run fetches.
func (v value) initial() (Initial, error) {
	switch v.raw {
	case "all":
		return Initial{}, nil
	case "none":
		return Initial{Limited: true}, nil
	}
	within, err := v.duration("all", "none")
	return Initial{Limited: err == nil, Within: within}, err
}

// since returns how old the oldest message is. TOML has dates, too.
func (v value) since() (Since, error) {
	const usage = `"none", or a date such as "2026-01-31"`
	switch raw := v.raw.(type) {
	case time.Time:
		if raw.Location().String() != "date-local" {
			return Since{}, errors.New("is a time of a day; write a date alone, such as 2026-01-31")
		}
		return Since{Date: startOfDay(raw)}, nil
	case string:
		if raw == "none" {
			return Since{}, nil
		}
		if date, err := time.Parse(time.DateOnly, raw); err == nil {
			return Since{Date: startOfDay(date)}, nil
		}
	}
	within, err := v.duration()
	if err != nil {
		err = fmt.Errorf("%w, %s", err, usage)
	}
	return Since{Within: within}, err
}

// startOfDay returns the begin of the day of t, in local time.
func startOfDay(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.Local)
}

// durationOr returns a time. For the word none it returns 0.
func (v value) durationOr(none string) (time.Duration, error) {
	if v.raw == none {
		return 0, nil
	}
	return v.duration(none)
}

// orNone returns the result of number. For the word "none" it returns 0.
func (v value) orNone(number func() (int64, error)) (int64, error) {
	if v.raw == "none" {
		return 0, nil
	}
	return number()
}
