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

// The options of hostile.

// withIDs makes the maildrop hold a message for each unique-id, the same one for copies of an id but for its subject.
func withIDs(ids ...string) func(*hostileCase) {
	return func(c *hostileCase) {
		c.messages = nil
		for i, id := range ids {
			c.messages = append(c.messages, poptest.Message{UniqueID: id, Content: fmt.Appendf(nil,
				"Message-ID: <%d@example.org>\r\nSubject: message %d\r\n\r\nabout %d\r\n", i+1, i+1, i+1)})
		}
	}
}

// withMail makes the maildrop hold a, a message of this content, and c.
func withMail(content string) func(*hostileCase) {
	return func(c *hostileCase) { c.messages[1].Content = []byte(content) }
}

// sized makes LIST tell this of message 2.
func sized(octets string) func(*hostileCase) {
	return func(c *hostileCase) { c.messages[1].Listed = octets }
}

// as says that message n is delivered by the first run with this content.
func as(n int, content string) func(*hostileCase) {
	return func(c *hostileCase) { c.altered[n] = content }
}

// then says what both runs come to, where that is not "0 all".
func then(want string) func(*hostileCase) {
	return func(c *hostileCase) { o := c.outcome(want); c.then = &o }
}

// saying says what standard error must tell.
func saying(texts ...string) func(*hostileCase) {
	return func(c *hostileCase) { c.says = append(c.says, texts...) }
}

// slowly leaves the case to the torture.
func slowly(c *hostileCase) { c.slow = true }

// set changes rig and account.
func set(change func(*hostileRig)) func(*hostileCase) {
	return func(c *hostileCase) { c.setting = append(c.setting, change) }
}

// limited sets the time limits of the sessions.
func limited(d time.Duration) func(*hostileCase) { return set(func(r *hostileRig) { r.limit(d) }) }

// until sets the account's deadline.
func until(d time.Duration) func(*hostileCase) {
	return set(func(r *hostileRig) { r.account.Deadline = d })
}

// keeping makes the account delete nothing.
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

// announcing makes the server announce these capabilities.
func announcing(lines ...string) func(*hostileCase) {
	return set(func(r *hostileRig) {
		r.server.Configure(func(c *poptest.Config) { c.Capabilities = lines })
	})
}

// by makes the account log in by these mechanisms.
func by(mechanisms ...login.Mechanism) func(*hostileCase) {
	return set(func(r *hostileRig) { r.credentials.Mechanisms = mechanisms })
}

// under makes the account use TLS; the server shows a certificate of the variant.
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

// sending says what the client sends in its first session, word for word; secrets are left out.
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

// nothing says that the client sends nothing at all.
func nothing(c *hostileCase) {
	c.sent = func(r *hostileRig) {
		if got := r.server.Received(); len(got) > 0 {
			r.t.Errorf("the client sent %.200q, want nothing", got)
		}
	}
}

// noPassword says that nothing of the password leaves.
func noPassword(c *hostileCase) {
	c.sent = func(r *hostileRig) {
		if got := r.server.Received(); showsSecret(string(got)) {
			r.t.Errorf("the client sent the password: %.500q", got)
		}
	}
}

// x is n octets.
func x(n int) string { return strings.Repeat("x", n) }

// timeUnit is what deadlines are made of.
const timeUnit = time.Second

// largest sets the account's max_size.
func largest(octets int64) func(*hostileCase) {
	return set(func(r *hostileRig) { r.account.MaxSize = octets })
}

// notPOP3 says that the client begins a handshake where the server still takes commands.
func notPOP3(c *hostileCase) { c.unjudged = true }

// clearText makes the account begin TLS at once where the server speaks in clear; later at the right port.
func clearText(c *hostileCase) {
	notPOP3(c)
	set(func(r *hostileRig) {
		r.account.POP3.TLS, r.account.POP3.TLSConfig = pop3.TLSImplicit, r.server.CA().ClientTLS("localhost")
		r.mended = func() { r.account.POP3.TLS = pop3.TLSNone }
	})(c)
}
