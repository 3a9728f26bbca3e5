package fetch

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/tunnel"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// Kind says what an Event tells.
type Kind string

// The kinds of events, roughly in the order of a run. Recognised and Skipped may come before Listed.
const (
	Started     Kind = "started"     // the account's run begins
	Listed      Kind = "listed"      // Messages and Octets are to be retrieved
	Marked      Kind = "marked"      // Messages are left out of the first run, and recorded so
	Recognised  Kind = "recognised"  // the target held the message already; it is recorded now
	Delivered   Kind = "delivered"   // durable at its target, and recorded
	Refused     Kind = "refused"     // not delivered; tried again in the next run
	Quarantined Kind = "quarantined" // not delivered, not retried before the operator says so
	Skipped     Kind = "skipped"     // larger than max_size; told once
	LeftOut     Kind = "left-out"    // Messages are older than the account's since; told once
	Deleted     Kind = "deleted"     // confirmed by the reply to QUIT
	Warning     Kind = "warning"     // Err says what is odd; the run goes on
	Noted       Kind = "noted"       // Err says what is odd, and that it does not matter
	Finished    Kind = "finished"    // ended; Messages and Octets were delivered
)

// Event is one thing that happened in a run. Runner reports events one at a time, after the fact.
type Event struct {
	Time     time.Time
	Account  string
	Kind     Kind
	Code     Code // of a Warning, and of the error in Finished: what it is about
	Number   int  // message-number in this session, 0: none
	UniqueID string
	Octets   int64
	Messages int
	Rule     string // of Deleted; see policy.Rule
	Err      error
	// Result, of Listed and Finished, is what the run has come to so far.
	Result *Result
	// Repeated says that a run has reported the same refusal of this message within the last day. A
	// person need not be told again.
	Repeated bool
	// Early says that nobody was told of this refusal, and need not be yet: see Account.TellAfter.
	Early bool
	// Always says that each run reports this refusal, because a person must end it.
	Always   bool
	Header   Header    // of Delivered, if Policy.Headers asks for it
	Progress *Progress // of Started: counts what the run receives
}

// Progress counts what a run receives. Others may read it while the run goes on.
type Progress struct {
	Octets  atomic.Int64 // of messages that are retrieved, as they come
	Waiting atomic.Int64 // messages that have come whole, and are not recorded yet
}

// Phase is the part of a run in which an error ended it.
type Phase string

// The phases of a run, in their order.
const (
	PhaseLock     Phase = "lock"
	PhaseState    Phase = "state"
	PhaseTarget   Phase = "target"
	PhaseOpen     Phase = "open"
	PhaseLogin    Phase = "login"
	PhaseList     Phase = "list"
	PhaseIdentify Phase = "identify"
	PhaseRetrieve Phase = "retrieve"
	PhaseDeliver  Phase = "deliver"
	PhaseRecord   Phase = "record"
	PhaseDelete   Phase = "delete"
	PhaseQuit     Phase = "quit"
)

// Error is what ended the run of an account.
type Error struct {
	Account string
	Phase   Phase
	Err     error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s: %v", e.Account, e.Phase, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Code names the subject of a warning or an error. It stays the same from version to version, and
// as long as the trouble lasts. So it holds no address, no number that changes from run to run, and
// no text of a server.
type Code string

// CodeHeld is the code of a run that came too early for the server.
const CodeHeld Code = "login/held"

// The codes of warnings.
const (
	CodeClearText        Code = "clear-text"           // password and mail are sent in clear
	CodeClock            Code = "clock"                // the clock is clearly wrong
	CodeDeletionsWait    Code = "deletions-wait"       // too long since the last run, so nothing is deleted by age
	CodeDeleteRefused    Code = "delete-refused"       // the server does not delete a message
	CodeExpire           Code = "expire"               // the server removes messages earlier than the account
	CodeHistory          Code = "history"              // the run could not be noted in its history
	CodeInitialDates     Code = "initial-dates"        // no initial: the age of the messages is unknown
	CodeInitialKnown     Code = "initial-known"        // no initial: another account has this maildrop
	CodeInitialTarget    Code = "initial-target"       // no initial: the target holds mail of this maildrop
	CodeNewUIDs          Code = "new-unique-ids"       // all unique-ids are new; messages are matched
	CodeNewUIDsStop      Code = "new-unique-ids-stop"  // a look: a run would end because of them
	CodeNewUIDsRetrieved Code = "new-unique-ids-whole" // no TOP: messages are retrieved for comparison
	CodeNoGoodbye        Code = "no-goodbye"           // no reply to QUIT, and none was needed
	CodeNoSizes          Code = "no-sizes"             // the server does not report sizes
	CodeNotListed        Code = "not-listed"           // a unique-id that was asked for; has a UniqueID
	CodeOldTLS           Code = "old-tls"              // an old version or cipher suite of TLS
	CodePipeliningBroken Code = "pipelining-broken"    // the server gets one command at a time
	CodeNotVerified      Code = "not-verified"         // verify: what cannot be read back is not deleted
	CodeRemoved          Code = "removed"              // it is in doubt what was removed at the target
	CodeRenamedAccount   Code = "renamed-account"      // new, but another has this server and user
	CodeShared           Code = "shared"               // other accounts have the same maildrop
	CodeSinceDates       Code = "since-dates"          // no since: the age of the messages is unknown
	CodeSizeChanged      Code = "size-changed"         // not the octets recorded for its unique-id; has a Number
	CodeUnlock           Code = "unlock"               // the account's lock could not be given back
	CodeUnrecognisedMail Code = "unrecognised-mail"    // first run, but the target holds unknown mail
	CodeUnusable         Code = "unusable"             // listed in a way that popfetch cannot use
)

// Told is what a person was told about lasting trouble, in the form that a Notices uses, and since
// when. The zero value is nothing.
type Told struct {
	Lines string
	At    time.Time
}

// Notices decides what a person is told, and how often, about trouble that lasts from run to run. A
// Runner keeps what Notices wants to know later. The calls for one account come one at a time;
// calls for several accounts may overlap.
type Notices interface {
	// Begin passes what earlier runs left. It is called before the first event of a run that may be
	// a repetition. If a run cannot read what was left, Begin is not called.
	Begin(account string, told Told)
	// End returns what later runs need to know. It is called after the Finished event, while the
	// account's standing is changed, and under the account's lock if the run has it. before is what
	// is kept now. A run that did not get the lock may have changed it since Begin. End may be
	// called twice.
	End(account string, before Told) Told
}

// CodeOf returns the code of an error. It is made of the phase in which the error ended a run, and
// what is known of the cause, separated by slashes: "open/econnrefused", "login/refused/pass/auth".
// If the cause is of no known type, the code is the phase alone.
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

// ErrNewUIDs says that the server has changed all its unique-ids, and that the policy is to stop
// then.
var ErrNewUIDs = errors.New("the maildrop shows only new unique-ids")

// ErrNoIDsNow says that the server has refused UIDL, though it has told unique-ids before. So it has
// not lost them, and a later run may get them.
var ErrNoIDsNow = errors.New("the server does not tell the unique-ids now, though it did before")

// ErrRenamed says that an account may be another one of the configuration, renamed, so that it would
// be fetched from the beginning.
var ErrRenamed = errors.New("nothing is known of this account, but another one has the same server and user")

// errNoQuit says why nothing is deleted if QUIT could lose mail (EXPIRE 0, R2449-5).
var errNoQuit = errors.New("the server may remove at QUIT whatever it has sent (EXPIRE 0), and not all of that is safe here")

// knownErrors are the errors that have a word of their own.
var knownErrors = []struct {
	err  error
	word string
}{
	{errDeadline, "deadline"},
	{context.Canceled, "stopped"},
	{io.EOF, "broke-off"},
	{io.ErrUnexpectedEOF, "broke-off"},
	{errNoQuit, "no-quit"},
	{pop3.ErrUnexpected, "not-as-it-was"},
	{ErrNewUIDs, "new-unique-ids"},
	{ErrRenamed, "renamed"},
	{ErrNoIDsNow, "for-now"},
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
	{errRefusesAll, "refuses-all"},
	{deliver.ErrForeign, "foreign"},
	{deliver.ErrCreate, "not-made"},
	{deliver.ErrUnfit, "unfit"},
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
