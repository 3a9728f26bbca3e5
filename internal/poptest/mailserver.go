package poptest

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
)

// MailServer takes mail by LMTP or SMTP, and answers what a test wants. It reads the protocol to the
// letter: only CRLF ends a line. The methods may be called concurrently.
type MailServer struct {
	t      TB
	lmtp   bool
	socket string
	asking sync.Mutex // held while answer is called
	answer func(connection int, command string) string

	mu          sync.Mutex
	connections int
	commands    []string // of all connections
	arrived     []string // messages with lines that end in LF, one for each recipient that got it
	has         map[string]int
	sessions    int // that are open
	ended       *sync.Cond
}

// NewMailServer starts a server at a Unix socket, which ends with the test. For each command, and for
// the greeting (""), answer returns the reply. After the data it is asked for "DATA OF " and each
// recipient, by SMTP for "DATA OF all". If it returns "", the server does what is usual; if "close",
// it closes the connection; if "silence", it says nothing ever. Connections are numbered from 1.
// Calls of answer follow each other, whichever connections they are for. A nil answer always
// returns "".
func NewMailServer(t TB, lmtp bool, answer func(connection int, command string) string) *MailServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "lmtp-") // a short path
	if err != nil {
		t.Fatalf("serving mail: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &MailServer{t: t, lmtp: lmtp, socket: filepath.Join(dir, "socket"), answer: answer, has: make(map[string]int)}
	if answer == nil {
		m.answer = func(int, string) string { return "" }
	}
	listener, err := net.Listen("unix", m.socket)
	if err != nil {
		t.Fatalf("serving mail: %v", err)
	}
	m.ended = sync.NewCond(&m.mu)
	t.Cleanup(func() {
		_ = listener.Close()
		m.Wait()
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			m.mu.Lock()
			m.connections++
			m.sessions++
			number := m.connections
			m.mu.Unlock()
			go func() {
				m.session(conn, number)
				_ = conn.Close()
				m.mu.Lock()
				defer m.mu.Unlock()
				m.sessions--
				m.ended.Broadcast()
			}()
		}
	}()
	return m
}

// reply answers a command, and reports whether the connection goes on and whether the answer is 2yz
// or 3yz. Before a good answer it calls done, if that is not nil.
func (m *MailServer) reply(conn net.Conn, number int, command, usual string, done ...func()) (goesOn, good bool) {
	m.asking.Lock()
	answer := m.answer(number, command)
	m.asking.Unlock()
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
func (m *MailServer) session(conn net.Conn, number int) {
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
func (m *MailServer) data(conn net.Conn, in *bufio.Reader, number int, to []string) bool {
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
	text := strings.ReplaceAll(string(raw), "\r\n", "\n")
	answers := to
	if !m.lmtp {
		answers = []string{"all"}
	}
	for _, name := range answers {
		goesOn, _ := m.reply(conn, number, "DATA OF "+name, "250 2.0.0 "+strconv.Itoa(len(raw))+" octets",
			func() { m.take(text, name, to) })
		if !goesOn {
			return false
		}
	}
	return true
}

func (m *MailServer) take(text, name string, to []string) {
	if m.lmtp {
		to = []string{name}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range to {
		m.arrived = append(m.arrived, text)
		m.has[one]++
	}
}

// Socket returns the path of the server's socket.
func (m *MailServer) Socket() string { return m.socket }

// Wait waits until no connection is open.
func (m *MailServer) Wait() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.sessions > 0 {
		m.ended.Wait()
	}
}

// Connections returns how many connections there were.
func (m *MailServer) Connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.connections
}

// Has returns how many messages a recipient has.
func (m *MailServer) Has(recipient string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.has[recipient]
}

// Delivered returns the messages that arrived, sorted, one for each recipient. Their lines end in LF.
func (m *MailServer) Delivered() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(slices.Values(m.arrived))
}

// Commands returns the commands that the server got, without LHLO and EHLO.
func (m *MailServer) Commands() (commands []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.commands {
		if !strings.Contains(one, "HLO ") {
			commands = append(commands, one)
		}
	}
	return commands
}
