package fetch_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// many makes n letters. For each, LIST announces what listed makes of its octets.
func many(prefix string, n int, listed func(i, octets int) string) []poptest.Message {
	messages := make([]poptest.Message, n)
	for i := range messages {
		m := letter(fmt.Sprintf("%s%d", prefix, i))
		m.Content = append(m.Content, bytes.Repeat([]byte("A line of the body.\r\n"), i%7)...)
		m.Listed = listed(i, len(m.Content))
		messages[i] = m
	}
	return messages
}

// A size in LIST may be too large: the messages are still whole. A maildrop full of them costs one
// second look, and none in a later run (behaviours 12 and 38, C0021).
func TestSuspect_listTooLarge(t *testing.T) {
	t.Parallel()
	exact := func(_, octets int) string { return strconv.Itoa(octets) }
	for _, test := range []struct {
		name   string
		listed func(i, octets int) string
		logins int // of the first run
	}{
		{"exact", exact, 1},
		{"without the last line end", func(_, octets int) string { return strconv.Itoa(octets + 2) }, 1},
		{"tenfold", func(_, octets int) string { return strconv.Itoa(10 * octets) }, 2},
		{"a constant more", func(_, octets int) string { return strconv.Itoa(octets + 30) }, 2},
		{"estimated", func(i, octets int) string { return strconv.Itoa(octets + 3 + i%5*octets/20) }, 4},
		{"one of them", func(i, octets int) string { return strconv.Itoa(octets + i/19*99) }, 1}, // the last: nothing else is outstanding
		{"huge", func(int, int) string { return "9223372036854775807" }, 2},
		{"too small", func(_, octets int) string { return strconv.Itoa(octets / 2) }, 1},
		{"one", func(int, int) string { return "1" }, 1},
		{"zero", func(int, int) string { return "0" }, 1},
		{"textual", func(int, int) string { return "some" }, 1},
		{"CRLF counted as LF", func(i, octets int) string { return strconv.Itoa(octets - 4 - i%7) }, 1},
	} {
		for _, window := range []int{0, 1} {
			t.Run(fmt.Sprintf("C0021/%s, window %d", test.name, window), func(t *testing.T) {
				t.Parallel()
				messages := many("a", 20, test.listed)
				server := newServer(t, messages...)
				r := newRig(t, server.Addr())
				r.account.POP3.Window = window
				r.runs("20 listed, 20 new, 20 delivered")
				r.holds(messages...)
				want := test.logins
				if window == 1 {
					want = 1 // each message is alone, so that NOOP shows it to be whole
				}
				if got := server.Logins(); got > want {
					t.Errorf("%d log-ins, want at most %d", got, want)
				}
				more := many("b", 20, test.listed)
				server.Drop(user).Add(more...)
				before := server.Logins()
				r.runs("40 listed, 20 new, 20 delivered")
				r.holds(append(messages, more...)...)
				if got := server.Logins() - before; got != 1 {
					t.Errorf("%d log-ins of the second run, want 1", got)
				}
				server.CheckRules(t)
			})
		}
	}
}

// Messages before a suspect one are recorded, and those after it are not even read (behaviour 38).
// The run that meets it cannot connect again. The next one begins with the second look.
func TestSuspect_order(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{true, false} {
		t.Run(fmt.Sprintf("behaviour 38/whole %v", whole), func(t *testing.T) {
			t.Parallel()
			messages := []poptest.Message{letter("a"), letter("b"), letter("suspect"), letter("d"), letter("e")}
			messages[2].Listed = "999"
			server := newServer(t, messages...)
			hook(server, func(s *poptest.Session, cmd string) poptest.Action {
				switch {
				case cmd == "" && s.Number() == 2:
					return poptest.Refuse("[SYS/TEMP] not now")
				case cmd == "RETR 3" && !whole:
					return unstuffed(".\r\n+OK\r\nSubject: forged\r\n\r\n.\r\n")
				}
				return poptest.Action{}
			})
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			_ = r.fails(fetch.PhaseOpen, "5 listed, 5 new, 2 delivered")
			r.holds(letter("a"), letter("b"))
			r.has("a", "b")
			checkCount(t, server, "DELE", 0)
			checkCount(t, server, "QUIT", 0)

			if whole {
				r.runs("5 listed, 3 new, 3 delivered, 5 deleted")
				r.holds(messages...)
			} else {
				r.runs("5 listed, 3 new, 2 delivered, 1 quarantined, 4 deleted")
				r.holds(letter("a"), letter("b"), letter("d"), letter("e"))
			}
			third := strings.Join(commands(t, server, 3), " ")
			if _, asked, _ := strings.Cut(third, "RETR "); !strings.HasPrefix(asked, "3 NOOP") && whole {
				t.Errorf("the first session of the second run asked for %q first, want 3 with NOOP behind it", asked)
			}
			server.CheckRules(t)
		})
	}
}

// Inbucket cuts a message at a line of 64 KiB, ends it properly and sends a stray -ERR. So each
// reply behind it would be taken for the next one (behaviour 39).
func TestSuspect_strayReply(t *testing.T) {
	t.Parallel()
	line := "Subject: long\r\n\r\n" + strings.Repeat("x", 70_000) + "\r\n"
	long := poptest.Message{UniqueID: "long", Content: []byte(line)}
	for _, sizes := range []bool{true, false} {
		t.Run(fmt.Sprintf("behaviour 39/sizes %v", sizes), func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), long, letter("c"), letter("d"), letter("e"))
			hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
				switch {
				case cmd == "RETR 2":
					return poptest.Reply([]byte("+OK\r\n" + line[:65_536] + "\r\n.\r\n-ERR bufio: token too long\r\n"))
				case cmd == "LIST" && !sizes:
					return poptest.Refuse("no")
				}
				return poptest.Action{}
			})
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			r.runs("5 listed, 5 new, 4 delivered, 1 quarantined, 4 deleted")
			r.holds(letter("a"), letter("c"), letter("d"), letter("e"))
			r.isQuarantined("long")
			server.CheckRules(t)
		})
	}
}

// An extra reply shifts all that follow, so each message is taken for the next one. If LIST tells
// sizes, that is noticed at the next message, be it larger or smaller (behaviours 9 and 38).
func TestSuspect_shifted(t *testing.T) {
	t.Parallel()
	for _, stray := range []string{"-ERR what\r\n", "+OK what\r\n", "+OK\r\n.\r\n", "what\r\n"} {
		for _, falling := range []bool{false, true} {
			t.Run(fmt.Sprintf("behaviour 9/%s, falling %v", strings.TrimSpace(stray), falling), func(t *testing.T) {
				t.Parallel()
				messages := many("a", 7, func(_, octets int) string { return strconv.Itoa(octets) })
				if falling {
					slices.Reverse(messages)
				}
				server := newServer(t, messages...)
				hook(server, func(s *poptest.Session, cmd string) poptest.Action {
					if cmd == "RETR 2" && s.Number() == 1 {
						return poptest.Reply([]byte("+OK\r\n" + string(poptest.Stuff(messages[1].Content)) + stray))
					}
					return poptest.Action{}
				})
				r := newRig(t, server.Addr())
				for range 3 { // what was taken for refused comes in the next run
					if result := r.run(); result.Err != nil {
						t.Errorf("Run() = %v", result.Err)
					}
				}
				r.holds(messages...)
				server.CheckRules(t)
			})
		}
	}
}

// If a second look fails, it holds up no other message, neither in this run nor in the next one.
// The suspect message is not lost.
func TestSuspect_lookFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, command string
		action        poptest.Action
	}{
		{"cut in the message", "RETR 2", poptest.Cut(30)},
		{"cut in the status line", "RETR 2", poptest.Cut(5)},
		{"cut before the message", "RETR 2", poptest.Cut(0)},
		{"silent in the message", "RETR 2", poptest.Stall(30)},
		{"cut behind the message", "NOOP", poptest.Cut(0)},
		{"silent behind the message", "NOOP", poptest.Stall(0)},
		{"cut behind NOOP", "UIDL 2", poptest.Cut(0)},
	} {
		t.Run("behaviour 38/"+test.name, func(t *testing.T) {
			t.Parallel()
			messages := []poptest.Message{letter("a"), letter("b"), letter("c")}
			messages[1].Listed = "999"
			server := newServer(t, messages...)
			hook(server, func(s *poptest.Session, cmd string) poptest.Action {
				if s.Number()%2 == 0 {
					return on(test.command, test.action)(s, cmd)
				}
				return poptest.Action{}
			})
			r := newRig(t, server.Addr())
			r.hurry(silence)
			_ = r.fails(fetch.PhaseRetrieve, "3 listed, 3 new, 1 delivered")
			hook(server, nil)
			r.runs("3 listed, 2 new, 2 delivered")
			r.holds(messages...)
			server.CheckRules(t)
		})
	}
}

// Until NOOP is answered, the message is neither whole nor cut, and is not committed with those
// before it.
func TestSuspect_slowNoop(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("behaviour 38/cut %v", cut), func(t *testing.T) {
			t.Parallel()
			messages := []poptest.Message{letter("a"), letter("b"), letter("c")}
			messages[1].Listed = "999"
			server := newServer(t, messages...)
			hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
				switch {
				case cmd == "NOOP" && cut:
					return poptest.Action{Delay: 700 * time.Millisecond, End: poptest.EndByCut}
				case cmd == "NOOP":
					return poptest.Action{Delay: 700 * time.Millisecond}
				}
				return poptest.Action{}
			})
			r := newRig(t, server.Addr())
			r.account.POP3.Window = 1
			if cut {
				_ = r.fails(fetch.PhaseRetrieve, "3 listed, 3 new, 1 delivered")
				r.holds(letter("a"))
				return
			}
			r.runs("3 listed, 3 new, 3 delivered")
			r.holds(messages...)
		})
	}
}

// A server that refuses both NOOP and UIDL for one message does not show whether it is in step. It
// does as it is asked, so nothing is quarantined.
func TestSuspect_nothingShown(t *testing.T) {
	t.Parallel()
	messages := []poptest.Message{letter("a"), letter("b"), letter("c")}
	messages[1].Listed = "999"
	server := newServer(t, messages...)
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == "NOOP" || strings.HasPrefix(cmd, "UIDL ") {
			return poptest.Refuse("what?")
		}
		return poptest.Action{}
	})
	r := newRig(t, server.Addr())
	r.runs("3 listed, 3 new, 2 delivered, 1 failed")
	r.holds(letter("a"), letter("c"))
	hook(server, on("UIDL 2", poptest.Refuse("what?")))
	r.runs("3 listed, 1 new, 1 delivered")
	r.holds(messages...)
}

// A sender of a hundred torsos costs a run a limited number of sessions, and each run gets further
// (behaviour 7).
func TestSuspect_manyTorsos(t *testing.T) {
	t.Parallel()
	var messages []poptest.Message
	for i := range 8 {
		messages = append(messages, poptest.Message{UniqueID: fmt.Sprintf("torso%d", i), Content: []byte(".\r\n+OK\r\nforged\r\n.\r\n")})
	}
	server := newServer(t, append(messages, letter("z"))...)
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if n, ok := strings.CutPrefix(cmd, "RETR "); ok && n != "9" {
			return unstuffed(".\r\n+OK\r\nforged\r\n.\r\n")
		}
		return poptest.Action{}
	})
	r := newRig(t, server.Addr())
	_ = r.fails(fetch.PhaseRetrieve, "9 listed, 9 new, 5 quarantined")
	if got := server.Logins(); got != 11 {
		t.Errorf("%d log-ins, want 11", got)
	}
	r.runs("9 listed, 4 new, 1 delivered, 8 quarantined")
	r.holds(letter("z"))
}

// LOGIN-DELAY is obeyed between the sessions of one run too (R2449-4).
func TestSuspect_loginDelay(t *testing.T) {
	t.Parallel()
	suspicious := func(t *testing.T) (*poptest.Server, *rig, []poptest.Message) {
		messages := []poptest.Message{letter("a"), letter("b"), letter("c")}
		messages[1].Listed = "999"
		server := newServer(t, messages...)
		return server, newRig(t, server.Addr()), messages
	}
	t.Run("R2449-4/announced", func(t *testing.T) {
		t.Parallel()
		server, r, messages := suspicious(t)
		server.Configure(announcing("LOGIN-DELAY 400"))
		r.runs("3 listed, 3 new, 3 delivered")
		r.holds(messages...)
	})
	refuseSecond := func(server *poptest.Server) {
		logins := 0
		hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
			if strings.HasPrefix(cmd, "AUTH") {
				if logins++; logins == 2 {
					return poptest.Refuse("[LOGIN-DELAY] not yet")
				}
			}
			return poptest.Action{}
		})
	}
	t.Run("R2449-4/refused", func(t *testing.T) {
		t.Parallel()
		server, r, messages := suspicious(t)
		server.Configure(announcing("LOGIN-DELAY 400"))
		r.stopClock()
		refuseSecond(server)
		_ = r.fails(fetch.PhaseLogin, "3 listed, 3 new, 1 delivered")
		r.held(server, "login delay: 400 s left")
		r.later(400 * time.Second)
		r.runs("3 listed, 2 new, 2 delivered") // with the second look, though another log-in was not possible
		r.holds(messages...)
	})
}

// Under --all too, a further session does not retrieve what earlier sessions of the run have
// delivered or quarantined.
func TestSuspect_all(t *testing.T) {
	t.Parallel()
	messages := many("a", 6, func(i, octets int) string {
		if i == 2 {
			octets *= 10 // whole, but suspect: it takes a second look on a new connection
		}
		return strconv.Itoa(octets)
	})
	const content = ".\r\n+OK forged\r\nrest\r\n"
	torso := poptest.Message{UniqueID: "torso", Content: []byte(content)}
	server := newServer(t, slices.Insert(slices.Clone(messages), 4, torso)...)
	hook(server, on("RETR 5", unstuffed(content)))
	r := newRig(t, server.Addr())
	r.account.All = true
	r.runs("7 listed, 7 new, 6 delivered, 1 quarantined")
	r.holds(messages...)
	server.CheckRules(t)
}
