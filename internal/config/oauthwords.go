package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/popfetch/popfetch/internal/hosts"
)

// endpoint returns the URL of a provider. Secrets are sent there, so it needs TLS.
func (v value) endpoint() (string, error) {
	s, err := v.printable()
	if err != nil {
		return "", err
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Fragment != "":
		return "", errors.New(`is no address; write one such as "https://provider.example.org/token"`)
	case u.User != nil:
		return "", errors.New(`has a name before an "@"; write the address without it, and the name in client_id`)
	case u.Scheme != "https" && !(u.Scheme == "http" && hosts.IsLoopback(net.JoinHostPort(u.Hostname(), "80"))):
		return "", errors.New(`does not begin with "https://"; secrets are sent there, so write an address that does`)
	}
	return s, nil
}

// redirect returns the URL on which popfetch waits for a browser.
func (v value) redirect() (string, error) {
	s, err := v.printable()
	if err != nil {
		return "", err
	}
	u, err := url.Parse(s)
	loopback := err == nil && u.Scheme == "http" && u.User == nil && hosts.IsLoopback(net.JoinHostPort(u.Hostname(), "80"))
	if !loopback || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New(`is no address at which popfetch can wait; write one such as "http://localhost"`)
	}
	return s, nil
}

// tenant returns the name of a directory at Microsoft, which becomes a part of addresses.
func (v value) tenant() (string, error) {
	s, err := v.text()
	if err == nil && strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f || !isBare(byte(r)) && r != '.' }) {
		err = errors.New(`is no tenant; write "common", "consumers", "organizations", or the id or domain of one`)
	}
	return s, err
}

// words are texts without blanks, such as scopes.
var words = kind[[]string]{
	func(v value) ([]string, error) {
		list, err := v.list()
		for _, s := range list {
			if err == nil && (strings.ContainsAny(s, " \t") || hasControl(s)) {
				err = fmt.Errorf(`%q has a blank; write a list such as ["mail", "offline_access"]`, s)
			}
		}
		return list, err
	},
	pins.write,
}

// ownParameters are those of an authorization request that popfetch sets itself.
var ownParameters = []string{"response_type", "client_id", "client_secret", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method", "response_mode"}

// parameters are further parameters of the authorization request.
var parameters = kind[map[string]string]{
	func(v value) (map[string]string, error) {
		raw, isTable := v.raw.(map[string]any)
		if !isTable {
			return nil, fmt.Errorf(`is %s; write a table such as { login_hint = "alice@example.org" }`, typeName(v.raw))
		}
		texts := make(map[string]string, len(raw))
		for _, name := range slices.Sorted(maps.Keys(raw)) {
			s, isString := raw[name].(string)
			switch {
			case !isString:
				return nil, fmt.Errorf(`has %s that is %s; write text in "quotes"`, quote(name), typeName(raw[name]))
			case slices.Contains(ownParameters, name):
				return nil, fmt.Errorf("has %s, which popfetch sets itself; remove it", quote(name))
			}
			texts[name] = s
		}
		return texts, nil
	},
	func(texts map[string]string) string {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(texts)) {
			parts = append(parts, dottedTOML(name)+" = "+quote(texts[name]))
		}
		if parts == nil {
			return ""
		}
		return "{" + strings.Join(parts, ", ") + "}"
	},
}

// hostOf returns the host of a checked URL.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}
