// Package pop3 is a client for the Post Office Protocol, version 3 (RFC 1939), that streams messages and pipelines commands.
//
// It covers
//
//   - RFC 1939: POP3, every command, APOP included
//   - RFC 2449: CAPA, PIPELINING, response codes, line lengths
//   - RFC 2595: STLS; RFC 8314: TLS from the first octet
//   - RFC 3206: the response codes AUTH, SYS/TEMP and SYS/PERM
//   - RFC 5034: AUTH with any SASL mechanism, for instance those of github.com/emersion/go-sasl
//   - RFC 6856: UTF8, and names and passwords beyond ASCII where UTF8 USER is announced
//
// # Use
//
// A session is [Dial], then [Client.Capa], then one of [Client.User], [Client.Apop] and [Client.Auth], then
// [Client.Listings] and [Client.Retr], then [Client.Dele] for what is safe elsewhere, and [Client.Quit]. The methods bear
// the names of the commands. A method called in the wrong state returns an error that is [ErrState] and sends nothing.
//
// # Promises
//
//   - A message is complete if, and only if, [Message.Read] reported io.EOF: the terminating line has been read. Every other
//     end is another error, [io.ErrUnexpectedEOF] where the reply was cut.
//   - A message's octets are handed on as they are: only the dots that the server stuffed are removed. Line ends, NUL and
//     8-bit octets stay, and only CRLF, dot, CRLF ends a message.
//   - Memory does not depend on the size of a message nor on the length of its lines, and no announced number is believed
//     when memory is allocated. Status lines and lines of listings are limited to 8192 octets, a listing to 64 MiB of
//     unique-ids, the answer to CAPA to 1024 lines.
//   - Each wait has a time limit, and each method that waits obeys its context, too. An error after a time limit is
//     [os.ErrDeadlineExceeded], one after the end of a context is [context.Cause] of it.
//   - Credentials are sent only under TLS, unless [TLSNone] was asked for, and are in no error and no trace.
//   - Text of the server is escaped in errors and in the trace: it is one line and has no control characters.
//
// A reply that starts with + is positive, one that starts with - is negative (a [*ReplyError], after which the session is
// usable), and anything else is a [*ProtocolError]. After a ProtocolError, an error of the connection, a time limit, an
// ended context or a loop that was left with replies outstanding, nobody can say to which command the next reply belongs:
// the Client is out of step, each method but Close returns an error that is [ErrClosed], and nothing is sent any more.
//
// # Limits
//
// A Client keeps no goroutine and reads only when it is asked to. What a server sends while no reply is due is noticed, at
// the next command, as far as it has been read from the connection. LANG (RFC 6856) and the mechanisms of SASL are not
// part of this package.
package pop3
