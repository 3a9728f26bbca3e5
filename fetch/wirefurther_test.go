package fetch_test

import (
	"strings"
	"testing"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// suspect is a message that LIST announces as much larger than it is, so that it takes a session of
// its own.
func suspect(id string) poptest.Message {
	m := letter(id)
	m.Listed = "999"
	return m
}

// before does something to the maildrop when the server's nth session begins.
func (w *wire) before(n int, do func(drop *poptest.Drop)) {
	hook(w.server, func(s *poptest.Session, cmd string) poptest.Action {
		if cmd == "" && s.Number() == n {
			do(w.server.Drop(""))
		}
		return poptest.Action{}
	})
}

// breaking answers RETR n in the mth session by something that is not a reply.
func (w *wire) breaking(n string, m int) {
	hook(w.server, inSessions(m, m, on("RETR "+n, poptest.Reply([]byte("what?\r\n")))))
}

// moreSessions are runs in which a further session depends on what the first one has done or found
// out.
var moreSessions = map[string]func(t *testing.T) *wire{
	"further-refused": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), suspect("b"), letter("c"))
		w.account.QuarantineAfter = 2
		hook(w.server, on("RETR 1", poptest.Refuse("damaged")))
		w.shows("a message was refused in the first session, another is suspect")
		w.holds(letter("b"), letter("c"))
		return w
	},
	"further-refused-lockstep": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"), letter("c"))
		w.account.QuarantineAfter = 2
		hook(w.server, func(s *poptest.Session, cmd string) poptest.Action {
			switch {
			case cmd == "RETR 1":
				return poptest.Refuse("damaged")
			case cmd == "RETR 2" && s.Number() == 1:
				return poptest.Reply([]byte("what?\r\n"))
			}
			return poptest.Action{}
		})
		w.shows("a message was refused in the first session, which then broke")
		w.holds(letter("b"), letter("c"))
		return w
	},
	"further-renumbered": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), suspect("b"), letter("c"), letter("d"))
		w.account.Delete.Enabled = true
		w.before(2, func(drop *poptest.Drop) { drop.Remove("a") })
		w.shows("a delivered message is gone when the second session begins")
		w.holds(letter("a"), letter("b"), letter("c"), letter("d"))
		return w
	},
	"further-suspect-gone": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), suspect("b"), letter("c"))
		w.before(2, func(drop *poptest.Drop) { drop.Remove("b") })
		w.shows("the suspect message is gone when the second session begins")
		w.holds(letter("a"), letter("c"))
		return w
	},
	"further-new-mail": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), suspect("b"), letter("c"))
		w.before(2, func(drop *poptest.Drop) { drop.Add(letter("d")) })
		w.shows("another message has come when the second session begins")
		w.holds(letter("a"), letter("b"), letter("c"), letter("d"))
		return w
	},
	"further-too-large": func(t *testing.T) *wire {
		large := sized("large", "large", strings.Repeat("and more ", 300))
		w := newWire(t, letter("a"), suspect("b"), large, letter("c"))
		w.account.MaxSize = 2000
		w.shows("a message is too large, another is suspect")
		w.holds(letter("a"), letter("b"), letter("c"))
		return w
	},
	"further-initial": func(t *testing.T) *wire {
		old, recent := dated("old", "Date: "+daysAgo(40)+"\r\n"), dated("recent", "Date: "+daysAgo(20)+"\r\n")
		recent.Listed = "999"
		w := newWire(t, old, recent, letter("c"))
		w.account.Initial = fetch.InitialPolicy{Limited: true, Within: 30 * day}
		w.before(2, func(drop *poptest.Drop) { drop.Add(dated("late", "Date: "+daysAgo(40)+"\r\n")) })
		w.shows("first run, the last 30 days, a message is suspect, and an old one comes")
		return w
	},
	"further-recognise": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.deliversFirst()
		w.server.Drop("").Add(suspect("c"), letter("d"))
		w.runner.Store = openStore(t, t.TempDir())
		w.shows("after the loss of seen.db, a message is suspect")
		w.holds(letter("a"), letter("b"), letter("c"), letter("d"))
		return w
	},
	"further-new-unique-ids": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.deliversFirst()
		rename(w.server)
		w.server.Drop("").Add(suspect("c"), letter("d"))
		w.shows("all unique-ids are new, and a new message is suspect")
		w.holds(letter("a"), letter("b"), letter("c"), letter("d"))
		return w
	},
	"further-new-unique-ids-lockstep": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.deliversFirst()
		rename(w.server)
		w.server.Drop("").Add(letter("c"), letter("d"))
		hook(w.server, inSessions(2, 2, on("TOP 2", poptest.Reply([]byte("what?\r\n")))))
		w.shows("all unique-ids are new, and a reply to TOP is none")
		w.holds(letter("a"), letter("b"), letter("c"), letter("d"))
		return w
	},
	"further-delete-no-top": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), suspect("b"), letter("c"))
		noTop(w.server)
		w.account.Delete.Enabled = true
		w.shows("a message is suspect, delete, without TOP")
		w.holds(letter("a"), letter("b"), letter("c"))
		return w
	},
	"further-delete-broken": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"), letter("c"))
		w.account.Delete.Enabled = true
		hook(w.server, inSessions(1, 1, on("DELE 2", poptest.Reply([]byte("what?\r\n")))))
		w.shows("a reply to DELE is none")
		w.shows("next run")
		w.holds(letter("a"), letter("b"), letter("c"))
		return w
	},
	"further-headers": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), suspect("b"), letter("c"))
		hook(w.server, refusing("UIDL"))
		w.account.UIDLFallback = true
		w.shows("UIDL is refused, and a message is suspect")
		w.holds(letter("a"), letter("b"), letter("c"))
		return w
	},
	"further-newest": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), suspect("b"), letter("c"))
		w.account.Newest = true
		w.shows("newest message first, one is suspect")
		w.holds(letter("a"), letter("b"), letter("c"))
		return w
	},
	"further-all": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.deliversFirst()
		w.account.All = true
		w.breaking("2", 2)
		w.shows("all messages again, and a reply is none")
		w.holds(letter("a"), letter("a"), letter("b"), letter("b"))
		return w
	},
	"further-look": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		hook(w.server, inSessions(1, 1, on("LIST", poptest.Reply([]byte("1 100\r\n")))))
		w.looks("a look, a listing does not begin with a reply")
		w.looks("the next look")
		return w
	},
	"further-expected-suspect": func(t *testing.T) *wire {
		w := newWire(t, letter("a"))
		w.deliversFirst()
		w.server.Drop("").Add(suspect("b"), letter("c"))
		hook(w.server, inSessions(2, 2, on("AUTH", poptest.Cut(0))))
		w.shows("the connection ends at the log-in, then a message is suspect")
		w.holds(letter("a"), letter("b"), letter("c"))
		return w
	},
}
