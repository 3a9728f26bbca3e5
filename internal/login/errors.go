package login

import (
	"fmt"
	"time"

	"github.com/popfetch/popfetch/pop3"
)

// Fault says what a failed log-in means for the next attempt.
type Fault int

// The outcomes of a log-in that did not succeed.
const (
	Refused Fault = iota + 1 // the credentials are wrong, as far as the server says
	Later                    // not now: in use, too soon, a passing fault
	Cannot                   // server and account have no way in common; nothing was sent
	Broken                   // the server says that it needs mending ([SYS/PERM])
	Held                     // too early by what is known of the server; nothing was sent, not even asked
)

// Error is a log-in that did not succeed.
type Error struct {
	Fault Fault
	Err   error
	// Credential lets Credentials.Changed tell whether what was refused has changed since; nil:
	// nobody can tell.
	Credential []byte
	// Until is when the next log-in may be; zero: at any time.
	Until time.Time
	// Sent reports whether the password may have left for the server, or something that it can be
	// guessed from.
	Sent bool
}

func (e *Error) Error() string {
	switch e.Fault {
	case Refused:
		return fmt.Sprintf("the server refused the log-in: %v", e.Err)
	case Later:
		return fmt.Sprintf("the server does not log in now: %v", e.Err)
	default:
		return e.Err.Error()
	}
}

func (e *Error) Unwrap() error { return e.Err }

// faultOf tells what a negative reply to a log-in means (RFC 2449 section 8, RFC 3206). Where the
// server announces AUTH-RESP-CODE, only [AUTH] says that the credentials are wrong. Text is never
// interpreted.
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
