package fetch_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// silence is a time limit that is soon reached if the server falls silent, but is long for a
// healthy server on a busy machine.
const silence = 400 * time.Millisecond

// TestDialogue plays whole sessions of popfetch, byte for byte.
func TestDialogue(t *testing.T) {
	t.Parallel()
	const first, second = "Subject: a\n\nfirst\n", "Subject: b\n\nsecond\n"
	for _, test := range []struct {
		name, file string
		delete     bool
		outcome    string
		mail       []string
	}{
		{"C0007/order", "C0007-whole-session", true, "2 listed, 2 new, 2 delivered, 2 deleted", []string{"Subject: one\n\nfirst\n", "Subject: two\n\nsecond\n"}},
		{"V0001/lower case", "V0001-lower-case", false, "1 listed, 1 new, 1 delivered", []string{first}},
		{"C0004/blanks", "C0004-blanks", true, "2 listed, 2 new, 2 delivered, 2 deleted", []string{first, second}},
		{"C0005/LF alone", "C0005-lone-lf", false, "1 listed, 1 new, 1 delivered", []string{"Subject: a\n\nfirst\n.\nstill first\n"}},
		{"V0002/dots", "V0002-dots", false, "2 listed, 2 new, 2 delivered, 1 unusable", []string{".\n..\nx\n\n.\n..\n\r.\r\n.first\n", "Subject: b\n\n. second\n"}},
		{"C0031/no sizes", "C0031-no-sizes", true, "2 listed, 2 new, 2 delivered, 2 deleted", []string{first, second}},
		{"C0020/empty maildrop", "C0020-empty", true, "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			script := poptest.DialogueFile(t, filepath.Join("testdata", test.file+".pop"))
			r := newRig(t, script.Addr())
			r.account.Delete.Enabled = test.delete
			r.runs(test.outcome)
			if got := r.mail(); !slices.Equal(got, test.mail) {
				t.Errorf("new/ holds %q, want %q", got, test.mail)
			}
			if strings.HasPrefix(test.name, "C0031") {
				r.warned("does not tell the sizes")
			}
			script.Wait()
		})
	}
}

func TestConnect(t *testing.T) {
	t.Parallel()
	t.Run("C0001/refused", func(t *testing.T) {
		t.Parallel()
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := listener.Addr().String()
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		err = newRig(t, addr).fails(fetch.PhaseOpen, "")
		if !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), addr) {
			t.Errorf("Run() = %v, want ECONNREFUSED and %s", err, addr)
		}
	})
	t.Run("C0001/first address dead", func(t *testing.T) { // the server listens at 127.0.0.1 alone
		t.Parallel()
		server := newServer(t, letter("a"))
		_, port, err := net.SplitHostPort(server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, net.JoinHostPort("localhost", port))
		r.runs("1 listed, 1 new, 1 delivered")
	})
}

// TestGreeting shows that nothing is sent before a complete positive greeting (C0002, C0043).
func TestGreeting(t *testing.T) {
	t.Parallel()
	isReply := func(err error) bool {
		var reply *pop3.ReplyError
		return errors.As(err, &reply) && reply.Code == pop3.CodeInUse && reply.Text == "busy"
	}
	isProtocol := func(err error) bool {
		var protocol *pop3.ProtocolError
		return errors.As(err, &protocol)
	}
	isTimeout := func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
	isCut := func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }
	for _, test := range []struct {
		name, script string
		is           func(error) bool
	}{
		{"C0002/silent", "stall", isTimeout},
		{"C0002/half", "S- +OK he\nstall", isTimeout},
		{"C0002/half and closed", "S- +OK he\nclose", isCut},
		{"C0002/closed", "close", isCut},
		{"C0002/negative", "S: -ERR [IN-USE] busy\nstall", isReply},
		{"C0002/negative and closed", "S: -ERR [IN-USE] busy\nclose", isReply},
		{"C0002/HTTP", "S: HTTP/1.1 400 Bad Request\nstall", isProtocol},
		{"C0002/SMTP", "S: 220 mail.example.org ESMTP\nstall", isProtocol},
		{"C0002/IMAP", "S: * OK ready\nstall", isProtocol},
		{"C0002/endless", "S- +OK " + strings.Repeat("x", 9000) + "\nstall", isProtocol},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			script := poptest.Dialogue(t, test.script)
			r := newRig(t, script.Addr())
			r.account.POP3.GreetingTimeout = silence
			if err := r.fails(fetch.PhaseOpen, ""); !test.is(err) {
				t.Errorf("Run() = %v, want another cause", err)
			}
			script.Wait()
			if got := script.Received(); len(got) > 0 {
				t.Errorf("the client sent %q, want nothing", got)
			}
		})
	}
	t.Run("C0043/late", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "" {
				return poptest.Action{Delay: 300 * time.Millisecond}
			}
			return poptest.Action{}
		})
		newRig(t, server.Addr()).runs("1 listed, 1 new, 1 delivered")
		server.CheckRules(t)
	})
}

// If a command gets no reply, the run ends after the time limit. Messages delivered by then stay
// delivered.
func TestSilence(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, command string
		action        poptest.Action
		phase         fetch.Phase
		outcome       string
	}{
		{"C0005/status line is not ended", "STAT", poptest.Action{Reply: []byte("+OK"), End: poptest.EndByStall, At: poptest.Whole}, fetch.PhaseList, ""},
		{"C0014/CAPA", "CAPA", poptest.Stall(0), fetch.PhaseOpen, ""},
		{"C0014/login", "AUTH PLAIN", poptest.Stall(0), fetch.PhaseLogin, ""},
		{"C0014/LIST", "LIST", poptest.Stall(12), fetch.PhaseList, ""},
		{"C0014/UIDL without end", "UIDL", poptest.Stall(20), fetch.PhaseList, ""},
		{"C0014/third RETR", "RETR 3", poptest.Stall(0), fetch.PhaseRetrieve, "3 listed, 3 new, 2 delivered"},
		{"C0006/dot without CRLF", "RETR 3", poptest.Action{Reply: []byte("+OK\r\nSubject: c\r\n\r\n."), End: poptest.EndByStall, At: poptest.Whole}, fetch.PhaseRetrieve, "3 listed, 3 new, 2 delivered"},
		{"C0014/QUIT", "QUIT", poptest.Action{End: poptest.EndByStall, Effect: poptest.EffectNone}, fetch.PhaseQuit, "3 listed, 3 new, 3 delivered"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), letter("b"), letter("c"))
			hook(server, on(test.command, test.action))
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			limits := r.account.POP3
			r.hurry(silence)
			err := r.fails(test.phase, test.outcome)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Run() = %v, want os.ErrDeadlineExceeded", err)
			}
			if got := len(r.mail()); got != len(r.recorded()) {
				t.Errorf("new/ holds %d messages, want the %d that are recorded", got, len(r.recorded()))
			}
			server.Wait()
			if deleted := server.DeletedIDs(); len(deleted) > 0 {
				t.Errorf("%q are deleted, want nothing", deleted)
			}

			hook(server, nil)
			r.account.POP3 = limits
			if result := r.run(); result.Err != nil {
				t.Errorf("the next run = %v, want no error", result.Err)
			}
			r.holds(letter("a"), letter("b"), letter("c"))
			for id, n := range server.RetrievedIDs() {
				if n != 1 {
					t.Errorf("%s was retrieved %d times, want once", id, n)
				}
			}
			if left := server.Drop("").UniqueIDs(); len(left) > 0 {
				t.Errorf("then the maildrop holds %q, want nothing", left)
			}
			server.CheckRules(t)
		})
	}
}

// A stream that ends inside a line is an error, never a complete line.
func TestClosed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, command, reply string
		phase                fetch.Phase
	}{
		{"C0005/inside a status line", "STAT", "+OK", fetch.PhaseList},
		{"C0005/inside a listing", "UIDL", "+OK\r\n1 a\r\n2 b", fetch.PhaseList},
		{"C0005/inside the end of a listing", "UIDL", "+OK\r\n1 a\r\n2 b\r\n.", fetch.PhaseList},
		{"C0006/inside the end of a message", "RETR 1", "+OK\r\nSubject: a\r\n\r\n.", fetch.PhaseRetrieve},
		{"C0006/without the end of a message", "RETR 1", "+OK\r\nSubject: a\r\n\r\n", fetch.PhaseRetrieve},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), letter("b"))
			hook(server, on(test.command, poptest.Action{Reply: []byte(test.reply), End: poptest.EndByCut, At: poptest.Whole}))
			r := newRig(t, server.Addr())
			want := ""
			if test.phase == fetch.PhaseRetrieve {
				want = "2 listed, 2 new"
			}
			if err := r.fails(test.phase, want); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("Run() = %v, want io.ErrUnexpectedEOF", err)
			}
			r.holds()
			hook(server, nil)
			r.runs("2 listed, 2 new, 2 delivered")
		})
	}
}
