package pop3

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// maxCapabilities limits the number of lines in the answer to CAPA.
const maxCapabilities = 1024

// Capabilities maps each capability, in upper case, to its parameters.
type Capabilities map[string][]string

// Has reports whether the server announces a capability. The name is in upper case.
func (c Capabilities) Has(name string) bool { _, ok := c[name]; return ok }

// Capa sends CAPA. The reply -ERR is a *ReplyError, and is normal for an old server. The Client
// keeps the last positive answer, for Capabilities and for pipelining (RFC 2449 section 5).
func (c *Client) Capa(ctx context.Context) (Capabilities, error) {
	end, err := c.begin(ctx, "CAPA", stateAuthorization, stateTransaction)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := c.send(command{keyword: "CAPA"}); err != nil {
		return nil, err
	}
	return c.readCapabilities()
}

// readCapabilities reads the reply to CAPA.
func (c *Client) readCapabilities() (Capabilities, error) {
	if _, err := c.readStatusOfLines("CAPA"); err != nil {
		return nil, err
	}
	capabilities := Capabilities{}
	count := 0
	err := c.readLines("CAPA", func(line []byte) error {
		if count++; count > maxCapabilities {
			return protocolError("CAPA", c.conceal(line), fmt.Sprintf("at most %d lines", maxCapabilities))
		}
		if name, params, ok := parseCapability(line); ok {
			capabilities[name] = append(capabilities[name], params...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.capabilities = capabilities
	c.reached(StepCapabilities)
	return capabilities, nil
}

// Capabilities returns the last answer to CAPA in this session, or nil if there is none. An answer
// from before TLS does not count (RFC 2595 section 4). So it is nil after Dial, whatever the
// TLSMode.
func (c *Client) Capabilities() Capabilities { return c.capabilities }

// startTLS begins a session with TLSStart: CAPA, STLS, handshake.
func (c *Client) startTLS(ctx context.Context) error {
	capabilities, err := c.Capa(ctx)
	switch {
	case c.lost != nil:
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrInsecure, err)
	case !capabilities.Has("STLS"):
		return fmt.Errorf("%w: server does not announce STLS", ErrInsecure)
	}
	err = c.STLS(ctx)
	if err != nil && c.lost == nil {
		return fmt.Errorf("%w: %w", ErrInsecure, err)
	}
	return err
}

// STLS sends STLS and starts TLS on the connection. The reply -ERR is a *ReplyError. Dial calls it
// if Options.TLS is TLSStart. The capabilities and the timestamp for Apop are dropped, because they
// came before TLS. Under TLS and after UTF8 the error is ErrState (RFC 6856 section 2.1).
func (c *Client) STLS(ctx context.Context) error {
	end, err := c.begin(ctx, "STLS", stateAuthorization)
	if err != nil {
		return err
	}
	defer end()
	if _, protected := c.TLSState(); protected || c.utf8 {
		return fmt.Errorf("STLS: %w", ErrState)
	}
	if _, err := c.roundTrip(command{keyword: "STLS"}); err != nil {
		return err
	}
	// These octets came before TLS began, so anybody on the way may have written them. Under TLS
	// they would be read as a reply.
	if stray := c.reader.buffered(); len(stray) > 0 {
		return c.lose(protocolError("STLS", stray, "nothing before the TLS handshake"))
	}
	if err := c.handshake(ctx); err != nil {
		return c.lose(err)
	}
	c.capabilities, c.timestamp = nil, ""
	return nil
}

// UTF8 sends UTF8 (RFC 6856). The server then sends messages with raw UTF-8 headers unchanged. The
// reply -ERR is a *ReplyError. Call it after STLS and before authentication.
func (c *Client) UTF8(ctx context.Context) error {
	if err := c.simple(ctx, "UTF8", stateAuthorization); err != nil {
		return err
	}
	c.utf8 = true
	return nil
}

// utf8User reports whether names and passwords may have non-ASCII octets (RFC 6856 section 2.2).
func (c *Client) utf8User() bool {
	return c.utf8 && slices.ContainsFunc(c.capabilities["UTF8"], func(param string) bool {
		return strings.EqualFold(param, "USER")
	})
}
