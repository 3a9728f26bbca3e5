package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(limit) {
			t.Fatalf("after 20 s still not: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// output is what a program has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// maildrops are servers with an account each, in one configuration.
type maildrops struct {
	t       *testing.T
	dir     string
	servers map[string]*poptest.Server // by account
	lines   map[string][]string        // further lines of accounts
	top     string                     // lines before the first table
}

func newMaildrops(t *testing.T, names ...string) *maildrops {
	t.Helper()
	m := &maildrops{t: t, dir: t.TempDir(), servers: make(map[string]*poptest.Server), lines: make(map[string][]string), top: `state_dir = "state"`}
	for _, name := range names {
		m.add(name)
	}
	return m
}

// add adds an account that is polled once an hour, and writes the configuration.
func (m *maildrops) add(name string, lines ...string) *poptest.Server {
	m.t.Helper()
	if lines == nil {
		lines = []string{`interval = "1h"`}
	}
	m.servers[name] = poptest.NewServer(m.t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"})
	m.lines[name] = lines
	m.write()
	return m.servers[name]
}

func (m *maildrops) write() {
	m.t.Helper()
	text := m.top + "\n"
	for name, lines := range m.lines {
		text += fmt.Sprintf("[account.%s]\nserver = %q\ntls = \"none\"\nuser = \"mrose\"\npassword_file = \"password\"\nmaildir = \"mail-%s\"\n%s\n",
			name, poptest.InClear(m.servers[name].Addr(), true), name, strings.Join(lines, "\n"))
	}
	m.put("password", "tanstaaf\n")
	m.put("config.toml", text)
}

// put writes a file of the configuration.
func (m *maildrops) put(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// polled waits until an account was polled so often.
func (m *maildrops) polled(name string, times int) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("%s is polled %d times", name, times), func() bool { return m.polls(name) >= times })
	m.count(name, times)
}

// count checks how often an account was polled.
func (m *maildrops) count(name string, times int) {
	m.t.Helper()
	if got := m.polls(name); got != times {
		m.t.Errorf("%s was polled %d times, want %d", name, got, times)
	}
}

// polls returns how many sessions of an account have logged in and quit.
func (m *maildrops) polls(name string) (polls int) {
	for _, s := range m.servers[name].Sessions() {
		if s.User() != "" && slices.Contains(s.Commands(), "QUIT") {
			polls++
		}
	}
	return polls
}

// mails returns the number of messages that an account has delivered.
func (m *maildrops) mails(name string) int {
	entries, _ := os.ReadDir(filepath.Join(m.dir, "mail-"+name, "new"))
	return len(entries)
}

// stayer is a popfetch that polls.
type stayer struct {
	*maildrops
	*exec.Cmd
	out, said *output
}

// command returns a call of popfetch.
func (m *maildrops) command(args ...string) *exec.Cmd {
	m.t.Helper()
	c := exec.CommandContext(m.t.Context(), "popfetch", append([]string{"--config", "config.toml"}, args...)...)
	c.Dir = m.dir
	c.Env = append(os.Environ(), "NOTIFY_SOCKET=", "JOURNAL_STREAM=")
	return c
}

// stay starts popfetch without --once.
func (m *maildrops) stay(args ...string) *stayer {
	m.t.Helper()
	s := &stayer{maildrops: m, Cmd: m.command(args...), out: new(output), said: new(output)}
	s.Stdout, s.Stderr = s.out, s.said
	s.begin()
	return s
}

func (s *stayer) begin() {
	s.t.Helper()
	if err := s.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// tell sends a signal.
func (s *stayer) tell(signal syscall.Signal) {
	s.t.Helper()
	if err := s.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// says waits until standard error has a text.
func (s *stayer) says(text string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("it says %q", text), func() bool { return strings.Contains(s.said.String(), text) })
}

// ends ends popfetch, and checks all that it has said.
func (s *stayer) ends(said ...string) {
	s.t.Helper()
	at := time.Now()
	s.tell(syscall.SIGTERM)
	waitEnd(s.t, s.Cmd, at, 0)
	lines := strings.FieldsFunc(s.said.String(), func(c rune) bool { return c == '\n' })
	if len(lines) != len(said) {
		s.t.Errorf("it said %q, want %d lines: %q", lines, len(said), said)
		return
	}
	for i := range lines {
		if !strings.Contains(lines[i], said[i]) {
			s.t.Errorf("line %d is %q, want %q in it", i, lines[i], said[i])
		}
	}
}

// manager is the socket of a service manager.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	got  []string
}

// managed starts popfetch with a service manager.
func (m *maildrops) managed(env ...string) (*stayer, *manager) {
	m.t.Helper()
	path := filepath.Join(m.t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close() })
	s := &stayer{maildrops: m, Cmd: m.command(), out: new(output), said: new(output)}
	s.Stdout, s.Stderr = s.out, s.said
	s.Env = append(append(s.Env, "NOTIFY_SOCKET="+path), env...)
	s.begin()
	return s, &manager{t: m.t, conn: conn}
}

// waitFor waits for a message that begins with a text, and returns it.
func (m *manager) waitFor(text string) string {
	m.t.Helper()
	buffer := make([]byte, 1<<16)
	if err := m.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		m.t.Fatal(err)
	}
	for {
		n, err := m.conn.Read(buffer)
		if err != nil {
			m.t.Fatalf("no message %q came: %v; there were %q", text, err, m.got)
		}
		m.got = append(m.got, string(buffer[:n]))
		if strings.HasPrefix(string(buffer[:n]), text) {
			return string(buffer[:n])
		}
	}
}
