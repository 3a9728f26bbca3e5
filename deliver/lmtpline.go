package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	// lmtpIdle is how long a connection that no delivery uses is kept.
	lmtpIdle = time.Minute
	// lmtpLeave is how long the answer to QUIT is waited for.
	lmtpLeave = time.Second
	// mostReply is how many octets a server may send in answer to one command.
	mostReply = 64 << 10
)

var errTalkative = fmt.Errorf("the server answers with more than %d octets", mostReply)

// errOtherProtocol is what becomes of an LMTP session if go-smtp would go on with HELO.
var errOtherProtocol = errors.New("the server does not know LHLO: it speaks SMTP, not LMTP")

// lmtpConn is the network connection below a go-smtp client. The client sets a time limit for each
// command. Here one limit bounds a whole message, and the end of a context ends everything at once.
type lmtpConn struct {
	net.Conn
	lmtp  bool
	left  int    // octets that the server may still send
	ahead []byte // is sent in front of what is written next

}

// SetDeadline does nothing: bound sets the limits.
func (c *lmtpConn) SetDeadline(time.Time) error { return nil }

func (c *lmtpConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTalkative
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func (c *lmtpConn) Write(p []byte) (int, error) {
	if c.lmtp && bytes.HasPrefix(p, []byte("HELO ")) {
		return 0, errOtherProtocol
	}
	c.left = mostReply
	if len(c.ahead) == 0 {
		return c.Conn.Write(p)
	}
	buffers := net.Buffers{c.ahead, p}
	c.ahead = nil
	if _, err := buffers.WriteTo(c.Conn); err != nil {
		return 0, err
	}
	return len(p), nil
}

// lmtpLine is a connection to the server, behind the greeting.
type lmtpLine struct {
	conn   *lmtpConn
	client *smtp.Client
	used   bool // it was idle, so the server may have closed it
	timer  *time.Timer
}

// dial connects and greets. Each error is ErrUnreachable, or that of a cancelled context.
func (l *LMTP) dial(ctx context.Context) (*lmtpLine, error) {
	conn, err := new(net.Dialer).DialContext(ctx, l.Network, l.Address)
	if err != nil {
		return nil, l.unreachable(ctx, err)
	}
	line := &lmtpLine{conn: &lmtpConn{Conn: conn, lmtp: l.Protocol == LMTPProtocol, left: mostReply}}
	if l.Protocol == LMTPProtocol {
		line.client = smtp.NewClientLMTP(line.conn)
	} else {
		line.client = smtp.NewClient(line.conn)
	}
	release := line.bound(ctx)
	err = line.client.Hello("localhost")
	release()
	if err != nil {
		line.close()
		return nil, l.unreachable(ctx, explainReply(err))
	}
	return line, nil
}

// unreachable is the error of a server that takes no message.
func (l *LMTP) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", context.Cause(ctx), ctx.Err())
	}
	return fmt.Errorf("%w: %s: %w", ErrUnreachable, l.name(), err)
}

// bound lets ctx end whatever the connection waits for, until release is called.
func (line *lmtpLine) bound(ctx context.Context) (release func()) {
	stop := context.AfterFunc(ctx, func() { _ = line.conn.Conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

// close drops the connection.
func (line *lmtpLine) close() { _ = line.conn.Close() }

// quit takes leave of the server.
func (line *lmtpLine) quit() {
	_ = line.conn.Conn.SetDeadline(time.Now().Add(lmtpLeave))
	_ = line.client.Quit() // the server may have closed the connection
	line.close()
}

// lmtpLines are the connections that no delivery uses.
type lmtpLines struct {
	mu   sync.Mutex
	idle []*lmtpLine
}

// take returns a connection that is idle, or a new one.
func (p *lmtpLines) take(ctx context.Context, l *LMTP) (*lmtpLine, error) {
	if line := p.pop(); line != nil {
		return line, nil
	}
	return l.dial(ctx)
}

func (p *lmtpLines) pop() *lmtpLine {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		line := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if line.timer.Stop() { // otherwise it is being closed
			line.used = true
			return line
		}
	}
	return nil
}

// put keeps a connection for the next message.
func (p *lmtpLines) put(line *lmtpLine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line.timer = time.AfterFunc(lmtpIdle, line.quit)
	p.idle = append(p.idle, line)
}

// drop takes leave of all connections that are idle.
func (p *lmtpLines) drop() {
	for line := p.pop(); line != nil; line = p.pop() {
		line.quit()
	}
}

// isClosed reports whether an error says that the server has closed the connection, or is about to.
func isClosed(err error) bool {
	return codeOf(err) == codeClosing || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)
}
