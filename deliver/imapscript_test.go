package deliver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// imapScript is an IMAP server whose answers a test writes. In an answer, $ stands for the tag. An
// answer that ends in "HANG UP" ends the connection then.
type imapScript struct {
	t    *testing.T
	caps string
	// answer returns the answer to a command, whose literals are left out. "": the usual one.
	answer func(command string, literals []string) string
	// before returns what is said instead of "+", when a literal is announced. It may be nil.
	before func(command string) string
	listen net.Listener

	mu       sync.Mutex
	log      []string
	sessions int
}

const hangUp = "HANG UP"

func newIMAPScript(t *testing.T, caps string) *imapScript {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &imapScript{t: t, caps: caps, listen: listen, answer: func(string, []string) string { return "" }}
	go func() {
		for {
			conn, err := listen.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.sessions++
			s.mu.Unlock()
			go s.serve(conn)
		}
	}()
	t.Cleanup(func() { _ = listen.Close() })
	return s
}

var literalEnd = regexp.MustCompile(`~?\{(\d+)(\+?)\}$`)

func (s *imapScript) serve(conn net.Conn) {
	defer conn.Close()
	say := func(text string) bool {
		text, ends := strings.CutSuffix(text, hangUp)
		_, err := io.WriteString(conn, text)
		return err == nil && !ends
	}
	if !say("* OK hello\r\n") {
		return
	}
	r := bufio.NewReader(conn)
	for {
		var command strings.Builder
		var literals []string
		refused := ""
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimRight(line, "\r\n")
			command.WriteString(line)
			found := literalEnd.FindStringSubmatch(line)
			if found == nil {
				break
			}
			if found[2] == "" {
				if s.before != nil {
					refused = s.before(command.String())
				}
				if refused != "" {
					break
				}
				say("+ go on\r\n")
			}
			octets, _ := strconv.Atoi(found[1])
			literal := make([]byte, octets)
			if _, err := io.ReadFull(r, literal); err != nil {
				return
			}
			literals = append(literals, string(literal))
		}
		tag, rest, _ := strings.Cut(command.String(), " ")
		s.mu.Lock()
		s.log = append(s.log, rest)
		s.mu.Unlock()
		reply := refused
		if reply == "" {
			reply = s.answer(rest, literals)
		}
		if reply == "" {
			reply = s.usual(rest)
		}
		if !say(strings.ReplaceAll(reply, "$", tag)) {
			return
		}
	}
}

func (s *imapScript) usual(command string) string {
	word, _, _ := strings.Cut(command, " ")
	switch word {
	case "CAPABILITY":
		return "* CAPABILITY IMAP4rev1 " + s.caps + "\r\n$ OK done\r\n"
	case "STATUS":
		return "* STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 7)\r\n$ OK done\r\n"
	}
	return "$ OK done\r\n"
}

// commands returns the commands that begin with word, so far.
func (s *imapScript) commands(word string) (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, command := range s.log {
		if strings.HasPrefix(command, word) {
			all = append(all, command)
		}
	}
	return all
}

func (s *imapScript) target() *IMAP {
	m := &IMAP{
		Address: s.listen.Addr().String(), StartTLS: true, User: "alice", Mailbox: "INBOX", Timeout: 10 * time.Second,
		Password: func(context.Context) (string, error) { return "s3cret", nil },
		Notes:    NewFileBook(filepath.Join(s.t.TempDir(), "notes")),
	}
	m.begin()
	s.t.Cleanup(func() {
		m.endSessions()
		_ = m.notes.Close()
	})
	return m
}

// appendAll appends messages in one batch, and returns their verdicts.
func appendAll(t *testing.T, ctx context.Context, m *IMAP, messages ...string) ([]Verdict, []Delivery, error) {
	t.Helper()
	batch := begin(t, m)
	var all []Delivery
	for i, message := range messages {
		d := create(t, batch, token(i))
		write(t, d, []byte(message))
		closeDelivery(t, d)
		all = append(all, d)
	}
	err := batch.Commit(ctx)
	var verdicts []Verdict
	for _, d := range all {
		verdicts = append(verdicts, d.Verdict())
	}
	return verdicts, all, err
}

func wantOutcomes(t *testing.T, verdicts []Verdict, want ...Outcome) {
	t.Helper()
	for i, v := range verdicts {
		if v.Outcome != want[i] {
			t.Errorf("message %d: %+v, want outcome %d", i, v, want[i])
		}
		if v.Outcome != Safe && v.Err == nil {
			t.Errorf("message %d: no error with outcome %d", i, v.Outcome)
		}
	}
}

const (
	goodMail = "Message-ID: <good@example.org>\r\n\r\ngood\r\n"
	poorMail = "Message-ID: <poor@example.org>\r\n\r\npoor\r\n"
)

// What a server refuses is the fault of one message. The answer decides whether it is tried again.
func TestIMAP_refusals(t *testing.T) {
	for _, caps := range []string{"LITERAL+", "LITERAL+ MULTIAPPEND", "LITERAL-", ""} {
		for answer, want := range map[string]Outcome{
			"NO [OVERQUOTA] full":         Deferred,
			"NO [LIMIT] too many":         Deferred,
			"NO [INUSE] later":            Deferred,
			"NO [UNAVAILABLE] later":      Deferred,
			"NO no":                       Deferred,
			"no [toobig] too large":       Refused,
			"NO [CANNOT] never":           Refused,
			"BAD what?":                   Refused,
			"OK [APPENDUID 7 12] it's in": Safe,
			"OK":                          Safe,
		} {
			t.Run(caps+"/"+answer, func(t *testing.T) {
				s := newIMAPScript(t, caps)
				s.answer = func(_ string, literals []string) string {
					for _, l := range literals {
						if strings.Contains(l, "poor") && !(len(literals) > 1 && want == Safe) {
							return "$ " + answer + "\r\n"
						}
					}
					return ""
				}
				m := s.target()
				verdicts, _, err := appendAll(t, t.Context(), m, goodMail, poorMail, goodMail)
				if err != nil {
					t.Fatalf("Commit() = %v, want no error", err)
				}
				wantOutcomes(t, verdicts, Safe, want, Safe)
				all, err := m.notes.All()
				if wanted := 3; err != nil || want != Safe && len(all) != wanted-1 || want == Safe && len(all) != wanted {
					t.Errorf("notes: %v, %v, want those of the messages that the server has", all, err)
				}
				var refusal *Error
				if err := verdicts[1].Err; want != Safe && (!errors.As(err, &refusal) || refusal.Temporary != (want == Deferred)) {
					t.Errorf("Verdict().Err = %v, want an *Error", err)
				}
			})
		}
	}
}

// The server may ask not to get a message before it comes.
func TestIMAP_refusedBefore(t *testing.T) {
	large := "Message-ID: <large@example.org>\r\n\r\n" + strings.Repeat("large\r\n", 1000)
	for _, caps := range []string{"", "LITERAL-", "LITERAL- MULTIAPPEND", "MULTIAPPEND"} {
		t.Run(caps, func(t *testing.T) {
			s := newIMAPScript(t, caps)
			s.before = func(command string) string {
				if strings.Contains(command, fmt.Sprintf("{%d}", len(large))) {
					return "$ NO [TOOBIG] no\r\n"
				}
				return ""
			}
			verdicts, _, err := appendAll(t, t.Context(), s.target(), goodMail, large, goodMail)
			if err != nil {
				t.Fatalf("Commit() = %v, want no error", err)
			}
			wantOutcomes(t, verdicts, Safe, Refused, Safe)
		})
	}
}

// A mailbox that somebody has removed is made again, once.
func TestIMAP_tryCreate(t *testing.T) {
	for _, caps := range []string{"LITERAL+", "LITERAL+ MULTIAPPEND"} {
		for _, made := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", caps, made), func(t *testing.T) {
				s := newIMAPScript(t, caps)
				there := false
				s.answer = func(command string, _ []string) string {
					switch {
					case strings.HasPrefix(command, "CREATE"):
						there = made
					case strings.HasPrefix(command, "APPEND") && !there:
						return "$ NO [TRYCREATE] where?\r\n"
					}
					return ""
				}
				verdicts, _, err := appendAll(t, t.Context(), s.target(), goodMail, poorMail)
				if err != nil {
					t.Fatalf("Commit() = %v, want no error", err)
				}
				if want := map[bool]Outcome{true: Safe, false: Deferred}[made]; verdicts[0].Outcome != want || verdicts[1].Outcome != want {
					t.Errorf("verdicts %+v, want outcome %d", verdicts, want)
				}
				if n := len(s.commands("CREATE")); n != 1 {
					t.Errorf("%d CREATE, want 1", n)
				}
				if n := len(s.commands("SUBSCRIBE")); n != 1 {
					t.Errorf("%d SUBSCRIBE, want 1", n)
				}
			})
		}
	}
}

// A mailbox that cannot be made is the fault of the target.
func TestIMAP_notMade(t *testing.T) {
	s := newIMAPScript(t, "LITERAL+")
	s.answer = func(command string, _ []string) string {
		switch word, _, _ := strings.Cut(command, " "); word {
		case "CREATE":
			return "$ NO [NOPERM] not you\r\n"
		case "APPEND":
			return "$ NO [TRYCREATE] where?\r\n"
		case "STATUS":
			return "$ NO where?\r\n"
		}
		return ""
	}
	m := s.target()
	if err := m.Prepare(t.Context(), false); !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "not you") {
		t.Errorf("Prepare() = %v, want ErrUnfit, and why", err)
	}
	if err := m.Probe(t.Context(), false); err != nil {
		t.Errorf("Probe() = %v, want no error, because a run could make the mailbox", err)
	}
}

// If the connection breaks, what the server has answered counts, and the rest is not known.
func TestIMAP_breaks(t *testing.T) {
	for name, c := range map[string]struct {
		caps, last string
		outcomes   []Outcome
		want       error
	}{
		"goodbye":            {"LITERAL+", "* BYE shutting down\r\n" + hangUp, []Outcome{Safe, Unknown, Unknown}, ErrUnreachable},
		"no word":            {"LITERAL+", hangUp, []Outcome{Safe, Unknown, Unknown}, ErrUnreachable},
		"all at once":        {"LITERAL+ MULTIAPPEND", "* BYE\r\n" + hangUp, []Outcome{Unknown, Unknown, Unknown}, ErrUnreachable},
		"garbage":            {"LITERAL+", "tag soup\r\n", []Outcome{Safe, Unknown, Unknown}, ErrProtocol},
		"waits":              {"", "* BYE\r\n" + hangUp, []Outcome{Safe, Unknown, Unknown}, ErrUnreachable},
		"a line without end": {"LITERAL+", "* OK " + strings.Repeat("x", 1<<20) + hangUp, []Outcome{Safe, Unknown, Unknown}, ErrProtocol},
		"a huge literal":     {"LITERAL+", "* 1 FETCH (X {99999999}\r\n", []Outcome{Safe, Unknown, Unknown}, ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			s := newIMAPScript(t, c.caps)
			s.answer = func(command string, literals []string) string {
				if strings.HasPrefix(command, "APPEND") && (len(literals) > 1 || strings.Contains(literals[0], "poor")) {
					return c.last
				}
				return ""
			}
			m := s.target()
			verdicts, _, err := appendAll(t, t.Context(), m, goodMail, poorMail, poorMail)
			if !errors.Is(err, c.want) {
				t.Errorf("Commit() = %v, want %v", err, c.want)
			}
			wantOutcomes(t, verdicts, c.outcomes...)
			if all, err := m.notes.All(); err != nil || len(all) != 3 {
				t.Errorf("notes: %v, %v, want all three", all, err)
			}
		})
	}
}

// A server that says nothing ends a run after the time limit, and a stop ends it at once.
func TestIMAP_silence(t *testing.T) {
	for _, at := range []string{"CAPABILITY", "LOGIN", "STATUS", "APPEND"} {
		for _, stops := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", at, stops), func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				stop := errors.New("somebody stops it")
				quiet := make(chan bool)
				s := newIMAPScript(t, "LITERAL+")
				s.answer = func(command string, _ []string) string {
					if strings.HasPrefix(command, at) {
						if stops {
							cancel(stop)
						}
						<-quiet
					}
					return ""
				}
				t.Cleanup(func() { close(quiet) })
				m := s.target()
				want := error(ErrUnreachable)
				if stops {
					want = stop
				} else {
					m.account.Timeout = 100 * time.Millisecond
				}
				verdicts, _, err := appendAll(t, ctx, m, goodMail)
				if !errors.Is(err, want) {
					t.Errorf("Commit() = %v, want %v", err, want)
				}
				wantOutcomes(t, verdicts, Unknown)
			})
		}
	}
}

// A session that the server has ended meanwhile is opened anew.
func TestIMAP_idle(t *testing.T) {
	for _, last := range []string{hangUp, "* BYE idle for too long\r\n" + hangUp, "* 3 EXISTS\r\n"} {
		t.Run(last, func(t *testing.T) {
			s := newIMAPScript(t, "LITERAL+")
			s.answer = func(command string, _ []string) string {
				if strings.HasPrefix(command, "APPEND") {
					return "$ OK done\r\n" + last
				}
				return ""
			}
			m := s.target()
			for range 2 {
				verdicts, _, err := appendAll(t, t.Context(), m, goodMail)
				if err != nil {
					t.Fatalf("Commit() = %v, want no error", err)
				}
				wantOutcomes(t, verdicts, Safe)
				time.Sleep(110 * time.Millisecond) // longer than a session may be unused without a look
			}
			want := 1
			if strings.HasSuffix(last, hangUp) {
				want = 2
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.sessions != want {
				t.Errorf("%d sessions, want %d", s.sessions, want)
			}
		})
	}
}

// What the server would not take is not sent.
func TestIMAP_unfit(t *testing.T) {
	large := "Message-ID: <large@example.org>\r\n\r\n" + strings.Repeat("large\r\n", 1000)
	for name, c := range map[string]struct {
		caps, message string
		want          Outcome
	}{
		"APPENDLIMIT":    {"LITERAL+ APPENDLIMIT=5000", large, Refused},
		"small enough":   {"LITERAL+ APPENDLIMIT=5000", goodMail, Safe},
		"without BINARY": {"LITERAL+", "a\x00b\r\n", Refused},
		"with BINARY":    {"LITERAL+ BINARY", "a\x00b\r\n", Safe},
	} {
		t.Run(name, func(t *testing.T) {
			s := newIMAPScript(t, c.caps)
			verdicts, _, err := appendAll(t, t.Context(), s.target(), c.message)
			if err != nil {
				t.Fatalf("Commit() = %v, want no error", err)
			}
			wantOutcomes(t, verdicts, c.want)
			all := s.commands("APPEND")
			if (len(all) == 1) != (c.want == Safe) {
				t.Errorf("sent %q, want nothing that is refused", all)
			}
			if strings.Contains(c.message, "\x00") && len(all) > 0 && !strings.Contains(all[0], "~{") {
				t.Errorf("sent %q, want a literal8", all)
			}
		})
	}
}

// The notes are on the disk before the first octet of a message is sent. They go when the messages
// have their records, and nothing else is on its way.
func TestIMAP_notes(t *testing.T) {
	s := newIMAPScript(t, "LITERAL+ MULTIAPPEND UIDPLUS")
	m := s.target()
	noted := 0
	s.answer = func(command string, literals []string) string {
		if !strings.HasPrefix(command, "APPEND") {
			return ""
		}
		text, _ := os.ReadFile(m.Notes.(*FileBook).Path())
		for i := range literals {
			noted += strings.Count(string(text), token(i).String())
		}
		m.Recorded(token(9)) // of another batch, while this one is sent
		if _, found, err := m.notes.Get(token(9)); err != nil || !found && len(s.commands("APPEND")) == 1 {
			t.Errorf("the note of another batch: %v, %v, want it to stay while this one is sent", found, err)
		}
		return "$ OK [APPENDUID 7 5,9] done\r\n"
	}
	if err := m.notes.Put(map[Token]imapNote{token(9): {}}); err != nil {
		t.Fatal(err)
	}
	_, all, err := appendAll(t, t.Context(), m, goodMail, poorMail)
	if err != nil || noted != 2 {
		t.Errorf("Commit() = %v with %d notes before it was sent, want 2", err, noted)
	}
	for i, want := range []string{"7:5", "7:9"} {
		if got := all[i].Receipt().Places[0].Name; got != want {
			t.Errorf("message %d is at %q, want %q", i, got, want)
		}
	}
	if got, err := m.notes.All(); err != nil || len(got) != 2 || got[token(0)].UIDNext != 1 || got[token(0)].UIDValidity != 7 {
		t.Errorf("notes: %+v, %v, want those of two messages", got, err)
	}
	m.Recorded(token(0), token(1))
	if _, _, err = appendAll(t, t.Context(), m, goodMail, poorMail); err != nil {
		t.Fatal(err)
	}
	if got, err := m.notes.All(); err != nil || len(got) != 2 || got[token(0)].UIDNext != 10 {
		t.Errorf("notes: %+v, %v, want the mark behind the first two messages", got, err)
	}
}

// A log-in that is refused says so, and never shows the password.
func TestIMAP_login(t *testing.T) {
	for name, c := range map[string]struct {
		caps, answer string
		want         error
		text         string
	}{
		"wrong":       {"", "$ NO [AUTHENTICATIONFAILED] s3cret is wrong\r\n", ErrLogin, "*** is wrong"},
		"unavailable": {"", "$ NO [UNAVAILABLE] later\r\n", ErrUnreachable, "later"},
		"goodbye":     {"", "* BYE go away\r\n" + hangUp, ErrUnreachable, ""},
		"disabled":    {"LOGINDISABLED AUTH=CRAM-MD5", "", ErrLogin, "CRAM-MD5"},
		"garbage":     {"", "\x1b[2J what\r\n", ErrUnreachable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newIMAPScript(t, c.caps)
			s.answer = func(command string, _ []string) string {
				if strings.HasPrefix(command, "LOGIN") {
					return c.answer
				}
				return ""
			}
			m := s.target()
			err := m.Prepare(t.Context(), true)
			switch {
			case !errors.Is(err, c.want):
				t.Errorf("Prepare() = %v, want %v", err, c.want)
			case strings.Contains(err.Error(), "s3cret"), strings.Contains(err.Error(), "\x1b"), !strings.Contains(err.Error(), c.text):
				t.Errorf("Prepare() = %q, want %q in it, and no password", err, c.text)
			}
		})
	}
}

// Without a server, or with one that nobody vouches for, nothing is sent.
func TestIMAP_unreachable(t *testing.T) {
	s := newIMAPScript(t, "")
	m := s.target()
	_ = s.listen.Close()
	if err := m.Prepare(t.Context(), true); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Prepare() = %v, want ErrUnreachable", err)
	}
	ca := poptest.NewCA(t)
	listen, err := tls.Listen("tcp", "127.0.0.1:0", ca.ServerTLS(poptest.Valid))
	if err != nil {
		t.Fatal(err)
	}
	defer listen.Close()
	go func() {
		for {
			conn, err := listen.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}
	}()
	m = s.target()
	m.account.Address, m.account.StartTLS = listen.Addr().String(), false
	if err := m.Prepare(t.Context(), true); !errors.Is(err, ErrUntrusted) {
		t.Errorf("Prepare() = %v, want ErrUntrusted", err)
	}
}
