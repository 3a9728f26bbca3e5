package postgres

import (
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// wire is a TCP proxy in front of a database, whose connections can fail in several ways.
type wire struct {
	listener net.Listener
	server   string

	mu      sync.Mutex
	conns   map[*span]bool
	swallow bool // new connections forward nothing
}

// span is one connection through a wire.
type span struct {
	client, server net.Conn
	mu             sync.Mutex
	resume         chan struct{} // not nil: nothing is forwarded until it is closed
}

// newWire returns a wire and the URL by which the database is reached through it.
func newWire(t *testing.T, database string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, server: u.Host, conns: make(map[*span]bool)}
	go w.serve()
	t.Cleanup(func() {
		_ = l.Close()
		w.restore()
		w.cut()
	})
	u.Host = l.Addr().String()
	return w, u.String()
}

func (w *wire) serve() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		s := &span{client: client, server: server}
		w.mu.Lock()
		if w.swallow {
			s.resume = make(chan struct{})
		}
		w.conns[s] = true
		w.mu.Unlock()
		var both group
		both.run(func() { s.forward(client, server) })
		both.run(func() { s.forward(server, client) })
		go func() {
			both.Wait()
			w.mu.Lock()
			delete(w.conns, s)
			w.mu.Unlock()
		}()
	}
}

// forward copies until one side ends.
func (s *span) forward(from, to net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		s.mu.Lock()
		resume := s.resume
		s.mu.Unlock()
		if resume != nil {
			<-resume
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// swallowOpen stops forwarding in the connections that are open, and closes none.
func (w *wire) swallowOpen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.conns {
		s.mu.Lock()
		if s.resume == nil {
			s.resume = make(chan struct{})
		}
		s.mu.Unlock()
	}
}

// swallowAll does that with new connections, too.
func (w *wire) swallowAll() {
	w.mu.Lock()
	w.swallow = true
	w.mu.Unlock()
	w.swallowOpen()
}

// restore lets everything through again, also what was sent meanwhile.
func (w *wire) restore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.swallow = false
	for s := range w.conns {
		s.mu.Lock()
		if s.resume != nil {
			close(s.resume)
			s.resume = nil
		}
		s.mu.Unlock()
	}
}

// cut ends the connections that are open.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.conns {
		_ = s.client.Close()
		_ = s.server.Close()
	}
}

// within waits for a condition, but no longer than limit.
func within(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// group waits for goroutines.
type group struct{ sync.WaitGroup }

func (g *group) run(f func()) {
	g.Add(1)
	go func() {
		defer g.Done()
		f()
	}()
}
