package pop3

import "errors"

var (
	ErrState    = errors.New("pop3: not allowed in this state")
	ErrClosed   = errors.New("pop3: the session is closed")
	ErrInsecure = errors.New("pop3: refusing to send credentials without TLS")
)

// ResponseCode is the code in square brackets at the start of a reply's text, in upper case without the brackets (RFC 2449 section 8).
type ResponseCode string

const (
	CodeInUse      ResponseCode = "IN-USE"
	CodeLoginDelay ResponseCode = "LOGIN-DELAY"
	CodeAuth       ResponseCode = "AUTH"
	CodeSysTemp    ResponseCode = "SYS/TEMP"
	CodeSysPerm    ResponseCode = "SYS/PERM"
	CodeUTF8       ResponseCode = "UTF8"
)

// ReplyError is a negative reply: the server understood the command and refused it.
type ReplyError struct {
	Command string // keyword only, never arguments; "" for the greeting
	Code    ResponseCode
	Text    string // escaped, one line, at most 256 octets
}

func (e *ReplyError) Error() string { panic("todo") }

// ProtocolError says that the session is out of step, or that the other side does not speak POP3.
type ProtocolError struct {
	Command string
	Got     string // escaped, at most 80 octets
	Want    string
}

func (e *ProtocolError) Error() string { panic("todo") }
