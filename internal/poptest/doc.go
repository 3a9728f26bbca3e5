// Package poptest is POP3 servers for tests: scripted, modelled, and real.
//
// It covers RFC 1939 (POP3), RFC 2449 (CAPA, PIPELINING, response codes), RFC 2595 (STLS), RFC 5034 (AUTH) and RFC 6856
// (UTF8) as far as a client's tests want them.
//
//   - [Dialogue] plays an exact dialogue, octet by octet, for what a server says in one session.
//   - [NewServer] is a small server over memory, for what a client does over many sessions; it records every command,
//     can be told to misbehave, and [Server.CheckRules] names each rule of the protocol that a client broke.
//   - [Misdeeds] writes down in a few lines how that server misbehaves.
//   - [StartDovecot] is the server that most mail providers run.
//   - [Delay] puts a slow link before any of them, and [RealWorld] is mail to serve.
//
// Everything listens on loopback, at a free port, and is stopped by the test's cleanup. Nothing is shared between two
// servers, so tests may run in parallel.
package poptest

// TB is what this package needs of a [testing.TB]; it is an interface of its own so that a script command of a command
// test can stand in for one.
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
