package config

import (
	"errors"
	"net"
	"net/url"
	"strings"
)

// Proxy is the value of the key proxy. The zero value means that there is none.
type Proxy struct {
	Scheme   string // socks5 or http
	Addr     string // host:port; the host in lower case
	User     string // "" if the proxy asks for none; set together with Password
	Password string
}

// IsZero reports whether there is no proxy.
func (p Proxy) IsZero() bool { return p == Proxy{} }

// String returns the proxy as it is written in the file, with the password masked. Without a proxy it
// is empty.
func (p Proxy) String() string {
	switch {
	case p.IsZero():
		return ""
	case p.User == "":
		return p.Scheme + "://" + p.Addr
	}
	return p.Scheme + "://" + url.User(p.User).String() + ":***@" + p.Addr
}

// GoString returns String, so that %#v does not show the password.
func (p Proxy) GoString() string { return p.String() }

// proxies is a proxy.
var proxies = kind[Proxy]{value.proxy, func(p Proxy) string { return quoteSome(p.String()) }}

// hasCredentials reports whether a proxy as it is written may have a password.
func hasCredentials(raw any) bool {
	text, _ := raw.(string)
	return strings.Contains(text, "@")
}

// proxy returns a proxy. No error shows the value, because it may have a password. A part before the
// last "@" is user and password, so these may hold any character but "%" as it is.
func (v value) proxy() (Proxy, error) {
	const usage = `write "socks5://HOST:PORT" or "http://HOST:PORT", with USER:PASSWORD@ before HOST if the proxy asks for them`
	text, err := v.printable()
	if err != nil {
		return Proxy{}, err
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return Proxy{}, errors.New("does not say which kind of proxy it is; " + usage)
	}
	p := Proxy{Scheme: strings.ToLower(scheme)}
	if err := checkProxyScheme(p.Scheme, usage); err != nil {
		return Proxy{}, err
	}
	at := strings.LastIndex(rest, "@")
	if at >= 0 {
		if p.User, p.Password, err = proxyCredentials(p.Scheme, rest[:at]); err != nil {
			return Proxy{}, err
		}
	}
	host, port, err := value{raw: strings.TrimSuffix(rest[at+1:], "/")}.server()
	switch {
	case err != nil:
		return Proxy{}, errors.New("host or port of the proxy is written wrongly; " + usage)
	case port == "":
		return Proxy{}, errors.New("lacks the port of the proxy; " + usage)
	}
	p.Addr = net.JoinHostPort(host, port)
	return p, nil
}

// checkProxyScheme refuses what is no kind of proxy. Other programs have more kinds.
func checkProxyScheme(scheme, usage string) error {
	switch scheme {
	case "socks5", "http":
		return nil
	case "socks5h":
		return errors.New(`socks5h is not known, because with socks5 the proxy looks up names anyway; write socks5://`)
	case "socks", "socks4", "socks4a":
		return errors.New(`popfetch speaks version 5 of SOCKS alone; write socks5:// if the proxy knows that`)
	case "https":
		return errors.New(`popfetch speaks to a proxy without TLS, and through it with TLS to the server; write http:// if the proxy takes that`)
	}
	return errors.New("is no kind of proxy that popfetch knows; " + usage)
}

// proxyCredentials returns user and password of "user:password", in which %40 stands for "@".
func proxyCredentials(scheme, text string) (user, password string, err error) {
	written, secret, _ := strings.Cut(text, ":")
	if written == "" || secret == "" {
		return "", "", errors.New(`lacks user or password before the "@"; write USER:PASSWORD@HOST:PORT, or HOST:PORT alone`)
	}
	user, userErr := url.PathUnescape(written)
	password, passwordErr := url.PathUnescape(secret)
	if userErr != nil || passwordErr != nil {
		return "", "", errors.New(`a "%" in user or password begins no escape; write it as %25`)
	}
	switch {
	case hasControl(user + password):
		return "", "", errors.New("user or password holds a control character; remove it")
	case scheme == "http" && strings.Contains(user, ":"): // RFC 7617 section 2
		return "", "", errors.New(`the user holds a ":", which HTTP cannot send; choose another user`)
	case scheme == "socks5" && max(len(user), len(password)) > 255: // RFC 1929 section 2
		return "", "", errors.New("user or password has more octets than SOCKS can send; choose one of at most 255")
	}
	return user, password, nil
}
