package postgres

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// shears is a TCP proxy in front of a database. It cuts a connection after so many octets.
type shears struct {
	mu      sync.Mutex
	passed  [2]int // octets: towards the server, and from it
	way     int
	left    int  // octets until the cut, that way; negative: no cut
	refuses bool // all connections are cut, and no others are made
	cuts    int
}

// newShears returns the proxy, and the URL of the database through it.
func newShears(t testing.TB, database string) (*shears, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	s := &shears{left: -1}
	server := u.Host
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			s.join(client, server)
		}
	}()
	u.Host = listener.Addr().String()
	return s, u.String()
}

func (s *shears) join(client net.Conn, address string) {
	s.mu.Lock()
	refuses := s.refuses
	s.mu.Unlock()
	if refuses {
		_ = client.Close()
		return
	}
	server, err := net.Dial("tcp", address)
	if err != nil {
		_ = client.Close()
		return
	}
	end := func() {
		_ = client.Close()
		_ = server.Close()
	}
	pass := func(way int, from, to net.Conn) {
		defer end()
		buffer := make([]byte, 4096)
		for {
			n, err := from.Read(buffer)
			n, cut := s.allow(way, n)
			if _, failed := to.Write(buffer[:n]); failed != nil || err != nil || cut {
				return
			}
		}
	}
	go pass(0, client, server)
	go pass(1, server, client)
}

// allow returns how many of n octets may pass.
func (s *shears) allow(way, n int) (allowed int, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuses {
		return 0, true
	}
	s.passed[way] += n
	if s.left < 0 || s.way != way || n == 0 {
		return n, false
	}
	if n <= s.left {
		s.left -= n
		return n, false
	}
	n, s.left, s.cuts = s.left, -1, s.cuts+1
	return n, true
}

// set has the next connection cut that sends more than so many octets one way.
func (s *shears) set(way, left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.way, s.left, s.passed = way, left, [2]int{}
}
