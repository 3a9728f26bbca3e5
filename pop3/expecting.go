package pop3

import (
	"context"
	"fmt"
)

// AuthExpecting does the same as Capa, UTF8 and Auth, but in one round trip. It is for a server
// that was seen before. It sends CAPA, UTF8 if expected has it, and the beginning of Auth in one
// packet. Afterwards Capabilities returns the server's present answer, never the expected one. If
// mech is nil, there is no log-in: the packet holds CAPA and UTF8 only.
//
// The argument expected is the server's announcement before the log-in of an earlier session with
// the same TLSMode. It must have PIPELINING, and Options.Window must not be one. Otherwise the
// error is ErrState, and nothing was sent.
//
// A refusal of AUTH is a *ReplyError. A refusal of CAPA or UTF8 is not an error. Any other error
// after the packet was sent is ErrUnexpected as well, because a wrong expectation may be its cause.
func (c *Client) AuthExpecting(ctx context.Context, expected Capabilities, mech SASLClient) error {
	end, err := c.beginLogin(ctx, "AUTH", "")
	if err != nil {
		return err
	}
	defer end()
	if c.opts.Window == 1 || !expected.Has("PIPELINING") {
		return fmt.Errorf("AUTH: without pipelining: %w", ErrState)
	}
	commands := []command{{keyword: "CAPA"}}
	utf8 := expected.Has("UTF8")
	if utf8 {
		commands = append(commands, command{keyword: "UTF8"})
	}
	var x *exchange
	if mech != nil {
		if x, err = c.startExchange(mech); err != nil {
			return err
		}
		commands = append(commands, x.command)
	}
	if err := c.send(commands...); err != nil {
		return err
	}
	err = c.readExpected(utf8)
	if err == nil && x != nil {
		err = c.exchange(x)
	}
	if err != nil && !isRefusal(err) {
		return fmt.Errorf("%w: %w", ErrUnexpected, err)
	}
	return err
}

// readExpected reads the replies to CAPA and, if it was sent, UTF8. An error means that the session
// is out of step.
func (c *Client) readExpected(utf8 bool) error {
	if _, err := c.readCapabilities(); err != nil && !isRefusal(err) {
		return err
	}
	if !utf8 {
		return nil
	}
	if _, err := c.readStatus("UTF8"); err != nil {
		if isRefusal(err) {
			return nil
		}
		return err
	}
	c.answered()
	c.utf8 = true
	return nil
}
