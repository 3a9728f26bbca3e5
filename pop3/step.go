package pop3

// Step is a step of a session until it is logged in.
type Step int

// The steps. With TLSStart, greeting and capabilities come first, then TLS, then capabilities again.
const (
	StepConnected    Step = iota + 1 // the connection is there; RemoteAddr tells the address
	StepTLS                          // the TLS handshake has succeeded; TLSState tells its result
	StepGreeting                     // the greeting is positive
	StepCapabilities                 // CAPA was answered; Capabilities tells how
	StepLogin                        // the session is logged in
)

// reached tells the owner of the session about a step.
func (c *Client) reached(step Step) {
	if c.opts.Step != nil {
		c.opts.Step(c, step)
	}
}

// loggedIn enters the TRANSACTION state.
func (c *Client) loggedIn() {
	c.state = stateTransaction
	c.reached(StepLogin)
}
