package fetch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// sized is a message with a subject of its own and a body, so that several can have equal octets.
func sized(id, subject, body string) poptest.Message {
	m := letterOf(id, subject)
	m.Content = append(m.Content, (body + "\r\n")...)
	return m
}

// TestReuse tests a unique-id that comes back with another message (C0040), with and without TOP.
func TestReuse(t *testing.T) {
	t.Parallel()
	first, equal, longer := sized("x", "one", "1"), sized("x", "two", "2"), sized("x", "three", strings.Repeat("and more ", 20))
	sameHeader := sized("x", "one", "2")
	for _, test := range []struct {
		name    string
		second  poptest.Message
		top     bool
		outcome string
		mail    []poptest.Message
	}{
		{"C0040/same message again", first, true, "1 listed, 1 deleted", []poptest.Message{first}},
		{"C0040/reused with equal octets", equal, true, "1 listed, 1 new, 1 delivered, 1 deleted", []poptest.Message{first, equal}},
		{"C0040/reused with other octets", longer, true, "1 listed, 1 new, 1 delivered, 1 deleted", []poptest.Message{first, longer}},
		{"C0040/same message again, no TOP", first, false, "1 listed, 1 new, 1 recognised, 1 deleted", []poptest.Message{first}},
		{"C0040/reused with equal octets, no TOP", equal, false, "1 listed, 1 new, 1 delivered, 1 deleted", []poptest.Message{first, equal}},
		{"C0040/reused with other octets, no TOP", longer, false, "1 listed, 1 new, 1 delivered, 1 deleted", []poptest.Message{first, longer}},
		{"C0040/same header, no TOP", sameHeader, false, "1 listed, 1 new, 1 delivered, 1 deleted", []poptest.Message{first, sameHeader}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, first)
			if !test.top {
				server.Configure(without("TOP"))
				hook(server, on("TOP", poptest.Refuse("no such command")))
			}
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
			server.Drop("").Add(test.second)
			r.runs(test.outcome)
			r.holds(test.mail...)
			r.runs("")
			server.CheckRules(t)
		})
	}
	t.Run("C0040/other octets while kept", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, first)
		r := newRig(t, server.Addr())
		r.runs("1 listed, 1 new, 1 delivered")
		server.Drop("").Remove("x")
		server.Drop("").Add(longer)
		r.runs("1 listed, 1 new, 1 delivered")
		r.holds(first, longer)
		r.runs("1 listed")
		r.warnedOnce("it counts as another message")
		server.CheckRules(t)
	})
	t.Run("C0040/other octets while kept, refused at first", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, first)
		r := newRig(t, server.Addr())
		r.runs("1 listed, 1 new, 1 delivered")
		server.Drop("").Remove("x")
		server.Drop("").Add(longer)
		hook(server, on("RETR", poptest.Refuse("not now")))
		for range 3 {
			r.runs("1 listed, 1 new, 1 failed")
		}
		hook(server, nil)
		r.runs("1 listed, 1 new, 1 delivered")
		r.holds(first, longer)
		r.warnedOnce("it counts as another message")
	})
	t.Run("C0040/other size, same header", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, first)
		r := newRig(t, server.Addr())
		r.runs("1 listed, 1 new, 1 delivered")
		server.Drop("").Remove("x")
		grown := sized("x", "one", strings.Repeat("a footer that came later ", 10))
		server.Drop("").Add(grown)
		if _, err := r.runner.Look(t.Context(), &r.account); err != nil {
			t.Errorf("Look() = %v", err)
		}
		for range 3 {
			r.runs("1 listed")
		}
		r.warnedOnce("it is the same message")
	})
	// Servers often announce slightly other sizes (behaviour 41), and STAT is only a hint (C0017).
	t.Run("C0017/little things are not told", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, first)
		r := newRig(t, server.Addr())
		r.runs("1 listed, 1 new, 1 delivered")
		server.Drop("").Remove("x")
		server.Drop("").Add(sized("x", "one", "1 and some"))
		hook(server, on("STAT", poptest.Reply([]byte("+OK 17 1000000\r\n"))))
		r.runs("1 listed")
		if told := r.told(fetch.Warning); len(told) > 0 {
			t.Errorf("warned of %v, want nothing", told)
		}
	})
	// An id that is missing from a listing is not forgotten: Gmail and others list only a part
	// (behaviour 16, 44).
	t.Run("C0040/absent for a while", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, first, letter("b"))
		r := newRig(t, server.Addr())
		r.runs("2 listed, 2 new, 2 delivered")
		hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "LIST" || cmd == "UIDL" {
				return poptest.Reply([]byte("+OK\r\n.\r\n"))
			}
			return poptest.Action{}
		})
		r.runs("")
		hook(server, nil)
		r.later(30 * 24 * time.Hour)
		r.runs("2 listed")
		r.holds(first, letter("b"))
	})
}

// warnedOnce checks that one warning, in all runs, has the text.
func (r *rig) warnedOnce(text string) {
	r.t.Helper()
	n := 0
	for _, e := range r.told(fetch.Warning) {
		if strings.Contains(e.Err.Error(), text) {
			n++
		}
	}
	if n != 1 {
		r.t.Errorf("%d warnings say %q, want 1: %v", n, text, r.told(fetch.Warning))
	}
}

// TestComeback tests an id that is absent from one or more listings and comes back (behaviour 16
// and 44), with its message or with another of equal octets. It does so with messages that are
// kept, and with messages that are deleted a month after their delivery.
func TestComeback(t *testing.T) {
	t.Parallel()
	same, other := sized("x", "one", "1"), sized("x", "two", "2")
	for _, remove := range []bool{false, true} {
		for _, top := range []bool{true, false} {
			for _, test := range []struct {
				name   string
				back   poptest.Message
				absent int    // finished listings that lack it
				want   string // with TOP
				noTop  string
			}{
				{"the same, at once", same, 0, "2 listed", "2 listed"},
				{"the same, absent once", same, 1, "2 listed", "2 listed"},
				{"the same, absent twice", same, 2, "2 listed", "2 listed"},
				// If only the message changes, its unique-id is believed. To ask TOP of all in each
				// run would cost too much.
				{"another, at once", other, 0, "2 listed", "2 listed"},
				{"another, absent once", other, 1, "2 listed, 1 new, 1 delivered", "2 listed"},
			} {
				t.Run(fmt.Sprintf("C0040/%s, delete %v, TOP %v", test.name, remove, top), func(t *testing.T) {
					t.Parallel()
					server := newServer(t, same, letter("b"))
					if !top {
						noTop(server)
						test.want = test.noTop
					}
					r := newRig(t, server.Addr())
					r.account.Delete = fetch.DeletePolicy{Enabled: remove, After: 30 * day}
					r.runs("2 listed, 2 new, 2 delivered")
					list(server, letter("b"))
					for range test.absent {
						r.runs("1 listed")
						r.later(day)
					}
					list(server, test.back, letter("b"))
					r.runs(test.want)
					mail := []poptest.Message{same, letter("b")}
					if strings.Contains(test.want, "delivered") {
						mail = append(mail, other)
					}
					r.holds(mail...)
					r.runs("2 listed")
					r.later(16 * day) // without a gap that makes deletions wait
					r.runs("2 listed")
					r.later(15 * day)
					result := r.run()
					server.Wait()
					left := 2
					if remove { // before that, the header or the octets show what was never delivered
						left = result.Delivered
						if strings.HasPrefix(test.name, "another") && len(mail) == 2 {
							mail = append(mail, other)
						}
					}
					if got := len(server.Drop("").Messages()); result.Err != nil || got != left {
						t.Errorf("a month later %s, %v; the maildrop holds %d, want %d", outcome(result), result.Err, got, left)
					}
					r.holds(mail...)
					server.CheckRules(t)
				})
			}
		}
	}
}

// TestCopies tells the story of one unique-id on several messages (C0041).
func TestCopies(t *testing.T) {
	t.Parallel()
	one, two, three := sized("x", "one", "1"), sized("x", "two", "2"), sized("x", "three", "3")
	start := func(t *testing.T, messages ...poptest.Message) (*rig, *poptest.Server) {
		t.Parallel()
		server := newServer(t, messages...)
		t.Cleanup(func() { server.CheckRules(t) })
		return newRig(t, server.Addr()), server
	}
	t.Run("C0041/keep", func(t *testing.T) {
		r, server := start(t, one, two)
		r.runs("2 listed, 2 new, 2 delivered")
		r.has("x", "x+1")
		r.runs("2 listed")
		list(server, two)
		r.runs("1 listed")
		list(server, two, three)
		r.runs("2 listed, 1 new, 1 delivered")
		r.holds(one, two, three)
		r.runs("2 listed")
	})
	t.Run("C0041/one vanishes and comes back", func(t *testing.T) {
		r, server := start(t, one, two)
		r.runs("2 listed, 2 new, 2 delivered")
		list(server, two)
		r.runs("1 listed")
		list(server, two, one)
		r.runs("2 listed")
		r.holds(one, two)
	})
	t.Run("C0041/delete", func(t *testing.T) {
		r, server := start(t, one, two)
		r.account.Delete.Enabled = true
		r.runs("2 listed, 2 new, 2 delivered, 2 deleted")
		r.holds(one, two)
		checkCount(t, server, "DELE", 2)
	})
	t.Run("C0041/second is refused", func(t *testing.T) {
		r, server := start(t, one, two)
		r.account.Delete.Enabled = true
		hook(server, on("RETR 2", poptest.Refuse("damaged")))
		r.runs("2 listed, 2 new, 1 delivered, 1 failed, 1 deleted")
		r.holds(one)
		if got := server.Drop("").Messages(); len(got) != 1 || string(got[0].Content) != string(two.Content) {
			t.Fatalf("the maildrop holds %v, want the second copy", server.Drop("").UniqueIDs())
		}
		hook(server, nil)
		r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
		r.holds(one, two)
	})
	t.Run("C0041/first is refused", func(t *testing.T) {
		r, server := start(t, one, two)
		r.account.Delete.Enabled = true
		hook(server, on("RETR 1", poptest.Refuse("damaged")))
		r.runs("2 listed, 2 new, 1 delivered, 1 failed, 1 deleted")
		hook(server, nil)
		r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
		r.holds(one, two)
	})
	t.Run("C0041/alike in all but the body", func(t *testing.T) {
		first, second := sized("x", "one", "1"), sized("x", "one", "2")
		r, _ := start(t, first, second)
		r.account.Delete.Enabled = true
		r.runs("2 listed, 2 new, 2 delivered, 2 deleted")
		r.holds(first, second)
	})
	// A message from an earlier session is not deleted if headers do not tell the copies apart.
	t.Run("C0041/alike, deleted later", func(t *testing.T) {
		first, second := sized("x", "one", "1"), sized("x", "one", "2")
		r, server := start(t, first, second)
		r.runs("2 listed, 2 new, 2 delivered")
		r.account.Delete.Enabled = true
		r.runs("2 listed")
		r.holds(first, second)
		if left := len(server.Drop("").UniqueIDs()); left != 2 {
			t.Errorf("the maildrop holds %d messages, want both", left)
		}
	})
	// The file of the first is found by the token that the second now has. Only its octets show
	// that it is another message.
	t.Run("C0041/alike, one refused, the other gone", func(t *testing.T) {
		first, second := sized("x", "one", "1"), sized("x", "one", "2")
		r, server := start(t, first, second)
		hook(server, on("RETR 2", poptest.Refuse("damaged")))
		r.runs("2 listed, 2 new, 1 delivered, 1 failed")
		hook(server, nil)
		list(server, second)
		r.account.Delete.Enabled = true
		r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
		r.holds(first, second)
	})
	t.Run("C0041/many, as popa3d gives", func(t *testing.T) {
		var all []poptest.Message
		for i := range 25 {
			all = append(all, sized("x", fmt.Sprint("no ", i), "body"))
		}
		r, _ := start(t, all...)
		r.runs("25 listed, 25 new, 25 delivered")
		r.runs("25 listed")
		r.account.Delete.Enabled = true
		r.runs("25 listed, 25 deleted")
		r.holds(all...)
	})
	// Octets and number are unchanged, and yet one is gone and another has come.
	t.Run("C0041/one is exchanged for another of equal octets", func(t *testing.T) {
		six := sized("x", "six", "3")
		r, server := start(t, one, two)
		r.runs("2 listed, 2 new, 2 delivered")
		list(server, two, six)
		r.runs("2 listed, 1 new, 1 delivered")
		r.holds(one, two, six)
		r.runs("2 listed")
		r.account.Delete.Enabled = true
		r.runs("2 listed, 2 deleted")
	})
	t.Run("C0041/one is refused, the other exchanged for one of equal octets", func(t *testing.T) {
		for _, alike := range []bool{false, true} {
			first, second, third := one, two, sized("x", "six", "3")
			if alike {
				first, second, third = sized("x", "same", "1"), sized("x", "same", "2"), sized("x", "same", "3")
			}
			server := newServer(t, first, second)
			r := newRig(t, server.Addr())
			hook(server, on("RETR 2", poptest.Refuse("damaged")))
			r.runs("2 listed, 2 new, 1 delivered, 1 failed")
			hook(server, nil)
			list(server, second, third)
			r.runs("2 listed, 2 new, 2 delivered")
			r.holds(first, second, third)
			r.runs("2 listed")
		}
	})
	t.Run("C0041/one is refused for long", func(t *testing.T) {
		r, server := start(t, one, two)
		hook(server, on("RETR 2", poptest.Refuse("damaged")))
		r.runs("2 listed, 2 new, 1 delivered, 1 failed")
		for range 3 {
			r.run() // their octets are equal, so that the first may be the second: only its own show that it is not
			r.holds(one)
		}
		longer := sized("x", "two", strings.Repeat("and more ", 30))
		list(server, one, longer)
		r.run()
		retrieved := server.Count("RETR 1")
		for range 3 {
			r.run()
			r.holds(one)
		}
		checkCount(t, server, "RETR 1", retrieved) // their octets are not equal
	})
	for _, remove := range []bool{false, true} {
		t.Run(fmt.Sprintf("C0041/equal in all octets, delete %v", remove), func(t *testing.T) {
			r, server := start(t, one, one)
			r.account.Delete.Enabled = remove
			if remove {
				r.runs("2 listed, 2 new, 2 delivered, 2 deleted")
				return
			}
			r.runs("2 listed, 2 new, 2 delivered")
			r.runs("2 listed")
			list(server, one)
			r.runs("1 listed")
			list(server, one, one)
			r.runs("2 listed")
			list(server, one, one, one)
			r.runs("3 listed, 1 new, 1 delivered")
			r.holds(one, one, one)
		})
		t.Run(fmt.Sprintf("C0041/equal in all octets, one refused, delete %v", remove), func(t *testing.T) {
			r, server := start(t, one, one)
			r.account.Delete.Enabled = remove
			hook(server, on("RETR 2", poptest.Refuse("damaged")))
			r.run()
			hook(server, nil)
			r.run()
			server.Wait()
			if left := len(server.Drop("").UniqueIDs()); remove != (left == 0) {
				t.Errorf("the maildrop holds %d messages, delete %v", left, remove)
			}
			if remove { // what is left could be the deleted one listed again, of which it has every octet
				r.holds(one)
			} else {
				r.holds(one, one)
			}
		})
	}
	// A maildrop with one id for all messages is believed as listed. Asking for the headers in each
	// run would cost too much.
	t.Run("C0041/very many", func(t *testing.T) {
		var all []poptest.Message
		for i := range 1001 {
			all = append(all, sized("x", fmt.Sprint("no ", 1000+i), "body"))
		}
		r, server := start(t, all...)
		r.runs("1001 listed, 1001 new, 1001 delivered")
		r.runs("1001 listed")
		checkCount(t, server, "TOP", 0)
	})
	t.Run("C0041/without TOP", func(t *testing.T) {
		r, server := start(t, one, two)
		server.Configure(without("TOP"))
		hook(server, on("TOP", poptest.Refuse("no such command")))
		r.runs("2 listed, 2 new, 2 delivered")
		r.runs("2 listed")
		list(server, two)
		r.runs("1 listed, 1 new, 1 recognised")
		list(server, two, three)
		r.runs("2 listed, 2 new, 1 delivered, 1 recognised")
		r.holds(one, two, three)
	})
}

// Unique-ids of two accounts do not affect each other, and none of them becomes a path.
func TestOddIDs(t *testing.T) {
	t.Parallel()
	t.Run("C0039/two accounts", func(t *testing.T) {
		t.Parallel()
		mine, theirs := letterOf("x", "mine"), letterOf("x", "theirs")
		server := poptest.NewServer(t, poptest.Maildrop{User: user, Password: secret, Messages: []poptest.Message{mine}},
			poptest.Maildrop{User: "other", Password: secret, Messages: []poptest.Message{theirs}})
		r := newRig(t, server.Addr())
		other := r.newAccount("other", server.Addr(), r.account.Target)
		other.User = "other"
		c := credentials()
		c.User = "other"
		other.Login = c.Login
		for _, result := range r.runner.Run(t.Context(), []fetch.Account{r.account, other}) {
			if result.Err != nil || result.Delivered != 1 {
				t.Errorf("%s: %d delivered, error %v, want 1 and none", result.Account, result.Delivered, result.Err)
			}
		}
		r.holds(mine, theirs)
	})
	t.Run("C0039/no path", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letterOf("../../../etc/passwd", "a"), letterOf("$(reboot)", "b"), letterOf("\x1b[2J", "c"))
		r := newRig(t, server.Addr())
		r.run()
		for _, name := range filesIn(t, r.maildir+"/new") {
			if strings.ContainsAny(name, "/$\x1b") || strings.Contains(name, "passwd") {
				t.Errorf("a file is called %q", name)
			}
		}
		if got := filesIn(t, r.maildir); !slices.Equal(got, []string{"cur", "new", "tmp"}) {
			t.Errorf("the Maildir holds %q", got)
		}
	})
}
