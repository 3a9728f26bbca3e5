package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// writtenNames has the names with letters outside ASCII as they are written. The fields of the
// account have them as the DNS, certificates and the records know them. "" means that the field has
// the name as it is written, but for its case.
type writtenNames struct{ server, tlsServerName string }

// WrittenServer returns Server as a person has written it.
func (a *Account) WrittenServer() string { return cmp.Or(a.written.server, a.Server) }

// fillName returns the field of a key whose value is a name. The function at returns the addresses of
// the name in ASCII and of the one that is written. The latter is "" if it does not differ.
func fillName[T any](at func(*T) (name, written *string), read func(value) (name, written string, err error)) field[T] {
	return field[T]{
		address: func(t *T) any {
			name, _ := at(t)
			return name
		},
		clear: func(t *T) {
			name, written := at(t)
			*name, *written = "", ""
		},
		set: func(t *T, v value) (err error) {
			name, written := at(t)
			*name, *written, err = read(v)
			return err
		},
		toml: func(t *T) string {
			name, written := at(t)
			return quoteSome(cmp.Or(*written, *name))
		},
	}
}

// address returns a server. Without a port it ends in a colon.
func (v value) address() (name, written string, err error) {
	host, port, err := v.server()
	if err != nil {
		return "", "", err
	}
	if s, _ := v.text(); !isASCII(s) {
		written = net.JoinHostPort(strings.TrimSuffix(s, ":"+port), port)
	}
	return net.JoinHostPort(host, port), written, nil
}

// hostName returns a name that the name in a certificate is compared with.
func (v value) hostName() (name, written string, err error) {
	s, err := v.text()
	if err != nil {
		return "", "", err
	}
	name, err = asciiName(s, `write a name such as "pop.example.org"`)
	if !isASCII(s) {
		written = s
	}
	return name, written, err
}

// HostName returns a host name in lower case and ASCII, as it is looked up.
func HostName(host string) (string, error) {
	return asciiName(host, `write a name such as "example.org"`)
}

// asciiName returns a host name in lower case and ASCII (RFC 5891). A name of ASCII letters alone is
// only put into lower case. The rules for others would refuse some names that are in use.
func asciiName(host, usage string) (string, error) {
	if isASCII(host) {
		return strings.ToLower(host), checkHostName(host, usage)
	}
	const mend = `correct it, or write its "xn--" form`
	name, err := idna.Lookup.ToASCII(host)
	if !utf8.ValidString(host) { // on the command line
		err = errors.New("it is not UTF-8")
	}
	if err != nil {
		return "", fmt.Errorf("%q is no host name (%w); %s", host, err, mend)
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) > 63 { // RFC 1035 section 2.3.4; Lookup does not check it
			return "", fmt.Errorf("%q is no host name (a part of it is too long); %s", host, mend)
		}
	}
	return name, checkHostName(name, usage)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f })
}
