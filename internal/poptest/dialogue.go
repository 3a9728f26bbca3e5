package poptest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Script is a server that plays a dialogue; its methods may be called at any time.
type Script struct {
	t        TB
	listener *net.TCPListener
	ca       *CA
	plays    [][]step
	played   chan struct{} // closed when no connection is left to be played
	ended    chan struct{} // closed when nothing runs any more

	mu     sync.Mutex
	conns  []*conn
	ending bool // the test is over
}

// Dialogue starts a server on loopback that plays script to the clients that connect, one after the other. Each line of
// the script is one of
//
//	S: text        send text and CRLF
//	S- text        send text without a line end
//	C: text        expect exactly the line text, CRLF
//	C~ regexp      expect a line that regexp matches whole
//	cut            end the stream now (FIN; under TLS without close_notify)
//	close          close politely (under TLS with close_notify)
//	reset          end the connection by RST
//	stall          never answer again; what the client sends is recorded
//	chunk n        from here on send in pieces of n octets, each a write of its own; 0: no longer
//	pause 50ms     wait
//	tls            start TLS with a certificate for localhost, 127.0.0.1 and ::1; also: tls wrong-name, tls expired,
//	               and the other names of a [Variant]
//	lax            from here on commands may break C0003 and be longer than 255 octets
//	-- connection  what follows is for the next connection
//	# text         a comment
//
// Blanks before a line are dropped, blanks at its end count. In text, Go's escapes stand for odd octets: \r, \t, \x00,
// \\. Scripts thus can be written as indented raw strings.
//
// After its last line the server waits for the client to close. What differs from the script fails the test with the
// line's number: another line or none, a line after the last, a line that breaks C0003, a connection too many or too few.
func Dialogue(t TB, script string) *Script {
	t.Helper()
	plays, err := parseScript(script)
	if err != nil {
		t.Fatalf("dialogue: %v", err)
	}
	s := &Script{t: t, listener: listen(t), ca: NewCA(t), plays: plays,
		played: make(chan struct{}), ended: make(chan struct{})}
	go s.serve()
	t.Cleanup(s.finish)
	return s
}

// DialogueFile is [Dialogue] with the script in a file.
func DialogueFile(t TB, path string) *Script {
	t.Helper()
	script, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("reading a dialogue: %v", err)
	}
	return Dialogue(t, string(script))
}

// Addr returns host and port.
func (s *Script) Addr() string { return s.listener.Addr().String() }

// CA returns the authority whose certificates tls shows.
func (s *Script) CA() *CA { return s.ca }

// Received returns every octet the clients have sent so far; under TLS, as decrypted.
func (s *Script) Received() []byte { return bytes.Join(s.Connections(), nil) }

// Connections returns the octets received on each connection.
func (s *Script) Connections() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all [][]byte
	for _, c := range s.conns {
		all = append(all, c.recorded())
	}
	return all
}

// Wait returns when the script has been played to its end and the clients have gone.
func (s *Script) Wait() {
	s.t.Helper()
	select {
	case <-s.played:
	case <-time.After(30 * time.Second):
		s.t.Errorf("dialogue: not played to its end within 30 s")
	}
}

// finish ends what is still open when the test is over.
func (s *Script) finish() {
	s.mu.Lock()
	s.ending = true
	for _, c := range s.conns {
		// Not at once: what the client sent last may be on its way.
		_ = c.tcp.SetReadDeadline(time.Now().Add(lingering))
	}
	s.mu.Unlock()
	_ = s.listener.SetDeadline(time.Now().Add(lingering))
	<-s.played
	// A connection too many is known to the kernel by now; a moment to take it from there.
	_ = s.listener.SetDeadline(time.Now().Add(5 * time.Millisecond))
	<-s.ended
	_ = s.listener.Close()
}

// serve plays the connections in turn, and then waits for one too many until the test is over.
func (s *Script) serve() {
	defer close(s.ended)
	for i, steps := range s.plays {
		c, err := s.accept()
		if err != nil {
			s.t.Errorf("dialogue: connection %d of %d was not opened", i+1, len(s.plays))
			break
		}
		p := &player{script: s, conn: c}
		if err := p.play(steps); err != nil {
			s.t.Errorf("dialogue: connection %d: %v", i+1, err)
		}
		_ = c.tcp.Close()
	}
	close(s.played)
	if _, err := s.accept(); err == nil {
		s.t.Errorf("dialogue: a connection more than the %d of the script", len(s.plays))
	}
}

func (s *Script) accept() (*conn, error) {
	tcp, err := s.listener.AcceptTCP()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newConn(tcp)
	s.conns = append(s.conns, c)
	if s.ending {
		_ = tcp.SetReadDeadline(time.Now().Add(lingering))
	}
	return c, nil
}

// player plays one connection.
type player struct {
	script *Script
	conn   *conn
	chunk  int
	lax    bool
	// continuation says that the server asked for a line of a SASL exchange.
	continuation bool
}

func (p *player) play(steps []step) error {
	for _, st := range steps {
		if rest, over := p.end(st); over {
			return p.checkRest(rest)
		}
		if err := p.playStep(st); err != nil {
			return fmt.Errorf("line %d: %w", st.line, err)
		}
	}
	// Any end will do; for a client that never closes, finish sets a deadline.
	line, _ := p.conn.r.ReadBytes('\n')
	if len(line) > 0 {
		return fmt.Errorf("after the last line: got %q, want the end of the stream", clip(line))
	}
	return nil
}

// end plays a step that ends the connection, and returns what the client sent after it.
func (p *player) end(st step) (rest []byte, over bool) {
	switch st.verb {
	case "cut":
		return p.conn.cut(), true
	case "close":
		return p.conn.close(), true
	case "reset":
		p.conn.reset()
		return nil, true
	case "stall":
		return p.conn.drain(), true
	}
	return nil, false
}

func (p *player) playStep(st step) error {
	switch st.verb {
	case "S":
		p.continuation = bytes.HasPrefix(st.octets, []byte("+ ")) || bytes.Equal(st.octets, []byte("+\r\n"))
		p.send(st.octets)
	case "C", "C~":
		return p.expect(st)
	case "chunk":
		p.chunk = st.number
	case "pause":
		time.Sleep(st.pause)
	case "lax":
		p.lax = true
	case "tls":
		p.startTLS(st.variant)
	}
	return nil
}

// send writes octets. A client may have closed already and be right; if a line of it is wanted later, that will show.
func (p *player) send(octets []byte) {
	size := p.chunk
	if size == 0 {
		size = len(octets)
	}
	for len(octets) > 0 {
		n := min(size, len(octets))
		if _, err := p.conn.stream.Write(octets[:n]); err != nil {
			return
		}
		octets = octets[n:]
	}
}

func (p *player) expect(st step) error {
	line, err := p.conn.r.ReadBytes('\n')
	want := string(st.octets)
	if st.match != nil {
		want = st.source
	}
	switch {
	case isTimeout(err):
		return fmt.Errorf("got %q and then silence until the end of the test, want %q", clip(line), want)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("got %q and the end of the stream, want %q", clip(line), want)
	case err != nil:
		return fmt.Errorf("got %q and %w, want %q", clip(line), err, want)
	}
	if !p.lax {
		if err := checkCommand(line, p.continuation); err != nil {
			return err
		}
	}
	p.continuation = false
	if st.match != nil {
		if text := bytes.TrimSuffix(line, []byte("\r\n")); !st.match.Match(text) {
			return fmt.Errorf("got %q, want %q", clip(text), want)
		}
		return nil
	}
	if !bytes.Equal(line, st.octets) {
		return fmt.Errorf("got %q, want %q", clip(line), want)
	}
	return nil
}

func (p *player) startTLS(variant Variant) {
	// A client that rejects the certificate ends the handshake and is right.
	if err := p.conn.startTLS(p.script.ca.ServerTLS(variant)); err != nil {
		p.script.t.Logf("dialogue: %v", err)
	}
}

// checkRest looks at the whole lines among what the client sent after the script's last words.
func (p *player) checkRest(rest []byte) error {
	if p.lax {
		return nil
	}
	for line := range bytes.Lines(rest) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		if err := checkCommand(line, p.continuation); err != nil {
			return err
		}
	}
	return nil
}
