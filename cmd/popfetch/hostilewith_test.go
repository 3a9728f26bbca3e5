package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// These are the options of hostile.

// withIDs puts one message for each unique-id into the maildrop. Copies of an id differ only in the
// subject.
func withIDs(ids ...string) func(*hostileCase) {
	return func(c *hostileCase) {
		c.messages = nil
		for i, id := range ids {
			c.messages = append(c.messages, poptest.Message{UniqueID: id, Content: fmt.Appendf(nil,
				"Message-ID: <%d@example.org>\r\nSubject: message %d\r\n\r\nabout %d\r\n", i+1, i+1, i+1)})
		}
	}
}

// withMail puts three messages into the maildrop: a, one with this content, and c.
func withMail(content string) func(*hostileCase) {
	return func(c *hostileCase) { c.messages[1].Content = []byte(content) }
}

// sized makes LIST return this size for message 2.
func sized(octets string) func(*hostileCase) {
	return func(c *hostileCase) { c.messages[1].Listed = octets }
}

// as makes the first run deliver message n with this content.
func as(n int, content string) func(*hostileCase) {
	return func(c *hostileCase) { c.altered[n] = content }
}

// then sets the outcome of both runs, if it is not "0 all".
func then(want string) func(*hostileCase) {
	return func(c *hostileCase) { o := c.outcome(want); c.then = &o }
}

// saying sets texts that standard error must contain.
func saying(texts ...string) func(*hostileCase) {
	return func(c *hostileCase) { c.says = append(c.says, texts...) }
}

// slowly plays the case only in the torture test.
func slowly(c *hostileCase) { c.slow = true }

// set changes the rig and the account.
func set(change func(*hostileRig)) func(*hostileCase) {
	return func(c *hostileCase) { c.setting = append(c.setting, change) }
}

// limited sets the time limits of the sessions.
func limited(d time.Duration) func(*hostileCase) { return set(func(r *hostileRig) { r.limit(d) }) }

// until sets the account's deadline.
func until(d time.Duration) func(*hostileCase) {
	return set(func(r *hostileRig) { r.account.Deadline = d })
}

// keeping makes the account delete no message.
func keeping(c *hostileCase) { set(func(r *hostileRig) { r.account.Delete.Enabled = false })(c) }

// oneAtATime makes the server announce no PIPELINING.
func oneAtATime(c *hostileCase) { without("PIPELINING")(c) }

// without makes the server announce all but these capabilities.
func without(names ...string) func(*hostileCase) {
	return announcing(slices.DeleteFunc(poptest.DefaultCapabilities(), func(line string) bool {
		name, _, _ := strings.Cut(line, " ")
		return slices.Contains(names, name)
	})...)
}

// announcing makes the server announce more capabilities.
func announcing(lines ...string) func(*hostileCase) {
	return set(func(r *hostileRig) {
		r.server.Configure(func(c *poptest.Config) { c.Capabilities = lines })
	})
}

// by makes the account log in with these mechanisms.
func by(mechanisms ...login.Mechanism) func(*hostileCase) {
	return set(func(r *hostileRig) { r.credentials.Mechanisms = mechanisms })
}

// under makes the account use TLS. The server shows a certificate of the variant.
func under(mode pop3.TLSMode, variant poptest.Variant) func(*hostileCase) {
	return set(func(r *hostileRig) {
		r.account.POP3.TLS, r.account.POP3.TLSConfig = mode, r.server.CA().ClientTLS("localhost")
		if mode == pop3.TLSImplicit {
			r.account.Server = r.server.TLSAddr()
		}
		r.server.Configure(func(c *poptest.Config) { c.TLS = r.server.CA().ServerTLS(variant) })
		r.mended = func() { r.server.Configure(func(c *poptest.Config) { c.TLS = r.server.CA().ServerTLS(poptest.Valid) }) }
	})
}

// sending sets the exact commands of the client's first session, without secrets.
func sending(commands ...string) func(*hostileCase) {
	return func(c *hostileCase) {
		c.sent = func(r *hostileRig) {
			got := r.server.Sessions()[0].Commands()
			for i, command := range got {
				if strings.HasPrefix(command, "AUTH PLAIN ") {
					got[i] = "AUTH PLAIN"
				}
			}
			if !slices.Equal(got, commands) {
				r.t.Errorf("the client sent %q, want %q", got, commands)
			}
		}
	}
}

// nothing means that the client sends nothing.
func nothing(c *hostileCase) {
	c.sent = func(r *hostileRig) {
		if got := r.server.Received(); len(got) > 0 {
			r.t.Errorf("the client sent %.200q, want nothing", got)
		}
	}
}

// noPassword means that the client sends no part of the password.
func noPassword(c *hostileCase) {
	c.sent = func(r *hostileRig) {
		if got := r.server.Received(); showsSecret(string(got)) {
			r.t.Errorf("the client sent the password: %.500q", got)
		}
	}
}

// x returns n octets.
func x(n int) string { return strings.Repeat("x", n) }

// timeUnit is the unit of the deadlines.
const timeUnit = time.Second

// largest sets the account's max_size.
func largest(octets int64) func(*hostileCase) {
	return set(func(r *hostileRig) { r.account.MaxSize = octets })
}

// notPOP3 means that the client begins a handshake while the server still expects commands.
func notPOP3(c *hostileCase) { c.unjudged = true }

// clearText makes the account begin TLS at once, while the server speaks clear text. Later the
// account uses the right port.
func clearText(c *hostileCase) {
	notPOP3(c)
	set(func(r *hostileRig) {
		r.account.POP3.TLS, r.account.POP3.TLSConfig = pop3.TLSImplicit, r.server.CA().ClientTLS("localhost")
		r.mended = func() { r.account.POP3.TLS = pop3.TLSNone }
	})(c)
}
