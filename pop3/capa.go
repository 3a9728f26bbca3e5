package pop3

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// maxCapabilities limits the lines of CAPA.
const maxCapabilities = 1024

// Capabilities maps each capability in upper case to its parameters.
type Capabilities map[string][]string

// Has tells whether a capability, in upper case, is announced.
func (c Capabilities) Has(name string) bool { _, ok := c[name]; return ok }

// Capa sends CAPA; -ERR is a *ReplyError, and normal for an old server. The last positive answer is kept for Capabilities
// and pipelining (RFC 2449 section 5).
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
	if _, err := c.readStatus("CAPA"); err != nil {
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
	return capabilities, nil
}

// Capabilities returns what CAPA last said in this session, nil before. What it said before TLS began does not count
// (RFC 2595 section 4), so after Dial it is nil whatever the mode.
func (c *Client) Capabilities() Capabilities { return c.capabilities }

// startTLS is the beginning of a session with TLSStart.
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

// STLS sends STLS and puts TLS on the connection; -ERR is a *ReplyError. Dial does it where Options.TLS is TLSStart. What
// was learnt before is dropped: capabilities and the timestamp for Apop. It is ErrState under TLS and after UTF8
// (RFC 6856 section 2.1).
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
	// What came along with the reply was written by somebody before TLS began, and would be read as a reply under TLS.
	if stray := c.reader.buffered(); len(stray) > 0 {
		return c.lose(protocolError("STLS", stray, "nothing before the TLS handshake"))
	}
	if err := c.handshake(ctx); err != nil {
		return c.lose(err)
	}
	c.capabilities, c.timestamp = nil, ""
	return nil
}

// UTF8 sends UTF8 (RFC 6856), so that messages with raw UTF-8 headers come as they are; -ERR is a *ReplyError. It belongs
// before authentication and after STLS.
func (c *Client) UTF8(ctx context.Context) error {
	if err := c.simple(ctx, "UTF8", stateAuthorization); err != nil {
		return err
	}
	c.utf8 = true
	return nil
}

// utf8User tells whether names and passwords may have octets beyond ASCII (RFC 6856 section 2.2).
func (c *Client) utf8User() bool {
	return c.utf8 && slices.ContainsFunc(c.capabilities["UTF8"], func(param string) bool {
		return strings.EqualFold(param, "USER")
	})
}
