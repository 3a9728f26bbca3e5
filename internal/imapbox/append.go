package imapbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Message is a message that is appended.
type Message struct {
	Octets int64
	NUL    bool      // it holds a NUL, which only a literal8 may (RFC 3516)
	Date   time.Time // the internal date
	// Open returns the octets. It is called again if the message is sent again.
	Open func() (io.Reader, error)
}

// Result is what became of a message.
type Result struct {
	Settled bool  // the server has answered
	Err     error // nil: it is in the mailbox; a *Reply: it is not
	At      Mark  // UIDNext is the identifier of the message; zero: not known
}

// Appender is a session that appends messages. It is not safe for concurrent use.
type Appender struct {
	conn    net.Conn
	r       *bufio.Reader
	w       *bufio.Writer
	timeout time.Duration
	mailbox string // as a command holds it
	tag     int
	usedAt  time.Time

	several, plus, minus, binary bool
	limit                        int64 // of the octets of a message; 0: not known
	mark                         Mark
	marks                        bool // the server says where a message went, so mark is always new
}

// OpenAppender logs in and makes the mailbox if it is missing.
func OpenAppender(ctx context.Context, account *Account) (*Appender, error) {
	b, err := Open(ctx, account)
	if err != nil {
		return nil, err
	}
	mark, _, exists, err := b.Status(ctx)
	if err == nil && !exists {
		if err = b.Create(ctx); err == nil {
			mark, _, _, err = b.Status(ctx)
		}
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b.appender(mark), nil
}

// appender takes the connection from the library.
func (b *Box) appender(mark Mark) *Appender {
	a := &Appender{
		timeout: b.account.Timeout,
		several: b.caps.Has(imap.CapMultiAppend),
		plus:    b.caps.Has(imap.CapLiteralPlus),
		minus:   b.caps.Has(imap.CapLiteralMinus),
		binary:  b.caps.Has(imap.CapBinary),
		marks:   b.caps.Has(imap.CapUIDPlus),
		mark:    mark,
		usedAt:  time.Now(),
	}
	a.mailbox = quote(encodeMailbox(b.account.Mailbox))
	if b.sendsUTF8() {
		a.mailbox = quote(strings.ReplaceAll(b.account.Mailbox, "&", "&-")) // as the library does
	}
	if limit, ok := b.caps.AppendLimit(); ok && limit != nil {
		a.limit = int64(*limit)
	}
	a.conn = b.wire.detach(b.client.Closed())
	a.r, a.w = bufio.NewReaderSize(a.conn, longestLine), bufio.NewWriterSize(a.conn, 64<<10)
	return a
}

// Close ends the session.
func (a *Appender) Close() {
	if a.usedAt.Before(time.Now().Add(-a.timeout)) || a.w.Buffered() > 0 {
		_ = a.conn.Close() // it is of no use any more
		return
	}
	_ = a.conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(a.conn, a.nextTag()+" LOGOUT\r\n")
	_ = a.conn.Close()
}

// Fits returns an error if the server would take the message in no case.
func (a *Appender) Fits(m *Message) error {
	switch {
	case a.limit > 0 && m.Octets > a.limit:
		return fmt.Errorf("the message has %d octets, and the server takes at most %d (APPENDLIMIT)", m.Octets, a.limit)
	case m.NUL && !a.binary:
		return errors.New("the message has a NUL, which the server does not take (it lacks BINARY)")
	}
	return nil
}

// idleAfter is when a session counts as idle, so that the server may have ended it.
const idleAfter = 100 * time.Millisecond

// Alive reports whether the server has not ended the session, as far as can be known.
func (a *Appender) Alive() bool {
	if time.Since(a.usedAt) < idleAfter {
		return true
	}
	for {
		_ = a.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		var wait net.Error
		if _, err := a.r.Peek(1); errors.As(err, &wait) && wait.Timeout() {
			return true
		} else if err != nil {
			return false
		}
		_ = a.conn.SetReadDeadline(time.Now().Add(time.Second))
		if r, err := a.read(); err != nil || r.kind == bye {
			return false
		}
	}
}

// Mark returns where the next message will be, at the earliest.
func (a *Appender) Mark(ctx context.Context) (Mark, error) {
	if a.marks {
		return a.mark, nil
	}
	defer a.guard(ctx)()
	tag := a.nextTag()
	a.say("%s STATUS %s (UIDNEXT UIDVALIDITY)\r\n", tag, a.mailbox)
	a.mark = Mark{}
	if err := a.flush(); err != nil {
		return Mark{}, a.failed(ctx, err)
	}
	for {
		r, err := a.await()
		switch {
		case err != nil:
			return Mark{}, a.failed(ctx, err)
		case r.kind == untagged:
			a.mark = readStatus(r.line, a.mark)
		case r.kind == tagged && r.tag == tag:
			return a.mark, nil // if it is refused, the mark is not known
		}
	}
}

// guard closes the connection if ctx ends.
func (a *Appender) guard(ctx context.Context) (stop func()) {
	end := context.AfterFunc(ctx, func() { _ = a.conn.Close() })
	return func() {
		end()
		a.usedAt = time.Now()
	}
}

func (a *Appender) nextTag() string {
	a.tag++
	return fmt.Sprintf("p%d", a.tag)
}

// say puts text behind what is to be sent. Its error comes at the next flush.
func (a *Appender) say(format string, arguments ...any) {
	_, _ = fmt.Fprintf(a.w, format, arguments...)
}

func (a *Appender) flush() error {
	_ = a.conn.SetWriteDeadline(time.Now().Add(a.timeout))
	return a.w.Flush()
}

// failed returns the error of a session that broke.
func (a *Appender) failed(ctx context.Context, err error) error {
	if errors.Is(err, ErrProtocol) || errors.Is(err, errSource) {
		return err
	}
	return broken(ctx, err)
}

// Append appends messages, for which Fits was nil. If the server can, one command takes all of them.
// If that is refused, or if the server cannot, the messages are appended one by one, without waiting
// for a reply in between. An error means that the session broke: for a message that is not Settled,
// nobody knows whether it is in the mailbox.
func (a *Appender) Append(ctx context.Context, messages []*Message) ([]Result, error) {
	defer a.guard(ctx)()
	results := make([]Result, len(messages))
	all := make([]int, len(messages))
	for i := range all {
		all[i] = i
	}
	made := false
	for {
		if err := a.round(messages, all, results); err != nil {
			return results, a.failed(ctx, err)
		}
		var again []int
		for _, i := range all {
			var reply *Reply
			if errors.As(results[i].Err, &reply) && reply.Code == "TRYCREATE" {
				again = append(again, i)
			}
		}
		if len(again) == 0 || made {
			return results, nil
		}
		// Somebody has removed the mailbox.
		made = true
		if err := a.create(); err != nil {
			var reply *Reply
			if errors.As(err, &reply) && !reply.passes() {
				return results, fmt.Errorf("%w: it is missing and cannot be made: %w", ErrMailbox, err)
			}
			return results, a.failed(ctx, err)
		}
		for _, i := range again {
			results[i] = Result{}
		}
		all = again
	}
}

// round appends the messages that which names.
func (a *Appender) round(messages []*Message, which []int, results []Result) error {
	if a.several && len(which) > 1 {
		reply, err := a.together(messages, which, results)
		if err != nil || reply == nil || reply.Code == "TRYCREATE" {
			return err
		}
		for _, i := range which {
			results[i] = Result{}
		}
	}
	return a.oneByOne(messages, which, results)
}

// together appends messages by one command: all of them, or none.
func (a *Appender) together(messages []*Message, which []int, results []Result) (refusal *Reply, err error) {
	tag := a.nextTag()
	a.say("%s APPEND %s", tag, a.mailbox)
	var done *reply
	for _, i := range which {
		if done, err = a.send(messages[i], tag, nil); err != nil || done != nil {
			break
		}
	}
	if err == nil && done == nil {
		_, err = a.w.WriteString("\r\n")
	}
	if err == nil {
		err = a.flush()
	}
	for err == nil && done == nil {
		var r *reply
		if r, err = a.await(); err == nil && r.kind == tagged && r.tag == tag {
			done = r
		}
	}
	if err != nil {
		return nil, err
	}
	marks := done.marks(len(which))
	for n, i := range which {
		results[i] = Result{Settled: true, Err: done.err()}
		if n < len(marks) {
			results[i].At = marks[n]
		}
	}
	a.follow(marks)
	return done.refusal, nil
}

// oneByOne appends each message by a command.
func (a *Appender) oneByOne(messages []*Message, which []int, results []Result) error {
	waiting := make(map[string]int, len(which))
	settle := func(r *reply) {
		i, ok := waiting[r.tag]
		if !ok {
			return
		}
		delete(waiting, r.tag)
		results[i] = Result{Settled: true, Err: r.err()}
		marks := r.marks(1)
		if len(marks) > 0 {
			results[i].At = marks[0]
		}
		a.follow(marks)
	}
	err := func() error {
		for _, i := range which {
			tag := a.nextTag()
			waiting[tag] = i
			a.say("%s APPEND %s", tag, a.mailbox)
			done, err := a.send(messages[i], tag, settle)
			if err != nil {
				return err
			}
			if done != nil {
				settle(done)
				continue
			}
			if _, err := a.w.WriteString("\r\n"); err != nil {
				return err
			}
		}
		return a.flush()
	}()
	if err != nil {
		// What the server has answered so far counts.
		_ = a.conn.SetReadDeadline(time.Now().Add(time.Second))
	}
	for len(waiting) > 0 {
		var r *reply
		var readErr error
		if err == nil {
			r, readErr = a.await()
		} else {
			r, readErr = a.read()
		}
		if readErr != nil {
			if err == nil {
				err = readErr
			}
			break
		}
		if r.kind == tagged {
			settle(r)
		}
	}
	return err
}

// follow notes where messages went. The next one will be behind them.
func (a *Appender) follow(marks []Mark) {
	for _, at := range marks {
		if at.UIDValidity != a.mark.UIDValidity || at.UIDNext >= a.mark.UIDNext {
			a.mark = Mark{at.UIDValidity, at.UIDNext + 1}
		}
	}
}

// errSource means that a message could not be read where it waits to be sent.
var errSource = errors.New("reading a message")

// send sends date and octets of a message, as a part of the command with this tag. If the server
// wants to say first whether it takes the literal, send waits for that. done is the reply if the
// server refuses the command then. Replies to other commands go to other.
func (a *Appender) send(m *Message, tag string, other func(*reply)) (done *reply, err error) {
	// No command is too long for one wait, but each message has its own.
	_ = a.conn.SetWriteDeadline(time.Now().Add(a.timeout))
	at := ""
	if year := m.Date.Year(); !m.Date.IsZero() && year > 0 && year < 10000 {
		at = m.Date.Format(` "_2-Jan-2006 15:04:05 -0700"`)
	}
	kind, end := "{", "}\r\n"
	if m.NUL {
		kind = "~{"
	}
	waits := !a.plus && (!a.minus || m.Octets > 4096) // RFC 7888
	if !waits {
		end = "+}\r\n"
	}
	a.say("%s %s%d%s", at, kind, m.Octets, end)
	if waits {
		if err := a.flush(); err != nil {
			return nil, err
		}
		if done, err := a.awaitGo(tag, other); done != nil || err != nil {
			return done, err
		}
		_ = a.conn.SetWriteDeadline(time.Now().Add(a.timeout))
	}
	octets, err := m.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSource, err)
	}
	n, err := io.Copy(a.w, octets)
	if err == nil && n != m.Octets {
		err = fmt.Errorf("%w: it has %d octets, not %d", errSource, n, m.Octets)
	}
	return nil, err
}

// awaitGo waits until the server asks for a literal, or refuses the command.
func (a *Appender) awaitGo(tag string, other func(*reply)) (done *reply, err error) {
	for {
		r, err := a.await()
		switch {
		case err != nil:
			return nil, err
		case r.kind == goOn:
			return nil, nil
		case r.kind == tagged && r.tag == tag:
			if r.refusal == nil {
				return nil, fmt.Errorf("%w: it took a message before it came", ErrProtocol)
			}
			return r, nil
		case r.kind == tagged && other != nil:
			other(r)
		}
	}
}

// create makes the mailbox, and subscribes to it.
func (a *Appender) create() error {
	a.mark = Mark{}
	create, subscribe := a.nextTag(), a.nextTag()
	a.say("%s CREATE %s\r\n%s SUBSCRIBE %s\r\n", create, a.mailbox, subscribe, a.mailbox)
	if err := a.flush(); err != nil {
		return err
	}
	var refusal error
	for {
		r, err := a.await()
		switch {
		case err != nil:
			return err
		case r.kind == tagged && r.tag == create && r.refusal != nil && r.refusal.Code != alreadyExists:
			refusal = r.refusal
		case r.kind == tagged && r.tag == subscribe: // a mail program can subscribe, too
			return refusal
		}
	}
}

// isOwnTag reports whether a tag is one of ours, and not one of the library.
func isOwnTag(tag string) bool { return strings.HasPrefix(tag, "p") }

// Several reports whether one command takes several messages. Then a literal of no octets would
// cancel the command (RFC 3502).
func (a *Appender) Several() bool { return a.several }
