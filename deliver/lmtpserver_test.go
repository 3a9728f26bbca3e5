package deliver

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// oddMail is a server that answers what a test wants. It reads the protocol to the letter: only CRLF
// ends a line.
type oddMail struct {
	t        *testing.T
	protocol Protocol
	address  string // of a Unix socket

	// answer returns the reply to a command, or to a part of the data: "DATA OF " and the recipient.
	// "" is the usual reply. "close" closes the connection, and "silence" says nothing ever. The
	// connection is numbered from 1. The greeting answers "".
	answer func(connection int, command string) string

	mu          sync.Mutex
	connections int
	commands    []string // of all connections
	arrived     []string // messages with lines that end in LF, one for each recipient that got it
	has         map[string]int
	open        sync.WaitGroup
}

// serveOdd starts such a server, which ends with the test.
func serveOdd(t *testing.T, protocol Protocol, answer func(connection int, command string) string) *oddMail {
	t.Helper()
	dir, err := os.MkdirTemp("", "lmtp-") // a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &oddMail{t: t, protocol: protocol, address: filepath.Join(dir, "socket"), answer: answer, has: make(map[string]int)}
	if answer == nil {
		m.answer = func(int, string) string { return "" }
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", m.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = listener.Close()
		m.open.Wait()
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			m.mu.Lock()
			m.connections++
			number := m.connections
			m.open.Add(1)
			m.mu.Unlock()
			go func() {
				defer m.open.Done()
				defer conn.Close()
				m.session(conn, number)
			}()
		}
	}()
	return m
}

// reply answers a command, and reports whether the connection goes on and whether the answer is 2yz
// or 3yz. Before a good answer it calls done, if that is not nil.
func (m *oddMail) reply(conn net.Conn, number int, command, usual string, done ...func()) (goesOn, good bool) {
	answer := m.answer(number, command)
	switch answer {
	case "close":
		return false, false
	case "silence":
		_, _ = io.Copy(io.Discard, conn)
		return false, false
	case "":
		answer = usual
	}
	good = answer[0] == '2' || answer[0] == '3'
	for _, call := range done {
		if good {
			call()
		}
	}
	_, err := io.WriteString(conn, strings.ReplaceAll(answer, "\n", "\r\n")+"\r\n")
	return err == nil && !strings.HasPrefix(answer, "421"), good
}

// session serves one connection.
func (m *oddMail) session(conn net.Conn, number int) {
	goesOn, _ := m.reply(conn, number, "", "220 test")
	in := bufio.NewReader(conn)
	var to []string
	for goesOn {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		command := strings.TrimSuffix(line, "\r\n")
		m.mu.Lock()
		m.commands = append(m.commands, command)
		m.mu.Unlock()
		var good bool
		switch word := strings.ToUpper(strings.SplitN(command, " ", 2)[0]); word {
		case "LHLO", "EHLO":
			goesOn, _ = m.reply(conn, number, command, "250-test\n250-SIZE 1000\n250-8BITMIME\n250 ENHANCEDSTATUSCODES")
		case "MAIL", "RSET", "NOOP":
			to = nil
			goesOn, _ = m.reply(conn, number, command, "250 2.0.0 OK")
		case "RCPT":
			goesOn, good = m.reply(conn, number, command, "250 2.1.5 OK")
			if good {
				name, _, _ := strings.Cut(strings.TrimPrefix(command, "RCPT TO:<"), ">")
				to = append(to, name)
			}
		case "DATA":
			if goesOn, good = m.reply(conn, number, command, "354 go on"); good {
				goesOn = m.data(conn, in, number, to)
			}
		case "QUIT":
			_, _ = m.reply(conn, number, command, "221 bye")
			return
		default:
			goesOn, _ = m.reply(conn, number, command, "500 5.5.1 what?")
		}
	}
}

// data reads a message and answers for its recipients.
func (m *oddMail) data(conn net.Conn, in *bufio.Reader, number int, to []string) bool {
	var raw []byte
	for !bytes.HasSuffix(raw, []byte("\r\n.\r\n")) && string(raw) != ".\r\n" {
		part, err := in.ReadBytes('\n')
		raw = append(raw, part...)
		if err != nil {
			return false
		}
	}
	raw = bytes.TrimSuffix(raw, []byte(".\r\n"))
	raw = bytes.ReplaceAll(append([]byte("\r\n"), raw...), []byte("\r\n."), []byte("\r\n"))[2:]
	var text bytes.Buffer
	w := newLineWriter(&text)
	defer w.release()
	_, _ = w.Write(raw)
	_, _ = w.finish()
	answers := to
	if m.protocol == SMTPProtocol {
		answers = []string{"all"}
	}
	for _, name := range answers {
		goesOn, _ := m.reply(conn, number, "DATA OF "+name, "250 2.0.0 "+strconv.Itoa(len(raw))+" octets",
			func() { m.take(text.String(), name, to) })
		if !goesOn {
			return false
		}
	}
	return true
}

func (m *oddMail) take(text, name string, to []string) {
	if m.protocol == LMTPProtocol {
		to = []string{name}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range to {
		m.arrived = append(m.arrived, text)
		m.has[one]++
	}
}

func (m *oddMail) delivered(*testing.T) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(slices.Values(m.arrived))
}

// sent returns the commands that the server got, without LHLO.
func (m *oddMail) sent() (commands []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.commands {
		if !strings.Contains(one, "HLO ") {
			commands = append(commands, one)
		}
	}
	return commands
}

// target returns a target before this server, with notes in a new file.
func (m *oddMail) target(t *testing.T, recipients ...string) *LMTP {
	t.Helper()
	return &LMTP{Protocol: m.protocol, Network: "unix", Address: m.address, Recipients: recipients,
		Notes: filepath.Join(t.TempDir(), "state", "notes")}
}

// openLMTP returns the fixture of the suite for a protocol.
func openLMTP(protocol Protocol) func(t *testing.T, dir string) fixture {
	return func(t *testing.T, dir string) fixture {
		server := serveOdd(t, protocol, nil)
		spools := filepath.Join(dir, "spools")
		if err := os.Mkdir(spools, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TMPDIR", spools)
		target := server.target(t, "mrose")
		target.Deliveries = 2
		t.Cleanup(target.Disconnect)
		return fixture{
			Target:    target,
			delivered: func(t *testing.T) []string {
				var texts []string
				for _, text := range server.delivered(t) {
					texts = append(texts, withoutEnd(text))
				}
				return texts
			},
			leftovers: func(t *testing.T) []string { return files(t, spools) },
			spares:    true,
			endsLine:  true,
		}
	}
}

// withoutEnd takes away the line end that an empty message, or one that ends in LF alone, has to get.
func withoutEnd(text string) string {
	switch text {
	case "\n", "a\nb\n\n":
		return strings.TrimSuffix(text, "\n")
	}
	return text
}

func TestLMTP(t *testing.T)      { testTarget(t, openLMTP(LMTPProtocol)) }
func TestLMTP_smtp(t *testing.T) { testTarget(t, openLMTP(SMTPProtocol)) }
