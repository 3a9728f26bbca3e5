package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// accountKey is a key of an account or of [defaults].
type accountKey struct {
	name string
	set  func(*draft, value) error // checks the value alone and stores it
}

// accountKeys are all of them, in the order in which they are described.
var accountKeys = []accountKey{
	{"server", func(d *draft, v value) (err error) { d.host, d.port, err = v.server(); return }},
	{"tls", func(d *draft, v value) (err error) { d.TLS, err = v.oneOf("implicit", "starttls", "none"); return }},
	{"tls_ca", func(d *draft, v value) (err error) { d.TLSCA, err = v.path(); return }},
	{"tls_server_name", func(d *draft, v value) (err error) { d.TLSServerName, err = v.hostName(); return }},
	{"tls_fingerprint", func(d *draft, v value) (err error) { d.TLSFingerprint, err = v.fingerprints(); return }},
	{"tls_cert", func(d *draft, v value) (err error) { d.TLSCert, err = v.path(); return }},
	{"tls_key", func(d *draft, v value) (err error) { d.TLSKey, err = v.path(); return }},
	{"user", func(d *draft, v value) (err error) { d.User, err = v.printable(); return }},
	{"password", func(d *draft, v value) (err error) { d.Password.Password, err = v.printable(); return }},
	{"password_file", func(d *draft, v value) (err error) { d.Password.File, err = v.path(); return }},
	{"password_command", func(d *draft, v value) (err error) { d.Password.Command, err = v.command(); return }},
	{"password_credential", func(d *draft, v value) (err error) { d.Password.Credential, err = v.credential(); return }},
	{"auth", func(d *draft, v value) (err error) { d.Auth, err = v.mechanisms(); return }},
	{"maildir", func(d *draft, v value) (err error) { d.Maildir, err = v.path(); return }},
	{"mda", func(d *draft, v value) (err error) { d.MDA, err = v.command(); return }},
	{"mda_timeout", func(d *draft, v value) (err error) { d.MDATimeout, err = v.duration(); return }},
	{"max_deliveries", func(d *draft, v value) (err error) { d.MaxDeliveries, err = v.count(1000); return }},
	{"delete", func(d *draft, v value) (err error) { d.Delete, err = v.deletePolicy(); return }},
	{"max_size", func(d *draft, v value) (err error) { d.MaxSize, err = v.orNone(v.octets); return }},
	{"initial", func(d *draft, v value) (err error) { d.Initial, err = v.initial(); return }},
	{"uidl", func(d *draft, v value) (err error) { d.UIDL, err = v.oneOf("required", "fallback"); return }},
	{"new_uids", func(d *draft, v value) (err error) { d.NewUIDs, err = v.oneOf("match", "fetch", "stop"); return }},
	{"quarantine_after", func(d *draft, v value) (err error) { d.QuarantineAfter, err = v.count(1000); return }},
	{"order", func(d *draft, v value) (err error) { d.Order, err = v.oneOf("oldest", "newest"); return }},
	{"pipelining", func(d *draft, v value) (err error) { d.Pipelining, err = v.oneOf("auto", "never"); return }},
	{"timeout", func(d *draft, v value) (err error) { d.Timeout, err = v.duration(); return }},
	{"deadline", func(d *draft, v value) (err error) { d.Deadline, err = v.durationOr("none"); return }},
	{"interval", func(d *draft, v value) (err error) { d.Interval, err = v.durationOr("manual"); return }},
	{"enabled", func(d *draft, v value) (err error) { d.Enabled, err = v.boolean(); return }},
}

// The groups are keys of which an account has one at most. One that an account
// writes takes the place of the one that [defaults] has.
var (
	passwordGroup = []string{"password", "password_file", "password_command", "password_credential"}
	targetGroup   = []string{"maildir", "mda"}
)

// topKeys are the keys before the first table, besides the tables themselves.
var topKeys = []string{"state_dir", "jobs"}

// Keys returns all keys that are known: those of the file's top and those of an
// account, without the tables' names.
func Keys() []string {
	return append(slices.Clone(topKeys), accountKeyNames()...)
}

func accountKeyNames() []string {
	var names []string
	for _, k := range accountKeys {
		names = append(names, k.name)
	}
	return names
}

// emptyAccount returns an account in which nothing but the defaults is set.
func emptyAccount(name string) Account {
	return Account{
		Name:            name,
		TLS:             "implicit",
		MDATimeout:      5 * time.Minute,
		MaxDeliveries:   1,
		UIDL:            "required",
		NewUIDs:         "match",
		QuarantineAfter: 5,
		Order:           "oldest",
		Pipelining:      "auto",
		Timeout:         time.Minute,
		Interval:        5 * time.Minute,
		Enabled:         true,
	}
}

const defaultJobs = 4

// hostName returns a name to compare with the certificate's.
func (v value) hostName() (string, error) {
	s, err := v.text()
	if err != nil {
		return "", err
	}
	return strings.ToLower(s), checkHostName(s, `write a name such as "pop.example.org"`)
}

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

// credential returns the name of a systemd credential, which is a file's name.
func (v value) credential() (string, error) {
	s, err := v.printable()
	if err == nil && (strings.Contains(s, "/") || s == "." || s == "..") {
		err = errors.New("is no name of a credential; write the name alone, as in LoadCredential=")
	}
	return s, err
}

// mechanisms returns the ways to log in; none for "auto".
func (v value) mechanisms() ([]string, error) {
	list, err := v.list()
	if err != nil {
		return nil, err
	}
	for i, name := range list {
		known := []string{"auto", "plain", "login", "user", "apop", "external"}
		if _, err := (value{raw: name}).oneOf(known...); err != nil {
			return nil, err
		}
		if name == "auto" && len(list) > 1 {
			return nil, errors.New(`"auto" stands beside others; write "auto" alone or remove it`)
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

// deletePolicy returns when a delivered message is deleted.
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

// initial returns what a first run fetches.
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

// durationOr returns a time, or 0 for the word none.
func (v value) durationOr(none string) (time.Duration, error) {
	if v.raw == none {
		return 0, nil
	}
	return v.duration(none)
}

// orNone returns what number does, or 0 for "none".
func (v value) orNone(number func() (int64, error)) (int64, error) {
	if v.raw == "none" {
		return 0, nil
	}
	return number()
}
