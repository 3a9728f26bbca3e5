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
	// Repeated says of a Warning, of a Refused, and of the error in Finished, that a run told of it within the last day, and that
	// it has lasted since: a person who asks for nothing need not be told again.
	Repeated bool
}

// event completes e and reports it.
func (s *session) event(e Event) {
	if s.runner.Observe == nil {
		return
	}
	e.Account = s.account.Name
	s.runner.mu.Lock()
	defer s.runner.mu.Unlock()
	e.Time = s.runner.now()
	s.runner.Observe(e)
}
