// Package imapbox appends messages to a mailbox of an IMAP server, and looks for them there.
//
// The library go-imap logs in, and looks into the mailbox. To append, it is too slow: it waits for
// the server before each message of more than 4096 octets, and does not know MULTIAPPEND (RFC 3502).
// On a line with a round trip of 20 ms it needs 12 s for 500 messages. So an Appender takes the
// connection over once the library has logged in; a run then brings 5,000 messages in 4 s.
package imapbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/popfetch/popfetch/internal/escape"
)

// Account says where the mailbox is, and how to log in.
type Account struct {
	Address string // host:port
	// StartTLS says that TLS begins by STARTTLS. On loopback, everything is then sent in clear.
	// Otherwise TLS begins with the first octet.
	StartTLS  bool
	TLSConfig *tls.Config // nil: the authorities of the system
	User      string
	Mailbox   string // in UTF-8
	Password  func(ctx context.Context) (string, error)
	// Token returns an access token of OAuth 2. If it is set, Password is not used.
	Token func(ctx context.Context) (string, error)
	// Renew returns another token after the server has refused this one. It may be nil.
	Renew   func(ctx context.Context, refused string) (string, error)
	Timeout time.Duration // the longest silence of the server

	strict bool // for tests: loopback is no exception
}

// These errors say why a session with the server failed.
var (
	// ErrUnreachable means that the server was not reached, said nothing in time, or broke off.
	ErrUnreachable = errors.New("the IMAP server cannot be reached")
	// ErrLogin means that the server refused the log-in, or knows no way to log in that we know.
	ErrLogin = errors.New("the IMAP server does not let us in")
	// ErrUntrusted means that the certificate was refused, or that the server has no TLS.
	ErrUntrusted = errors.New("there is no TLS to trust")
	// ErrProtocol means that the server said something that IMAP does not allow.
	ErrProtocol = errors.New("the IMAP server broke the protocol")
	// ErrMailbox means that the server refused the mailbox.
	ErrMailbox = errors.New("the mailbox cannot be used")
)

// Reply is a refusal by the server.
type Reply struct {
	Bad  bool   // BAD: the command is wrong. Otherwise NO: it failed.
	Code string // the response code in capitals, such as OVERQUOTA; "" if there is none
	Text string // may hold any octets
}

// maxShown is how much of a server's text an error repeats, in octets.
const maxShown = 300

func (r *Reply) Error() string {
	text := "NO"
	if r.Bad {
		text = "BAD"
	}
	if r.Code != "" {
		text += " [" + r.Code + "]"
	}
	return "the server said " + escape.Text([]byte(text+" "+r.Text), maxShown)
}

// ForGood reports whether the same message would be refused again. A command that the server cannot
// read is such a refusal; quotas, limits and unknown reasons are none.
func (r *Reply) ForGood() bool { return r.Bad || r.Code == "TOOBIG" || r.Code == "CANNOT" }

// passes reports whether a refusal says that a later attempt may succeed (RFC 5530).
func (r *Reply) passes() bool {
	switch r.Code {
	case "UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG":
		return true
	}
	return false
}

// replyOf returns a refusal that the library has read, without a secret that it may repeat.
func replyOf(err error, secret string) error {
	var refusal *imap.Error
	if !errors.As(err, &refusal) {
		return err
	}
	text := refusal.Text
	if secret != "" {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return &Reply{
		Bad:  refusal.Type == imap.StatusResponseTypeBad,
		Code: strings.ToUpper(string(refusal.Code)),
		Text: text,
	}
}

// broken returns the error of a session that did not go on. The library's errors repeat what the
// server sent.
func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %s", ErrUnreachable, escape.Text([]byte(err.Error()), maxShown))
}
