package login

import (
	"errors"
	"fmt"
	"time"

	"github.com/popfetch/popfetch/pop3"
)

// Fault says what a failed log-in means for the next attempt.
type Fault int

// The outcomes of a failed log-in.
const (
	Refused Fault = iota + 1 // the server says, or seems to say, that the credentials are wrong
	Later                    // not now: maildrop in use, too soon, or a temporary fault
	Cannot                   // server and account have no mechanism in common; nothing was sent
	Broken                   // the server says that it needs repair ([SYS/PERM])
	Held                     // an earlier reply asked to wait; the server was not contacted
	Untrue                   // the server seems to be another one, or to be imitated
)

// Error is a failed log-in.
type Error struct {
	Fault Fault
	Err   error
	// Credential is for Credentials.Changed, which reports whether the refused credentials have
	// changed since. It is nil if that cannot be found out.
	Credential []byte
	// Until is the time from which the next log-in is allowed. Zero means at any time.
	Until time.Time
	// Sent reports whether the server may have received the password, or data from which it can be
	// guessed.
	Sent bool
}

func (e *Error) Error() string {
	switch e.Fault {
	case Refused:
		return fmt.Sprintf("the server refused the log-in: %v", e.Err)
	case Later:
		return fmt.Sprintf("the server does not allow a log-in now: %v", e.Err)
	default:
		return e.Err.Error()
	}
}

func (e *Error) Unwrap() error { return e.Err }

// Counts reports whether the credentials may be wrong, so that they must not be sent without end.
// Besides a refusal, that is a connection that the server closed instead of answering the password.
// Some servers refuse so. From the network's loss of the connection this cannot be told, but then
// the next log-in succeeds.
func (e *Error) Counts() bool {
	var closed *pop3.CloseError
	return e.Fault == Refused || e.Sent && errors.As(e.Err, &closed)
}

// faultOf returns the meaning of a negative reply to a log-in (RFC 2449 section 8, RFC 3206). If
// the server announces AUTH-RESP-CODE, only [AUTH] means that the credentials are wrong. The text
// of a reply is never interpreted.
func faultOf(reply *pop3.ReplyError, caps pop3.Capabilities) Fault {
	switch {
	case reply.Code == pop3.CodeAuth:
		return Refused
	case reply.Code == pop3.CodeSysPerm:
		return Broken
	case reply.Code == pop3.CodeInUse, reply.Code == pop3.CodeLoginDelay, reply.Code == pop3.CodeSysTemp:
		return Later
	case caps.Has("AUTH-RESP-CODE"):
		return Later
	default:
		return Refused
	}
}
