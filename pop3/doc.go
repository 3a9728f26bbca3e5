// Package pop3 is a client for the Post Office Protocol, version 3 (RFC 1939). It streams messages
// and pipelines commands.
//
// It covers
//
//   - RFC 1939: POP3, every command, APOP included
//   - RFC 2449: CAPA, PIPELINING, response codes, line lengths
//   - RFC 2595: STLS; RFC 8314: TLS from the first octet
//   - RFC 3206: the response codes AUTH, SYS/TEMP and SYS/PERM
//   - RFC 5034: AUTH with any SASL mechanism, for example those of github.com/emersion/go-sasl
//   - RFC 6856: UTF8, and non-ASCII names and passwords if the server announces UTF8 USER
//
// # Use
//
// This lists a maildrop and saves its messages; check ends the program if there is an error:
//
//	c, err := pop3.Dial(ctx, "pop.example.org:995", nil)
//	check(err)
//	check(c.User(ctx, "alice", "secret"))
//	listings, err := c.Listings(ctx)
//	check(err)
//	for l := range listings.All() {
//		fmt.Println(l.Number, l.Octets, l.UniqueID)
//	}
//	for m, err := range c.Retr(ctx, listings.Messages()) {
//		check(err)
//		text, err := io.ReadAll(m)
//		check(err)
//		check(os.WriteFile(fmt.Sprint(m.Number, ".eml"), text, 0o600))
//	}
//	check(c.Quit(ctx))
//
// Each method has the name of its command. A session calls, in this order:
//
//   - [Dial] and [Client.Capa]; without Capa nothing is pipelined
//   - one of [Client.User], [Client.Apop] and [Client.Auth]
//   - [Client.Listings] and [Client.Retr]
//   - [Client.Dele] for the messages that are stored safely elsewhere
//   - [Client.Quit]
//
// A method that is called in the wrong state sends nothing. Its error is [ErrState] (by
// [errors.Is]).
//
// # Promises
//
//   - A message is complete if, and only if, [Message.Read] returned io.EOF: the terminating line
//     has been read. Any other end returns another error, for example [io.ErrUnexpectedEOF] if the
//     reply was cut.
//   - The octets of a message stay as they are. Only the dots that the server stuffed are removed.
//     Line ends, NUL and 8-bit octets stay. Only CRLF, dot, CRLF ends a message.
//   - Memory does not depend on the size of a message or on the length of its lines. Memory is
//     never allocated because a server announced a number. Status lines and lines of listings are
//     limited to 8192 octets. A listing is limited to 64 MiB of unique-ids, and the answer to CAPA
//     to 1024 lines.
//   - Each wait has a time limit, and each method that waits also obeys its context. After a time
//     limit the error is [os.ErrDeadlineExceeded]. After the end of a context it is the
//     [context.Cause] of that context.
//   - Credentials are sent only under TLS, unless the caller asked for [TLSNone]. No error and no
//     trace shows them.
//   - Text of the server is escaped in errors and in the trace. It is then one line without control
//     characters.
//
// A reply that starts with + is positive. A reply that starts with - is negative: it becomes a
// [*ReplyError], and the session stays usable. Anything else is a [*ProtocolError]. Two kinds of line
// say nothing: an empty one before or in a listing, and a single dot behind a refusal, if a positive
// reply would have ended with one.
//
// A session is out of step when it is unknown to which command the next reply belongs. The causes
// are a ProtocolError, an error of the connection, a time limit, the end of a context, and a loop
// that was left with replies outstanding. From then on nothing more is sent, and the error of each
// method but Close is [ErrClosed].
//
// # Limits
//
// A Client has no goroutine. It reads only when a method is called. A server may send octets while
// no reply is due. The next command notices those that have been read from the connection by then.
// This package has neither LANG (RFC 6856) nor any mechanisms of SASL.
//
// # Stability
//
// Versions follow semver.org. Until version 1.0, a minor version may change the interface; the
// changelog then says what to write instead. A patch version changes no name, no type and no promise.
// These may change at any time: the text of errors and traces, the order of commands that are
// pipelined, and what is sent ahead. Test errors by their types and by errors.Is. The package needs
// the version of Go in go.mod, and only the standard library and golang.org/x/sys.
package pop3
