package fetch_test

import (
	"strconv"
	"testing"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// oddRuns are runs in which the server refuses something.
var oddRuns = map[string]func(t *testing.T) *wire{
	"uidl-refused": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.server.Configure(without("UIDL"))
		hook(w.server, refusing("UIDL"))
		w.shows("UIDL is required")
		w.account.UIDLFallback = true
		w.shows("with the fallback to headers")
		w.server.Drop("").Add(letter("c"))
		w.shows("next run, one new message")
		return w
	},
	"uidl-refused-no-top": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.server.Configure(without("UIDL", "TOP"))
		hook(w.server, refusing("UIDL", "TOP"))
		w.account.UIDLFallback = true
		w.shows("with the fallback to headers, without TOP")
		w.shows("next run")
		return w
	},
	"no-sizes": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		hook(w.server, refusing("LIST"))
		w.shows("LIST is refused")
		return w
	},
	"retr-refused": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"), letter("c"))
		hook(w.server, on("RETR 2", poptest.Refuse("damaged")))
		w.shows("a message is refused")
		w.shows("next run, it is refused again")
		hook(w.server, nil)
		w.account.Delete.Enabled = true
		w.shows("next run, it is not refused, delete")
		return w
	},
	"retr-quarantined": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.account.QuarantineAfter = 2
		hook(w.server, on("RETR 1", poptest.Refuse("damaged")))
		w.deliversFirst()
		w.shows("a message is refused for the second time")
		w.shows("next run, it is left alone")
		w.looks("a look at it")
		return w
	},
	"retr-vanished": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.deliversFirst()
		w.server.Drop("").Remove("a")
		w.server.Drop("").Add(letter("c"))
		w.shows("a delivered message is gone, another is new")
		return w
	},
	"dele-refused": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.account.Delete.Enabled = true
		hook(w.server, on("DELE 1", poptest.Refuse("locked")))
		w.shows("a deletion is refused")
		hook(w.server, nil)
		w.shows("next run, it is not refused")
		return w
	},
	"quit-cut": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.account.Delete.Enabled = true
		hook(w.server, on("QUIT", poptest.Action{End: poptest.EndByCut, Effect: poptest.EffectNone}))
		w.shows("the connection ends before the reply to QUIT")
		w.server.Wait()
		hook(w.server, nil)
		w.shows("next run")
		return w
	},
	"retr-cut": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"), letter("c"))
		w.account.Delete.Enabled = true
		hook(w.server, on("RETR 2", poptest.Cut(30)))
		w.shows("the connection ends inside a message")
		hook(w.server, nil)
		w.shows("next run")
		return w
	},
	"login-refused": func(t *testing.T) *wire {
		w := newWire(t, letter("a"))
		w.account.Login = credentialsOf("wrong").Login
		w.shows("the password is wrong")
		return w
	},
}

// furtherSessions are runs that need more than one session.
var furtherSessions = map[string]func(t *testing.T) *wire{
	"suspect-whole": func(t *testing.T) *wire {
		messages := []poptest.Message{letter("a"), letter("b"), letter("c"), letter("d")}
		messages[1].Listed = "999"
		w := newWire(t, messages...)
		w.account.Delete.Enabled = true
		w.shows("LIST is too large for a message, which is whole")
		w.holds(messages...)
		return w
	},
	"suspect-torso": func(t *testing.T) *wire {
		const content = ".\r\n+OK\r\nSubject: forged\r\n\r\n.\r\n"
		w := newWire(t, letter("a"), poptest.Message{UniqueID: "torso", Content: []byte(content)}, letter("c"), letter("d"))
		w.account.Delete.Enabled = true
		hook(w.server, on("RETR 2", unstuffed(content)))
		w.shows("a message is cut, and what is behind it reads as replies")
		w.shows("next run")
		w.holds(letter("a"), letter("c"), letter("d"))
		return w
	},
	"suspect-later": func(t *testing.T) *wire {
		messages := []poptest.Message{letter("a"), letter("b"), letter("c")}
		messages[1].Listed = "999"
		w := newWire(t, messages...)
		hook(w.server, inSessions(2, 2, on("", poptest.Refuse(noSession))))
		w.shows("the second look cannot be had in this run")
		w.shows("next run")
		w.holds(messages...)
		return w
	},
	"pipelining-broken": func(t *testing.T) *wire {
		messages := many("a", 4, func(_, octets int) string { return strconv.Itoa(octets) })
		w := newWire(t, messages...)
		hook(w.server, inSessions(1, 1, on("RETR 2", poptest.Reply([]byte("what?\r\n")))))
		w.shows("a reply is none")
		w.server.Drop("").Add(letter("b"))
		w.shows("next run, one new message")
		w.holds(append(messages, letter("b"))...)
		return w
	},
	"pipelining-broken-list": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		hook(w.server, inSessions(1, 1, on("LIST", poptest.Reply([]byte("1 100\r\n")))))
		w.shows("a listing does not begin with a reply")
		return w
	},
	"expected-capa-refused": func(t *testing.T) *wire {
		w := newWire(t, letter("a"))
		w.deliversFirst()
		w.server.Drop("").Add(letter("b"))
		hook(w.server, on("CAPA", poptest.Refuse("no such command")))
		w.shows("CAPA was announced, and is refused now")
		w.shows("next run")
		return w
	},
	"expected-mechanism-gone": func(t *testing.T) *wire {
		w := newWire(t, letter("a"))
		w.deliversFirst()
		w.server.Drop("").Add(letter("b"))
		hook(w.server, func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "CAPA" {
				return poptest.Reply(capaReply("USER", "UIDL", "TOP", "PIPELINING"))
			}
			return on("AUTH", poptest.Refuse("no such command"))(nil, cmd)
		})
		w.shows("the mechanism was announced, and is refused now")
		w.shows("next run")
		return w
	},
	"expected-utf8-new": func(t *testing.T) *wire {
		w := newWire(t, letter("a"))
		hook(w.server, inSessions(1, 1, on("CAPA", poptest.Reply(capaReply("SASL PLAIN", "UIDL", "TOP", "PIPELINING")))))
		w.deliversFirst()
		w.server.Drop("").Add(letter("b"))
		w.shows("UTF8 is announced now")
		return w
	},
	"expected-cut": func(t *testing.T) *wire {
		w := newWire(t, letter("a"))
		w.deliversFirst()
		w.server.Drop("").Add(letter("b"))
		hook(w.server, inSessions(2, 2, on("AUTH", poptest.Cut(0))))
		w.shows("the connection ends at the log-in")
		w.shows("next run")
		return w
	},
	"expected-password-wrong": func(t *testing.T) *wire {
		w := newWire(t, letter("a"))
		w.deliversFirst()
		w.account.Login = credentialsOf("wrong").Login
		w.shows("the password is wrong now")
		w.account.Login = credentials().Login
		w.shows("next run, it is right")
		return w
	},
	"expected-stls": func(t *testing.T) *wire {
		w := newWire(t, letter("a"))
		w.under(pop3.TLSStart, w.server.CA().ClientTLS("localhost"))
		w.deliversFirst()
		w.shows("next run")
		w.account.Login = credentials(login.User).Login
		w.shows("next run, with USER")
		return w
	},
}
