package pop3

import (
	"context"
	"fmt"
)

// AuthExpecting is Capa, UTF8 and Auth in one turn, on a server of which it is known what to
// expect. It sends CAPA, UTF8 if expected has it, and the beginning of Auth in one packet. Then
// Capabilities returns what the server says now, never what was expected. With mech nil there is no
// log-in; CAPA and UTF8 alone share the packet.
//
// Expected is what the server announced in an earlier session under the same protection, before the
// log-in. It must have PIPELINING, and Options.Window must not be one: else the error is ErrState,
// and nothing was sent.
//
// A refusal of AUTH is a *ReplyError; that CAPA or UTF8 is refused is no error. Any other error
// behind the packet is ErrUnexpected as well: it may be due to the expectation.
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
// is lost.
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
