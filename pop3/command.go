package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/popfetch/popfetch/internal/escape"
)

const (
	maxCommand    = 255  // octets of a command with CRLF (RFC 2449 section 4)
	maxStatusLine = 8192 // octets of a status line with its end; 512 by the rule
)

// command is one command; its line has no CRLF yet.
type command struct {
	keyword string
	args    string // with what separates them; "" for none
	masked  string // stands for args in the trace, if args holds a secret
}

func (cmd command) line() string {
	if cmd.args == "" {
		return cmd.keyword
	}
	return cmd.keyword + " " + cmd.args
}

// traced is the line as the trace shows it.
func (cmd command) traced() string {
	if cmd.masked != "" {
		return cmd.keyword + " " + cmd.masked
	}
	return escape.Text([]byte(cmd.line()), maxCommand)
}

// checkArgument returns ErrArgument if arg cannot be the argument called what: nothing that a caller passes on may end a
// command early (C0003, C0042). Octets beyond ASCII are allowed only after UTF8 with the USER argument (RFC 6856 section 2).
func checkArgument(keyword, what, arg string, beyondASCII bool) error {
	problem := ""
	switch {
	case arg == "":
		problem = "is empty"
	case len(keyword)+len(" ")+len(arg)+len("\r\n") > maxCommand:
		problem = "is too long"
	case strings.ContainsFunc(arg, func(r rune) bool { return r < ' ' || r == 0x7f }):
		problem = "has control octets"
	case !beyondASCII && strings.ContainsFunc(arg, func(r rune) bool { return r >= utf8.RuneSelf }):
		problem = "has octets beyond ASCII, and the server was not told UTF8 with USER"
	case !utf8.ValidString(arg):
		problem = "is not UTF-8"
	default:
		return nil
	}
	return fmt.Errorf("%s: %s %s: %w", keyword, what, problem, ErrArgument)
}

// checkNumber returns ErrArgument if n is no message-number.
func checkNumber(keyword string, n int) error {
	if n < 1 {
		return fmt.Errorf("%s: message-number %d: %w", keyword, n, ErrArgument)
	}
	return nil
}

// checkQuiet returns a *ProtocolError if the server has said something though no reply is due. Then a reply before was not
// what it seemed: a server that does not stuff the dot at the start of a message, for one, ends the reply there.
func (c *Client) checkQuiet(keyword string) error {
	if stray := c.reader.buffered(); c.unanswered == 0 && len(stray) > 0 {
		return c.lose(protocolError(keyword, stray, "nothing while no reply is due"))
	}
	return nil
}

// send writes commands, all at once. Their replies are due from then on.
func (c *Client) send(commands ...command) error {
	keyword := commands[0].keyword
	if err := c.checkQuiet(keyword); err != nil {
		return err
	}
	var lines []byte
	for _, cmd := range commands {
		lines = append(lines, cmd.line()...)
		lines = append(lines, '\r', '\n')
		if c.opts.Trace != nil {
			c.opts.Trace(true, cmd.traced())
		}
	}
	if c.unanswered == 0 {
		c.replied = 0
	}
	c.unanswered += len(commands)
	if err := c.link.write(lines, c.opts.ReplyTimeout); err != nil {
		return c.lose(fmt.Errorf("%s: %w", keyword, err))
	}
	return nil
}

// awaitReply sets the limit for a status line.
func (c *Client) awaitReply() {
	c.link.wait = wait{what: "complete reply", limit: c.opts.ReplyTimeout}
	if len(c.reader.buffered()) == 0 { // otherwise the line has begun
		c.link.wait.idle = c.opts.Idle
	}
}

// readStatus reads the status line that is due for the oldest unanswered command. A negative reply is complete with it,
// and is a *ReplyError; whether a positive one is complete, the caller knows, and says so by answered.
func (c *Client) readStatus(keyword string) (reply, error) {
	c.awaitReply()
	r, err := c.readReply(keyword)
	if err != nil {
		return reply{}, c.blamePipelining(err)
	}
	if !r.positive {
		c.answered()
	}
	return r, r.asError(keyword)
}

// answered notes that the reply to one command is complete.
func (c *Client) answered() {
	c.unanswered--
	c.replied++
}

// blamePipelining adds ErrPipelining to the error that ended the wait for a status line, if it looks like it.
func (c *Client) blamePipelining(err error) error {
	var protocol *ProtocolError
	begun := len(c.reader.buffered()) > 0
	switch {
	case c.unanswered+c.replied < 2 || c.link.call.ctx.Err() != nil:
	case errors.As(err, &protocol),
		errors.Is(err, io.ErrUnexpectedEOF) && !begun && c.replied <= 1,
		errors.Is(err, os.ErrDeadlineExceeded) && !begun && c.replied == 1:
		return fmt.Errorf("%w: %w", ErrPipelining, err)
	}
	return err
}

// readReply reads a status line under the wait that stands. An error other than a negative reply leaves the session out
// of step.
func (c *Client) readReply(keyword string) (reply, error) {
	line, err := c.readLine(keyword, maxStatusLine)
	if err != nil {
		return reply{}, err
	}
	r, ok := parseReply(line)
	if !ok {
		return reply{}, c.lose(protocolError(keyword, c.conceal(line), "a status line"))
	}
	return c.concealIn(r), nil
}

// readLine reads a line, which is valid until the next one. An error leaves the session out of step.
func (c *Client) readLine(keyword string, limit int) ([]byte, error) {
	line, err := c.reader.line(limit)
	switch {
	case errors.Is(err, errLineTooLong):
		want := fmt.Sprintf("a line of at most %d octets", limit)
		return nil, c.lose(protocolError(keyword, c.conceal(c.reader.buffered()[:limit]), want))
	case err != nil && keyword == "":
		return nil, c.lose(err)
	case err != nil:
		return nil, c.lose(fmt.Errorf("%s: %w", keyword, err))
	}
	if c.opts.Trace != nil {
		c.opts.Trace(false, c.traced(line))
	}
	return line, nil
}

// traced is a line of the server as the trace shows it.
func (c *Client) traced(line []byte) string {
	shown := escape.Text(c.conceal(line), maxErrorText)
	if len(line) > maxErrorText {
		shown += fmt.Sprintf(" (%d octets)", len(line))
	}
	return shown
}

// roundTrip sends one command that has a reply of one line, and returns the text of the positive reply, which is valid
// until the next read.
func (c *Client) roundTrip(cmd command) (text []byte, err error) {
	if err := c.send(cmd); err != nil {
		return nil, err
	}
	r, err := c.readStatus(cmd.keyword)
	if err != nil {
		return nil, err
	}
	c.answered()
	return r.text, nil
}

// simple is a method that is one command without arguments and has nothing to return.
func (c *Client) simple(ctx context.Context, keyword string, states ...state) error {
	end, err := c.begin(ctx, keyword, states...)
	if err != nil {
		return err
	}
	defer end()
	_, err = c.roundTrip(command{keyword: keyword})
	return err
}

// Noop sends NOOP, which does nothing but show that both ends are alive; -ERR is a *ReplyError. In a loop over Retr, Top
// or Dele it is ErrState while replies are outstanding.
func (c *Client) Noop(ctx context.Context) error { return c.simple(ctx, "NOOP", stateTransaction) }

// Rset sends RSET, which takes back all deletions of this session; -ERR is a *ReplyError.
func (c *Client) Rset(ctx context.Context) error { return c.simple(ctx, "RSET", stateTransaction) }
