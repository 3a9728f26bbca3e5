package deliver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What each reply to each command makes of a message with one recipient. After it, the next message
// goes through.
func TestLMTP_replies(t *testing.T) {
	for _, c := range []struct {
		at, reply string
		want      string // the outcome, and codes
	}{
		{"MAIL", "450 4.2.1 later", "deferred 450 4.2.1 at MAIL"},
		{"MAIL", "552 5.3.4 too large", "refused 552 5.3.4 at MAIL"},
		{"MAIL", "nonsense", "deferred"},
		{"RCPT", "450 4.2.1 greylisted", "deferred 450 4.2.1 at RCPT"},
		{"RCPT", "550 5.1.1 nobody", "refused 550 5.1.1 at RCPT"},
		{"RCPT", "421 4.3.2 going down", "deferred 421 4.3.2 at RCPT"},
		{"RCPT", "close", "deferred"},
		{"DATA", "451 4.3.0 no", "deferred 451 4.3.0 at DATA"},
		{"DATA", "554 no", "refused 554 at DATA"},
		{"DATA", "421 bye", "deferred 421 at DATA"},
		{"DATA", "close", "deferred"},
		{"DATA OF", "452 4.2.2 full", "deferred 452 4.2.2 at DATA"},
		{"DATA OF", "552 5.2.2 full", "refused 552 5.2.2 at DATA"},
		{"DATA OF", "421 4.3.2 bye", "deferred 421 4.3.2 at DATA"},
		{"DATA OF", "close", "deferred"},
		{"DATA OF", "silence", "deferred no end within"},
		{"DATA OF", "nonsense", "deferred"},
		{"DATA OF", "251 2.1.5 fine", "safe"},
		{"DATA OF", "25 short", "deferred"},
		{"DATA OF", "250-a\n250-b\n250 c", "safe"},
		{"DATA OF", "250 " + strings.Repeat("x", 3000), "deferred"},
		{"DATA OF", strings.Repeat("250-"+strings.Repeat("x", 1000)+"\n", 100) + "250 end", "deferred the server answers with more than"},
	} {
		for _, protocol := range []Protocol{LMTPProtocol, SMTPProtocol} {
			t.Run(fmt.Sprintf("%v %s %.20q", protocol, c.at, c.reply), func(t *testing.T) {
				t.Parallel()
				odd := true
				server := serveOdd(t, protocol, func(_ int, command string) string {
					isIt := strings.HasPrefix(command, c.at) && (len(command) == len(c.at) || command[len(c.at)] == ' ')
					if isIt && !strings.HasPrefix(command, c.at+" OF") && odd {
						odd = false
						return c.reply
					}
					return ""
				})
				target := server.target(t, "mrose")
				defer target.Disconnect()
				if c.reply == "silence" {
					target.Timeout = 100 * time.Millisecond
				}
				err := give(t, target, Envelope{Token: token(1)}, "Subject: one\r\n\r\n")
				if got := outcomeOf(err); !strings.HasPrefix(got, c.want) {
					t.Errorf("the message is %s, want %s", got, c.want)
				}
				target.Timeout = 0
				if err := give(t, target, Envelope{Token: token(2)}, "Subject: two\r\n\r\n"); err != nil {
					t.Errorf("the next message: %v, want no error", err)
				}
			})
		}
	}
}

// outcomeOf returns the outcome that an error of give stands for, and its cause.
func outcomeOf(err error) string {
	var refusal *Error
	switch {
	case err == nil:
		return "safe"
	case !errors.As(err, &refusal):
		return "unknown " + err.Error()
	case refusal.Temporary:
		return "deferred " + refusal.Err.Error()
	default:
		return "refused " + refusal.Err.Error()
	}
}

// A server that does not greet, or is not there, takes no message. That says nothing about messages.
func TestLMTP_unreachable(t *testing.T) {
	for _, greeting := range []string{"554 5.7.1 no", "421 busy", "close", "nonsense", "silence", "250 wrong",
		strings.Repeat("x", 5000), strings.Repeat("220-x\n", 20_000) + "220 x"} {
		for _, at := range []string{"", "LHLO localhost"} {
			t.Run(fmt.Sprintf("%q %.20q", at, greeting), func(t *testing.T) {
				t.Parallel()
				if at != "" && strings.HasPrefix(greeting, "250") {
					t.Skip("that is right there")
				}
				server := serveOdd(t, LMTPProtocol, func(_ int, command string) string {
					if command == at {
						return greeting
					}
					return ""
				})
				target := server.target(t, "mrose")
				target.Timeout = 5 * time.Second
				if greeting == "silence" {
					target.Timeout = 50 * time.Millisecond
				}
				wantUnreachable(t, target)
			})
		}
	}
	for _, c := range []struct{ network, address string }{
		{"unix", "/nonexistent/socket"}, {"tcp", closedPort(t)}, {"tcp", "name.invalid:24"},
	} {
		wantUnreachable(t, &LMTP{Network: c.network, Address: c.address, Recipients: []string{"mrose"}})
	}
}

// closedPort returns an address at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func wantUnreachable(t *testing.T, target *LMTP) {
	t.Helper()
	for what, call := range map[string]func() error{
		"Prepare()": func() error { return target.Prepare(t.Context(), false) },
		"Probe()":   func() error { return target.Probe(t.Context(), false) },
		"Commit()":  func() error { return give(t, target, Envelope{}, "") },
	} {
		err := call()
		var refusal *Error
		if !errors.Is(err, ErrUnreachable) || errors.As(err, &refusal) {
			t.Errorf("%s = %v, want ErrUnreachable and nothing of a message", what, err)
		}
	}
}

// A server of SMTP where LMTP is expected is told apart before any message.
func TestLMTP_otherProtocol(t *testing.T) {
	server := serveOdd(t, SMTPProtocol, func(_ int, command string) string {
		if strings.HasPrefix(command, "LHLO") {
			return "500 5.5.1 what?"
		}
		return ""
	})
	target := server.target(t, "mrose")
	target.Protocol = LMTPProtocol
	if err := target.Prepare(t.Context(), true); !errors.Is(err, ErrUnreachable) || !errors.Is(err, errOtherProtocol) {
		t.Errorf("Prepare() = %v, want errOtherProtocol", err)
	}
}

// A connection that the server has closed meanwhile is opened again, once a message.
func TestLMTP_idle(t *testing.T) {
	for _, reply := range []string{"close", "421 4.4.2 idle for too long"} {
		server := serveOdd(t, LMTPProtocol, func(connection int, command string) string {
			if connection == 1 && strings.HasPrefix(command, "MAIL") {
				return reply
			}
			return ""
		})
		target := server.target(t, "mrose")
		if err := target.Prepare(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if err := give(t, target, Envelope{}, "one\r\n"); err != nil {
			t.Errorf("a message over a connection that was closed: %v, want no error", err)
		}
		target.Disconnect()
		if got := server.Delivered(); !slices.Equal(got, []string{"one\n"}) || server.Connections() != 2 {
			t.Errorf("%d connections, delivered %q, want two and the message once", server.Connections(), got)
		}
	}
	server := serveOdd(t, LMTPProtocol, func(_ int, command string) string {
		if strings.HasPrefix(command, "MAIL") {
			return "421 4.3.2 not now"
		}
		return ""
	})
	target := server.target(t, "mrose")
	if err := target.Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := give(t, target, Envelope{}, "one\r\n"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a message to a server that closes all connections: %v, want ErrUnreachable", err)
	}
	if server.Connections() != 2 {
		t.Errorf("%d connections, want 2", server.Connections())
	}
}

// Who has a message does not get it again, even if popfetch was started anew. When it is recorded,
// the note is gone.
func TestLMTP_recipients(t *testing.T) {
	for _, c := range []struct {
		name    string
		replies map[string]string // to the first attempt
		want    string
		again   []string // who is asked in the second attempt
	}{
		{"one later", map[string]string{"DATA OF b": "450 4.2.0 later"}, "deferred b: 450 4.2.0 at DATA", []string{"b"}},
		{"one later at RCPT", map[string]string{"RCPT TO:<a>": "450 4.2.0 later"}, "deferred a: 450 4.2.0 at RCPT", []string{"a"}},
		{"one never", map[string]string{"RCPT TO:<c>": "550 5.1.1 no"}, "refused c: 550 5.1.1 at RCPT", []string{"c"}},
		{"never and later", map[string]string{"RCPT TO:<c>": "550 5.1.1 no", "DATA OF a": "452 full"},
			"deferred a: 452 at DATA; c: 550 5.1.1 at RCPT", []string{"a", "c"}},
		{"cut off", map[string]string{"DATA OF b": "close"}, "deferred b: EOF at DATA; c: EOF at DATA", []string{"b", "c"}},
		{"closing", map[string]string{"DATA OF b": "421 4.3.2 bye"},
			"deferred b: 421 4.3.2 at DATA; c: EOF at DATA", []string{"b", "c"}},
		{"refused and cut off", map[string]string{"DATA OF a": "550 5.7.1 no", "DATA OF c": "close"},
			"deferred a: 550 5.7.1 at DATA; c: EOF at DATA", []string{"a", "c"}},
		{"all never", map[string]string{"RCPT TO:<a>": "550 a", "RCPT TO:<b>": "550 b", "RCPT TO:<c>": "550 c"},
			"refused a: 550 at RCPT; b: 550 at RCPT; c: 550 at RCPT", []string{"a", "b", "c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var later atomic.Bool
			server := serveOdd(t, LMTPProtocol, func(_ int, command string) string {
				if later.Load() {
					return ""
				}
				return c.replies[command]
			})
			target := server.target(t, "a", "b", "c")
			if got := outcomeOf(give(t, target, Envelope{Token: token(1)}, "text\r\n")); got != c.want {
				t.Errorf("the message is %s, want %s", got, c.want)
			}
			target.Disconnect()
			later.Store(true)
			again := server.target(t, "a", "b", "c") // a new start
			again.Notes = target.Notes
			if err := give(t, again, Envelope{Token: token(1)}, "text\r\n"); err != nil {
				t.Errorf("the second attempt: %v, want no error", err)
			}
			for _, name := range target.Recipients {
				if n := server.Has(name); n != 1 {
					t.Errorf("%s has it %d times, want once", name, n)
				}
			}
			asked := rcpts(server)
			if got := asked[3:]; !slices.Equal(got, c.again) {
				t.Errorf("the second attempt asked for %q, want %q", got, c.again)
			}
			again.Recorded(token(1))
			if all, err := again.notes.All(); len(all) > 0 || err != nil {
				t.Errorf("notes %v, %v after the record, want none", all, err)
			}
			again.Disconnect()
		})
	}
}

// rcpts returns the recipients that a server was asked for.
func rcpts(server *oddMail) (names []string) {
	for _, command := range server.Commands() {
		if name, found := strings.CutPrefix(command, "RCPT TO:<"); found {
			names = append(names, strings.TrimSuffix(name, ">"))
		}
	}
	return names
}

// If all recipients have a message, for example because the others were taken out of the
// configuration, it is safe without a word to the server.
func TestLMTP_allHave(t *testing.T) {
	server := serveOdd(t, LMTPProtocol, func(_ int, command string) string {
		if command == "RCPT TO:<b>" {
			return "550 5.1.1 no"
		}
		return ""
	})
	target := server.target(t, "a", "b")
	if got := outcomeOf(give(t, target, Envelope{Token: token(1)}, "text\r\n")); !strings.HasPrefix(got, "refused") {
		t.Fatalf("the message is %s, want it refused", got)
	}
	target.Recipients = []string{"a"}
	before := len(server.Commands())
	if err := give(t, target, Envelope{Token: token(1)}, "text\r\n"); err != nil {
		t.Errorf("the message that a has: %v, want no error", err)
	}
	if after := server.Commands()[before:]; len(after) > 0 || server.Has("a") != 1 {
		t.Errorf("sent %q, a has it %d times, want nothing and once", after, server.Has("a"))
	}
	target.Disconnect()
}

// By SMTP a message has one reply for all accepted recipients.
func TestLMTP_smtpRecipients(t *testing.T) {
	first := true
	server := serveOdd(t, SMTPProtocol, func(_ int, command string) string {
		if command == "RCPT TO:<b>" && first {
			return "450 4.2.0 later"
		}
		return ""
	})
	target := server.target(t, "a", "b")
	if got := outcomeOf(give(t, target, Envelope{Token: token(1)}, "")); got != "deferred b: 450 4.2.0 at RCPT" {
		t.Errorf("the message is %s, want it deferred for b", got)
	}
	first = false
	if err := give(t, target, Envelope{Token: token(1)}, ""); err != nil {
		t.Error(err)
	}
	target.Disconnect()
	if server.Has("a") != 1 || server.Has("b") != 1 {
		t.Errorf("a has it %d times, b %d, want each once", server.Has("a"), server.Has("b"))
	}
}

// A message that is cancelled on its way is neither safe nor refused.
func TestLMTP_cancel(t *testing.T) {
	for _, at := range []string{"", "LHLO localhost", "MAIL FROM:<> BODY=8BITMIME SIZE=3", "RCPT TO:<a>", "DATA", "DATA OF a"} {
		t.Run(at, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			server := serveOdd(t, LMTPProtocol, func(_ int, command string) string {
				if command == at {
					cancel()
					return "silence"
				}
				return ""
			})
			target := server.target(t, "a")
			batch := begin(t, target)
			d := create(t, batch, token(1))
			write(t, d, []byte("x\r\n"))
			closeDelivery(t, d)
			if err := batch.Commit(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("Commit() = %v, want context.Canceled", err)
			}
			if got := d.Verdict(); got.Outcome != Unknown || !errors.Is(got.Err, context.Canceled) {
				t.Errorf("Verdict() = %+v, want Unknown", got)
			}
		})
	}
}

// What a server lacks is told once. 8-bit mail goes as it is.
func TestLMTP_extensions(t *testing.T) {
	server := serveOdd(t, LMTPProtocol, func(_ int, command string) string {
		if strings.HasPrefix(command, "LHLO") {
			return "250 test"
		}
		return ""
	})
	var notes []string
	target := server.target(t, "a", "\u00e4@example.org")
	target.Note = func(text string) { notes = append(notes, text) }
	for i := range 2 {
		err := give(t, target, Envelope{Token: token(i)}, "\xe4\r\n")
		if got := outcomeOf(err); got != "deferred \u00e4@example.org: "+errNoUTF8.Error()+" at RCPT" {
			t.Errorf("the message is %s, want it deferred for the address", got)
		}
	}
	target.Disconnect()
	if got := server.Delivered(); !slices.Equal(got, []string{"\xe4\n", "\xe4\n"}) {
		t.Errorf("delivered %q, want both as they were", got)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "8BITMIME") {
		t.Errorf("notes %q, want one", notes)
	}
	if got := server.Commands()[0]; got != "MAIL FROM:<>" {
		t.Errorf("sent %q, want no parameter that the server does not announce", got)
	}
}

// The text of a server is shown escaped. The cause is the same each time.
func TestLMTP_text(t *testing.T) {
	n := 0
	server := serveOdd(t, LMTPProtocol, func(_ int, command string) string {
		if strings.HasPrefix(command, "DATA OF") {
			n++
			return fmt.Sprintf("550-5.7.1 no \x1b[31m\n550 5.7.1 session %d", n)
		}
		return ""
	})
	target := server.target(t, "a")
	defer target.Disconnect()
	var causes []string
	for range 2 {
		err := give(t, target, Envelope{}, "")
		var refusal *Error
		if !errors.As(err, &refusal) {
			t.Fatalf("the message: %v, want an *Error", err)
		}
		causes = append(causes, refusal.Cause())
		if want := fmt.Sprintf(`550 5.7.1 no \x1b[31m\nsession %d`, n); refusal.Output != want {
			t.Errorf("Output = %q, want %q", refusal.Output, want)
		}
	}
	if causes[0] != causes[1] || !strings.HasSuffix(causes[0], ": 550 5.7.1 at DATA") {
		t.Errorf("causes %q, want the codes, and the same text", causes)
	}
}

// A connection that no delivery uses ends with QUIT.
func TestLMTP_disconnect(t *testing.T) {
	server := serveOdd(t, LMTPProtocol, nil)
	target := server.target(t, "a")
	if err := give(t, target, Envelope{}, ""); err != nil {
		t.Fatal(err)
	}
	target.Disconnect()
	if err := target.Probe(t.Context(), false); err != nil {
		t.Errorf("Probe() = %v, want no error", err)
	}
	got := server.Commands()
	if want := []string{"MAIL FROM:<> BODY=8BITMIME SIZE=2", "RCPT TO:<a>", "DATA", "QUIT", "QUIT"}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	if names := files(t, filepath.Dir(target.Notes.(*FileBook).Path())); len(names) > 0 {
		t.Errorf("files %q, want no notes where all went well", names)
	}
}

// A target over others lets them end their connections.
func TestConnected(t *testing.T) {
	for name, over := range map[string]func(l *LMTP) Target{
		"fan": func(l *LMTP) Target {
			return NewFan([]Member{{"a", l}, {"b", Drop{}}}, NewFileBook(filepath.Join(t.TempDir(), "fan")))
		},
		"route":   func(l *LMTP) Target { return NewRoute(Routing{Otherwise: l}) },
		"headers": func(l *LMTP) Target { return NewHeaders([]string{"received"}, l) },
	} {
		server := serveOdd(t, LMTPProtocol, nil)
		target := over(server.target(t, "a"))
		if err := target.Prepare(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if connected, ok := target.(Connected); ok {
			connected.Disconnect()
		}
		if got := server.Commands(); !slices.Equal(got, []string{"QUIT"}) {
			t.Errorf("%s: sent %q, want QUIT", name, got)
		}
	}
}
