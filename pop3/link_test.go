package pop3

import (
	"context"
	"testing"
	"time"
)

// watched is a connection that records the deadlines it gets.
type watched struct {
	canned
	both chan time.Time
	read time.Time
}

func (w *watched) SetDeadline(t time.Time) error     { w.both <- t; return nil }
func (w *watched) SetReadDeadline(t time.Time) error { w.read = t; return nil }

// A context may end between two reads, while the caller is at work. The next read must not move the
// deadline back.
func TestLink_context_ended_between_reads(t *testing.T) {
	conn := &watched{both: make(chan time.Time, 1)}
	l := newLink(conn)
	ctx, cancel := context.WithCancel(t.Context())
	end := l.use(ctx)
	cancel()
	equal(t, "deadline after the end", <-conn.both, past)
	l.wait = wait{what: "reply", limit: time.Minute}
	if _, err := l.Read(make([]byte, 1)); err == nil {
		t.Error("Read() = nil, want an error")
	}
	equal(t, "deadline of the next read", conn.read, past)
	end()
	l.wait = wait{what: "reply", limit: time.Minute}
	_, _ = l.Read(make([]byte, 1))
	if !conn.read.After(time.Now()) {
		t.Errorf("deadline of the next call = %v, want one to come", conn.read)
	}
}
