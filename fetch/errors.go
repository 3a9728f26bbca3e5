package fetch

import (
	"fmt"
	"time"
)

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
func (e *Error) Unwrap() error { return e.Err }

// LoginFault says what a failed log-in means for the next attempt.
type LoginFault int

// The outcomes of a log-in that did not succeed.
const (
	LoginRefused LoginFault = iota + 1 // the credentials are wrong, as far as the server says
	LoginLater                         // not now: in use, too soon, a passing fault
	LoginCannot                        // server and account have no way in common; nothing was sent
	LoginBroken                        // the server says that it needs mending ([SYS/PERM])
	LoginHeld                          // too early by what is known of the server; nothing was sent, not even asked
)

// LoginError is a log-in that did not succeed.
type LoginError struct {
	Fault LoginFault
	Err   error
	// Credential is what Credentials.Changed tells by whether that which was refused has changed since; nil: nobody can tell.
	Credential []byte
	// Until is when the next log-in may be; zero: at any time.
	Until time.Time
}

func (e *LoginError) Error() string {
	switch e.Fault {
	case LoginRefused:
		return fmt.Sprintf("the server refused the log-in: %v", e.Err)
	case LoginLater:
		return fmt.Sprintf("the server does not log in now: %v", e.Err)
	default:
		return e.Err.Error()
	}
}

func (e *LoginError) Unwrap() error { return e.Err }
