package imapbox

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// mostSaid bounds what a server may send during one operation, besides the octets of messages.
const mostSaid = 32 << 20

var errTooMuch = errors.New("the server sends too much")

// wire is the connection as the library sees it. The library's own deadlines do not count: it has
// none between replies. An operation begins and ends with begin and end.
type wire struct {
	net.Conn
	timeout time.Duration
	prefix  []byte       // what the library reads first
	budget  atomic.Int64 // how many octets the server may still send

	mu       sync.Mutex // held while the library writes, and while deadlines change
	detached atomic.Bool
}

// begin allows the server the given number of octets. The server may be silent for the timeout. If
// ctx ends, the connection is closed. The caller calls end.
func (w *wire) begin(ctx context.Context, octets int64) (end func()) {
	w.budget.Store(octets)
	_ = w.Conn.SetDeadline(time.Now().Add(w.timeout))
	stop := context.AfterFunc(ctx, func() { _ = w.Conn.Close() })
	return func() {
		stop()
		_ = w.Conn.SetDeadline(time.Time{})
	}
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.prefix) > 0 {
		n := copy(p, w.prefix)
		w.prefix = w.prefix[n:]
		return n, nil
	}
	switch {
	case w.detached.Load():
		return 0, io.EOF
	case w.budget.Load() < 0: // the library may try again after an error
		return 0, errTooMuch
	}
	n, err := w.Conn.Read(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.detached.Load(): // what came is not for the library, and no command of it waits
		return 0, io.EOF
	case n == 0:
		return 0, err
	case w.budget.Add(-int64(n)) < 0:
		return 0, errTooMuch
	}
	_ = w.Conn.SetReadDeadline(time.Now().Add(w.timeout))
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.detached.Load() {
		return 0, net.ErrClosed
	}
	return w.Conn.Write(p)
}

// Close does nothing once the connection has left the library.
func (w *wire) Close() error {
	if w.detached.Load() {
		return nil
	}
	return w.Conn.Close()
}

// The library sets deadlines of its own, which end no silence between two replies.

func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// detach takes the connection from the library. ended is closed when the library has stopped to
// read.
func (w *wire) detach(ended <-chan struct{}) net.Conn {
	w.mu.Lock()
	w.detached.Store(true)
	_ = w.Conn.SetReadDeadline(time.Unix(1, 0)) // ends a read that waits
	w.mu.Unlock()
	<-ended
	_ = w.Conn.SetReadDeadline(time.Time{})
	return w.Conn
}
