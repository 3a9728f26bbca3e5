package doctor

import (
	"crypto/tls"
	"time"

	"github.com/popfetch/popfetch/pop3"
)

// Session is what a session has shown of itself, and how far it got. One session may follow another:
// then the last one counts. A Session is not safe for concurrent use.
type Session struct {
	Reached   pop3.Step // the last step; 0: no connection was made
	Address   string    // of the server, with the port
	Greeting  string    // escaped
	Timestamp string    // of the greeting, before or under TLS
	GreetedAt time.Time
	TLS       *tls.ConnectionState // nil: none, or not yet

	Before   pop3.Capabilities // announced before STLS; nil: nothing was
	AtLogin  pop3.Capabilities // announced before the log-in
	After    pop3.Capabilities // announced after the log-in; nil: nobody has asked
	LoggedIn bool
	apop     bool // the timestamp may be used: it did not come before TLS
}

// Note is a value for pop3.Options.Step.
func (s *Session) Note(c *pop3.Client, step pop3.Step) {
	s.Reached = step
	switch step {
	case pop3.StepConnected:
		*s = Session{Reached: step, Address: c.RemoteAddr().String()}
	case pop3.StepTLS:
		state, _ := c.TLSState()
		s.TLS, s.apop = &state, false
		s.Before, s.AtLogin = s.AtLogin, nil
	case pop3.StepGreeting:
		s.Greeting, s.Timestamp, s.GreetedAt = c.Greeting(), c.Timestamp(), time.Now()
		s.apop = s.Timestamp != ""
	case pop3.StepCapabilities:
		if s.LoggedIn {
			s.After = c.Capabilities()
		} else {
			s.AtLogin = c.Capabilities()
		}
	case pop3.StepLogin:
		s.LoggedIn = true
	}
}

// opened reports whether the session got past its greeting, and has the TLS that is wanted.
func (s *Session) opened(mode pop3.TLSMode) bool {
	return !s.GreetedAt.IsZero() && (mode == pop3.TLSNone || s.TLS != nil)
}

// HasTimestamp reports whether the greeting has a timestamp that APOP may use.
func (s *Session) HasTimestamp() bool { return s.apop }

// Capabilities returns what was announced last; nil: nothing was.
func (s *Session) Capabilities() pop3.Capabilities {
	if s.After != nil {
		return s.After
	}
	return s.AtLogin
}
