// Package poptest has POP3 servers for tests: scripted ones, a model server, and real ones.
//
// It covers RFC 1939 (POP3), RFC 2449 (CAPA, PIPELINING, response codes), RFC 2595 (STLS), RFC 5034
// (AUTH) and RFC 6856 (UTF8), as far as tests of a client need them.
//
//   - [Dialogue] plays an exact dialogue, octet by octet. It is for tests of one session.
//   - [NewServer] starts a small server with its mail in memory. It is for tests of many sessions.
//     It records every command and can misbehave. [Server.CheckRules] names each rule that a client
//     broke.
//   - [Misdeeds] makes that server misbehave, as a short script says.
//   - [Quirks] are odd answers of servers that a client can live with.
//   - [StartDovecot] starts Dovecot, the server that most mail providers run.
//   - [StartProvider] starts an OpenID provider, which issues the tokens of OAuth 2 that Dovecot takes.
//   - [StartKDC] starts the KDC of MIT Kerberos, whose tickets Dovecot takes. [NewService] takes
//     tickets itself, and can misbehave.
//   - [InClear] says that a client may log in without TLS. Otherwise a test fails if one does.
//   - [Delay] puts a slow link in front of any of them.
//   - [RealWorld] returns mail to serve.
//
// All servers listen on loopback, at a free port. The test's cleanup stops them. Servers share
// nothing, so tests may run in parallel.
package poptest

// TB has the methods of [testing.TB] that this package calls. It is an interface of its own so that
// a command of a script test can implement it.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
	Failed() bool
	TempDir() string
}
