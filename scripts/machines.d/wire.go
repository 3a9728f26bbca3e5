package main

import (
	"context"
	"net"
	"sync"
	"time"
)

// wire is a TCP proxy between one worker and the database.
type wire struct {
	listener net.Listener
	server   string

	mu     sync.Mutex
	conns  map[net.Conn]bool
	broken bool          // connections are refused
	silent chan struct{} // not nil: nothing passes until it is closed
}

func newWire(server string) (*wire, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{listener: l, server: server, conns: make(map[net.Conn]bool)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go w.pass(conn)
		}
	}()
	return w, nil
}

func (w *wire) address() string { return w.listener.Addr().String() }

// pass joins a connection to the database.
func (w *wire) pass(client net.Conn) {
	defer client.Close()
	w.mu.Lock()
	broken := w.broken
	w.mu.Unlock()
	if broken {
		return
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	server, err := dialer.DialContext(context.Background(), "tcp", w.server)
	if err != nil {
		return
	}
	defer server.Close()
	w.know(client, server)
	defer w.forget(client, server)
	var both sync.WaitGroup
	for _, ends := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Add(1)
		go func() {
			defer both.Done()
			w.copy(ends[0], ends[1])
			_ = client.Close()
			_ = server.Close()
		}()
	}
	both.Wait()
}

// copy forwards what comes, unless the wire is silent.
func (w *wire) copy(from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		w.mu.Lock()
		silent := w.silent
		w.mu.Unlock()
		if silent != nil {
			<-silent
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

func (w *wire) know(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = true
	}
}

func (w *wire) forget(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		delete(w.conns, c)
	}
}

// cut ends all connections. As long as the wire is broken, it refuses new ones.
func (w *wire) cut(broken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = broken
	for c := range w.conns {
		_ = c.Close()
	}
}

// swallow lets nothing pass any more, and ends no connection.
func (w *wire) swallow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent == nil {
		w.silent = make(chan struct{})
	}
}

// restore has the wire pass what it has kept back, and what comes.
func (w *wire) restore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = false
	if w.silent != nil {
		close(w.silent)
		w.silent = nil
	}
}

func (w *wire) close() {
	_ = w.listener.Close()
	w.restore()
	w.cut(true)
}
