package fetch

import (
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
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// Code names what a warning or an error is about. It stays the same from version to version and as
// long as the trouble lasts: it holds no address, no number that changes from run to run, and
// nothing that a server says.
type Code string

// CodeHeld is the code of a run that came too early for the server.
const CodeHeld Code = "login/held"

// CodeOf returns the code of an error. That is the phase in which it ended a run and what is known
// of the cause, separated by slashes: "open/econnrefused", "login/refused/pass/auth". What has a
// cause of no known type is named by its phase alone.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var words []string
	var run *Error
	if errors.As(err, &run) {
		words = append(words, string(run.Phase))
	}
	fault, final := loginWord(err)
	words = append(words, fault...)
	if !final {
		words = append(words, protocolWords(err)...)
		words = append(words, certificateWords(err)...)
		words = append(words, systemWords(err)...)
		words = append(words, knownWords(err)...)
	}
	return Code(strings.Join(words, "/"))
}

// loginWord names what a failed log-in means for the next one, and reports whether that says it
// all. An account that is left alone since its last log-in was refused is in the same trouble as
// one whose log-in was refused and that is left alone now.
func loginWord(err error) (word []string, final bool) {
	var login *LoginError
	switch {
	case !errors.As(err, &login):
		return nil, false
	case !login.Until.IsZero():
		return []string{"left-alone"}, true
	}
	switch login.Fault {
	case LoginHeld:
		return []string{"held"}, true
	case LoginRefused:
		return []string{"refused"}, false
	case LoginLater:
		return []string{"later"}, false
	case LoginBroken:
		return []string{"broken"}, false
	default:
		return []string{"cannot"}, false
	}
}

// protocolWords name the command that a server has refused or not understood, and the response
// code, which must be one of the RFCs: any other may be new in each reply.
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

// certificateWords name what is wrong with a server's certificate.
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

// systemWords name what the system says. The errors of several addresses may come in any order.
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
	switch e := err.(type) { //nolint:errorlint // errors.As would find the first one alone
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

// knownErrors are the errors that have a word of their own.
var knownErrors = []struct {
	err  error
	word string
}{
	{errDeadline, "deadline"},
	{context.Canceled, "stopped"},
	{io.EOF, "broke-off"},
	{io.ErrUnexpectedEOF, "broke-off"},
	{errUnexpected, "not-as-it-was"},
	{ErrNewUIDs, "new-unique-ids"},
	{pop3.ErrState, "state"},
	{pop3.ErrClosed, "closed"},
	{pop3.ErrInsecure, "no-tls"},
	{pop3.ErrHandshake, "handshake"},
	{pop3.ErrArgument, "argument"},
	{pop3.ErrPipelining, "pipelining"},
	{pop3.ErrCancelled, "cancelled"},
	{deliver.ErrMissing, "missing"},
	{deliver.ErrForeign, "foreign"},
	{seen.ErrLocked, "in-use"},
	{seen.ErrBusy, "busy"},
	{seen.ErrNewerSchema, "newer"},
	{seen.ErrCreate, "not-made"},
	{seen.ErrOwner, "foreign"},
}

// knownWords name the errors that have no type of their own, and what a target has said of a
// message.
func knownWords(err error) []string {
	var words []string
	var target *deliver.Error
	if errors.As(err, &target) {
		words = append(words, "target-refused")
		if target.Temporary {
			words[0] = "target-deferred"
		}
	}
	for _, known := range knownErrors {
		if errors.Is(err, known.err) && !slices.Contains(words, known.word) {
			words = append(words, known.word)
		}
	}
	return words
}
