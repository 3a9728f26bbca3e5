package poptest

import (
	"context"
	"net"
	"sync"
	"time"
)

// Delay starts a proxy in front of the server at addr and returns the proxy's address. The proxy
// delays everything by oneWay in each direction, also the end of the stream. It behaves like a long
// link: the amount of data on its way has no limit. Opening a connection is not delayed.
func Delay(t TB, addr string, oneWay time.Duration) string {
	t.Helper()
	l := listen(t)
	forwarded.Store(portOf(l.Addr().String()), portOf(addr))
	d := &delayLine{listener: l, addr: addr, oneWay: oneWay, open: make(map[net.Conn]bool)}
	d.work.Add(1)
	go func() {
		defer d.work.Done()
		d.accept()
	}()
	t.Cleanup(d.close)
	return d.listener.Addr().String()
}

type delayLine struct {
	listener *net.TCPListener
	addr     string
	oneWay   time.Duration
	work     sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool
	ending bool
}

func (d *delayLine) accept() {
	for {
		client, err := d.listener.AcceptTCP()
		if err != nil {
			return
		}
		d.work.Add(1)
		go func() {
			defer d.work.Done()
			d.relay(client)
		}()
	}
}

func (d *delayLine) relay(client *net.TCPConn) {
	defer d.forget(client)
	if !d.remember(client) {
		return
	}
	upstream, err := new(net.Dialer).DialContext(context.Background(), "tcp", d.addr)
	if err != nil {
		return
	}
	server := upstream.(*net.TCPConn)
	defer d.forget(server)
	if !d.remember(server) {
		return
	}
	var both sync.WaitGroup
	both.Add(1)
	go func() {
		defer both.Done()
		d.carry(server, client)
	}()
	both.Add(1)
	go func() {
		defer both.Done()
		d.carry(client, server)
	}()
	both.Wait()
}

// parcel has the octets of one read, and the time at which they are due. A parcel without octets is
// the end of the stream.
type parcel struct {
	octets []byte
	due    time.Time
}

// carry copies one direction until it ends.
func (d *delayLine) carry(to, from *net.TCPConn) {
	var (
		mu     sync.Mutex
		queue  []parcel
		closed bool
		more   = sync.NewCond(&mu)
		reader sync.WaitGroup
	)
	reader.Add(1)
	go func() {
		defer reader.Done()
		buffer := make([]byte, 64<<10)
		for {
			n, err := from.Read(buffer)
			mu.Lock()
			// The end of the stream is a parcel without octets.
			if n > 0 {
				queue = append(queue, parcel{append([]byte(nil), buffer[:n]...), time.Now().Add(d.oneWay)})
			}
			if err != nil {
				queue = append(queue, parcel{nil, time.Now().Add(d.oneWay)})
			}
			stop := closed || err != nil
			more.Signal()
			mu.Unlock()
			if stop {
				return
			}
		}
	}()
	defer reader.Wait()
	for {
		mu.Lock()
		for len(queue) == 0 {
			more.Wait()
		}
		next := queue[0]
		queue = queue[1:]
		mu.Unlock()
		time.Sleep(time.Until(next.due))
		if next.octets == nil {
			_ = to.CloseWrite()
			return
		}
		if _, err := to.Write(next.octets); err != nil {
			// Nobody reads this direction any more. Close the other end, so that it learns this.
			mu.Lock()
			closed = true
			mu.Unlock()
			_ = from.Close()
			return
		}
	}
}

// remember keeps a connection so that close can end it. It returns false if the proxy is already
// closing.
func (d *delayLine) remember(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ending {
		_ = c.Close()
		return false
	}
	d.open[c] = true
	return true
}

func (d *delayLine) forget(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = c.Close()
	delete(d.open, c)
}

func (d *delayLine) close() {
	_ = d.listener.Close()
	d.mu.Lock()
	d.ending = true
	for c := range d.open {
		_ = c.Close()
	}
	d.mu.Unlock()
	d.work.Wait()
}
