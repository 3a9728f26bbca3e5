package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// draft is an account that is being put together and checked.
type draft struct {
	Account
	host, port string // of Server
	settings   map[string]setting
	at         Error // where the account is written
	errs       Errors
}

func newDraft(name string, at Error) *draft {
	return &draft{Account: emptyAccount(name), settings: map[string]setting{}, at: at}
}

// checkDefaults checks each value of [defaults] alone, whether an account has
// use for it or not.
func checkDefaults(defaults map[string]setting) Errors {
	d := newDraft("", Error{})
	d.override(defaults)
	d.apply()
	return d.errs
}

// inherit takes the settings of [defaults].
func (d *draft) inherit(defaults map[string]setting) {
	for key, s := range defaults {
		s.inherited = true
		d.settings[key] = s
	}
}

// override puts the account's own settings in the place of inherited ones.
func (d *draft) override(own map[string]setting) {
	for _, group := range [][]string{passwordGroup, targetGroup} {
		if slices.ContainsFunc(group, func(key string) bool { _, found := own[key]; return found }) {
			for _, key := range group {
				delete(d.settings, key)
			}
		}
	}
	for key, s := range own {
		d.settings[key] = s
	}
}

// has reports whether key is written for the account.
func (d *draft) has(key string) bool {
	_, found := d.settings[key]
	return found
}

// report notes a mistake of key.
func (d *draft) report(key string, err error) {
	d.errs = append(d.errs, d.settings[key].mistake(err))
}

// apply stores each setting, and checks it alone.
func (d *draft) apply() {
	for _, k := range accountKeys {
		s, found := d.settings[k.name]
		if !found {
			continue
		}
		if err := k.set(d, s.value); err != nil {
			d.report(k.name, err)
		}
	}
}

// finish applies the settings, checks how they go together, and returns the
// account, which is of use only if d.errs is empty.
func (d *draft) finish() Account {
	d.apply()
	d.require("server", `"pop.example.org"`)
	d.require("user", `"alice@example.org"`)
	d.atMostOne(passwordGroup)
	d.atMostOne(targetGroup)
	if !d.has("mda") {
		d.require("maildir", `"~/Maildir"`)
	}
	if d.has("maildir") {
		for _, key := range []string{"mda_timeout", "max_deliveries"} {
			d.needless(key, "belongs to "+d.named("mda")+", but there is "+d.named("maildir"))
		}
	}
	d.checkTLS()
	d.checkAuth()
	d.fillServer()
	return d.Account
}

// require reports that a key is missing.
func (d *draft) require(key, example string) {
	if d.has(key) {
		return
	}
	at := d.at
	if at.File == "" {
		at.Key = option(key)
		at.Err = fmt.Errorf("is missing; give %s %s", at.Key, strings.Trim(example, `"`))
	} else {
		at.Err = fmt.Errorf("has no %s; write %s = %s", key, key, example)
	}
	if key == "maildir" {
		at.Err = fmt.Errorf("%w, or an mda", at.Err)
	}
	d.errs = append(d.errs, &at)
}

// atMostOne reports every second key of a group.
func (d *draft) atMostOne(group []string) {
	var written []string
	for _, key := range group {
		if d.has(key) {
			written = append(written, key)
		}
	}
	slices.SortStableFunc(written, func(a, b string) int { return d.settings[a].at.Line - d.settings[b].at.Line })
	for _, key := range written[min(1, len(written)):] {
		d.report(key, fmt.Errorf("stands beside %s; keep one of them", d.named(written[0])))
	}
}

// named returns how key is called where the account is written.
func (d *draft) named(key string) string {
	if d.at.File == "" {
		return option(key)
	}
	return key
}

// needless deals with a key that has no meaning because of what another one
// says: that is a contradiction if the account says so itself, and nothing if
// the key comes from [defaults]; then it is left out.
func (d *draft) needless(key, why string) {
	s, found := d.settings[key]
	if !found {
		return
	}
	if !s.inherited {
		d.report(key, fmt.Errorf("%s; remove one of them", why))
		return
	}
	delete(d.settings, key)
	empty := draft{Account: emptyAccount(d.Name)}
	switch key {
	case "mda_timeout":
		d.MDATimeout = empty.MDATimeout
	case "max_deliveries":
		d.MaxDeliveries = empty.MaxDeliveries
	case "tls_ca":
		d.TLSCA = ""
	case "tls_server_name":
		d.TLSServerName = ""
	case "tls_fingerprint":
		d.TLSFingerprint = nil
	case "tls_cert":
		d.TLSCert = ""
	case "tls_key":
		d.TLSKey = ""
	default:
		d.Password = Secret{}
	}
}

// checkTLS checks the tls_ keys together.
func (d *draft) checkTLS() {
	if d.TLS == "none" {
		for _, key := range []string{"tls_ca", "tls_server_name", "tls_fingerprint", "tls_cert", "tls_key"} {
			d.needless(key, "has no meaning where "+d.named("tls")+" is none")
		}
		return
	}
	if d.has("tls_fingerprint") {
		d.needless("tls_ca", "is not looked at beside "+d.named("tls_fingerprint"))
	}
	if d.has("tls_cert") && !d.has("tls_key") {
		d.report("tls_cert", errors.New("lacks its private key; write tls_key too"))
	}
	if d.has("tls_key") && !d.has("tls_cert") {
		d.report("tls_key", errors.New("lacks its certificate; write tls_cert too"))
	}
}

// checkAuth checks that the mechanisms have what they need.
func (d *draft) checkAuth() {
	if !slices.Contains(d.Auth, "external") {
		return
	}
	if !d.has("tls_cert") {
		d.report("auth", errors.New(`"external" logs in by a certificate; write tls_cert and tls_key, or remove it`))
	}
	if len(d.Auth) > 1 {
		return
	}
	for _, key := range passwordGroup {
		d.needless(key, "is not used where "+d.named("auth")+" is external alone")
	}
}

// fillServer joins host and port, with the port that is usual for the kind of
// TLS (RFC 8314 section 7.3, RFC 1939 section 3).
func (d *draft) fillServer() {
	if d.port == "" {
		d.port = "995"
		if d.TLS != "implicit" {
			d.port = "110"
		}
	}
	d.Server = net.JoinHostPort(d.host, d.port)
}
