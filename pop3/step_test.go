package pop3

import (
	"fmt"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// The steps tell what was announced before TLS, under TLS and after the log-in.
func TestStep(t *testing.T) {
	server := poptest.Dialogue(t, `
		S: +OK ready <1@a>
		C: CAPA
		S: +OK
		S: STLS
		S: .
		C: STLS
		S: +OK
		tls
		C: CAPA
		S: +OK
		S: USER
		S: .
		C: USER alice
		S: +OK
		C: PASS secret
		S: +OK
		C: CAPA
		S: +OK
		S: UIDL
		S: .`)
	opts := secured(server, TLSStart)
	var steps []string
	opts.Step = func(c *Client, step Step) {
		_, protected := c.TLSState()
		steps = append(steps, fmt.Sprint(step, c.RemoteAddr() != nil, protected, c.Greeting(), c.Timestamp(), c.Capabilities()))
	}
	c := open(t, server.Addr(), opts)
	_, err := c.Capa(t.Context())
	noError(t, "Capa()", err)
	logIn(t, c)
	_, err = c.Capa(t.Context())
	noError(t, "Capa()", err)
	want := []string{
		fmt.Sprint(StepConnected, true, false, "", "", Capabilities(nil)),
		fmt.Sprint(StepGreeting, true, false, "ready <1@a>", "<1@a>", Capabilities(nil)),
		fmt.Sprint(StepCapabilities, true, false, "ready <1@a>", "<1@a>", Capabilities{"STLS": nil}),
		fmt.Sprint(StepTLS, true, true, "ready <1@a>", "<1@a>", Capabilities{"STLS": nil}),
		fmt.Sprint(StepCapabilities, true, true, "ready <1@a>", "", Capabilities{"USER": nil}),
		fmt.Sprint(StepLogin, true, true, "ready <1@a>", "", Capabilities{"USER": nil}),
		fmt.Sprint(StepCapabilities, true, true, "ready <1@a>", "", Capabilities{"UIDL": nil}),
	}
	equal(t, "the steps", steps, want)
}
