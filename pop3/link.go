package pop3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// idleAfter is how long a method waits for a status line before it calls Options.Idle.
const idleAfter = 500 * time.Millisecond

// wait says what the client waits for, and for how long.
type wait struct {
	what     string // for the error: "no <what> within <limit>"
	limit    time.Duration
	restarts bool // each octet restarts the limit

	// idle is called once if no octet has come within idleAfter; nil: it is not. Its error ends the
	// wait.
	idle      func() error
	idleAfter time.Duration

	until time.Time // when the limit ends; set by the first read
}

// link is the connection of a session. It applies the limit of the present wait and the context of
// the present call to each read and write.
type link struct {
	conn   net.Conn
	socket net.Conn // the connection below TLS
	wait   wait

	mu   sync.Mutex // needed because the end of a context is handled in another goroutine
	call *call      // the present call; guarded by mu
}

// call is one call of a method. Two calls differ even if they have the same context.
type call struct{ ctx context.Context }

func newLink(conn net.Conn) *link {
	socket := conn
	if secured, ok := conn.(*tls.Conn); ok {
		socket = secured.NetConn()
	}
	return &link{conn: conn, socket: socket, call: &call{context.Background()}}
}

// use puts ctx on the link until end is called. The function end brings back the previous context.
func (l *link) use(ctx context.Context) (end func()) {
	present := &call{ctx}
	previous := l.replace(present)
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.call == present {
			l.conn.SetDeadline(past) //nolint:errcheck // it fails only if the connection is closed
		}
	})
	return func() {
		stop()
		l.replace(previous)
	}
}

func (l *link) replace(present *call) (previous *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	previous, l.call = l.call, present
	return previous
}

// past is a deadline that ends a read or write at once.
var past = time.Unix(1, 0)

// deadline calls set with t, or with a time in the past if the context has ended. The context may
// have ended before the read began, and then nothing else moves the deadline.
func (l *link) deadline(set func(time.Time) error, t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.call.ctx.Err() != nil {
		t = past
	}
	return set(t)
}

// Read reads under the limit of the present wait. The end of the stream is io.EOF. Any other loss
// of the connection is io.ErrUnexpectedEOF.
func (l *link) Read(p []byte) (int, error) {
	w := &l.wait
	if w.restarts || w.until.IsZero() {
		w.until = time.Now().Add(w.limit)
	}
	if idle := w.idle; idle != nil && w.limit > w.idleAfter {
		w.idle = nil
		n, err := l.readUntil(p, time.Now().Add(w.idleAfter))
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || l.call.ctx.Err() != nil {
			return l.result(n, err)
		}
		if err := idle(); err != nil {
			return 0, err
		}
	}
	return l.result(l.readUntil(p, w.until))
}

func (l *link) readUntil(p []byte, t time.Time) (int, error) {
	if err := l.deadline(l.conn.SetReadDeadline, t); err != nil {
		return 0, err
	}
	return l.conn.Read(p)
}

// write writes p within limit.
func (l *link) write(p []byte, limit time.Duration) error {
	l.wait = wait{what: "end of sending", limit: limit}
	err := l.deadline(l.conn.SetWriteDeadline, time.Now().Add(limit))
	if err == nil {
		_, err = l.conn.Write(p)
		acknowledgeAtOnce(l.socket)
	}
	_, err = l.result(0, err)
	return err
}

// result returns the result of a read or write. If octets were read, the error is dropped, because
// the next read returns it again.
func (l *link) result(n int, err error) (int, error) {
	if n > 0 || err == nil {
		return n, nil
	}
	ended, explained := l.explain(err)
	if !ended && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("%w: %w", err, io.ErrUnexpectedEOF)
	}
	return 0, explained
}

// explainHandshake returns the meaning of an error of a TLS handshake. It is the end of a wait or
// of the connection, or else ErrHandshake.
func (l *link) explainHandshake(err error) error {
	var broken *net.OpError
	ended, explained := l.explain(err)
	switch {
	case errors.Is(err, io.EOF):
		explained = cut(err, 0)
	case !ended && !(errors.As(err, &broken) && (broken.Op == "read" || broken.Op == "write")):
		return handshakeError{err}
	}
	return fmt.Errorf("TLS handshake: %w", explained)
}

// explain returns the error for the context or the limit that ended the present wait. If none did,
// it returns false and err itself.
func (l *link) explain(err error) (ended bool, explained error) {
	switch {
	case l.call.ctx.Err() != nil:
		return true, context.Cause(l.call.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return true, fmt.Errorf("no %s within %v: %w", l.wait.what, l.wait.limit, os.ErrDeadlineExceeded)
	default:
		return false, err
	}
}
