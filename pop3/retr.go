package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
)

// Message is the body of one reply to RETR or TOP, read as a stream. It returns io.EOF only after
// the terminating line, and io.ErrUnexpectedEOF if the reply was cut. It is valid until the loop
// over Retr or Top goes on. After that, the unread part is gone, and Read returns ErrState.
type Message struct {
	Number int
	Octets int64 // the size that the caller of Retr gave (from LIST); 0: unknown

	client  *Client
	keyword string
	body    bodyReader
	read    int64
	err     error // the result of each further Read
}

// Read reads octets of the body without the stuffed dots. Everything else stays as it came, CRLF
// included.
func (m *Message) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, m.err
	}
	octets, err := m.next(len(p))
	return copy(p, octets), err
}

// WriteTo writes the rest of the body to w without an extra copy. It makes io.Copy faster.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for {
		octets, err := m.next(bufferOctets)
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := w.Write(octets)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
}

// next returns the next octets of the body, not more than most.
func (m *Message) next(most int) ([]byte, error) {
	if m.err != nil {
		return nil, m.err
	}
	if m.client == nil {
		return nil, fmt.Errorf("reading a message: %w", ErrState)
	}
	octets, err := m.body.next(most)
	m.read += int64(len(octets))
	switch {
	case errors.Is(err, io.EOF):
		m.err = io.EOF
		m.client.answered()
		if trace := m.client.opts.Trace; trace != nil {
			trace(false, fmt.Sprintf("(message, %d octets)", m.read))
		}
	case err != nil:
		m.err = m.client.lose(fmt.Errorf("%s %d: %w", m.keyword, m.Number, err))
	}
	return octets, m.err
}

// finish ends the turn of m. It reads the octets that the caller left unread, so that the next
// reply can be read.
func (m *Message) finish() error {
	if m.err == nil {
		if _, err := m.WriteTo(io.Discard); err != nil {
			return err
		}
		m.err = fmt.Errorf("reading message %d: %w", m.Number, ErrState)
	}
	if m.client.lost != nil {
		return m.client.lost
	}
	return nil
}

// Retr sends RETR for each message and yields the bodies in that order. The sequence has numbers,
// each with the octets that LIST announced (0: unknown). A refused message is yielded as a
// *ReplyError with a Message that has the number, and the loop goes on. Any other error ends the
// loop. When the sequence ends, no more is sent, and the loop goes on until all commands are
// answered.
//
// If the server announces PIPELINING, Retr keeps a window of commands unanswered. The window holds
// as many commands as the server answers in a second, within three limits: Options.Window,
// WindowOctets and 16 KiB of commands. Two commands are always allowed, unless Options.Window is
// one. The window is filled up again when half of it is answered. So a number is taken from the
// sequence well before its message is yielded, and each number that is taken is sent.
//
// A body that is left unread is read and dropped. If the loop is left while replies are
// outstanding, the session is out of step. The reply of the present message counts as outstanding
// until its body is read.
func (c *Client) Retr(ctx context.Context, messages iter.Seq2[int, int64]) iter.Seq2[*Message, error] {
	return c.retrieve(ctx, "RETR", "", messages)
}

// Top is like Retr, but for the header and the first lines of the body, as many as lines says. Some
// servers do not have TOP and refuse it.
func (c *Client) Top(ctx context.Context, numbers iter.Seq[int], lines int) iter.Seq2[*Message, error] {
	if lines < 0 {
		return func(yield func(*Message, error) bool) {
			yield(new(Message), fmt.Errorf("TOP: %d lines: %w", lines, ErrArgument))
		}
	}
	return c.retrieve(ctx, "TOP", " "+strconv.Itoa(lines), withoutOctets(numbers))
}

func (c *Client) retrieve(ctx context.Context, keyword, suffix string, messages iter.Seq2[int, int64]) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		c.pipeline(ctx, keyword, suffix, messages, func(a answer) bool {
			m := &Message{Number: a.number, Octets: a.octets, keyword: keyword, err: a.err}
			if a.err != nil {
				return yield(m, a.err)
			}
			m.client, m.body.reader = c, c.reader
			c.link.wait = wait{what: "more of the message", limit: c.opts.StallTimeout, restarts: true}
			if !yield(m, nil) {
				if m.err == nil {
					m.err = fmt.Errorf("reading message %d: %w", m.Number, ErrState)
				}
				return false
			}
			if err := m.finish(); err != nil {
				yield(&Message{Number: a.number, Octets: a.octets, err: err}, err)
				return false
			}
			return true
		})
	}
}

// Dele marks messages as deleted. For each it yields the number and nil or a *ReplyError. Any other
// error ends the loop. Commands are pipelined as those of Retr. To leave the loop early has the
// same effect as there. The server removes the messages when Quit returns nil.
func (c *Client) Dele(ctx context.Context, numbers iter.Seq[int]) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		c.pipeline(ctx, "DELE", "", withoutOctets(numbers), func(a answer) bool {
			if a.err == nil {
				c.answered()
			}
			return yield(a.number, a.err)
		})
	}
}

func withoutOctets(numbers iter.Seq[int]) iter.Seq2[int, int64] {
	return func(yield func(int, int64) bool) {
		for n := range numbers {
			if !yield(n, 0) {
				return
			}
		}
	}
}

// request is a command of a pipeline.
type request struct {
	number int
	octets int64 // as announced; 0: unknown
}

// answer is the result of a request. A nil error means a positive status line; the body, if any,
// comes next.
type answer struct {
	request
	err error
}

// pipeline sends keyword, number and suffix for each request, and calls each with the answers in
// order. It stops when each returns false or all requests are answered. An answer with an error
// other than *ReplyError is the last one.
func (c *Client) pipeline(ctx context.Context, keyword, suffix string, requests iter.Seq2[int, int64], each func(answer) bool) {
	end, err := c.begin(ctx, keyword, stateTransaction)
	if err != nil {
		each(answer{err: err})
		return
	}
	defer end()
	next, stop := iter.Pull2(requests)
	defer stop()
	most := c.window()
	w := window{next: next, keyword: keyword, suffix: suffix, most: most, commands: min(most, leastWindow), octets: c.opts.WindowOctets}
	for {
		if c.state == stateClosed {
			each(answer{w.oldest(), fmt.Errorf("%s: %w", keyword, ErrClosed)})
			return
		}
		if commands := w.refill(); len(commands) > 0 {
			if err := c.send(commands...); err != nil {
				each(answer{w.oldest(), err})
				return
			}
		}
		if len(w.unanswered) == 0 {
			last := w.refused
			if err := c.checkQuiet(keyword); err != nil {
				last = answer{err: err}
			}
			if last.err != nil {
				each(last)
			}
			return
		}
		a := answer{request: w.oldest()}
		a.err = c.readAnswer(keyword)
		goOn := each(a)
		w.pop()
		var refused *ReplyError
		if a.err != nil && !errors.As(a.err, &refused) {
			return
		}
		if !goOn {
			if c.unanswered > 0 && c.lost == nil {
				c.lost = fmt.Errorf("%s: %w", keyword, errLeft)
			}
			return
		}
	}
}

// readAnswer reads the status line of a command of a pipeline.
func (c *Client) readAnswer(keyword string) error {
	read := c.readStatusOfLines
	if keyword == "DELE" {
		read = c.readStatus
	}
	_, err := read(keyword)
	return err
}

// window returns how many commands may be unanswered.
func (c *Client) window() int {
	if !c.capabilities.Has("PIPELINING") {
		return 1
	}
	return c.opts.Window
}
