package config

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/popfetch/popfetch/internal/hosts"
)

// Mailbox is a mailbox of an IMAP server, the value of the key imap.
type Mailbox struct {
	User   string
	Server string // host:port, in lower case and ASCII
	Plain  bool   // without TLS, on this machine alone
	Name   string // as the server has it, decoded

	written string
}

// IsZero reports whether there is none.
func (m Mailbox) IsZero() bool { return m.Server == "" }

// String returns the mailbox as it is written.
func (m Mailbox) String() string { return m.written }

func (m Mailbox) toml() string { return quoteSome(m.written) }

// mailbox returns a mailbox that is written as a URL (RFC 5092). No error shows it, because somebody
// may have written a password into it.
func (v value) mailbox() (Mailbox, error) {
	const usage = `write "imaps://user@host/MAILBOX"`
	s, err := v.printable()
	if err != nil {
		return Mailbox{}, err
	}
	scheme, rest, isURL := strings.Cut(s, "://")
	m := Mailbox{written: s}
	usual := "993"
	switch strings.ToLower(scheme) + "://" {
	case "imaps://":
	case "imap://":
		m.Plain, usual = true, "143"
	default:
		isURL = false
	}
	if !isURL {
		return Mailbox{}, errors.New("is not the URL of a mailbox; " + usage)
	}
	authority, path, hasPath := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 1 {
		return Mailbox{}, errors.New("names no user; " + usage)
	}
	if strings.Contains(authority[:at], ":") {
		return Mailbox{}, errors.New("a password cannot stand in the URL; remove it, and write one of the keys for it")
	}
	if m.User, err = url.PathUnescape(authority[:at]); err != nil || hasControl(m.User) {
		return Mailbox{}, errors.New("the user is not percent-encoded correctly; " + usage)
	}
	if m.Name, err = url.PathUnescape(path); err != nil || hasControl(m.Name) {
		return Mailbox{}, errors.New("the mailbox is not percent-encoded correctly; write % as %25")
	}
	if !hasPath || m.Name == "" {
		return Mailbox{}, errors.New(`names no mailbox; write one behind the host, such as "/INBOX"`)
	}
	host, port, err := value{raw: authority[at+1:]}.server()
	if err != nil {
		return Mailbox{}, errors.New("names no server; " + usage)
	}
	if port == "" {
		port = usual
	}
	m.Server = net.JoinHostPort(host, port)
	if m.Plain && !hosts.IsLoopback(m.Server) {
		return Mailbox{}, errors.New("would send the password in clear; write imaps:// in place of imap://")
	}
	return m, nil
}
