// Package faultwords names the cause of an error by words that a program can read, and that stay the
// same from version to version, such as "econnrefused" or "timed-out". No word holds an address, a
// number that changes from run to run, or a text of a server.
package faultwords

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/headerfilter"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/tunnel"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// Error is an error that has a word of its own. Each value is equal to itself alone.
type Error struct{ word, text string }

// New makes an error with that word and that text.
func New(word, text string) error { return &Error{word, text} }

func (e *Error) Error() string { return e.text }

// Of returns the words for what is known of the cause of err. If it is of no known type, there are
// none.
func Of(err error) []string {
	if errors.Is(err, seen.ErrLost) { // whatever came of it
		return []string{"lost"}
	}
	words, final := loginWord(err)
	if final {
		return words
	}
	return slices.Concat(words, protocolWords(err), certificateWords(err), systemWords(err), knownWords(err))
}

// loginWord names what a failed log-in means for the next one. It also reports whether nothing
// needs to be added. An account that is left alone because of a refused log-in has the same trouble
// as one whose log-in was refused just now.
func loginWord(err error) (word []string, final bool) {
	var failed *login.Error
	switch {
	case !errors.As(err, &failed):
		return nil, false
	case !failed.Until.IsZero():
		return []string{"left-alone"}, true
	}
	return []string{cmp.Or(faultWords[failed.Fault], "cannot")}, failed.Fault == login.Held
}

var faultWords = map[login.Fault]string{login.Held: "held", login.Refused: "refused", login.Later: "later", login.Broken: "broken"}

// protocolWords name the command that a server has refused or not understood, and the response
// code. Only codes of the RFCs count: others may be new in each reply.
func protocolWords(err error) []string {
	var protocol *pop3.ProtocolError
	if errors.As(err, &protocol) {
		return []string{commandWord(protocol.Command), "out-of-step"}
	}
	var reply *pop3.ReplyError
	if !errors.As(err, &reply) {
		return nil
	}
	switch reply.Code {
	case pop3.CodeInUse, pop3.CodeLoginDelay, pop3.CodeAuth, pop3.CodeSysTemp, pop3.CodeSysPerm, pop3.CodeUTF8:
		return []string{commandWord(reply.Command), strings.ToLower(strings.ReplaceAll(string(reply.Code), "/", "-"))}
	}
	return []string{commandWord(reply.Command), "refused"}
}

func commandWord(command string) string {
	if command == "" {
		return "greeting"
	}
	return strings.ToLower(command)
}

// certificateWords name the fault of a server's certificate.
func certificateWords(err error) []string {
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var refused *tls.CertificateVerificationError
	switch {
	case errors.As(err, &host):
		return []string{"certificate-name"}
	case errors.As(err, &authority):
		return []string{"certificate-authority"}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return []string{"certificate-expired"}
	case errors.As(err, &invalid), errors.As(err, &refused):
		return []string{"certificate"}
	}
	return nil
}

// systemWords name the errors of the system. Those of several addresses may come in any order.
func systemWords(err error) []string {
	var dns *net.DNSError
	var timeout net.Error
	switch numbers := errnos(err); {
	case errors.As(err, &dns) && dns.IsNotFound:
		return []string{"name-unknown"}
	case dns != nil:
		return []string{"name-server"}
	case len(numbers) > 0:
		slices.Sort(numbers)
		return slices.Compact(numbers)
	case errors.As(err, &timeout) && timeout.Timeout():
		return []string{"timed-out"}
	}
	return nil
}

// errnos returns the names of all error numbers that err wraps.
func errnos(err error) []string {
	switch e := err.(type) { //nolint:errorlint // errors.As would find only the first one
	case syscall.Errno:
		return []string{strings.ToLower(unix.ErrnoName(e))}
	case interface{ Unwrap() error }:
		return errnos(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []string
		for _, one := range e.Unwrap() {
			all = append(all, errnos(one)...)
		}
		return all
	}
	return nil
}

// ownWords returns the words of all errors of this package that err wraps.
func ownWords(err error) []string {
	switch e := err.(type) { //nolint:errorlint // errors.As would find only the first one
	case *Error:
		return []string{e.word}
	case interface{ Unwrap() error }:
		return ownWords(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []string
		for _, one := range e.Unwrap() {
			all = append(all, ownWords(one)...)
		}
		return all
	}
	return nil
}

// knownErrors are the errors of other packages that have a word of their own.
var knownErrors = []struct {
	err  error
	word string
}{
	{context.Canceled, "stopped"},
	{io.EOF, "broke-off"},
	{io.ErrUnexpectedEOF, "broke-off"},
	{pop3.ErrUnexpected, "not-as-it-was"},
	{pop3.ErrState, "state"},
	{pop3.ErrClosed, "closed"},
	{pop3.ErrInsecure, "no-tls"},
	{pop3.ErrHandshake, "handshake"},
	{pop3.ErrImplicitTLS, "implicit-tls"},
	{pop3.ErrArgument, "argument"},
	{pop3.ErrPipelining, "pipelining"},
	{pop3.ErrCancelled, "cancelled"},
	{tunnel.ErrRefused, "proxy-refused"},
	{tunnel.ErrUnreached, "proxy-unreached"},
	{tunnel.ErrBroken, "proxy-broken"},
	{deliver.ErrMissing, "missing"},
	{deliver.ErrCannotRun, "cannot-run"},
	{deliver.ErrForeign, "foreign"},
	{deliver.ErrCreate, "not-made"},
	{deliver.ErrUnfit, "unfit"},
	{deliver.ErrBusy, "locked"},
	{deliver.ErrUnreachable, "unreachable"},
	{deliver.ErrUntrusted, "untrusted"},
	{deliver.ErrProtocol, "out-of-step"},
	{seen.ErrLocked, "in-use"},
	{seen.ErrBusy, "busy"},
	{seen.ErrNewerSchema, "newer"},
	{seen.ErrCreate, "not-made"},
	{seen.ErrOwner, "foreign"},
}

// knownWords name the errors that have no type of their own, and what a target has said about a
// message.
func knownWords(err error) []string {
	var words []string
	var target *deliver.Error
	if errors.As(err, &target) {
		place, verdict := "target-", "refused"
		if errors.As(err, new(*headerfilter.Refusal)) {
			place = "filter-"
		}
		if target.Temporary {
			verdict = "deferred"
		}
		words = append(words, place+verdict)
	}
	if errors.Is(err, deliver.ErrLogin) {
		words = append(words, targetLoginWord(err))
	}
	for _, word := range ownWords(err) {
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	for _, known := range knownErrors {
		if errors.Is(err, known.err) && !slices.Contains(words, known.word) {
			words = append(words, known.word)
		}
	}
	return words
}

// targetLoginWord tells a target's server that has refused the log-in from a password or token that
// could not be had now.
func targetLoginWord(err error) string {
	var temporary interface{ IsTemporary() bool }
	if errors.As(err, &temporary) && temporary.IsTemporary() {
		return "login-later"
	}
	return "login-refused"
}
