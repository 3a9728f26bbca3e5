package poptest

import (
	"fmt"
	"strings"
)

// Quirk is an odd way in which some servers answer, although they are in step and keep all messages
// whole. A client can live with each of them.
type Quirk struct {
	Name string
	Hook func(*Session, string) Action // for Config.Hook
}

// Quirks returns the known ones. Several may be joined by [Quirky].
func Quirks() []Quirk {
	reply := func(text string) Action { return Reply([]byte(text)) }
	answering := func(command, text string) func(*Session, string) Action {
		return func(_ *Session, cmd string) Action {
			if cmd == command || strings.HasPrefix(cmd, command+" ") {
				return reply(text)
			}
			return Action{}
		}
	}
	// one answers UIDL for one message.
	one := func(answer func(s *Session, n int, m *Message) string) func(*Session, string) Action {
		return func(s *Session, cmd string) Action {
			var n int
			if _, err := fmt.Sscanf(cmd, "UIDL %d", &n); err != nil || s.Message(n) == nil {
				return Action{}
			}
			return reply(answer(s, n, s.Message(n)))
		}
	}
	// all answers a command by a listing.
	all := func(command, begin string, entry func(*Message) string) func(*Session, string) Action {
		return func(s *Session, cmd string) Action {
			if cmd != command {
				return Action{}
			}
			return reply(begin + lines(s, entry))
		}
	}
	return []Quirk{
		{"UIDL n lists everything", one(func(s *Session, _ int, _ *Message) string { return "+OK listing\r\n" + lines(s, uniqueID) })},
		{"UIDL n leaves out the number", one(func(_ *Session, _ int, m *Message) string { return "+OK " + m.UniqueID + "\r\n" })},
		{"UIDL n is refused", one(func(*Session, int, *Message) string { return "-ERR no argument, please\r\n" })},
		{"UIDL begins with an empty line", all("UIDL", "+OK\r\n\r\n", uniqueID)},
		{"an empty line before UIDL", all("UIDL", "\r\n+OK\r\n", uniqueID)},
		{"LIST begins with an empty line", all("LIST", "+OK\r\n\r\n", (*Message).listed)},
		{"LIST announces the double", all("LIST", "+OK\r\n", func(m *Message) string { return fmt.Sprint(2 * m.octets()) })},
		{"LIST announces a tenth", all("LIST", "+OK\r\n", func(m *Message) string { return fmt.Sprint(m.octets() / 10) })},
		{"LIST is refused, with a dot", answering("LIST", "-ERR no\r\n.\r\n")},
		{"TOP is refused", answering("TOP", "-ERR no\r\n")},
		{"TOP is refused, with a dot", answering("TOP", "-ERR no\r\n.\r\n")},
		{"CAPA is refused, with a dot", answering("CAPA", "-ERR no\r\n.\r\n")},
		{"NOOP is refused", answering("NOOP", "-ERR no\r\n")},
		{"NOOP and UIDL n are refused", func(_ *Session, cmd string) Action {
			if cmd == "NOOP" || strings.HasPrefix(cmd, "UIDL ") {
				return reply("-ERR no\r\n")
			}
			return Action{}
		}},
	}
}

func uniqueID(m *Message) string { return m.UniqueID }

// lines returns the lines of a listing of all messages, and its end.
func lines(s *Session, entry func(*Message) string) string {
	var b strings.Builder
	for n := 1; s.Message(n) != nil; n++ {
		fmt.Fprintf(&b, "%d %s\r\n", n, entry(s.Message(n)))
	}
	return b.String() + ".\r\n"
}

// Quirky makes a [Config.Hook] of several quirks. The first one that has an answer to a command
// gives it.
func Quirky(quirks ...Quirk) func(*Session, string) Action {
	return func(s *Session, cmd string) Action {
		for _, q := range quirks {
			if a := q.Hook(s, cmd); a.says() {
				return a
			}
		}
		return Action{}
	}
}
