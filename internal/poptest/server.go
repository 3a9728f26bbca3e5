package poptest

import (
	"bytes"
	"crypto/tls"
	"maps"
	"net"
	"strings"
	"sync"
	"time"
)

// Server is a POP3 server with its maildrops in memory. It obeys RFC 1939: it stuffs dots, deletes
// messages only at QUIT, and accepts pipelined commands. It records what its clients send. It
// misbehaves if [Config.Hook] says so. Its methods may be called at any time.
type Server struct {
	t      TB
	ca     *CA
	plain  *net.TCPListener
	secure *net.TCPListener
	drops  []*Drop
	closed chan struct{}
	work   sync.WaitGroup // the goroutines of listeners and sessions

	mu       sync.Mutex
	config   Config
	sessions []*Session
	cutAfter int64 // for the next connection; -1: none
	ending   bool
}

// Config says how a [Server] behaves. A session uses the Config from when it began.
type Config struct {
	// Capabilities is the reply to CAPA, without STLS under TLS. If nil, CAPA is refused. All
	// commands work, whether they are listed or not.
	Capabilities []string
	// Greeting is the text after +OK.
	Greeting string
	// Timestamp ends the greeting and makes APOP possible. It includes the angle brackets. If
	// empty, APOP is refused.
	Timestamp string
	// TLS is the configuration for implicit TLS and STLS. If nil, STLS is refused.
	TLS *tls.Config
	// Mechanisms are the mechanisms of AUTH, by name.
	Mechanisms map[string]Mechanism
	// Expire0 announces EXPIRE 0. Then QUIT also deletes the messages that RETR and TOP have shown
	// (RFC 2449 section 6.7).
	Expire0 bool
	// Hook, if set, is called for each command. cmd is the line without its end, or "" for the
	// greeting. Each session calls it from a goroutine of its own. A call sees what the calls that
	// ended before it have written.
	Hook func(s *Session, cmd string) Action
}

// DefaultCapabilities returns the capabilities that a new [Server] announces.
func DefaultCapabilities() []string {
	return []string{"TOP", "UIDL", "USER", "SASL PLAIN LOGIN EXTERNAL", "STLS", "UTF8", "PIPELINING", "RESP-CODES",
		"AUTH-RESP-CODE", "IMPLEMENTATION poptest"}
}

// NewServer starts a server with these maildrops, one for each user. It runs until the test ends.
func NewServer(t TB, maildrops ...Maildrop) *Server {
	t.Helper()
	s := &Server{
		t: t, ca: NewCA(t), plain: listen(t), secure: listen(t),
		closed: make(chan struct{}), cutAfter: -1,
	}
	for _, m := range maildrops {
		s.drops = append(s.drops, newDrop(m))
	}
	s.config = Config{
		Capabilities: DefaultCapabilities(),
		Greeting:     "POP3 server ready",
		TLS:          s.ca.ServerTLS(Valid),
		Mechanisms:   map[string]Mechanism{"PLAIN": s.plainMechanism, "LOGIN": s.loginMechanism, "EXTERNAL": externalMechanism},
	}
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		s.accept(s.plain, false)
	}()
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		s.accept(s.secure, true)
	}()
	t.Cleanup(s.close)
	return s
}

// Addr returns host and port for sessions with STLS, and for those in clear text if [InClear] says so.
func (s *Server) Addr() string { return s.plain.Addr().String() }

// TLSAddr returns host and port for implicit TLS.
func (s *Server) TLSAddr() string { return s.secure.Addr().String() }

// CA returns the authority of the server's certificate. The server also accepts client certificates
// of this authority, for EXTERNAL.
func (s *Server) CA() *CA { return s.ca }

// order makes a call of the hook see what earlier ones have written. A client that comes again
// after a cut has put them in order. But the race detector cannot know that: nothing was sent.
func (s *Server) order() {
	s.mu.Lock()
	defer s.mu.Unlock()
}

// Configure changes the behaviour of sessions that begin later.
func (s *Server) Configure(change func(*Config)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.Mechanisms = maps.Clone(s.config.Mechanisms) // Sessions read the old one.
	change(&s.config)
}

// CutAfter makes the next connection end, as with [Cut], after n octets. The greeting counts. Under
// TLS the octets are counted before encryption.
func (s *Server) CutAfter(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutAfter = n
}

// Drop returns the maildrop of user, or nil if there is none. An empty name means the first one.
func (s *Server) Drop(user string) *Drop {
	if user == "" && len(s.drops) > 0 {
		return s.drops[0]
	}
	return s.find(user)
}

func (s *Server) find(user string) *Drop {
	for _, d := range s.drops {
		if d.user == user {
			return d
		}
	}
	return nil
}

// Sessions returns all sessions so far, in the order in which they began.
func (s *Server) Sessions() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Session(nil), s.sessions...)
}

// Wait waits until no session is open. Call it before you look at the sessions, because the last
// octets of a client reach the server a little later. After 30 s the test fails.
func (s *Server) Wait() {
	s.t.Helper()
	limit := time.After(30 * time.Second)
	for _, session := range s.Sessions() {
		select {
		case <-session.over:
		case <-limit:
			s.t.Errorf("session %d is still open after 30 s", session.number)
			return
		}
	}
}

// Count returns how many commands in all sessions begin with the given words. For example
// Count("RETR") counts all RETR, and Count("RETR 3") counts those of message 3.
func (s *Server) Count(command string) int {
	count := 0
	for _, session := range s.Sessions() {
		for _, line := range session.Commands() {
			if line == command || strings.HasPrefix(line, command+" ") {
				count++
			}
		}
	}
	return count
}

// Logins returns how many logins succeeded.
func (s *Server) Logins() int {
	count := 0
	for _, session := range s.Sessions() {
		if session.User() != "" {
			count++
		}
	}
	return count
}

// RetrievedIDs returns how often each unique-id was sent completely in reply to RETR, in all
// sessions and maildrops.
func (s *Server) RetrievedIDs() map[string]int {
	count := make(map[string]int)
	for _, session := range s.Sessions() {
		session.mu.Lock()
		for _, id := range session.retrieved {
			count[id]++
		}
		session.mu.Unlock()
	}
	return count
}

// DeletedIDs returns the unique-ids that sessions deleted, in order, from all maildrops.
func (s *Server) DeletedIDs() []string {
	var all []string
	for _, d := range s.drops {
		d.mu.Lock()
		all = append(all, d.deleted...)
		d.mu.Unlock()
	}
	return all
}

// Received returns every octet that clients have sent, decrypted. A test can check that it contains
// no secret.
func (s *Server) Received() []byte {
	var all bytes.Buffer
	for _, session := range s.Sessions() {
		all.Write(session.conn.recorded())
	}
	return all.Bytes()
}

func (s *Server) accept(l *net.TCPListener, secure bool) {
	for {
		tcp, err := l.AcceptTCP()
		if err != nil {
			return
		}
		session := s.newSession(tcp)
		if session == nil {
			_ = tcp.Close()
			return
		}
		s.work.Add(1)
		go func() {
			defer s.work.Done()
			session.serve(secure)
		}()
	}
}

// newSession begins a session. It returns nil if the server is closing.
func (s *Server) newSession(tcp *net.TCPConn) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return nil
	}
	session := &Session{
		server: s, config: s.config, conn: newConn(tcp),
		number: len(s.sessions) + 1, over: make(chan struct{}),
	}
	session.w = newReplyWriter(session.conn, s.cutAfter, s.closed)
	s.cutAfter = -1
	s.sessions = append(s.sessions, session)
	return session
}

func (s *Server) close() {
	s.mu.Lock()
	s.ending = true
	sessions := s.sessions
	s.mu.Unlock()
	close(s.closed)
	_ = s.plain.Close()
	_ = s.secure.Close()
	for _, session := range sessions {
		_ = session.conn.tcp.Close()
	}
	s.work.Wait()
	wires := make([]*wire, len(sessions))
	for i, session := range sessions {
		wires[i] = session.conn.wire
	}
	checkWires(s.t, wires)
}
