package poptest

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Misdeeds makes a [Config.Hook] from a script. Each line says how the server answers one command.
// The line begins with the client's whole line or its first words. "greeting" means the greeting,
// and * means anything. The first matching line counts.
//
//	STAT: +OK 3 9 and more       answer this and CRLF instead; | means CRLF
//	UIDL- +OK|1 a|2 b            answer this, without a line end
//	RETR 2 (cut 60)              change the true reply
//	LIST (pieces 1): +OK|1 9|.   change this reply
//
// The changes in parentheses are separated by commas:
//
//	cut 60, reset 60, stall 60   after 60 octets send FIN, send RST, or fall silent; without a
//	                             number: after the reply
//	delay 50ms                   wait first
//	pieces 1                     send one octet with each write
//	pause 50ms                   wait after each piece
//	endless x|                   after the reply send this again and again; must be the last
//	carried                      carry the command out, although the reply is replaced
//	void                         do not carry the command out
//	once                         only the first time
//
// Blanks before a line are dropped, blanks at its end are not. The escapes are those of [Dialogue].
func Misdeeds(t TB, script string) func(*Session, string) Action {
	t.Helper()
	var mu sync.Mutex
	var all []*misdeed
	for line := range strings.Lines(script) {
		line = strings.TrimLeft(strings.TrimSuffix(line, "\n"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		m, err := parseMisdeed(line)
		if err != nil {
			t.Fatalf("misdeed %q: %v", line, err)
		}
		all = append(all, m)
	}
	return func(_ *Session, cmd string) Action {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range all {
			if m.fits(cmd) {
				m.done++
				return m.action
			}
		}
		return Action{}
	}
}

// misdeed is one line of a script.
type misdeed struct {
	command string
	action  Action
	once    bool
	done    int
}

func (m *misdeed) fits(cmd string) bool {
	if m.once && m.done > 0 {
		return false
	}
	return m.command == "*" || m.command == cmd || m.command != "" && strings.HasPrefix(cmd, m.command+" ")
}

var misdeedPattern = regexp.MustCompile(`^([^():-]*?) *(?:\((.*?)\))?(?:([:-])(?: (.*))?)?$`)

func parseMisdeed(line string) (*misdeed, error) {
	parts := misdeedPattern.FindStringSubmatch(line)
	if parts == nil {
		return nil, fmt.Errorf("want COMMAND (CHANGE, ...): REPLY")
	}
	m := &misdeed{command: parts[1]}
	if m.command == "greeting" {
		m.command = ""
	}
	if parts[3] != "" {
		reply, err := replyOf(parts[4])
		if err != nil {
			return nil, err
		}
		if parts[3] == ":" {
			reply = append(reply, "\r\n"...)
		}
		m.action.Reply = reply
	}
	rest := parts[2]
	for rest != "" {
		var what string
		what, rest, _ = strings.Cut(rest, ", ")
		if word, _ := strings.CutPrefix(what, "endless "); word != what {
			if rest != "" {
				word += ", " + rest
			}
			octets, err := replyOf(word)
			if err != nil {
				return nil, err
			}
			m.action.Endless = bytes.Repeat(octets, max(1, 4096/max(1, len(octets))))
			break
		}
		if err := m.do(what); err != nil {
			return nil, fmt.Errorf("%q: %w", what, err)
		}
	}
	return m, nil
}

// replyOf returns the octets of a reply. It replaces escapes, and | by CRLF.
func replyOf(text string) ([]byte, error) {
	reply := []byte{}
	for i, line := range strings.Split(text, "|") {
		if i > 0 {
			reply = append(reply, "\r\n"...)
		}
		octets, err := unescape(line)
		if err != nil {
			return nil, err
		}
		reply = append(reply, octets...)
	}
	return reply, nil
}

var ends = map[string]End{"cut": EndByCut, "reset": EndByReset, "stall": EndByStall}

// do reads one change in parentheses.
func (m *misdeed) do(what string) (err error) {
	word, value, valued := strings.Cut(what, " ")
	a := &m.action
	switch {
	case ends[word] != GoOn:
		a.End, a.At = ends[word], Whole
		if valued {
			a.At, err = strconv.ParseInt(value, 10, 64)
		}
	case word == "delay":
		a.Delay, err = time.ParseDuration(value)
	case word == "pause":
		a.Pause, err = time.ParseDuration(value)
	case word == "pieces":
		a.Pieces, err = strconv.Atoi(value)
	case what == "carried":
		a.Effect = EffectFull
	case what == "void":
		a.Effect = EffectNone
	case what == "once":
		m.once = true
	default:
		err = fmt.Errorf("no such change")
	}
	return err
}
