package fetch_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// A server that has told unique-ids has not lost them when it refuses UIDL once. The account is
// tried again, and nothing is forgotten (behaviour 16).
func TestUIDL_refusedOnce(t *testing.T) {
	t.Parallel()
	a, b := letter("a"), letter("b")
	refuse := on("UIDL", poptest.Refuse("internal error"))
	for _, remove := range []bool{false, true} {
		t.Run("C0037/had unique-ids, delete "+strconv.FormatBool(remove), func(t *testing.T) {
			t.Parallel()
			server := newServer(t, a)
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = remove
			if result := r.run(); result.Err != nil || result.Delivered != 1 {
				t.Fatalf("the first run: %+v", result)
			}
			server.Drop("").Add(b)
			hook(server, refuse)
			err := r.fails(fetch.PhaseList, "")
			if !errors.Is(err, fetch.ErrNoIDsNow) || !strings.Contains(err.Error(), `uidl = "fallback"`) {
				t.Errorf("Run() = %v, want that it is for now, and the mend if it lasts", err)
			}
			hook(server, nil)
			if result := r.run(); result.Err != nil || result.Delivered != 1 {
				t.Errorf("the last run: %+v, want one delivered", result)
			}
			r.holds(a, b)
			server.CheckRules(t)
		})
	}
	for name, change := range map[string]func(r *rig, server *poptest.Server){
		"C0037/for good":        func(_ *rig, server *poptest.Server) { hook(server, on("UIDL", poptest.Refuse("[SYS/PERM] no"))) },
		"C0037/made of headers": func(r *rig, _ *poptest.Server) { r.account.UIDLFallback = false },
		"C0037/another server": func(r *rig, _ *poptest.Server) {
			other := newServer(r.t, a)
			hook(other, refuse)
			r.account.Server = poptest.InClear(other.Addr(), true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, a)
			r := newRig(t, server.Addr())
			if name == "C0037/made of headers" {
				hook(server, refuse)
				r.account.UIDLFallback = true
			}
			r.runs("1 listed, 1 new, 1 delivered")
			r.later(time.Hour)
			change(r, server)
			for range 2 {
				if err := r.fails(fetch.PhaseList, ""); errors.Is(err, fetch.ErrNoIDsNow) {
					t.Errorf("Run() = %v, want that the server has no unique-ids", err)
				}
			}
		})
	}
}

// oneUIDL answers UIDL for one message as reply says.
func oneUIDL(reply func(ids []string, n int) string, ids ...string) func(*poptest.Session, string) poptest.Action {
	return func(_ *poptest.Session, cmd string) poptest.Action {
		n, err := strconv.Atoi(strings.TrimPrefix(cmd, "UIDL "))
		if err != nil {
			return poptest.Action{}
		}
		return poptest.Reply([]byte(reply(ids, n)))
	}
}

// A server that answers UIDL for one message in its own way is in step all the same. So a message
// that LIST announces too large is whole, and a torso is still one (behaviour 38).
func TestSuspect_oddUIDL(t *testing.T) {
	t.Parallel()
	ids := []string{"a", "b", "c", "d"}
	for name, reply := range map[string]func(ids []string, n int) string{
		"whole listing": func(ids []string, _ int) string {
			text := "+OK\r\n"
			for i, id := range ids {
				text += strconv.Itoa(i+1) + " " + id + "\r\n"
			}
			return text + ".\r\n"
		},
		"without the number": func(ids []string, n int) string { return "+OK " + ids[n-1] + "\r\n" },
	} {
		for _, window := range []int{0, 1} {
			t.Run("behaviour 38/"+name+", window "+strconv.Itoa(window), func(t *testing.T) {
				t.Parallel()
				messages := []poptest.Message{letter("a"), letter("b"), letter("c"), letter("d")}
				for i := range messages {
					messages[i].Listed = strconv.Itoa(2 * len(messages[i].Content))
				}
				server := newServer(t, messages...)
				hook(server, oneUIDL(reply, ids...))
				r := newRig(t, server.Addr())
				r.account.POP3.Window = window
				r.account.Delete.Enabled = true
				r.runs("4 listed, 4 new, 4 delivered, 4 deleted")
				r.holds(messages...)
				server.CheckRules(t)
			})
			t.Run("behaviour 38/torso, "+name+", window "+strconv.Itoa(window), func(t *testing.T) {
				t.Parallel()
				const content = ".\r\n+OK\r\n+OK b\r\n+OK\r\n1 b\r\n2 b\r\n"
				messages := []poptest.Message{letter("a"), {UniqueID: "torso", Content: []byte(content)}, letter("c"), letter("d")}
				server := newServer(t, messages...)
				odd, cut := oneUIDL(reply, "a", "torso", "c", "d"), on("RETR 2", unstuffed(content))
				hook(server, func(s *poptest.Session, cmd string) poptest.Action {
					if strings.HasPrefix(cmd, "UIDL ") {
						return odd(s, cmd)
					}
					return cut(s, cmd)
				})
				r := newRig(t, server.Addr())
				r.account.POP3.Window = window
				r.runs("4 listed, 4 new, 3 delivered, 1 quarantined")
				r.holds(messages[0], messages[2], messages[3])
				r.isQuarantined("torso")
			})
		}
	}
}

// Where no second look proves anything, two messages that LIST overstates by one factor show that
// LIST is wrong. They are not set aside one by one.
func TestSuspect_oneFactor(t *testing.T) {
	t.Parallel()
	nothingProved := func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == "NOOP" || strings.HasPrefix(cmd, "UIDL ") {
			return poptest.Refuse("what?")
		}
		return poptest.Action{}
	}
	t.Run("C0021/all of them", func(t *testing.T) {
		t.Parallel()
		messages := many("a", 12, func(_, octets int) string { return strconv.Itoa(2 * octets) })
		server := newServer(t, messages...)
		hook(server, nothingProved)
		r := newRig(t, server.Addr())
		r.account.QuarantineAfter = 1000
		r.runs("12 listed, 12 new, 11 delivered, 1 failed")
		if got := server.Logins(); got > 5 {
			t.Errorf("%d log-ins, want at most 5: two for each of two messages, and one for the others", got)
		}
		r.runs("12 listed, 1 new, 1 delivered") // nothing is in doubt any more
		r.holds(messages...)
		server.CheckRules(t)
	})
	t.Run("C0021/one after the other", func(t *testing.T) {
		t.Parallel()
		one, two := many("a", 2, func(_, octets int) string { return strconv.Itoa(2 * octets) }), []poptest.Message(nil)
		one, two = one[:1], one[1:]
		server := newServer(t, one...)
		hook(server, nothingProved)
		r := newRig(t, server.Addr())
		r.account.QuarantineAfter = 5
		r.runs("1 listed, 1 new, 1 failed")
		server.Drop("").Add(two...)
		r.runs("2 listed, 2 new, 1 delivered, 1 failed")
		r.runs("2 listed, 1 new, 1 delivered")
	})
	// Other messages that are cut do not lack one share.
	t.Run("behaviour 38/cut messages", func(t *testing.T) {
		t.Parallel()
		messages := many("a", 3, func(i, octets int) string { return strconv.Itoa(octets + 100 + 50*i) })
		server := newServer(t, messages...)
		hook(server, nothingProved)
		r := newRig(t, server.Addr())
		r.runs("3 listed, 3 new, 3 failed")
		r.holds()
	})
	t.Run("behaviour 38/empty messages", func(t *testing.T) {
		t.Parallel()
		content := ".\r\n-ERR\r\n-ERR\r\n-ERR\r\n"
		server := newServer(t, poptest.Message{UniqueID: "a", Content: []byte(content)}, poptest.Message{UniqueID: "b", Content: []byte(content + content)})
		hook(server, func(s *poptest.Session, cmd string) poptest.Action {
			if strings.HasPrefix(cmd, "RETR ") {
				return unstuffed(content)
			}
			return nothingProved(s, cmd)
		})
		r := newRig(t, server.Addr())
		if result := r.run(); result.Delivered > 0 {
			t.Errorf("Run() = %+v, want no torso delivered", result)
		}
	})
}

// A refusal of TOP that ends like a longer reply, or an empty line in a listing, costs nothing: the
// run goes on in step, and ends well.
func TestOddReplies(t *testing.T) {
	t.Parallel()
	a, b, c := letter("a"), letter("b"), letter("c")
	t.Run("C0032/dot behind a refused TOP", func(t *testing.T) {
		for _, window := range []int{0, 1} {
			t.Run("window "+strconv.Itoa(window), func(t *testing.T) {
				t.Parallel()
				server := newServer(t, a, b, c)
				hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
					if strings.HasPrefix(cmd, "TOP ") {
						return poptest.Reply([]byte("-ERR no\r\n.\r\n"))
					}
					return poptest.Action{}
				})
				r := newRig(t, server.Addr())
				r.account.POP3.Window = window
				r.runs("3 listed, 3 new, 3 delivered")
				r.account.Delete.Enabled = true
				r.runs("3 listed, 3 new, 3 recognised, 3 deleted")
				if got := server.Logins(); got != 2 {
					t.Errorf("%d log-ins, want one a run", got)
				}
				server.CheckRules(t)
			})
		}
	})
	t.Run("C0022/dot behind a refused RETR", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, a, b, c)
		hook(server, on("RETR 2", poptest.Reply([]byte("-ERR no\r\n.\r\n"))))
		r := newRig(t, server.Addr())
		r.runs("3 listed, 3 new, 2 delivered, 1 failed")
		r.holds(a, c)
		if got := server.Logins(); got != 1 {
			t.Errorf("%d log-ins, want 1", got)
		}
	})
	t.Run("C0038/empty first line", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, a, b)
		hook(server, on("UIDL", poptest.Reply([]byte("+OK\r\n\r\n1 a\r\n2 b\r\n.\r\n"))))
		r := newRig(t, server.Addr())
		r.runs("2 listed, 2 new, 2 delivered")
		r.runs("2 listed")
	})
}

// Whatever quirks a server has, alone or two at a time: all messages are delivered once, no run
// breaks the protocol's rules or ends with an error, and what is delivered can be deleted.
func TestQuirks(t *testing.T) {
	t.Parallel()
	quirks := poptest.Quirks()
	for i, one := range quirks {
		for j, two := range quirks[i:] {
			t.Run(one.Name+", "+two.Name, func(t *testing.T) {
				t.Parallel()
				window := (i + j) % 2
				messages := many("a", 6, func(_, octets int) string { return strconv.Itoa(octets) })
				server := newServer(t, messages...)
				hook(server, poptest.Quirky(one, two))
				r := newRig(t, server.Addr())
				r.account.POP3.Window = window
				r.account.QuarantineAfter = 3
				for run := range 5 {
					r.account.Delete.Enabled = run > 2
					if result := r.run(); result.Err != nil || result.Quarantined > 0 || result.Unusable > 0 || run > 1 && result.Failed > 0 {
						t.Errorf("window %d, run %d: %s, error %v", window, run+1, outcome(result), result.Err)
					}
				}
				r.holds(messages...)
				if left := server.Drop("").UniqueIDs(); len(left) > 0 {
					t.Errorf("window %d: the server still has %q", window, left)
				}
				server.CheckRules(t)
			})
		}
	}
}
