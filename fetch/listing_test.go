package fetch_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// TestListing gives odd replies to STAT, LIST and UIDL over a maildrop of the messages a, b and c.
// Each account deletes what is delivered, so that a wrong number would show.
func TestListing(t *testing.T) {
	t.Parallel()
	type replies map[string]string
	const all = "3 listed, 3 new, 3 delivered, 3 deleted"
	for _, test := range []struct {
		name     string
		replies  replies
		outcome  string
		recorded []string
	}{
		{"C0017/size missing", replies{"STAT": "+OK 3"}, all, []string{"a", "b", "c"}},
		{"C0017/nothing", replies{"STAT": "+OK"}, all, []string{"a", "b", "c"}},
		{"C0017/negative", replies{"STAT": "+OK -1 5"}, all, []string{"a", "b", "c"}},
		{"C0017/20 digits", replies{"STAT": "+OK 99999999999999999999 99999999999999999999"}, all, []string{"a", "b", "c"}},
		{"C0017/count is too small", replies{"STAT": "+OK 1 5"}, all, []string{"a", "b", "c"}},
		{"C0017/count is too large", replies{"STAT": "+OK 2147483647 5"}, all, []string{"a", "b", "c"}},
		{"C0031/STAT refused", replies{"STAT": "-ERR"}, all, []string{"a", "b", "c"}},
		{"C0031/LIST refused", replies{"LIST": "-ERR"}, all, []string{"a", "b", "c"}},
		{"C0011/gap", replies{"LIST": "+OK\r\n1 10\r\n3 10\r\n.", "UIDL": "+OK\r\n1 a\r\n3 c\r\n."}, "2 listed, 2 new, 2 delivered, 2 deleted", []string{"a", "c"}},
		{"C0011/another order", replies{"LIST": "+OK\r\n3 10\r\n1 10\r\n2 10\r\n.", "UIDL": "+OK\r\n2 b\r\n3 c\r\n1 a\r\n."}, all, []string{"a", "b", "c"}},
		{"C0011/number 0", replies{"LIST": "+OK\r\n0 10\r\n1 10\r\n.", "UIDL": "+OK\r\n1 a\r\n."}, "1 listed, 1 new, 1 delivered, 1 unusable, 1 deleted", []string{"a"}},
		{"C0011/no number", replies{"UIDL": "+OK\r\n1 a\r\n2 b\r\nthree c\r\n."}, "2 listed, 2 new, 2 delivered, 1 unusable, 2 deleted", []string{"a", "b"}},
		{"C0011/number out of range", replies{"UIDL": "+OK\r\n1 a\r\n2 b\r\n99999999999999999999 c\r\n."}, "2 listed, 2 new, 2 delivered, 1 unusable, 2 deleted", []string{"a", "b"}},
		{"C0021/ten times too small", replies{"LIST": "+OK\r\n1 1\r\n2 1\r\n3 1\r\n."}, all, []string{"a", "b", "c"}},
		{"C0021/ten times too large", replies{"LIST": "+OK\r\n1 900\r\n2 900\r\n3 900\r\n."}, all, []string{"a", "b", "c"}},
		{"C0021/zero", replies{"LIST": "+OK\r\n1 0\r\n2 0\r\n3 0\r\n."}, all, []string{"a", "b", "c"}},
		{"C0021/huge", replies{"LIST": "+OK\r\n1 9223372036854775807\r\n2 9223372036854775807\r\n3 9223372036854775807\r\n."}, all, []string{"a", "b", "c"}},
		{"C0021/negative", replies{"LIST": "+OK\r\n1 10\r\n2 -10\r\n3 10\r\n."}, all, []string{"a", "b", "c"}},
		{"C0021/a word", replies{"LIST": "+OK\r\n1 10\r\n2 large\r\n3 10\r\n."}, all, []string{"a", "b", "c"}},
		{"C0038/no unique-id", replies{"UIDL": "+OK\r\n1 a\r\n2\r\n3 c\r\n."}, "2 listed, 2 new, 2 delivered, 1 unusable, 2 deleted", []string{"a", "c"}},
		{"C0038/UIDL shorter than LIST", replies{"UIDL": "+OK\r\n1 a\r\n3 c\r\n."}, "2 listed, 2 new, 2 delivered, 1 unusable, 2 deleted", []string{"a", "c"}},
		{"C0038/LIST shorter than UIDL", replies{"LIST": "+OK\r\n1 10\r\n."}, "1 listed, 1 new, 1 delivered, 2 unusable, 1 deleted", []string{"a"}},
		{"C0038/further text", replies{"UIDL": "+OK\r\n1 a 1\r\n2 b \t\r\n3 c and more\r\n."}, all, []string{"a", "b", "c"}},
		{"V0002/dot before a number", replies{"UIDL": "+OK\r\n.1 a\r\n2 b\r\n..3 c\r\n."}, "2 listed, 2 new, 2 delivered, 1 unusable, 2 deleted", []string{"a", "b"}},
		{"C0039/case counts", replies{"UIDL": "+OK\r\n1 aB\r\n2 Ab\r\n3 ab\r\n."}, all, []string{"Ab", "aB", "ab"}},
		{"C0039/leading zeros, quotes, signs", replies{"UIDL": "+OK\r\n1 01\r\n2 1\r\n3 ../'\"%;$(x)\r\n."}, all, []string{"../'\"%;$(x)", "01", "1"}},
		{"C0039/8-bit", replies{"UIDL": "+OK\r\n1 \xff\xfe\r\n2 b\r\n3 c\r\n."}, all, []string{"b", "c", "\xff\xfe"}},
		{"C0039/1024 octets", replies{"UIDL": "+OK\r\n1 " + strings.Repeat("x", 1024) + "\r\n2 b\r\n3 c\r\n."}, all, []string{"b", "c", strings.Repeat("x", 1024)}},
		{"C0039/1025 octets", replies{"UIDL": "+OK\r\n1 " + strings.Repeat("x", 1025) + "\r\n2 b\r\n3 c\r\n."}, "2 listed, 2 new, 2 delivered, 1 unusable, 2 deleted", []string{"b", "c"}},
		{"R2449-2/UIDL is not announced", replies{"CAPA": "+OK\r\nUSER\r\nTOP\r\n."}, all, []string{"a", "b", "c"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), letter("b"), letter("c"))
			hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
				if reply, odd := test.replies[cmd]; odd {
					return poptest.Reply([]byte(reply + "\r\n"))
				}
				return poptest.Action{}
			})
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			r.runs(test.outcome)
			r.has(test.recorded...)
			left := 3 - len(test.recorded)
			if got := server.Drop("").UniqueIDs(); len(got) != left {
				t.Errorf("the maildrop holds %q, want %d messages", got, left)
			}
			if strings.Contains(test.outcome, "unusable") {
				r.warned("a usable number, size or unique-id")
			}
			server.CheckRules(t)
		})
	}
}

// Some listings prove that numbers and messages do not belong together, or cannot be told apart.
// They end the run before any RETR or DELE.
func TestListing_fatal(t *testing.T) {
	t.Parallel()
	isProtocol := func(err error) bool {
		var protocol *pop3.ProtocolError
		return errors.As(err, &protocol)
	}
	isReply := func(err error) bool {
		var reply *pop3.ReplyError
		return errors.As(err, &reply) && reply.Command == "UIDL"
	}
	for _, test := range []struct {
		name, command, reply string
		is                   func(error) bool
	}{
		{"C0011/number repeated in UIDL", "UIDL", "+OK\r\n1 a\r\n2 b\r\n2 c\r\n.", isProtocol},
		{"C0011/number repeated in LIST", "LIST", "+OK\r\n1 10\r\n2 10\r\n2 10\r\n.", isProtocol},
		{"C0037/UIDL refused", "UIDL", "-ERR no such command", isReply},
		{"C0020/line too long", "LIST", "+OK\r\n1 " + strings.Repeat("1", 9000) + "\r\n.", isProtocol},
		{"V0001/foreign reply", "UIDL", "250 OK", isProtocol},
		{"C0020/reply behind the end", "UIDL", "+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n+OK and more", isProtocol},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), letter("b"), letter("c"))
			hook(server, on(test.command, poptest.Reply([]byte(test.reply+"\r\n"))))
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			result := r.run()
			if !test.is(result.Err) {
				t.Errorf("Run() = %v, want another cause", result.Err)
			}
			if test.command != "UIDL" || !strings.Contains(test.name, "behind") {
				checkFailure(t, result, fetch.PhaseList)
			}
			r.holds()
			r.has()
			server.Wait()
			checkCount(t, server, "DELE", 0)
			if got := server.Drop("").UniqueIDs(); len(got) != 3 {
				t.Errorf("the maildrop holds %q, want all", got)
			}
			server.CheckRules(t)
		})
	}
}

// TestNumbers shows that a run sends the listing commands without an argument, and those for one
// message with it.
func TestNumbers(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"))
	r := newRig(t, server.Addr())
	r.runs("2 listed, 2 new, 2 delivered")
	r.account.Delete.Enabled = true // known from the run before: TOP shows what is deleted
	r.runs("2 listed, 2 deleted")
	sent := strings.Join(append(commands(t, server, 1), commands(t, server, 2)...), "|")
	for _, test := range []struct {
		name, command string
		count         int
	}{
		{"C0015/STAT", "STAT", 2}, {"V0003/LIST", "LIST", 2}, {"V0007/UIDL", "UIDL", 2}, {"V0004/RETR", "RETR 1", 1}, {"V0004/RETR once", "RETR", 2},
		{"C0032/TOP", "TOP 1 0", 1}, {"C0024/DELE", "DELE 2", 1}, {"C0012/QUIT", "QUIT", 2}, {"V0006/RSET", "RSET", 0},
		{"C0019/LIST with a number", "LIST 1", 0}, {"C0036/UIDL with a number", "UIDL 1", 0}, {"C0029/NOOP when busy", "NOOP", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := 0
			for _, command := range strings.Split(sent, "|") {
				if command == test.command || strings.HasPrefix(command, test.command+" ") {
					got++
				}
			}
			if got != test.count {
				t.Errorf("%s was sent %d times, want %d: %s", test.command, got, test.count, sent)
			}
		})
	}
	server.CheckRules(t)
}

// The replies to TOP may be longer than asked for. It does not matter that servers may mark
// messages as seen (C0034).
func TestTop(t *testing.T) {
	t.Parallel()
	whole := letter("a")
	for _, test := range []struct {
		name   string
		action poptest.Action
		want   string
	}{
		{"C0034/whole body", poptest.Reply(append([]byte("+OK\r\n"), poptest.Stuff(whole.Content)...)), "1 listed, 1 deleted"},
		{"C0034/no blank line", poptest.Reply([]byte("+OK\r\nMessage-ID: <a@example.org>\r\nSubject: a\r\n.\r\n")), "1 listed, 1 deleted"},
		{"C0034/nothing", poptest.Reply([]byte("+OK\r\n.\r\n")), "1 listed, 1 new, 1 recognised, 1 deleted"}, // it shows nothing: the octets decide
		{"C0032/refused", poptest.Refuse("no such command"), "1 listed, 1 new, 1 recognised, 1 deleted"},     // the octets decide
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, whole)
			hook(server, on("TOP", test.action))
			r := newRig(t, server.Addr())
			r.runs("1 listed, 1 new, 1 delivered")
			r.account.Delete.Enabled = true
			r.runs(test.want)
			if left := server.Drop("").UniqueIDs(); !slices.Equal(left, nil) {
				t.Errorf("the maildrop holds %q, want nothing", left)
			}
			server.CheckRules(t)
		})
	}
}
