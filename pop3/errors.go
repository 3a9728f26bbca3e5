package pop3

import (
	"errors"
	"strings"

	"github.com/popfetch/popfetch/internal/escape"
)

var (
	// ErrState is returned by a method that is not allowed in the state of the session (RFC 1939
	// section 3). It is also returned while replies are outstanding. Nothing was sent, and the
	// session is unchanged.
	ErrState = errors.New("pop3: not allowed in this state")

	// ErrClosed is returned by each method after Quit, after Close, and after an error that left
	// the session out of step. In the last case that error is wrapped as well. Nothing was sent.
	ErrClosed = errors.New("pop3: the session is closed")

	// ErrInsecure is returned when credentials would be sent in clear text although TLS was
	// requested. With TLSStart, Dial and New return it if the server does not announce STLS or
	// refuses it.
	ErrInsecure = errors.New("pop3: refusing to send credentials without TLS")

	// ErrHandshake is returned if client and server do not agree on TLS. Examples are the version,
	// the certificate, or a server that does not speak TLS at all. It does not cover the loss of
	// the connection, a time limit or the end of a context: their errors are the usual ones.
	ErrHandshake = errors.New("pop3: no agreement on TLS")

	// ErrImplicitTLS is returned by Dial and New if the port speaks TLS from the first octet,
	// although it was to begin in clear text. It is found out after five seconds of silence.
	ErrImplicitTLS = errors.New("pop3: the server speaks TLS from the first octet, and no clear text")

	// ErrArgument is returned for an argument that cannot be part of a command. The argument is
	// empty, is too long, or has octets that are not allowed. Nothing was sent, and the session is
	// unchanged.
	ErrArgument = errors.New("pop3: invalid argument")

	// ErrPipelining says that a server that announces PIPELINING probably cannot do it. It wraps
	// the error that is the sign of this. One sign is a line that is not a reply, after several
	// commands were sent; the error is then a *ProtocolError too. Other signs are a connection that
	// is closed after at most one reply, and silence after the first reply. A server that drops the
	// commands behind the first one behaves so. If the connection breaks inside a reply, or later,
	// the network is to blame.
	ErrPipelining = errors.New("pop3: the server seems unable to handle pipelined commands")

	// ErrNonASCII is returned, together with ErrArgument, for a name or password that only a session
	// with UTF8 USER may send (RFC 6856 section 2). Options.Octets makes others send it too.
	ErrNonASCII = errors.New("octets beyond ASCII, but the session does not use UTF8 USER")

	// ErrCancelled says that the client cancelled a SASL exchange, and that the server confirmed
	// it. The session is usable.
	ErrCancelled = errors.New("pop3: the exchange was cancelled")

	// ErrUnexpected says that AuthExpecting failed, perhaps because the server no longer announces
	// what was expected. A new session that expects nothing may succeed.
	ErrUnexpected = errors.New("pop3: the server did not answer as expected")
)

// errLeft is why a session is out of step after a loop was left.
var errLeft = errors.New("a loop was left with replies outstanding")

// ResponseCode is the code in square brackets at the start of a reply's text (RFC 2449 section 8).
// It is in upper case and has no brackets.
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

// ReplyError is a negative reply. The server understood the command and refused it.
type ReplyError struct {
	Command string       // the keyword, never arguments; "" for the greeting
	Code    ResponseCode // "" if the reply has none
	Text    string       // the text after the code: escaped, one line, at most 256 octets
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

// ProtocolError says that the server broke the protocol, or that it does not speak POP3. The
// session is out of step, except after STAT (see Stat).
type ProtocolError struct {
	Command string // the keyword of the command whose reply was due; "" for the greeting
	Got     string // the octets that came: escaped, at most 80 octets
	Want    string // the reply that was due, in words
	// Service is the protocol whose greeting came instead, such as "IMAP" or "SMTP"; see Service.
	// Empty: it is not known, or the greeting was read before.
	Service string
}

// Error says which octets came and which reply was due.
func (e *ProtocolError) Error() string {
	what := e.Command
	if what == "" {
		what = "greeting"
	}
	return what + ": protocol error: got \"" + e.Got + "\", want " + e.Want
}

// CloseError says that the connection ended before the first octet of a reply. The server may have
// closed it on purpose: some do so instead of refusing a password. A write that fails is no
// CloseError, because then the server may not have read the command.
type CloseError struct {
	Command string // the keyword of the command whose reply was due
	Err     error  // wraps io.ErrUnexpectedEOF
}

func (e *CloseError) Error() string { return e.Command + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *CloseError) Unwrap() error { return e.Err }

// handshakeError is the error of a TLS handshake. Its text is escaped, because crypto/tls repeats
// text from the server's certificate.
type handshakeError struct{ err error }

func (e handshakeError) Error() string   { return "TLS handshake: " + Escape(e.err.Error()) }
func (e handshakeError) Unwrap() []error { return []error{ErrHandshake, e.err} }

// protocolError returns a ProtocolError with got escaped for people.
func protocolError(keyword string, got []byte, want string) *ProtocolError {
	service := ""
	if keyword == "" {
		service = Service(got)
	}
	return &ProtocolError{Command: keyword, Got: escape.Text(got, maxErrorGot), Want: want, Service: service}
}
