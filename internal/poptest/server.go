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

// Server is a POP3 server over maildrops in memory. It keeps the rules of RFC 1939 (dots are stuffed, messages are deleted
// at QUIT and at no other end, lines may be pipelined), records what its clients send, and misbehaves where
// [Config.Hook] says so. Its methods may be called at any time.
type Server struct {
	t      TB
	ca     *CA
	plain  *net.TCPListener
	secure *net.TCPListener
	drops  []*Drop
	closed chan struct{}
	work   sync.WaitGroup // accepting and sessions

	mu       sync.Mutex
	config   Config
	sessions []*Session
	cutAfter int64 // for the next connection; -1: none
	ending   bool
}

// Config is how a [Server] behaves; each session has that of its beginning.
type Config struct {
	// Capabilities is what CAPA lists (STLS is left out under TLS); nil: CAPA is refused. Commands work whether listed or not.
	Capabilities []string
	// Greeting is the text behind +OK.
	Greeting string
	// Timestamp, with its angle brackets, ends the greeting and makes APOP possible; empty: APOP is refused.
	Timestamp string
	// TLS is for implicit TLS and STLS; nil: STLS is refused.
	TLS *tls.Config
	// Mechanisms is what AUTH knows.
	Mechanisms map[string]Mechanism
	// Expire0 announces EXPIRE 0, and makes QUIT remove also what RETR and TOP have shown (RFC 2449 section 6.7).
	Expire0 bool
	// Hook, if set, is asked about each command: the line without its end, or "" for the greeting. It is called by the
	// goroutine of each session.
	Hook func(s *Session, cmd string) Action
}

// DefaultCapabilities is what a new [Server] announces.
func DefaultCapabilities() []string {
	return []string{"TOP", "UIDL", "USER", "SASL PLAIN LOGIN EXTERNAL", "STLS", "UTF8", "PIPELINING", "RESP-CODES",
		"AUTH-RESP-CODE", "IMPLEMENTATION poptest"}
}

// NewServer starts a server with the given maildrops, one for each user. It runs until the end of the test.
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

// Addr returns host and port for sessions in clear text, which may use STLS.
func (s *Server) Addr() string { return s.plain.Addr().String() }

// TLSAddr returns host and port for implicit TLS.
func (s *Server) TLSAddr() string { return s.secure.Addr().String() }

// CA returns the authority of the server's certificate, and of client certificates for EXTERNAL.
func (s *Server) CA() *CA { return s.ca }

// Configure changes how the sessions behave that begin from now on.
func (s *Server) Configure(change func(*Config)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.Mechanisms = maps.Clone(s.config.Mechanisms) // Sessions read the old one.
	change(&s.config)
}

// CutAfter makes the next connection end (as [Cut]) when n octets have been sent on it, the greeting included; under TLS they
// are counted before encryption.
func (s *Server) CutAfter(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutAfter = n
}

// Drop returns the maildrop of user, the first one for an empty name, nil if there is none.
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

// Sessions returns all sessions so far in the order in which they began.
func (s *Server) Sessions() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Session(nil), s.sessions...)
}

// Wait returns when no session is open: a client's end, and what it sent last, reach the server a little later.
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

// Count returns how many commands of all sessions are, or begin with, the words of command: Count("RETR"), Count("RETR 3").
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

// RetrievedIDs returns how often each unique-id was sent whole in reply to RETR, over all sessions and maildrops.
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

// DeletedIDs returns the unique-ids of what sessions deleted, in order, over all maildrops.
func (s *Server) DeletedIDs() []string {
	var all []string
	for _, d := range s.drops {
		d.mu.Lock()
		all = append(all, d.deleted...)
		d.mu.Unlock()
	}
	return all
}

// Received returns every octet that clients have sent, as decrypted: what a secret must not occur in.
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

// newSession returns nil when the server is being closed.
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
}
