package pop3

import (
	"errors"
	"strings"

	"github.com/popfetch/popfetch/internal/escape"
)

var (
	// ErrState is returned by a method that is not allowed in the state of the session (RFC 1939 section 3), or while
	// replies are outstanding; nothing was sent and the session is as it was.
	ErrState = errors.New("pop3: not allowed in this state")

	// ErrClosed is returned by each method after Quit, after Close, and after an error that left the session out of step,
	// which is then wrapped as well; nothing was sent.
	ErrClosed = errors.New("pop3: the session is closed")

	// ErrInsecure is returned where credentials would go out in clear text though TLS was asked for. Dial and New return
	// it with TLSStart if the server does not announce STLS, or refuses it.
	ErrInsecure = errors.New("pop3: refusing to send credentials without TLS")

	// ErrHandshake is returned where the two sides do not agree on TLS: on a version, on a certificate, or because what came was
	// no TLS at all. The loss of the connection, a time limit and the end of a context are the errors that they are elsewhere.
	ErrHandshake = errors.New("pop3: no agreement on TLS")

	// ErrArgument is returned for an argument that cannot stand in a command: it is empty, too long, or has octets that
	// are not allowed; nothing was sent and the session is as it was.
	ErrArgument = errors.New("pop3: not possible as an argument")

	// ErrPipelining goes with an error that looks as if the server, which announces PIPELINING, cannot do it: where several
	// commands had been sent there came something that is no reply (then the error is a *ProtocolError too), or after no
	// more than one of the replies nothing at all, as from a server that drops what it has received behind a command.
	// An end inside of a reply, or later, is the network's.
	ErrPipelining = errors.New("pop3: the server does not keep up with pipelined commands")

	// ErrCancelled says that the client gave a SASL exchange up, and the server knows; the session is usable.
	ErrCancelled = errors.New("pop3: the exchange was cancelled")

	// ErrUnexpected says that AuthExpecting came to nothing, perhaps because the server is no longer as it was expected to be.
	// A further session that expects nothing may do better.
	ErrUnexpected = errors.New("pop3: the server is not as it was")
)

// errLeft says why a session is out of step after a loop was left.
var errLeft = errors.New("a loop was left with replies outstanding")

// ResponseCode is the code in square brackets at the start of a reply's text, in upper case without the brackets (RFC 2449 section 8).
type ResponseCode string

// The response codes of RFC 2449, RFC 3206 and RFC 6856.
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
	Command string       // keyword only, never arguments; "" for the greeting
	Code    ResponseCode // "" if there is none
	Text    string       // what follows the code; escaped, one line, at most 256 octets
}

// Error names the command, the code and the text.
func (e *ReplyError) Error() string {
	what := e.Command
	if what == "" {
		what = "the session"
	}
	s := "server refused " + what
	said := e.Text
	if e.Code != "" {
		said = strings.TrimSpace("[" + string(e.Code) + "] " + said)
	}
	if said != "" {
		s += ": " + Escape(said)
	}
	return s
}

// isRefusal reports whether err is a negative reply.
func isRefusal(err error) bool {
	var reply *ReplyError
	return errors.As(err, &reply)
}

// ProtocolError says that the session is out of step, or that the other side does not speak POP3.
type ProtocolError struct {
	Command string // keyword of the command whose reply was due; "" for the greeting
	Got     string // escaped, at most 80 octets
	Want    string
}

// Error says what came and what was due.
func (e *ProtocolError) Error() string {
	what := e.Command
	if what == "" {
		what = "greeting"
	}
	return what + ": protocol error: got \"" + e.Got + "\", want " + e.Want
}

// handshakeError is what ended a TLS handshake. Its text is a server's too: crypto/tls repeats what it finds in certificates.
type handshakeError struct{ err error }

func (e handshakeError) Error() string   { return "TLS handshake: " + Escape(e.err.Error()) }
func (e handshakeError) Unwrap() []error { return []error{ErrHandshake, e.err} }

// protocolError is a ProtocolError with got made fit for people to read.
func protocolError(keyword string, got []byte, want string) *ProtocolError {
	return &ProtocolError{Command: keyword, Got: escape.Text(got, maxErrorGot), Want: want}
}
