package fetch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/content"
	"github.com/popfetch/popfetch/internal/faultwords"
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
	Dropped     Kind = "dropped"     // delivered nowhere, as a route or a filter says; recorded so
	Refused     Kind = "refused"     // not delivered; tried again in the next run
	Quarantined Kind = "quarantined" // not delivered, not retried before the operator says so
	Skipped     Kind = "skipped"     // larger than max_size; told once
	LeftOut     Kind = "left-out"    // Messages are older than the account's since; told once
	Discarded   Kind = "discarded"   // a filter of headers said to delete it; recorded so
	Left        Kind = "left"        // a filter of headers said to leave it; recorded as marked
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
	Telling
	Header   Header    // of Delivered, if Policy.Headers asks for it
	Progress *Progress // of Started: counts what the run receives
}

// Telling says whether a person needs to be told of a refusal.
type Telling struct {
	// Repeated says that a run has reported the same refusal of this message within the last day. A
	// person need not be told again.
	Repeated bool
	// Early says that nobody was told of this refusal, and need not be yet: see Account.TellAfter.
	Early bool
	// Always says that each run reports this refusal, because a person must end it.
	Always bool
}

// Result is the outcome of one account.
type Result struct {
	Account     string
	Listed      int
	New         int // listed and to be retrieved
	Delivered   int // durable at the target and recorded
	Recognised  int // found at the target already, recorded without delivering again
	Quarantined int // listed, and left alone until the operator says so
	Failed      int // refused by server or target; tried again in the next run
	Unusable    int // listed without a usable number or unique-id
	Filtered    Filtered
	Deleted     int   // confirmed by the reply to QUIT
	Octets      int64 // delivered
	Err         error // what ended the run early; a *Error

	Selection
	Wait
}

// Selection counts the messages that the policy has kept from being retrieved.
type Selection struct {
	Marked   int // left out of a first run, as Policy.Initial says
	Skipped  int // larger than MaxSize
	LeftOut  int // sent before the time that the account sets
	Waiting  int // left to a later pass
	Unlisted int // unique-ids that were named, and that the server does not list
}

// Filtered counts the messages that are delivered nowhere because a filter or a route said so.
type Filtered struct {
	Dropped   int // retrieved, and dropped by a filter or a route
	Discarded int // a filter of headers said to delete them
	Left      int // a filter of headers said to leave them
}

// Wait says when the next run may log in.
type Wait struct {
	// NotBefore is the earliest time at which the server wants the next log-in. Zero: at any time.
	NotBefore    time.Time
	RefusedUntil time.Time // the same, if it has refused one as too early; until then no run logs in
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
	PhaseBefore   Phase = "pre-command"
	PhaseOpen     Phase = "open"
	PhaseLogin    Phase = "login"
	PhaseList     Phase = "list"
	PhaseIdentify Phase = "identify"
	PhaseFilter   Phase = "filter-headers"
	PhaseRetrieve Phase = "retrieve"
	PhaseDeliver  Phase = "deliver"
	PhaseRecord   Phase = "record"
	PhaseDelete   Phase = "delete"
	PhaseQuit     Phase = "quit"
	PhaseAfter    Phase = "post-command"
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
	CodeAfter            Code = "post-command"         // it failed after a run that had ended early
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
	words := faultwords.Of(err)
	var run *Error
	if errors.As(err, &run) {
		words = slices.Concat([]string{string(run.Phase)}, words)
	}
	return Code(strings.Join(words, "/"))
}

// ErrNewUIDs says that the server has changed all its unique-ids, and that the policy is to stop
// then.
var ErrNewUIDs = faultwords.New("new-unique-ids", "the maildrop shows only new unique-ids")

// ErrNoIDsNow says that the server has refused UIDL, though it has told unique-ids before. So it has
// not lost them, and a later run may get them.
var ErrNoIDsNow = faultwords.New("for-now", "the server does not tell the unique-ids now, though it did before")

// ErrRenamed says that an account may be another one of the configuration, renamed, so that it would
// be fetched from the beginning.
var ErrRenamed = faultwords.New("renamed", "nothing is known of this account, but another one has the same server and user")

// ErrNoTop says that the server cannot show the headers of messages.
var ErrNoTop = faultwords.New("no-top", "the server has no TOP, and so does not show the headers of its messages")

// isLost reports whether err says that another process may have the account by now.
func isLost(err error) bool {
	return errors.Is(err, seen.ErrLost) || errors.Is(err, deliver.ErrOvertaken)
}

// errNoQuit says why nothing is deleted if QUIT could lose mail (EXPIRE 0, R2449-5).
var errNoQuit = faultwords.New("no-quit",
	"the server may remove at QUIT whatever it has sent (EXPIRE 0), and not all of that is safe here")

// isReply reports whether err is a negative reply, after which the session is usable.
func isReply(err error) bool {
	if err == nil { // nearly always, so it must be cheap
		return false
	}
	var reply *pop3.ReplyError
	return errors.As(err, &reply)
}

// isOutOfStep reports whether err says that replies do not belong to their commands.
func isOutOfStep(err error) bool {
	var protocol *pop3.ProtocolError
	return errors.As(err, &protocol) || errors.Is(err, errOutOfStep)
}

// errOutOfStep says that a command got a reply that is not its own.
var errOutOfStep = errors.New("replies do not belong to their commands")

// where is where a session of a run ended at a message.
type where uint8

const (
	nowhere where = iota // it ended otherwise
	atRETR
	atDELE
	atLook // its header was asked for, to make its id or to find out whether its record is still true
)

// breaks are the sessions of a run that ended at a message. Each costs that message, and no other one
// its delivery or deletion.
type breaks struct {
	where where // of this session
	entry seen.Entry
	ended bool // this session has ended well

	n      [atLook + 1]int // earlier sessions, by where
	err    error           // what ended the first of them
	turn   bool            // all else is done, and the messages at which sessions end have their turn
	putOff []seen.Aside    // those messages

	undeletable map[seen.Key]bool // messages at whose DELE a session ended
}

// mostBreaks limits the sessions of a run that end at a RETR.
const mostBreaks = 3

// begin is called when a session begins.
func (b *breaks) begin() { b.where, b.ended = nowhere, false }

// at notes that the session ends at a message.
func (b *breaks) at(w where, e *seen.Entry) { b.where, b.entry = w, *e }

// breaks reports whether an earlier session has ended at the message. One that the operator wants
// again keeps that reason, whatever has happened since.
func (it item) breaks() bool {
	before := it.before()
	return before != nil && (before.Reason == seen.Breaking || before.Reason == seen.Wanted && before.Text != "")
}

// Header is what a person wants to know of a message. Each value is as the message has it, on one
// line and undecoded. The zero Header is unknown.
type Header struct{ Date, From, Subject string }

// maxShown is how many octets of a field of a header are kept for a person.
const maxShown = 1000

// showHeader returns what a person gets of a header.
func showHeader(h *content.Header) Header {
	field := func(name string) string {
		value, _ := h.Value(name)
		return content.Cut(value, maxShown)
	}
	return Header{field("date"), field("from"), field("subject")}
}
