package poptest

import (
	"context"
	"io"
	"net"
	"sync"
)

// tap is a proxy in front of a real server. It keeps what clients send, for [InClear].
type tap struct {
	t        TB
	listener *net.TCPListener
	behind   string
	work     sync.WaitGroup

	mu     sync.Mutex
	wires  []*wire
	open   []net.Conn
	ending bool
}

func newTap(t TB, behind string) *tap {
	t.Helper()
	p := &tap{t: t, listener: listen(t), behind: behind}
	p.work.Add(1)
	go func() {
		defer p.work.Done()
		p.accept()
	}()
	t.Cleanup(p.close)
	return p
}

func (p *tap) addr() string { return p.listener.Addr().String() }

func (p *tap) accept() {
	for {
		client, err := p.listener.AcceptTCP()
		if err != nil {
			return
		}
		p.work.Add(1)
		go func() {
			defer p.work.Done()
			p.relay(client)
		}()
	}
}

// relay connects a client to the server. It passes on the end of the stream in each direction.
func (p *tap) relay(client *net.TCPConn) {
	defer func() { _ = client.Close() }()
	w := newWire(client)
	if !p.keep(client, w) {
		return
	}
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.behind)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	if !p.keep(conn, nil) {
		return
	}
	server := conn.(*net.TCPConn)
	var up sync.WaitGroup
	up.Add(1)
	go func() {
		defer up.Done()
		_, _ = io.Copy(server, w) // every kind of end is passed on as one
		_ = server.CloseWrite()
	}()
	_, _ = io.Copy(client, server)
	_ = client.CloseWrite()
	up.Wait()
}

// keep keeps a connection, so that close can end it. It returns false if the proxy is closing.
func (p *tap) keep(c net.Conn, w *wire) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, c)
	if w != nil {
		p.wires = append(p.wires, w)
	}
	return !p.ending
}

func (p *tap) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.ending = true
	for _, c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
	checkWires(p.t, p.wires)
}
