package fetch_test

import (
	"strings"
	"testing"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// firstRuns are runs of accounts of which nothing is known.
var firstRuns = map[string]func(t *testing.T) *wire{
	"first": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"), letter("c"))
		w.shows("first run")
		return w
	},
	"first-lockstep": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"), letter("c"))
		w.server.Configure(without("PIPELINING"))
		w.shows("first run, without PIPELINING")
		w.server.Drop("").Add(letter("d"))
		w.shows("next run, one new message")
		return w
	},
	"first-window": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"), letter("c"), letter("d"))
		w.account.POP3.Window = 2
		w.shows("at most two commands unanswered")
		return w
	},
	"first-starttls-user": func(t *testing.T) *wire {
		w := newWire(t, letter("a"))
		w.under(pop3.TLSStart, w.server.CA().ClientTLS("localhost"))
		w.account.Login = credentials(login.User).Login
		w.shows("STLS, then USER and PASS")
		return w
	},
	"first-no-capa": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.server.Configure(func(c *poptest.Config) { c.Capabilities = nil })
		w.shows("a server that refuses CAPA")
		return w
	},
	"first-newest": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"), letter("c"))
		w.account.Newest = true
		w.account.Delete.Enabled = true
		w.shows("newest message first, delete")
		return w
	},
	"initial-none": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.account.Initial = fetch.InitialPolicy{Limited: true}
		w.shows("first run, everything left out")
		w.server.Drop("").Add(letter("c"))
		w.shows("next run, one new message")
		return w
	},
	"initial-days": func(t *testing.T) *wire {
		old, recent := dated("old", "Date: "+daysAgo(40)+"\r\n"), dated("recent", "Date: "+daysAgo(20)+"\r\n")
		w := newWire(t, old, recent, letter("undated"))
		w.account.Initial = fetch.InitialPolicy{Limited: true, Within: 30 * day}
		w.shows("first run, the last 30 days")
		return w
	},
	"max-size": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), sized("large", "large", strings.Repeat("and more ", 100)), letter("c"))
		w.account.MaxSize = 500
		w.shows("one message is larger than max_size")
		w.shows("next run")
		w.account.MaxSize = 0
		w.shows("without max_size")
		return w
	},
	"look-first": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.account.Delete.Enabled = true
		w.looks("a look at an account of which nothing is known")
		return w
	},
}

// laterRuns are runs of accounts of which something is known.
var laterRuns = map[string]func(t *testing.T) *wire{
	"nothing-new": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.deliversFirst()
		w.shows("nothing is new")
		return w
	},
	"delete-delivered": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.account.Delete.Enabled = true
		w.shows("delete what is delivered")
		w.shows("next run, the maildrop is empty")
		return w
	},
	"delete-earlier": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.deliversFirst()
		w.server.Drop("").Add(letter("c"))
		w.account.Delete.Enabled = true
		w.looks("a look, delete what an earlier run delivered")
		w.shows("delete what an earlier run delivered, and a new message")
		return w
	},
	"delete-earlier-no-top": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		noTop(w.server)
		w.deliversFirst()
		w.account.Delete.Enabled = true
		w.shows("delete what an earlier run delivered, without TOP")
		return w
	},
	"recognise": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.deliversFirst()
		w.server.Drop("").Add(letter("c"))
		w.runner.Store = openStore(t, t.TempDir())
		w.looks("a look after the loss of seen.db")
		w.shows("a run after the loss of seen.db, one new message")
		return w
	},
	"new-unique-ids": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		w.deliversFirst()
		rename(w.server)
		w.server.Drop("").Add(letter("c"))
		w.looks("a look, all unique-ids are new")
		w.shows("all unique-ids are new, and one message")
		w.shows("next run")
		return w
	},
	"new-unique-ids-no-top": func(t *testing.T) *wire {
		w := newWire(t, letter("a"), letter("b"))
		noTop(w.server)
		w.deliversFirst()
		rename(w.server)
		w.shows("all unique-ids are new, without TOP")
		return w
	},
	"copies": func(t *testing.T) *wire {
		one, two, three := sized("x", "one", "1"), sized("x", "two", "2"), sized("x", "six", "3")
		w := newWire(t, one, two)
		w.deliversFirst()
		list(w.server, two, three)
		w.shows("of two messages with one unique-id one is gone and another has come")
		return w
	},
	"reused-unique-id": func(t *testing.T) *wire {
		w := newWire(t, sized("x", "one", "1"))
		w.account.Delete.Enabled = true
		w.deliversFirst()
		list(w.server, sized("x", "two", "2"))
		w.shows("a unique-id that was deleted comes back with another message")
		return w
	},
}
