package poptest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// CheckRules fails the test for each rule that a client broke in any session so far. The message
// names the clause. The client is judged by the replies that it got, even if a [Config.Hook] made
// them false:
//
//   - C0002 The client sends nothing before the greeting, nor after a negative greeting.
//   - C0003 Commands have only 0x20 to 0x7e and CRLF. User name and password may have other octets
//     after UTF8 (R6856-2).
//   - C0004 There is one space between keyword and arguments, and none at the end.
//   - C0008 Commands of the TRANSACTION state come after login, and commands for login before it.
//   - C0010 The client sends credentials once for each mechanism, by at most two mechanisms. By
//     OAUTHBEARER and XOAUTH2 it may send another token (R7628-1). The forms of SCRAM count as one,
//     and may be tried twice, because a server may know a form of the password for only one.
//   - C0012, C0030 QUIT has no argument and is the last command.
//   - C0015, C0027, R2449-1 STAT, NOOP, CAPA and STLS have no argument.
//   - V0004, C0024, C0032, C0042 RETR, DELE, TOP and USER have all their arguments.
//   - C0024 DELE is sent once for a message.
//   - C0026 No command has the number of a message after its DELE.
//   - C0044, C0045, C0047 PASS comes right after a positive reply to USER, and has its own packet.
//   - R2449-7 A command has at most 255 octets.
//   - R2595-1 Nothing is pipelined after STLS.
//   - R6856-1 UTF8 comes before login, and STLS does not come after UTF8.
//   - V0006 RSET is not sent.
func (s *Server) CheckRules(t TB) {
	t.Helper()
	for _, session := range s.Sessions() {
		for _, breach := range breaches(session.record()) {
			t.Errorf("session %d: %s", session.number, breach)
		}
	}
}

// breaches returns the rules that were broken in one session.
func breaches(exchanges []exchange) []string {
	j := &judge{deleted: make(map[int]bool), tried: make(map[string]int)}
	for i, e := range exchanges {
		switch {
		case i == 0:
			j.greeting(e)
		case e.continuation:
			j.continuation(e)
		default:
			j.command(e)
		}
	}
	return j.found
}

// judge judges the commands of one session, one after the other.
type judge struct {
	found []string

	refused  bool // the greeting was negative
	loggedIn bool
	quit     bool
	utf8     bool
	lastUser exchange // the last command, if it was USER
	deleted  map[int]bool
	tried    map[string]int // mechanisms by which credentials were sent
}

func (j *judge) breach(clause, format string, args ...any) {
	j.found = append(j.found, clause+": "+fmt.Sprintf(format, args...))
}

func (j *judge) greeting(e exchange) {
	if e.ahead {
		j.breach("C0002", "something was sent before the greeting")
	}
	j.refused = !e.positive()
}

func (j *judge) continuation(e exchange) {
	if err := checkCommand(e.line, true); err != nil {
		j.found = append(j.found, err.Error())
	}
	j.settleAuth(e)
}

// settleAuth updates loggedIn at the final reply to AUTH.
func (j *judge) settleAuth(e exchange) {
	if e.reply == "+" || strings.HasPrefix(e.reply, "+ ") {
		return
	}
	j.loggedIn = j.loggedIn || e.positive()
}

func (j *judge) command(e exchange) {
	text := e.command()
	keyword, argument, _ := strings.Cut(text, " ")
	keyword = strings.ToUpper(keyword)
	j.octets(e, keyword)
	j.order(e, keyword, text)
	j.blanks(keyword, argument, text)
	j.arguments(keyword, argument, text)
	j.numbers(keyword, argument, text)
	switch {
	case isLogin(keyword):
		j.login(e, keyword, argument)
	case keyword == "UTF8":
		j.utf8 = j.utf8 || e.positive()
	case keyword == "QUIT":
		j.quit = true
	}
	j.lastUser = exchange{}
	if keyword == "USER" {
		j.lastUser = e
	}
}

func (j *judge) octets(e exchange, keyword string) {
	line := e.line
	if j.utf8 && (keyword == "USER" || keyword == "PASS" || keyword == "APOP") {
		line = bytes.Map(func(r rune) rune { // UTF-8 is allowed here.
			if r >= 0x80 && r != '\uFFFD' {
				return 'x'
			}
			return r
		}, line)
	}
	if err := checkCommand(line, false); err != nil {
		j.found = append(j.found, err.Error())
	}
}

// order judges a command by the state of the session.
func (j *judge) order(e exchange, keyword, text string) {
	if j.refused {
		j.breach("C0002", "%q after a negative greeting", text)
	}
	if j.quit {
		j.breach("C0030", "%q after QUIT", text)
	}
	switch {
	case keyword == "RSET":
		j.breach("V0006", "RSET")
	case keyword == "QUIT" || keyword == "CAPA":
	case isLogin(keyword) || keyword == "STLS" || keyword == "UTF8":
		if j.loggedIn {
			j.breach("C0008", "%s after login", keyword)
		}
	case !j.loggedIn:
		j.breach("C0008", "%q before login", text)
	}
	if e.ahead && (isLogin(keyword) || keyword == "STLS") {
		clause := "C0044"
		if keyword == "STLS" {
			clause = "R2595-1"
		}
		j.breach(clause, "something was sent after %s before its reply", keyword)
	}
	if keyword == "STLS" && j.utf8 {
		j.breach("R6856-1", "STLS after UTF8")
	}
	if keyword == "PASS" && j.lastUser.line == nil {
		j.breach("C0047", "PASS without USER right before it")
	} else if keyword == "PASS" && !j.lastUser.positive() {
		j.breach("C0045", "PASS after a negative reply to USER")
	}
}

// blanks judges the separators. The argument of USER and PASS may contain blanks.
func (j *judge) blanks(keyword, argument, text string) {
	if keyword == "" || strings.ContainsRune(text, '\t') && keyword != "USER" && keyword != "PASS" {
		j.breach("C0004", "%q: a blank at a wrong place", text)
		return
	}
	if keyword == "USER" || keyword == "PASS" {
		return
	}
	if strings.HasSuffix(text, " ") || strings.Contains(text, "  ") {
		j.breach("C0004", "%q: want single spaces and none at the end, argument %q", text, argument)
	}
}

// wantArguments has the number of arguments of each command, and the clause that demands it.
var wantArguments = map[string]struct {
	min, max int
	clause   string
}{
	"QUIT": {0, 0, "C0030"}, "STAT": {0, 0, "C0015"}, "NOOP": {0, 0, "C0027"}, "RSET": {0, 0, "V0006"},
	"CAPA": {0, 0, "R2449-1"}, "STLS": {0, 0, "R2595-1"}, "LIST": {0, 1, "V0003"}, "UIDL": {0, 1, "V0007"},
	"RETR": {1, 1, "V0004"}, "DELE": {1, 1, "C0024"}, "TOP": {2, 2, "C0032"}, "APOP": {2, 2, "V0008"},
	"AUTH": {0, 2, "R5034-1"}, "UTF8": {0, 1, "R6856-1"},
}

func (j *judge) arguments(keyword, argument, text string) {
	if keyword == "USER" && argument == "" {
		j.breach("C0042", "USER without a name")
	}
	want, known := wantArguments[keyword]
	if !known {
		return
	}
	got := len(strings.Fields(argument))
	if got < want.min || got > want.max {
		clause := want.clause
		if keyword == "QUIT" && !j.loggedIn {
			clause = "C0012"
		}
		j.breach(clause, "%q has %d arguments, want %d to %d", text, got, want.min, want.max)
	}
}

// numbers judges the message-numbers of a command.
func (j *judge) numbers(keyword, argument, text string) {
	clauses := map[string]string{"RETR": "V0004", "DELE": "C0024", "TOP": "C0032", "LIST": "V0003", "UIDL": "V0007"}
	clause, has := clauses[keyword]
	if !has || argument == "" {
		return
	}
	for i, field := range strings.Fields(argument) {
		n, err := strconv.Atoi(field)
		if err != nil || n < 0 || i == 0 && n == 0 || strconv.Itoa(n) != field {
			j.breach(clause, "%q: %q is not a valid message-number", text, field)
		}
	}
	n, _ := strconv.Atoi(strings.Fields(argument + " -")[0])
	if j.deleted[n] {
		j.breach("C0026", "%q after DELE %d", text, n)
	}
	if keyword == "DELE" {
		if j.deleted[n] {
			j.breach("C0024", "DELE %d twice", n)
		}
		j.deleted[n] = true
	}
}

// login judges the mechanisms, and updates loggedIn.
func (j *judge) login(e exchange, keyword, argument string) {
	mechanism := keyword
	switch keyword {
	case "USER":
		return
	case "AUTH":
		if argument == "" {
			return
		}
		mechanism, _, _ = strings.Cut(strings.ToUpper(argument), " ")
	}
	most := 1
	if strings.HasPrefix(mechanism, "SCRAM-") {
		mechanism = "SCRAM"
	}
	if mechanism == "OAUTHBEARER" || mechanism == "XOAUTH2" || mechanism == "SCRAM" {
		most = 2
	}
	if j.tried[mechanism]++; j.tried[mechanism] > most {
		j.breach("C0010", "credentials too often by %s", mechanism)
	}
	if len(j.tried) > 2 {
		j.breach("C0010", "credentials by %d mechanisms, want two at most", len(j.tried))
	}
	if keyword == "AUTH" {
		j.settleAuth(e)
		return
	}
	j.loggedIn = e.positive()
}

func isLogin(keyword string) bool {
	switch keyword {
	case "USER", "PASS", "APOP", "AUTH":
		return true
	}
	return false
}
