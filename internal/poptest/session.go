package poptest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Session is one connection to a [Server]. Its methods may be called at any time.
type Session struct {
	server *Server
	config Config
	conn   *conn
	number int
	over   chan struct{} // closed when the connection is closed

	mu        sync.Mutex
	exchanges []exchange
	user      string
	retrieved []string
	secured   atomic.Bool

	// Only the goroutine of serve may use the following fields.
	w        *replyWriter
	drop     *Drop
	messages []*Message
	deleted  map[*Message]bool
	shown    map[*Message]bool // sent by RETR or TOP
	name     string            // name from a USER with a positive reply
	effect   bool              // whether the current command is carried out
	asked    bool              // the hook replied to AUTH with a challenge
	quit     bool
}

// exchange is one line of the client and the reply to it.
type exchange struct {
	line         []byte // as received, with the line end
	continuation bool   // a line of a SASL exchange
	ahead        bool   // the client sent more octets before the reply
	reply        string // the first line of the reply, without its end
}

func (e exchange) positive() bool { return strings.HasPrefix(e.reply, "+") }

// command returns the line without its end.
func (e exchange) command() string { return string(bytes.TrimRight(e.line, "\r\n")) }

// Number returns the session's place in [Server.Sessions], from 1.
func (s *Session) Number() int { return s.number }

// Secure reports whether the session is under TLS now.
func (s *Session) Secure() bool { return s.secured.Load() }

// User returns the user who logged in, or "" if nobody did.
func (s *Session) User() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user
}

// Message returns the message with this number in the session, or nil. Only [Config.Hook] may call
// it.
func (s *Session) Message(number int) *Message {
	if number < 1 || number > len(s.messages) {
		return nil
	}
	return s.messages[number-1]
}

// Commands returns the client's lines without their ends. This includes secrets and lines of SASL
// exchanges.
func (s *Session) Commands() []string {
	var all []string
	for _, e := range s.record() {
		if len(e.line) > 0 {
			all = append(all, e.command())
		}
	}
	return all
}

// Transcript returns the session as lines "C: …" and "S: …". It has only the first line of each
// reply. It includes secrets.
func (s *Session) Transcript() string {
	var b strings.Builder
	for _, e := range s.record() {
		if len(e.line) > 0 {
			fmt.Fprintf(&b, "C: %s\n", e.command())
		}
		fmt.Fprintf(&b, "S: %s\n", e.reply)
	}
	return b.String()
}

// record returns all exchanges so far. The first one is the greeting. It has no line.
func (s *Session) record() []exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]exchange(nil), s.exchanges...)
}

// open records a line of the client. settle adds the reply after it was written.
func (s *Session) open(e exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exchanges = append(s.exchanges, e)
}

// settle records the reply that was just written, for the line that was recorded last.
func (s *Session) settle() {
	first, _, _ := bytes.Cut(s.w.first, []byte("\r\n"))
	s.w.first = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exchanges[len(s.exchanges)-1].reply = string(first)
}

// serve runs the session to its end.
func (s *Session) serve(secure bool) {
	defer close(s.over)
	defer func() { s.w, s.conn.r = nil, nil }() // free the buffers: a server may have thousands of sessions
	defer func() { _ = s.conn.tcp.Close() }()
	defer func() {
		if s.drop != nil {
			s.drop.close()
		}
	}()
	if secure {
		if err := s.conn.startTLS(s.config.TLS); err != nil {
			return
		}
		s.secured.Store(true)
	}
	err := s.greet()
	for err == nil && !s.quit {
		err = s.next()
	}
	flushErr := s.w.w.Flush()
	switch {
	case err == nil && flushErr == nil:
		// After QUIT a client sends nothing. Do not wait for a client that does not close.
		_ = s.conn.tcp.SetReadDeadline(time.Now().Add(lingering))
		for line := range bytes.Lines(s.conn.close()) {
			s.open(exchange{line: line})
		}
	case errors.Is(err, errEnded) && s.w.end == EndByCut:
		s.conn.cut()
	case errors.Is(err, errEnded) && s.w.end == EndByReset:
		s.conn.reset()
	case errors.Is(err, errEnded) && s.w.end == EndByStall:
		s.conn.drain()
	}
}

// ask calls the hook and waits for the delay of its action.
func (s *Session) ask(cmd string) (Action, error) {
	var action Action
	if s.config.Hook != nil {
		s.server.order()
		action = s.config.Hook(s, cmd)
		s.server.order()
	}
	if action.Delay > 0 {
		if err := s.w.w.Flush(); err != nil { // The delay must not hold back earlier replies.
			return action, err
		}
		select {
		case <-time.After(action.Delay):
		case <-s.server.closed:
			return action, errEnded
		}
	}
	s.w.begin(action)
	s.effect = action.hasEffect()
	return action, nil
}

func (s *Session) greet() error {
	action, err := s.ask("")
	if err != nil {
		return err
	}
	ahead := s.sentAhead()
	switch {
	case action.says():
		err = s.say(action)
		s.quit = action.Refuse != ""
	default:
		err = s.ok("%s", strings.TrimSpace(s.config.Greeting+" "+s.config.Timestamp))
	}
	s.open(exchange{ahead: ahead})
	s.settle()
	if err != nil {
		return err
	}
	return s.w.finish()
}

// sentAhead reports whether the client has sent something before the server asked for it.
func (s *Session) sentAhead() bool {
	if s.conn.r.Buffered() > 0 {
		return true
	}
	if s.Secure() {
		return false // A TLS connection is broken after a deadline has passed.
	}
	_ = s.conn.tcp.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := s.conn.r.Peek(1)
	_ = s.conn.tcp.SetReadDeadline(time.Time{})
	return err == nil
}

// next reads and answers one line.
func (s *Session) next() error {
	line, err := s.readLine()
	if len(line) == 0 {
		return err
	}
	s.open(exchange{line: line, ahead: s.conn.r.Buffered() > 0, continuation: s.asked})
	if err != nil { // The stream ended inside a command.
		return err
	}
	cmd := strings.TrimRight(string(line), "\r\n")
	action, err := s.ask(cmd)
	if err != nil {
		return err
	}
	err = s.answer(cmd, action)
	s.settle()
	keyword, _, _ := strings.Cut(cmd, " ")
	s.asked = (s.asked || strings.EqualFold(keyword, "AUTH")) && isChallenge(action.Reply)
	s.quit = strings.EqualFold(keyword, "QUIT") // QUIT ends the session even if it fails (RFC 1939 section 6).
	if err != nil {
		return err
	}
	return s.w.finish()
}

// readLine reads a line. Before it blocks, it sends the replies that are ready. If the client has
// already sent another line, the replies can wait.
func (s *Session) readLine() ([]byte, error) {
	if waiting, _ := s.conn.r.Peek(s.conn.r.Buffered()); !bytes.Contains(waiting, []byte("\n")) {
		if err := s.w.w.Flush(); err != nil {
			return nil, err
		}
	}
	return s.conn.r.ReadBytes('\n')
}

// answer carries out a command, or does what action says instead.
func (s *Session) answer(cmd string, action Action) error {
	if !action.says() && s.asked {
		return s.refuse("the exchange is over")
	}
	if !action.says() {
		return s.execute(cmd)
	}
	if s.effect {
		out := s.w
		s.w = newSilentWriter()
		err := s.execute(cmd)
		s.w = out
		if err != nil {
			return err
		}
	}
	return s.say(action)
}

// isChallenge reports whether a reply asks for a line of a SASL exchange.
func isChallenge(reply []byte) bool {
	return bytes.HasPrefix(reply, []byte("+ ")) || bytes.HasPrefix(reply, []byte("+\r\n"))
}

// say writes the reply of an action.
func (s *Session) say(action Action) error {
	if action.Refuse != "" {
		return s.refuse(action.Refuse)
	}
	_, err := s.w.Write(action.Reply)
	for err == nil && len(action.Endless) > 0 {
		_, err = s.w.Write(action.Endless)
	}
	return err
}

// ok writes a positive status line.
func (s *Session) ok(format string, args ...any) error {
	_, err := fmt.Fprintf(s.w, "+OK "+format+"\r\n", args...)
	return err
}

// refuse writes a negative status line.
func (s *Session) refuse(text string) error {
	_, err := fmt.Fprintf(s.w, "-ERR %s\r\n", text)
	return err
}
