package pop3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRetr(t *testing.T) {
	t.Run("C0022/refused-goes-on", func(t *testing.T) {
		c := transaction(t, "C: RETR 1\nS: +OK\nS: one\nS: .\nC: RETR 2\nS: -ERR [SYS/TEMP] no\nC: RETR 3\nS: +OK\nS: three\nS: .\nC: NOOP\nS: +OK")
		equal(t, "Retr()", bodies(c.Retr(t.Context(), numbers(1, 3))),
			[]string{"1: one\r\n", "2: error: server refused RETR: [SYS/TEMP] no", "3: three\r\n"})
		noError(t, "Noop()", c.Noop(t.Context()))
	})
	t.Run("C0022/nothing-to-retrieve", func(t *testing.T) {
		c := transaction(t, "")
		equal(t, "Retr()", bodies(c.Retr(t.Context(), numbers(1, 0))), nil)
	})
	t.Run("C0021/announced-octets", func(t *testing.T) {
		c := transaction(t, "C: RETR 1\nS: +OK 9 octets\nS: whole\nS: .")
		for m, err := range c.Retr(t.Context(), func(yield func(int, int64) bool) { yield(1, 123456) }) {
			noError(t, "Retr()", err)
			equal(t, "Octets", m.Octets, 123456)
			body, err := io.ReadAll(m)
			noError(t, "reading", err)
			equal(t, "body", string(body), "whole\r\n")
		}
	})
	t.Run("C0023/octets", func(t *testing.T) {
		c := transaction(t, `C: RETR 1
			S: +OK
			chunk 1
			S- \x00\xff\r\r\n\n.\n..\r\n...a\r\n\r\n.\r\n`)
		equal(t, "Retr()", bodies(c.Retr(t.Context(), numbers(1, 1))), []string{"1: \x00\xff\r\r\n\n.\n..\r\n..a\r\n\r\n"})
	})
	t.Run("V0004/bad-number", func(t *testing.T) {
		c := pipelined(t, "C: RETR 1\nS: +OK\nS: one\nS: .\nC: NOOP\nS: +OK")
		got := bodies(c.Retr(t.Context(), func(yield func(int, int64) bool) { _ = yield(1, 0) && yield(0, 0) && yield(2, 0) }))
		equal(t, "Retr()", got, []string{"1: one\r\n", "0: error: RETR: message-number 0: pop3: invalid argument"})
		noError(t, "Noop()", c.Noop(t.Context()))
	})
}

func TestTop(t *testing.T) {
	t.Run("C0034/refused-goes-on", func(t *testing.T) {
		c := pipelined(t, "C: TOP 1 0\nC: TOP 2 0\nS: -ERR what?\nS: +OK\nS: Subject: two\nS:\nS: more than asked for\nS: .\nC: NOOP\nS: +OK")
		equal(t, "Top()", bodies(c.Top(t.Context(), slices.Values([]int{1, 2}), 0)),
			[]string{"1: error: server refused TOP: what?", "2: Subject: two\r\n\r\nmore than asked for\r\n"})
		noError(t, "Noop()", c.Noop(t.Context()))
	})
	t.Run("C0032/negative-lines", func(t *testing.T) {
		c := transaction(t, "C: NOOP\nS: +OK")
		for _, err := range c.Top(t.Context(), slices.Values([]int{1}), -1) {
			if !errors.Is(err, ErrArgument) {
				t.Errorf("Top() = %v, want %v", err, ErrArgument)
			}
		}
		noError(t, "Noop()", c.Noop(t.Context()))
	})
}

// A message whose reply ends early is not complete, and no message comes after it.
func TestRetr_broken(t *testing.T) {
	tests := []struct {
		name, script string
		check        func(error) bool
	}{
		{"C0006/cut-before-end", "S: +OK\nS: one\ncut", isCut},
		{"C0006/cut-after-dot", "S: +OK\nS: one\nS- .\ncut", isCut},
		{"C0006/cut-after-dot-cr", "S: +OK\nS: one\nS- .\\r\ncut", isCut},
		{"C0006/reset", "S: +OK\nS: one\nreset", isCut},
		{"C0006/closed-politely", "S: +OK\nS- one\nclose", isCut},
		{"C0006/stall", "S: +OK\nS: one\nstall", isTimeout},
		{"C0006/lf-dot-lf", "S: +OK\nS- one\\n.\\n\nstall", isTimeout},
		{"C0014/silent", "stall", isTimeout},
		{"V0001/garbage", "S: body without a status line", isProtocolError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := pipelined(t, "C: RETR 1\nC: RETR 2\n"+tt.script)
			hurry(&c.opts, tt.script)
			whole, failures := 0, 0
			for m, err := range c.Retr(t.Context(), numbers(1, 2)) {
				if err == nil {
					_, err = io.Copy(io.Discard, m)
				}
				if err == nil {
					whole++
				} else if failures++; !tt.check(err) {
					t.Errorf("message %d: %v, want another error", m.Number, err)
				}
			}
			equal(t, "whole messages", whole, 0)
			if failures == 0 {
				t.Error("no error")
			}
			if err := c.Noop(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("Noop() = %v, want %v", err, ErrClosed)
			}
		})
	}
}

// A link that is slow but alive is not cut, because each octet restarts the limit.
func TestRetr_trickle(t *testing.T) {
	c := transaction(t, "C: RETR 1\nS: +OK\n"+strings.Repeat("S- x\npause 80ms\n", 8)+"S:\nS: .")
	c.opts.StallTimeout = 500 * time.Millisecond
	equal(t, "C0006: Retr()", bodies(c.Retr(t.Context(), numbers(1, 1))), []string{"1: xxxxxxxx\r\n"})
}

func TestRetr_unread(t *testing.T) {
	c := pipelined(t, "C: RETR 1\nC: RETR 2\nS: +OK\nS: one\nS: more of one\nS: .\nS: +OK\nS: two\nS: .\nC: NOOP\nS: +OK")
	var kept *Message
	for m, err := range c.Retr(t.Context(), numbers(1, 2)) {
		noError(t, "Retr()", err)
		if kept == nil {
			kept = m
			_, err := io.ReadFull(m, make([]byte, 3))
			noError(t, "reading", err)
			continue
		}
		body, err := io.ReadAll(m)
		noError(t, "reading", err)
		equal(t, "second body", string(body), "two\r\n")
	}
	if n, err := kept.Read(make([]byte, 9)); n != 0 || !errors.Is(err, ErrState) {
		t.Errorf("Read() of a message after its turn = %d, %v, want 0, %v", n, err, ErrState)
	}
	noError(t, "Noop()", c.Noop(t.Context()))
}

func TestRetr_left_early(t *testing.T) {
	t.Run("replies-outstanding", func(t *testing.T) {
		c := pipelined(t, "C: RETR 1\nC: RETR 2\nS: +OK\nS: one\nS: .\nS: +OK\nS: two\nS: .")
		for m, err := range c.Retr(t.Context(), numbers(1, 2)) {
			noError(t, "Retr()", err)
			_, err = io.Copy(io.Discard, m)
			noError(t, "reading", err)
			break
		}
		if err := c.Quit(t.Context()); !errors.Is(err, ErrClosed) || !errors.Is(err, errLeft) {
			t.Errorf("V0006: Quit() = %v, want %v and %v", err, ErrClosed, errLeft)
		}
	})
	t.Run("body-unread", func(t *testing.T) {
		c := transaction(t, "C: RETR 1\nS: +OK\nS: one\nS: .")
		var left *Message
		for m, err := range c.Retr(t.Context(), numbers(1, 1)) {
			noError(t, "Retr()", err)
			left = m
			break
		}
		if _, err := left.Read(make([]byte, 1)); !errors.Is(err, ErrState) {
			t.Errorf("Read() after the loop = %v, want %v", err, ErrState)
		}
		if err := c.Noop(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Noop() = %v, want %v", err, ErrClosed)
		}
	})
	t.Run("everything-answered", func(t *testing.T) {
		c := transaction(t, "C: RETR 1\nS: +OK\nS: one\nS: .\nC: NOOP\nS: +OK")
		for m, err := range c.Retr(t.Context(), numbers(1, 9)) {
			noError(t, "Retr()", err)
			_, err = io.Copy(io.Discard, m)
			noError(t, "reading", err)
			break
		}
		noError(t, "Noop()", c.Noop(t.Context()))
	})
	t.Run("deletions-outstanding", func(t *testing.T) {
		c := pipelined(t, "C: DELE 1\nC: DELE 2\nS: +OK\nS: +OK")
		for _, err := range c.Dele(t.Context(), slices.Values([]int{1, 2})) {
			noError(t, "Dele()", err)
			break
		}
		if err := c.Quit(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("V0006: Quit() = %v, want %v", err, ErrClosed)
		}
	})
	t.Run("closed-inside", func(t *testing.T) {
		c := transaction(t, "C: RETR 1\nS: +OK\nS: one\nS: .")
		var last error
		for m, err := range c.Retr(t.Context(), numbers(1, 2)) {
			if last = err; err == nil {
				_, err := io.Copy(io.Discard, m)
				noError(t, "reading", err)
				noError(t, "Close()", c.Close())
			}
		}
		if !errors.Is(last, ErrClosed) {
			t.Errorf("Retr() after Close = %v, want %v", last, ErrClosed)
		}
	})
}

// A server that does not stuff a dot at the start of a message ends the reply there. The remaining
// octets would be read as replies. The error appears at the end of the loop, not only with the next
// command.
func TestRetr_stray_octets(t *testing.T) {
	c := pipelined(t, `C: RETR 1
		S- +OK\r\n.\r\n+OK\r\nnot what you think\r\n.\r\n`)
	got := bodies(c.Retr(t.Context(), numbers(1, 1)))
	equal(t, "R2449-3: Retr()", got, []string{"1: ",
		`0: error: RETR: protocol error: got "+OK\x0d\x0anot what you think\x0d\x0a.\x0d\x0a", want nothing while no reply is due`})
	if err := c.Noop(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Noop() = %v, want %v", err, ErrClosed)
	}
}

// A sign that the server cannot pipeline is told apart from a failure of the network (R2449-3).
func TestRetr_pipeliningBroken(t *testing.T) {
	const three = "C: RETR 1\nC: RETR 2\nC: RETR 3\n"
	const one = "S: +OK\nS: one\nS: .\n"
	for _, test := range []struct {
		name, script string
		blamed       bool
	}{
		{"no reply", three + one + "S: text\n", true},
		{"no reply for the first", three + "S: text\n", true},
		{"no reply for the last", three + one + one + "S: text\n", true},
		{"closed at once", three + "cut", true},
		{"closed after one", three + one + "cut", true},
		{"reset after one", three + one + "pause 20ms\nreset", true},
		{"silent after one", three + one + "stall", true},
		{"silent at once", three + "stall", false},
		{"closed after two", three + one + one + "cut", false},
		{"silent after two", three + one + one + "stall", false},
		{"closed in a reply", three + one + "S- +O\ncut", false},
		{"silent in a reply", three + one + "S- +O\nstall", false},
		{"closed in a message", three + one + "S: +OK\nS: two\ncut", false},
		{"octets behind the last", three + one + one + one + "S: -ERR idle\n", false},
	} {
		t.Run("R2449-3/"+test.name, func(t *testing.T) {
			t.Parallel()
			c := pipelined(t, test.script)
			c.opts.ReplyTimeout, c.opts.StallTimeout = 300*time.Millisecond, 300*time.Millisecond
			var last error
			for m, err := range c.Retr(t.Context(), numbers(1, 3)) {
				if last = err; err == nil {
					_, last = io.Copy(io.Discard, m)
				}
			}
			if blamed := errors.Is(last, ErrPipelining); blamed != test.blamed {
				t.Errorf("Retr() = %v, ErrPipelining %v, want %v", last, blamed, test.blamed)
			}
		})
	}
	t.Run("R2449-3/one at a time", func(t *testing.T) {
		c := transaction(t, "C: RETR 1\nS: text")
		for _, err := range c.Retr(t.Context(), numbers(1, 1)) {
			if err == nil || errors.Is(err, ErrPipelining) {
				t.Errorf("Retr() = %v, want an error that is not ErrPipelining", err)
			}
		}
	})
}

// When the sequence ends, the unanswered commands are answered, and nothing more is sent.
func TestRetr_source_ends(t *testing.T) {
	c := pipelined(t, "C: RETR 1\nC: RETR 2\nS: +OK\nS: one\nS: .\nS: +OK\nS: two\nS: .\nC: QUIT\nS: +OK")
	c.opts.Window = 2
	stopped := false
	source := func(yield func(int, int64) bool) {
		for n := 1; !stopped && yield(n, 0); n++ {
		}
	}
	var got []int
	for m, err := range c.Retr(t.Context(), source) {
		noError(t, "Retr()", err)
		got = append(got, m.Number)
		stopped = true
	}
	equal(t, "messages", got, []int{1, 2})
	noError(t, "Quit()", c.Quit(t.Context()))
}

func TestMessage_WriteTo_error(t *testing.T) {
	c := transaction(t, "C: RETR 1\nS: +OK\nS: one\nS: .\nC: NOOP\nS: +OK")
	full := errors.New("disk full")
	for m, err := range c.Retr(t.Context(), numbers(1, 1)) {
		noError(t, "Retr()", err)
		if _, err := m.WriteTo(failing{full}); !errors.Is(err, full) {
			t.Errorf("WriteTo() = %v, want %v", err, full)
		}
	}
	noError(t, "Noop()", c.Noop(t.Context()))
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestMessage_zero(t *testing.T) {
	if _, err := new(Message).Read(make([]byte, 1)); !errors.Is(err, ErrState) {
		t.Errorf("Read() = %v, want %v", err, ErrState)
	}
}

// listed returns a reader with the body of a listing: count lines and the end.
func listed(count int, line func(n int) string) io.Reader {
	next, _ := iter.Pull(func(yield func(string) bool) {
		for n := 1; n <= count; n++ {
			if !yield(line(n)) {
				return
			}
		}
		yield(".\r\n")
	})
	return &lineReader{next: next}
}

type lineReader struct {
	next func() (string, bool)
	rest bytes.Buffer
}

func (l *lineReader) Read(p []byte) (int, error) {
	for l.rest.Len() < len(p) {
		line, ok := l.next()
		if !ok {
			break
		}
		l.rest.WriteString(line)
	}
	return l.rest.Read(p)
}

func TestUIDL_memory(t *testing.T) {
	const count = 200_000
	line := func(n int) string { return fmt.Sprintf("%d %032x\r\n", n, n) }
	c := &Client{link: newLink(nil), reader: newReader(io.MultiReader(strings.NewReader("+OK\r\n"), listed(count, line))), unanswered: 1}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var l Listings
	noError(t, "readUIDs()", c.readUIDs(&l, l.addUID))
	runtime.GC()
	runtime.ReadMemStats(&after)
	equal(t, "listings", len(l.UIDs), count)
	equal(t, "last", l.UIDs[count-1].UniqueID, fmt.Sprintf("%032x", count))
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 15<<20 {
		t.Errorf("%d octets of memory for %d unique-ids, want at most 15 MiB", grown, count)
	}
	runtime.KeepAlive(l)
}

func TestUIDL_endless(t *testing.T) {
	id := strings.Repeat("u", maxUniqueID)
	tests := []struct {
		name  string
		count int
		line  func(n int) string
	}{
		{"C0038/unique-ids", maxListing, func(n int) string { return fmt.Sprintf("%d %s\r\n", n, id) }},
		{"C0038/malformed", maxListing, func(int) string { return "0 " + id + "\r\n" }},
		{"C0038/empty", maxListing/leastUnread + 1, func(int) string { return "\r\n" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &Client{link: newLink(nil), reader: newReader(io.MultiReader(strings.NewReader("+OK\r\n"), listed(tt.count, tt.line))), unanswered: 1}
			var l Listings
			if err := c.readUIDs(&l, l.addUID); !isProtocolError(err) || len(l.UIDs) > maxListing/maxUniqueID {
				t.Errorf("readUIDs() = %v and %d listings, want a *ProtocolError and no more than count", err, len(l.UIDs))
			}
		})
	}
}
