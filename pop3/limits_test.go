package pop3

import (
	"fmt"
	"strings"
	"testing"
)

// Each line and each list of a server has a limit, exact to the octet. Input up to the limit is
// accepted (conformance.md, constants).
func TestLimits(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, tt := range []struct {
		name, script string // exactly at the limit; %s stands for one more octet or line
		over         string
		call         func(*Client) error
	}{
		{"C0005/status line", "C: NOOP\nS: +OK " + x(maxStatusLine-len("+OK \r\n")) + "%s", "x",
			func(c *Client) error { return c.Noop(t.Context()) }},
		{"C0021/line of LIST", "C: LIST\nS: +OK\nS: 1 9 " + x(maxListingLine-len("1 9 \r\n")) + "%s\nS: .", "x",
			func(c *Client) error { _, err := c.List(t.Context()); return err }},
		{"C0038/line of UIDL", "C: UIDL\nS: +OK\nS: 1 a " + x(maxListingLine-len("1 a \r\n")) + "%s\nS: .", "x",
			func(c *Client) error { _, err := c.UIDL(t.Context()); return err }},
		{"R2449-1/line of CAPA", "C: CAPA\nS: +OK\nS: " + x(maxListingLine-len("\r\n")) + "%s\nS: .", "x",
			func(c *Client) error { _, err := c.Capa(t.Context()); return err }},
		{"R2449-1/lines of CAPA", "C: CAPA\nS: +OK\n" + strings.Repeat("S: X\n", maxCapabilities) + "%sS: .", "S: X\n",
			func(c *Client) error { _, err := c.Capa(t.Context()); return err }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := transaction(t, fmt.Sprintf(tt.script, "")+"\nC: NOOP\nS: +OK")
			noError(t, "at the limit", tt.call(c))
			noError(t, "Noop() after it", c.Noop(t.Context()))
			c = transaction(t, fmt.Sprintf(tt.script, tt.over))
			if err := tt.call(c); !isProtocolError(err) {
				t.Errorf("beyond the limit: %v, want a *ProtocolError", err)
			}
		})
	}
}
