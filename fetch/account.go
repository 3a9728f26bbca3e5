package fetch

import (
	"context"
	"errors"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/pop3"
)

// Account is one maildrop, the way to it, and the target of its messages.
type Account struct {
	Name   string
	State  string // the name that its lock and records are kept under; empty: Name
	Server string // host:port
	User   string

	POP3 pop3.Options
	// Login logs a session in. expected holds the capabilities that an earlier run saw, if the
	// server has not been asked for them in this session; see login.Credentials.Login.
	Login func(ctx context.Context, c *pop3.Client, expected pop3.Capabilities) error
	// Changed reports whether Login uses other credentials than those that were refused, which
	// credential stands for (see login.Credentials.Changed). nil: they never change.
	Changed func(ctx context.Context, credential []byte) (bool, error)

	Shared []string // the other accounts in use that have the same maildrop; a run warns of them

	Target deliver.Target
	Policy

	Deadline time.Duration // the longest time a run may take; zero: no limit
	Interval time.Duration // between two runs of Poll; zero: Poll leaves the account alone
}

func (a *Account) stateName() string {
	if a.State != "" {
		return a.State
	}
	return a.Name
}

// Policy says which messages of an account are retrieved, and which are deleted. The zero value
// retrieves all new messages and deletes none.
type Policy struct {
	Delete  DeletePolicy
	All     bool  // retrieve what is seen too
	MaxSize int64 // octets; larger messages are skipped; zero: no limit
	Newest  bool  // retrieve the newest message first

	Initial      InitialPolicy // what the first run leaves out
	NewUIDs      NewUIDs       // what to do when all unique-ids have changed
	UIDLFallback bool          // tell messages apart by their headers where the server refuses UIDL

	QuarantineAfter int // refusals of one message before it is left alone; zero: it never is
}

// tooLarge reports whether the policy allows no message of so many octets.
func (p *Policy) tooLarge(octets int64) bool { return p.MaxSize > 0 && octets > p.MaxSize }

// DeletePolicy says when a delivered message is deleted on the server. The zero value never
// deletes.
type DeletePolicy struct {
	Enabled bool
	After   time.Duration // since its delivery
}

// InitialPolicy says what the first run of an account leaves out. The zero value leaves out
// nothing.
type InitialPolicy struct {
	Limited bool
	// What arrived within that time is retrieved all the same; zero: nothing is.
	Within time.Duration
}

// NewUIDs says what a run does when a known maildrop suddenly shows only new unique-ids, as after a
// move to another server (C0040).
type NewUIDs int

// The zero value recognises messages.
const (
	// Known messages are recognised by their headers, and their records move to the new ids.
	NewUIDsMatch NewUIDs = iota
	NewUIDsFetch         // all are new
	NewUIDsStop          // the run ends with ErrNewUIDs
)

// ErrNewUIDs says that the server has changed all its unique-ids, and that the policy is to stop
// then.
var ErrNewUIDs = errors.New("the maildrop shows only new unique-ids")

// Result is the outcome of one account.
type Result struct {
	Account     string
	Listed      int
	New         int   // listed and to be retrieved
	Delivered   int   // durable at the target and recorded
	Recognised  int   // found at the target already, recorded without delivering again
	Marked      int   // left out of a first run, as Policy.Initial says
	Skipped     int   // larger than MaxSize
	Quarantined int   // listed, and left alone until the operator says so
	Failed      int   // refused by server or target; tried again in the next run
	Unusable    int   // listed without a usable number or unique-id
	Deleted     int   // confirmed by the reply to QUIT
	Octets      int64 // delivered
	Err         error // what ended the run early; a *Error

	// NotBefore is the earliest time at which the server accepts the next log-in. It is known from
	// LOGIN-DELAY, or from a refused log-in. Zero: at any time, as far as is known.
	NotBefore time.Time
}
