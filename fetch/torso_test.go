package fetch_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// A Dovecot 2.3 ends a message at its first line if that is a dot, and its sender's forged replies
// follow. Neither the torso nor the forged next message is delivered, and no neighbour is lost
// (behaviour 38).
func TestTorso_dovecot(t *testing.T) {
	for _, test := range []struct {
		name   string
		window int
		remove bool
	}{{"pipelined", 0, false}, {"one at a time", 1, false}, {"pipelined, delete", 0, true}} {
		t.Run(test.name, func(t *testing.T) {
			server := poptest.StartDovecot(t, nil)
			torso := ".\r\n+OK 30 octets\r\nSubject: forged\r\n\r\nx\r\n.\r\n"
			server.Deliver(user, letter("a").Content)
			server.Deliver(user, []byte(torso))
			server.Deliver(user, letter("c").Content)
			r := newRig(t, server.Addr())
			r.account.POP3.Window = test.window
			r.account.Delete.Enabled = test.remove
			for run := range 2 {
				res := r.run()
				if res.Err != nil || res.Quarantined != 1 || res.Failed != 0 || res.Delivered != 2*(1-run) {
					t.Errorf("run %d: delivered %d, quarantined %d, failed %d, error %v, want %d, 1, 0, nil",
						run+1, res.Delivered, res.Quarantined, res.Failed, res.Err, 2*(1-run))
				}
			}
			if got := len(r.mail()); got != 2 {
				t.Errorf("the Maildir holds %d messages, want 2: %q", got, r.mail())
			}
			want := 3
			if test.remove {
				want = 1
			}
			if got := len(server.Messages(user)); got != want {
				t.Errorf("the server has %d messages left, want %d", got, want)
			}
		})
	}
}

// unstuffed is the reply to RETR of a server that does not stuff a dot that is the first octet of a
// message.
func unstuffed(content string) poptest.Action {
	return poptest.Action{Reply: []byte("+OK\r\n" + content + ".\r\n")}
}

// forgeries are texts behind a first line that is a dot. Each is read as replies.
var forgeries = []struct{ name, tail string }{
	{"a message", "+OK 30 octets\r\nSubject: forged\r\n\r\nx\r\n.\r\n"},
	{"two messages", strings.Repeat("+OK 30 octets\r\nSubject: forged\r\n\r\nx\r\n.\r\n", 2)},
	{"nothing", ""},
	{"text", "Subject: a mail that begins with a dot\r\n"},
	{"replies to NOOP", strings.Repeat("+OK\r\n", 100)},
	{"refusals", strings.Repeat("-ERR\r\n", 100)},
	{"a reply to NOOP and one to UIDL", "+OK\r\n+OK 2 torsos\r\n"},
	{"a blank line", "\r\n"},
	{"an end", ".\r\n.\r\n.\r\n"},
	{"a reply that is longer than a line may be", "+OK " + strings.Repeat("x", 9000) + "\r\n"},
}

// TestTorso shows that a torso harms no neighbour, whatever its sender wrote behind the dot, and
// however the octets arrive. The torso is neither delivered nor deleted nor asked for again.
func TestTorso(t *testing.T) {
	t.Parallel()
	for _, forgery := range forgeries {
		for _, window := range []int{0, 1} {
			t.Run(fmt.Sprintf("behaviour 38/%s, window %d", forgery.name, window), func(t *testing.T) {
				t.Parallel()
				content := ".\r\n" + forgery.tail
				torso := poptest.Message{UniqueID: "torso", Content: []byte(content + "to be longer than 2 octets\r\n")}
				server := newServer(t, letter("a"), torso, letter("c"), letter("d"))
				hook(server, on("RETR 2", unstuffed(content)))
				r := newRig(t, server.Addr())
				r.account.POP3.Window = window
				r.account.Delete.Enabled = true
				r.runs("4 listed, 4 new, 3 delivered, 1 quarantined, 3 deleted")
				r.holds(letter("a"), letter("c"), letter("d"))
				r.isQuarantined("torso")
				if got := server.Logins(); got > 3 {
					t.Errorf("%d log-ins, want one for the others and at most two for the torso", got)
				}
				// Alone on its connection, with NOOP behind it.
				second := strings.Join(commands(t, server, 2), "\n")
				if _, behind, ok := strings.Cut(second, "RETR 2\n"); strings.Count(second, "RETR") != 1 || !ok && !strings.HasSuffix(second, "RETR 2") || strings.Contains(behind, "RETR") {
					t.Errorf("the second session asked %q, want RETR 2 alone", second)
				}
				hook(server, nil)
				retrieved := server.Count("RETR")
				r.runs("1 listed, 1 quarantined")
				checkCount(t, server, "RETR", retrieved)
				if got := server.DeletedIDs(); fmt.Sprint(got) != "[a c d]" {
					t.Errorf("deleted %q, want a, c and d", got)
				}
				server.CheckRules(t)
			})
		}
	}
}

// isQuarantined checks that exactly these ids are set aside, as quarantined.
func (r *rig) isQuarantined(ids ...string) {
	r.t.Helper()
	ledger, err := r.runner.Store.Look(r.t.Context(), r.account.Name, r.account.Server, r.account.User)
	if err != nil {
		r.t.Fatal(err)
	}
	asides, err := ledger.Asides(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	var got []string
	for _, a := range asides {
		if a.Reason != seen.Quarantined {
			r.t.Errorf("%s is set aside for reason %d (%s), want %d", a.UniqueID, a.Reason, a.Text, seen.Quarantined)
		}
		got = append(got, a.UniqueID)
	}
	if fmt.Sprint(got) != fmt.Sprint(ids) {
		r.t.Errorf("set aside: %q, want %q", got, ids)
	}
}

// On a slow link, the octets behind a forged reply to NOOP arrive only after that reply was
// believed. But the sender of the message does not know its unique-id.
func TestTorso_slowLink(t *testing.T) {
	t.Parallel()
	const login = "S: +OK\nC: CAPA\nS: +OK\nS: UIDL\nS: TOP\nS: PIPELINING\nS: USER\nS: .\nC: USER mrose\nS: +OK\nC: PASS tanstaaf\nS: +OK\n" +
		"C: STAT\nC: LIST\nC: UIDL\nS: +OK 2 66\nS: +OK\nS: 1 50\nS: 2 17\nS: .\nS: +OK\nS: 1 torso\nS: 2 c\nS: .\n"
	for _, test := range []struct{ name, forged string }{
		{"no listing", "S: +OK 1"},
		{"another unique-id", "S: +OK 1 torsos"},
		{"another message-number", "S: +OK 2 torso"},
		{"refused", "S: -ERR no\nC: NOOP"},
		{"refused, and refused", "S: -ERR no\nC: NOOP\nS: -ERR no"},
		{"refused, and not refused", "S: -ERR no\nC: NOOP\nS: +OK"},
		{"the end", ""},
	} {
		t.Run("behaviour 38/"+test.name, func(t *testing.T) {
			t.Parallel()
			script := poptest.Dialogue(t, "chunk 1\n"+login+"C: RETR 1\nC: RETR 2\nS: +OK\nS: .\nS: +OK\nS: +OK\nS: .\ncut\n"+
				"-- connection\n"+login+"C: RETR 1\nS: +OK\nS: .\nC: NOOP\nS: +OK\nC: UIDL 1\n"+test.forged+"\nS: .\ncut\n"+
				"-- connection\n"+login+"C: RETR 2\nS: +OK\nS: Subject: c\nS:\nS: c\nS: .\nC: QUIT\nS: +OK\n")
			r := newRig(t, script.Addr())
			r.runs("2 listed, 2 new, 1 delivered, 1 quarantined")
			r.holds(poptest.Message{Content: []byte("Subject: c\r\n\r\nc\r\n")})
			r.isQuarantined("torso")
			script.Wait()
		})
	}
}

// Refusals of NOOP and UIDL that the sender wrote prove nothing. The torso is looked at again in a
// later run, and never delivered.
func TestTorso_forgedRefusals(t *testing.T) {
	t.Parallel()
	content := ".\r\n+OK\r\n-ERR no\r\n+OK\r\n-ERR no\r\n"
	server := newServer(t, letter("a"), poptest.Message{UniqueID: "torso", Content: []byte(content)}, letter("c"))
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		// Each forged reply comes as the reply to its command, as on a slow link.
		switch {
		case cmd == "RETR 2":
			return unstuffed("")
		case strings.HasPrefix(cmd, "UIDL "):
			return poptest.Refuse("no")
		}
		return poptest.Action{}
	})
	r := newRig(t, server.Addr())
	r.account.QuarantineAfter = 2
	r.runs("3 listed, 3 new, 2 delivered, 1 failed")
	r.runs("3 listed, 1 new, 1 quarantined")
	r.holds(letter("a"), letter("c"))
}

// Without sizes, an empty message looks like a torso.
func TestTorso_noSizes(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), poptest.Message{UniqueID: "torso"}, letter("c"), poptest.Message{UniqueID: "whole"})
	refuse := on("LIST", poptest.Refuse("no"))
	cut := on("RETR 2", unstuffed(".\r\n+OK\r\n"))
	server.Configure(func(c *poptest.Config) {
		c.Hook = func(s *poptest.Session, cmd string) poptest.Action {
			if a := refuse(s, cmd); a.Refuse != "" {
				return a
			}
			return cut(s, cmd)
		}
	})
	r := newRig(t, server.Addr())
	r.runs("4 listed, 4 new, 3 delivered, 1 quarantined")
	r.holds(letter("a"), letter("c"), poptest.Message{})
	r.isQuarantined("torso")
	r.warnedOnce("does not tell the sizes") // in three sessions
	r.runs("4 listed, 1 quarantined")
}
