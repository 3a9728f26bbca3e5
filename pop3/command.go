package pop3

import (
	"bytes"
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
	maxCommand    = 255  // octets of a command, CRLF included (RFC 2449 section 4)
	maxStatusLine = 8192 // octets of a status line, its end included; RFC 2449 allows 512
)

// command is one command. Its line has no CRLF yet.
type command struct {
	keyword string
	args    string // with the spaces between them; "" for none
	masked  string // replaces args in the trace, if args holds a secret
}

func (cmd command) line() string {
	if cmd.args == "" {
		return cmd.keyword
	}
	return cmd.keyword + " " + cmd.args
}

// octets returns the size of the line with its CRLF.
func (cmd command) octets() int {
	octets := len(cmd.keyword) + len("\r\n")
	if cmd.args != "" {
		octets += len(" ") + len(cmd.args)
	}
	return octets
}

// appendTo appends the line and CRLF. Unlike line, it makes no copy of a secret.
func (cmd command) appendTo(lines []byte) []byte {
	lines = append(lines, cmd.keyword...)
	if cmd.args != "" {
		lines = append(lines, ' ')
		lines = append(lines, cmd.args...)
	}
	return append(lines, '\r', '\n')
}

// traced returns the line as the trace shows it.
func (cmd command) traced() string {
	if cmd.masked != "" {
		return cmd.keyword + " " + cmd.masked
	}
	return escape.Text([]byte(cmd.line()), maxCommand)
}

// checkArgument returns ErrArgument if arg cannot be an argument of keyword. The error calls the
// argument what. Non-ASCII octets are allowed only after UTF8 with the USER argument (RFC 6856
// section 2).
func checkArgument(keyword, what, arg string, beyondASCII bool) error {
	if err := checkOctets(keyword, what, arg); err != nil {
		return err
	}
	switch {
	case !beyondASCII && !isASCII(arg):
		return fmt.Errorf("%s: %s has %w: %w", keyword, what, ErrNonASCII, ErrArgument)
	case !utf8.ValidString(arg):
		return fmt.Errorf("%s: %s is not UTF-8: %w", keyword, what, ErrArgument)
	}
	return nil
}

// checkOctets does the same for an argument of any octets. No argument from a caller may end a
// command early (C0003, C0042).
func checkOctets(keyword, what, arg string) error {
	problem := ""
	switch {
	case arg == "":
		problem = "is empty"
	case len(keyword)+len(" ")+len(arg)+len("\r\n") > maxCommand:
		problem = "is too long"
	case strings.ContainsFunc(arg, func(r rune) bool { return r < ' ' || r == 0x7f }):
		problem = "has control octets"
	default:
		return nil
	}
	return fmt.Errorf("%s: %s %s: %w", keyword, what, problem, ErrArgument)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// credential returns the octets that are sent for a name or a password; see Options.Octets. keyword
// and what are for the error.
func (c *Client) credential(keyword, what, arg string) (string, error) {
	if c.opts.Octets == nil || c.utf8User() {
		return arg, checkArgument(keyword, what, arg, c.utf8User())
	}
	octets, err := c.octets(keyword, what, arg)
	if err != nil {
		return "", err
	}
	return octets, checkOctets(keyword, what, octets)
}

// octets returns text in the charset of Options.Octets, if that is used.
func (c *Client) octets(keyword, what, text string) (string, error) {
	if c.opts.Octets == nil || c.utf8User() || isASCII(text) {
		return text, nil
	}
	octets, err := c.opts.Octets(text)
	if err != nil {
		return "", fmt.Errorf("%s: %s %w: %w", keyword, what, err, ErrArgument)
	}
	return octets, nil
}

// checkNumber returns ErrArgument if n is not a message-number.
func checkNumber(keyword string, n int) error {
	if n < 1 {
		return fmt.Errorf("%s: message-number %d: %w", keyword, n, ErrArgument)
	}
	return nil
}

// checkQuiet returns a *ProtocolError if the server has sent octets while no reply is due. An
// earlier reply was then misread. For example, some servers do not stuff the dot at the start of a
// message, which ends the reply there.
func (c *Client) checkQuiet(keyword string) error {
	stray := c.reader.buffered()
	if c.dotDue && bytes.HasPrefix([]byte(".\r\n"), stray) {
		return nil
	}
	if c.unanswered == 0 && len(stray) > 0 {
		return c.lose(protocolError(keyword, stray, "nothing while no reply is due"))
	}
	return nil
}

// send writes all commands at once. Their replies are due from then on.
func (c *Client) send(commands ...command) error {
	keyword := commands[0].keyword
	if err := c.checkQuiet(keyword); err != nil {
		return err
	}
	octets := 0
	for _, cmd := range commands {
		octets += cmd.octets()
	}
	lines := make([]byte, 0, octets) // it must not grow, because that would leave a copy behind
	defer clear(lines[:octets])
	for _, cmd := range commands {
		lines = cmd.appendTo(lines)
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
	if len(c.reader.buffered()) == 0 { // otherwise the line has already begun
		c.link.wait.idle, c.link.wait.idleAfter = c.idle, idleAfter
	}
}

func (c *Client) idle() error {
	if c.opts.Idle != nil {
		c.opts.Idle()
	}
	return nil
}

// readStatus reads the status line of the oldest unanswered command. A negative reply is complete
// with its status line, and is a *ReplyError. After a positive one, the caller calls answered when
// the reply is complete.
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

// readStatusOfLines is readStatus for a command whose positive reply has several lines. Some servers
// end a refusal of it by a line with a dot, as if it had several lines too.
func (c *Client) readStatusOfLines(keyword string) (reply, error) {
	r, err := c.readStatus(keyword)
	c.dotDue = isRefusal(err)
	return r, err
}

// answered counts the reply to one command as complete.
func (c *Client) answered() {
	c.unanswered--
	c.replied++
}

// blamePipelining adds ErrPipelining to err if it is a likely sign of broken pipelining. The wait
// for a status line ended with err.
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

// readReply reads a status line under the limit of the present wait. Any error leaves the session
// out of step. A negative reply is not an error here.
func (c *Client) readReply(keyword string) (reply, error) {
	line, err := c.readLine(keyword, maxStatusLine)
	for err == nil && c.passesOver(line) {
		line, err = c.readLine(keyword, maxStatusLine)
	}
	c.dotDue, c.blankDue = false, false
	if err != nil {
		return reply{}, err
	}
	r, ok := parseReply(line)
	if !ok {
		return reply{}, c.notReply(keyword, line, "a status line")
	}
	return c.concealIn(r), nil
}

// passesOver reports whether a line before a status line says nothing, and may stand there once. No
// other line may: a message may have ended too early, and its own lines may follow (behaviour 38).
func (c *Client) passesOver(line []byte) bool {
	dot, blank := c.dotDue && string(line) == ".", c.blankDue && len(line) == 0
	c.dotDue, c.blankDue = c.dotDue && !dot, c.blankDue && !blank
	return dot || blank
}

// readLine reads a line, which is valid until the next read. An error leaves the session out of
// step.
func (c *Client) readLine(keyword string, limit int) ([]byte, error) {
	line, err := c.reader.line(limit)
	switch {
	case errors.Is(err, errLineTooLong):
		want := fmt.Sprintf("a line of at most %d octets", limit)
		return nil, c.lose(protocolError(keyword, c.conceal(c.reader.buffered()[:limit]), want))
	case errors.Is(err, io.ErrUnexpectedEOF) && keyword != "" && len(c.reader.buffered()) == 0:
		return nil, c.lose(&CloseError{Command: keyword, Err: err})
	case err != nil:
		return nil, c.lose(keywordError(keyword, err))
	}
	if c.opts.Trace != nil {
		shown := c.traced(line)
		if challenge, ok := parseChallenge(line); ok && keyword == "AUTH" && challenge != "" {
			shown = "+ ***" // the password can be guessed from some
		}
		c.opts.Trace(false, shown)
	}
	return line, nil
}

// keywordError names the command whose reply could not be read; "" is the greeting.
func keywordError(keyword string, err error) error {
	if keyword == "" {
		return err
	}
	return fmt.Errorf("%s: %w", keyword, err)
}

// traced returns a line of the server as the trace shows it.
func (c *Client) traced(line []byte) string {
	shown := escape.Text(c.conceal(line), maxErrorText)
	if len(line) > maxErrorText {
		shown += fmt.Sprintf(" (%d octets)", len(line))
	}
	return shown
}

// roundTrip sends one command whose reply has one line. It returns the text of the positive reply,
// which is valid until the next read.
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

// simple implements the methods that send one command without arguments and return only an error.
func (c *Client) simple(ctx context.Context, keyword string, states ...state) error {
	end, err := c.begin(ctx, keyword, states...)
	if err != nil {
		return err
	}
	defer end()
	_, err = c.roundTrip(command{keyword: keyword})
	return err
}

// Noop sends NOOP, which only shows that both ends are alive. The reply -ERR is a *ReplyError. In a
// loop over Retr, Top or Dele, the error is ErrState while replies are outstanding.
func (c *Client) Noop(ctx context.Context) error { return c.simple(ctx, "NOOP", stateTransaction) }

// Rset sends RSET, which undoes all deletions of this session. The reply -ERR is a *ReplyError.
func (c *Client) Rset(ctx context.Context) error { return c.simple(ctx, "RSET", stateTransaction) }
