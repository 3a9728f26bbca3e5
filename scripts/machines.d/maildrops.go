package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// trouble is how the server of one account behaves.
type trouble int

const (
	healthy trouble = iota
	hangs           // it never answers PASS
	refuses         // it answers PASS with [SYS/TEMP]
	breaks          // it ends the connection at PASS
)

// mail is a message. It says in its header and in its last line which one it is.
type mail struct {
	id   string // its unique-id: "account/number"
	body string // with CRLF
	at   time.Time
}

// maildrop is the maildrop of one account. Several sessions may have it at once, so that the server
// does not keep workers from a fault.
type maildrop struct {
	user string

	mu       sync.Mutex
	number   int // of the last message
	messages []*mail
	trouble  trouble
	asked    []time.Time // each PASS
	whole    time.Time   // when the last session began that was refused nothing and had its QUIT
}

// arrive adds a message.
func (d *maildrop) arrive(lines int) *mail {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.number++
	id := fmt.Sprintf("%s/%d", d.user, d.number)
	text := strings.Repeat("A line of a message that somebody has written.\r\n", lines)
	m := &mail{
		id: id, at: time.Now(),
		body: "From: somebody@example.org\r\nSubject: news\r\nX-Mail: " + id + "\r\n\r\n" + text +
			"end of " + id + "\r\n",
	}
	d.messages = append(d.messages, m)
	return m
}

func (d *maildrop) set(t trouble) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trouble = t
}

// logIn begins a session.
func (d *maildrop) logIn() ([]*mail, trouble) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, time.Now())
	return slices.Clone(d.messages), d.trouble
}

// quit ends a session that has deleted these messages.
func (d *maildrop) quit(began time.Time, deleted map[*mail]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.messages = slices.DeleteFunc(d.messages, func(m *mail) bool { return deleted[m] })
	if began.After(d.whole) {
		d.whole = began
	}
}

// polls returns when the account was polled, and wholeSince the beginning of the last whole session.
func (d *maildrop) polls() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.asked)
}

func (d *maildrop) wholeSince() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.whole
}

// provider is a POP3 server with maildrops in memory, for many accounts: it keeps nothing of a session.
type provider struct {
	drops     map[string]*maildrop
	delay     time.Duration // how long a reply takes at most; at least a nanosecond
	listeners []net.Listener
}

// serve listens at several addresses of loopback, so that the bound for one host limits nobody.
func (p *provider) serve(hosts int) error {
	var listen net.ListenConfig
	for i := range hosts {
		l, err := listen.Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.%d:0", i+1))
		if err != nil {
			return err
		}
		p.listeners = append(p.listeners, l)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go p.session(conn)
			}
		}()
	}
	return nil
}

func (p *provider) close() {
	for _, l := range p.listeners {
		_ = l.Close()
	}
}

// session is one connection of a client.
type session struct {
	drop     *maildrop
	began    time.Time // PASS
	messages []*mail
	deleted  map[*mail]bool
}

// longestDelay is such that disturbances find sessions in all their states.
const longestDelay = 50 * time.Millisecond

// longestSilence ends the sessions of clients that are gone.
const longestSilence = 2 * time.Minute

func (p *provider) session(conn net.Conn) {
	defer conn.Close()
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	s := &session{deleted: make(map[*mail]bool)}
	_, _ = out.WriteString("+OK ready\r\n")
	for {
		if out.Flush() != nil {
			return
		}
		_ = conn.SetReadDeadline(time.Now().Add(longestSilence))
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		keyword, argument, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		time.Sleep(rand.N(p.delay)) //nolint:gosec // nothing secret depends on it
		reply, goesOn := s.answer(p, strings.ToUpper(keyword), argument)
		_, _ = out.WriteString(reply)
		if !goesOn {
			_ = out.Flush()
			return
		}
	}
}

const (
	ok   = "+OK\r\n"
	what = "-ERR what?\r\n"
)

// answer carries out a command.
func (s *session) answer(p *provider, keyword, argument string) (reply string, goesOn bool) {
	switch {
	case keyword == "CAPA":
		return "+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\nRESP-CODES\r\n.\r\n", true
	case keyword == "USER":
		if s.drop = p.drops[argument]; s.drop == nil {
			return "-ERR nobody\r\n", true
		}
		return ok, true
	case keyword == "PASS" && s.drop != nil:
		return s.pass()
	case keyword == "NOOP":
		return ok, true
	case keyword == "QUIT":
		if !s.began.IsZero() {
			s.drop.quit(s.began, s.deleted)
		}
		return ok, false
	case s.began.IsZero():
		return what, true
	}
	return s.transact(keyword, argument), true
}

func (s *session) pass() (reply string, goesOn bool) {
	began := time.Now()
	messages, t := s.drop.logIn()
	switch t {
	case hangs:
		for t == hangs { // until the client has gone, or the server is well
			time.Sleep(200 * time.Millisecond)
			s.drop.mu.Lock()
			t = s.drop.trouble
			s.drop.mu.Unlock()
			if time.Since(began) > longestSilence {
				break
			}
		}
		return "", false
	case refuses:
		return "-ERR [SYS/TEMP] come again later\r\n", true
	case breaks:
		return "", false
	}
	s.began, s.messages = began, messages
	return ok, true
}

// transact carries out a command on messages.
func (s *session) transact(keyword, argument string) string {
	number, _, _ := strings.Cut(argument, " ")
	n, err := strconv.Atoi(number)
	valid := err == nil && n >= 1 && n <= len(s.messages)
	octets := func(m *mail) string { return strconv.Itoa(len(m.body)) }
	switch {
	case keyword == "STAT":
		total := 0
		for _, m := range s.messages {
			total += len(m.body)
		}
		return fmt.Sprintf("+OK %d %d\r\n", len(s.messages), total)
	case keyword == "LIST":
		return s.list(argument, valid, n, octets)
	case keyword == "UIDL":
		return s.list(argument, valid, n, func(m *mail) string { return m.id })
	case !valid:
		return what
	case keyword == "RETR":
		return ok + s.messages[n-1].body + ".\r\n"
	case keyword == "TOP":
		header, _, _ := strings.Cut(s.messages[n-1].body, "\r\n\r\n")
		return ok + header + "\r\n\r\n.\r\n"
	case keyword == "DELE":
		s.deleted[s.messages[n-1]] = true
		return ok
	}
	return what
}

func (s *session) list(argument string, valid bool, n int, of func(*mail) string) string {
	switch {
	case valid:
		return fmt.Sprintf("+OK %d %s\r\n", n, of(s.messages[n-1]))
	case argument != "":
		return what
	}
	var b strings.Builder
	b.WriteString(ok)
	for i, m := range s.messages {
		fmt.Fprintf(&b, "%d %s\r\n", i+1, of(m))
	}
	b.WriteString(".\r\n")
	return b.String()
}
