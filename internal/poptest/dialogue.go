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

// Script is a server that plays a dialogue. Its methods may be called at any time.
type Script struct {
	t        TB
	listener *net.TCPListener
	ca       *CA
	plays    [][]step
	played   chan struct{} // closed after the last connection was played
	ended    chan struct{} // closed when serve has returned

	mu     sync.Mutex
	conns  []*conn
	ending bool // the test is over
}

// Dialogue starts a server on loopback. It plays the script to the clients that connect, one after
// the other. The lines of a script are:
//
//	S: text        send text and CRLF
//	S- text        send text without a line end
//	C: text        expect exactly this line and CRLF
//	C~ regexp      expect a line; regexp must match all of it
//	cut            end the stream now (FIN; under TLS without close_notify)
//	close          close politely (under TLS with close_notify)
//	reset          end the connection by RST
//	stall          never answer again; what the client sends is recorded
//	chunk n        from here on send n octets with each write; 0: no limit
//	pause 50ms     wait
//	tls            start TLS with a certificate for localhost, 127.0.0.1 and ::1;
//	               also: tls wrong-name, tls expired, and the other names of a [Variant]
//	lax            from here on commands may break C0003 and be longer than 255 octets
//	-- connection  the lines that follow are for the next connection
//	# text         a comment
//
// Blanks before a line are dropped, blanks at its end are not. Text may contain Go's escapes, such
// as \r, \t, \x00 and \\. So a script can be an indented raw string.
//
// After the last line the server waits until the client closes. If the client does anything else
// than the script says, the test fails, and the message has the line's number. Such differences are
// another line or none, a line after the last one, a line that breaks C0003, and too many or too
// few connections.
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

// DialogueFile is like [Dialogue], with the script in a file.
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

// CA returns the authority of the certificates that the server shows after tls.
func (s *Script) CA() *CA { return s.ca }

// Received returns every octet that the clients have sent so far; under TLS, decrypted.
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

// Wait waits until the script was played to its end and the clients have closed. After 30 s the
// test fails.
func (s *Script) Wait() {
	s.t.Helper()
	select {
	case <-s.played:
	case <-time.After(30 * time.Second):
		s.t.Errorf("dialogue: the script did not reach its end within 30 s")
	}
}

// finish ends everything that is still open at the end of the test.
func (s *Script) finish() {
	s.mu.Lock()
	s.ending = true
	for _, c := range s.conns {
		// Do not end them at once, because the client's last octets may be on their way.
		_ = c.tcp.SetReadDeadline(time.Now().Add(lingering))
	}
	s.mu.Unlock()
	_ = s.listener.SetDeadline(time.Now().Add(lingering))
	<-s.played
	// If the client opened too many connections, the kernel has them by now. Allow a moment to
	// accept one.
	_ = s.listener.SetDeadline(time.Now().Add(5 * time.Millisecond))
	<-s.ended
	_ = s.listener.Close()
	wires := make([]*wire, len(s.conns))
	for i, c := range s.conns {
		wires[i] = c.wire
	}
	checkWires(s.t, wires)
}

// serve plays the connections one after the other. Then it watches for an unexpected connection
// until the test ends.
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
		s.t.Errorf("dialogue: the client opened more than the %d connections of the script", len(s.plays))
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
	// continuation is true if the server asked for a line of a SASL exchange.
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
	// Every kind of end is fine. If a client never closes, the deadline in finish ends the read.
	line, _ := p.conn.r.ReadBytes('\n')
	if len(line) > 0 {
		return fmt.Errorf("after the last line: got %q, want the end of the stream", clip(line))
	}
	return nil
}

// end plays a step that ends the connection, and returns what the client sent afterwards. over is
// false if the step is another one.
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

// send writes octets. It ignores errors, because the client may have closed for a good reason. If
// the script expects another line of the client, the test fails there.
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
		return fmt.Errorf("got %q and nothing more until the end of the test, want %q", clip(line), want)
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
	// If a client rejects the certificate, it ends the handshake. That is not a failure.
	if err := p.conn.startTLS(p.script.ca.ServerTLS(variant)); err != nil {
		p.script.t.Logf("dialogue: %v", err)
	}
}

// checkRest checks what the client sent after the last line of the script. It ignores an incomplete
// line at the end.
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
