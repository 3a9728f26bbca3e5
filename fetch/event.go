package fetch

import "time"

// Kind says what an Event tells.
type Kind string

// The kinds of events, in the order in which a run has them.
const (
	Started     Kind = "started"     // the account's run begins
	Listed      Kind = "listed"      // Messages and Octets are to be retrieved
	Marked      Kind = "marked"      // Messages are left out of the first run, and recorded so
	Recognised  Kind = "recognised"  // the target held the message already; it is recorded now
	Delivered   Kind = "delivered"   // durable at its target, and recorded
	Refused     Kind = "refused"     // not delivered; tried again in the next run
	Quarantined Kind = "quarantined" // not delivered, and not tried again until the operator says so; told once
	Skipped     Kind = "skipped"     // larger than max_size; told once
	Deleted     Kind = "deleted"     // confirmed by the reply to QUIT
	Warning     Kind = "warning"     // Err says what is odd; the run goes on
	Finished    Kind = "finished"    // Messages and Octets were delivered; Err says what ended the run early
)

// Event is one thing that happened in a run; Runner reports events one at a time, after the fact.
type Event struct {
	Time     time.Time
	Account  string
	Kind     Kind
	Number   int // message-number in this session, 0: none
	UniqueID string
	Octets   int64
	Messages int
	Err      error
	Code     Code // what Err is about; empty where nothing is known of that
	// Repeated says of a Refused that a run told of the same within the last day: a person who asks for nothing need not be told
	// again.
	Repeated bool
}

// The codes of warnings.
const (
	CodeClearText        Code = "clear-text"           // password and mail cross the network in clear
	CodeDeleteRefused    Code = "delete-refused"       // the server does not delete a message
	CodeExpire           Code = "expire"               // the server removes messages before the account would
	CodeExpireAtOnce     Code = "expire-at-once"       // the server may remove what was retrieved
	CodeInitialDates     Code = "initial-dates"        // initial is left aside: nothing tells how old the messages are
	CodeInitialKnown     Code = "initial-known"        // initial is left aside: another account has the same maildrop
	CodeInitialTarget    Code = "initial-target"       // initial is left aside: the target holds messages of the maildrop
	CodeNewUIDs          Code = "new-unique-ids"       // the maildrop shows only new unique-ids, and they are matched
	CodeNewUIDsStop      Code = "new-unique-ids-stop"  // a look: a run would end because of them
	CodeNewUIDsRetrieved Code = "new-unique-ids-whole" // without TOP messages are retrieved to be compared
	CodeNoSizes          Code = "no-sizes"             // the server does not tell the sizes of messages
	CodePipeliningBroken Code = "pipelining-broken"    // the server gets one command at a time
	CodeRenamedAccount   Code = "renamed-account"      // another account has the same server and user, and this one is new
	CodeShared           Code = "shared"               // other accounts have the same maildrop
	CodeSizeChanged      Code = "size-changed"         // a message has other octets than the one of its unique-id; has a Number
	CodeUnlock           Code = "unlock"               // the account's lock could not be given back
	CodeUnrecognisedMail Code = "unrecognised-mail"    // a first run, and the target holds mail of unknown origin
	CodeUnusable         Code = "unusable"             // messages are listed in a way that nothing can be done with them
)

// Told is what a person was told and lasts, in the words of a Notices, and since when; the zero value is nothing.
type Told struct {
	Lines string
	At    time.Time
}

// Notices decides what a person is told, and how often, of what lasts from run to run. A Runner keeps what Notices wants to
// know later. The calls for one account come one at a time, those for several accounts do not.
type Notices interface {
	// Begin hands over what earlier runs left. It comes before the first event of a run that may be a repetition. A run that
	// cannot read what was left has no Begin.
	Begin(account string, told Told)
	// End returns what later runs are to know. It comes after the Finished event, within the change of the account's standing,
	// and under the account's lock if the run has it. before is what is kept now: a run that did not get the lock may have
	// changed it since Begin. It may be called twice.
	End(account string, before Told) Told
}

// event completes e and reports it.
func (s *session) event(e Event) {
	if s.runner.Observe == nil {
		return
	}
	e.Account = s.account.Name
	if e.Code == "" {
		e.Code = CodeOf(e.Err)
	}
	s.runner.mu.Lock()
	defer s.runner.mu.Unlock()
	e.Time = s.runner.now()
	s.runner.Observe(e)
}
