package poptest

import (
	"bufio"
	"errors"
	"io"
	"time"
)

// errEnded means that the connection must end now. The replyWriter knows how.
var errEnded = errors.New("the session ends here")

// replyWriter sends the replies of a session. It counts octets and stops at the octet where the
// connection must end.
type replyWriter struct {
	w           *bufio.Writer
	sessionLeft int64 // octets until EndByCut; -1: no end
	replyLeft   int64 // octets until end; -1: no end
	end         End
	first       []byte // the first line of this reply
	pieces      int    // octets of each write; 0: no limit
	pause       time.Duration
	closed      <-chan struct{} // when closed, ends a pause
}

// streamWriter writes to the connection's current stream, which changes at STLS.
type streamWriter struct{ c *conn }

func (s streamWriter) Write(p []byte) (int, error) { return s.c.stream.Write(p) }

func newReplyWriter(c *conn, cutAfter int64, closed <-chan struct{}) *replyWriter {
	return &replyWriter{w: bufio.NewWriterSize(streamWriter{c}, 32<<10), sessionLeft: cutAfter, replyLeft: -1, closed: closed}
}

// newSilentWriter returns a replyWriter that sends nothing.
func newSilentWriter() *replyWriter {
	return &replyWriter{w: bufio.NewWriter(io.Discard), sessionLeft: -1, replyLeft: -1}
}

// begin prepares for a reply, which action may end.
func (r *replyWriter) begin(action Action) {
	r.first = nil
	r.pieces, r.pause = action.Pieces, action.Pause
	r.end, r.replyLeft = action.End, -1
	if action.End != GoOn {
		r.replyLeft = action.At
	}
}

// finish must be called after a reply. It returns errEnded if the connection must end now.
func (r *replyWriter) finish() error {
	if r.end != GoOn {
		return errEnded
	}
	return nil
}

func (r *replyWriter) Write(p []byte) (int, error) {
	if missing := 512 - len(r.first); missing > 0 {
		r.first = append(r.first, p[:min(missing, len(p))]...)
	}
	room := int64(len(p))
	if r.replyLeft >= 0 {
		room = min(room, r.replyLeft)
	}
	if r.sessionLeft >= 0 && r.sessionLeft <= room {
		room, r.end = r.sessionLeft, EndByCut
	}
	n, err := r.send(p[:room])
	if err != nil {
		return n, err
	}
	if r.replyLeft >= 0 {
		r.replyLeft -= room
	}
	if r.sessionLeft >= 0 {
		r.sessionLeft -= room
	}
	if r.replyLeft == 0 || r.sessionLeft == 0 {
		return n, errEnded
	}
	return n, nil
}

// send writes p, in pieces if the action has Pieces.
func (r *replyWriter) send(p []byte) (int, error) {
	if r.pieces <= 0 {
		return r.w.Write(p)
	}
	sent := 0
	for sent < len(p) {
		n, err := r.w.Write(p[sent:min(len(p), sent+r.pieces)])
		if err == nil {
			err = r.w.Flush()
		}
		sent += n
		if err == nil && sent < len(p) {
			err = r.rest()
		}
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// rest waits between two pieces.
func (r *replyWriter) rest() error {
	if r.pause <= 0 {
		return nil
	}
	select {
	case <-time.After(r.pause):
		return nil
	case <-r.closed:
		return errEnded
	}
}
