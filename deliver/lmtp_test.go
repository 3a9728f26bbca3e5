package deliver

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
)

// mailServer is a server of go-smtp that takes everything.
type mailServer struct {
	network, address string

	mu        sync.Mutex
	arrived   []string // messages with lines that end in LF, one for each recipient
	envelopes []string
	sessions  int
}

// serveMail starts a server on a Unix socket or on TCP, which ends with the test.
func serveMail(t *testing.T, protocol Protocol, network string) *mailServer {
	t.Helper()
	m := &mailServer{network: network, address: "127.0.0.1:0"}
	if network == "unix" {
		dir, err := os.MkdirTemp("", "lmtp-") // a short path
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		m.address = filepath.Join(dir, "socket")
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), network, m.address)
	if err != nil {
		t.Fatal(err)
	}
	m.address = listener.Addr().String()
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.sessions++
		return &mailSession{server: m}, nil
	}))
	server.Domain, server.LMTP, server.EnableSMTPUTF8 = "test", protocol == LMTPProtocol, true
	server.ErrorLog = log.New(io.Discard, "", 0)
	server.MaxLineLength = 4 << 20
	go server.Serve(listener) //nolint:errcheck // it ends when it is closed
	t.Cleanup(func() { _ = server.Close() })
	return m
}

// mailSession is one session of such a server.
type mailSession struct {
	server *mailServer
	from   string
	to     []string
}

func (s *mailSession) Mail(from string, options *smtp.MailOptions) error {
	s.from = "<" + from + ">"
	if options.UTF8 {
		s.from += " SMTPUTF8"
	}
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	var text bytes.Buffer
	w := newLineWriter(&text)
	defer w.release()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	if _, err := w.finish(); err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	for range s.to {
		s.server.arrived = append(s.server.arrived, text.String())
	}
	s.server.envelopes = append(s.server.envelopes, s.from+" "+strings.Join(s.to, " "))
	return nil
}

func (s *mailSession) Reset()        { s.from, s.to = "", nil }
func (s *mailSession) Logout() error { return nil }

// An SMTP server off loopback would get the mail in clear.
func TestCheckSMTPAddress(t *testing.T) {
	for _, c := range []struct {
		network, address string
		local            bool
	}{
		{"tcp", "localhost:25", true},
		{"tcp", "127.0.0.1:25", true},
		{"tcp", "[::1]:25", true},
		{"unix", "/run/socket", true},
		{"tcp", "mail.example.org:25", false},
		{"tcp", "192.0.2.1:25", false},
		{"tcp", "localhost", false},
	} {
		if err := CheckSMTPAddress(c.network, c.address); errors.Is(err, ErrNotLocal) == c.local || (err == nil) != c.local {
			t.Errorf("CheckSMTPAddress(%q, %q) = %v, want an error: %t", c.network, c.address, err, !c.local)
		}
		target := &LMTP{Protocol: SMTPProtocol, Network: c.network, Address: c.address}
		if _, err := target.Begin(t.Context()); errors.Is(err, ErrNotLocal) == c.local {
			t.Errorf("Begin() for %q = %v, want an error: %t", c.address, err, !c.local)
		}
	}
	lmtp := &LMTP{Network: "tcp", Address: "192.0.2.1:24"}
	if _, err := lmtp.Begin(t.Context()); err != nil {
		t.Errorf("Begin() for LMTP off loopback = %v, want no error", err)
	}
}

// Each message goes to the recipients of the configuration, or of its header, or to the user.
func TestLMTP_envelopes(t *testing.T) {
	none, named := "", "me@example.org"
	long := strings.Repeat("x", 253) + "@x"
	for _, c := range []struct {
		name       string
		recipients []string
		mailFrom   *string
		env        Envelope
		message    string
		want       string
		notes      int
	}{
		{"user", nil, nil, Envelope{User: "mrose@example.org"}, "Subject: s\r\n\r\n", "<> mrose@example.org", 0},
		{"recipient", nil, nil, Envelope{User: "mrose@example.org", Recipient: "a@example.org"}, "", "<> a@example.org", 0},
		{"configured", []string{"b@b", "c@c", "b@b"}, &named, Envelope{User: "mrose@example.org", Recipient: "a@example.org"},
			"Return-Path: <x@example.org>\r\n", "<me@example.org> b@b c@c", 0},
		{"return path", nil, nil, Envelope{User: "mrose@example.org"}, "A: b\r\nReturn-Path:\r\n <x@example.org>\r\n", "<x@example.org> mrose@example.org", 0},
		{"empty return path", nil, nil, Envelope{User: "mrose@example.org"}, "Return-Path: <>\r\n", "<> mrose@example.org", 0},
		{"no mail_from", nil, &none, Envelope{User: "mrose@example.org"}, "Return-Path: <x@example.org>\r\n", "<> mrose@example.org", 0},
		{"unusable return path", nil, nil, Envelope{User: "mrose@example.org"}, "Return-Path: <a b>\r\n", "<> mrose@example.org", 1},
		{"return path with control", nil, nil, Envelope{User: "mrose@example.org"}, "Return-Path: <a\x01b>\r\n", "<> mrose@example.org", 1},
		{"long return path", nil, nil, Envelope{User: "mrose@example.org"}, "Return-Path: <" + long + ">\r\n", "<> mrose@example.org", 1},
		{"longest return path", nil, nil, Envelope{User: "mrose@example.org"}, "Return-Path: <" + long[1:] + ">\r\n", "<" + long[1:] + "> mrose@example.org", 0},
		{"unusable recipient", nil, nil, Envelope{User: "mrose@example.org", Recipient: "a> b"}, "", "<> mrose@example.org", 1},
		{"UTF-8", nil, nil, Envelope{User: "mrose@example.org", Recipient: "\u00e4@example.org"}, "", "<> SMTPUTF8 \u00e4@example.org", 0},
		{"not UTF-8", nil, nil, Envelope{User: "mrose@example.org"}, "Return-Path: <\xe4@example.org>\r\n", "<> mrose@example.org", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := serveMail(t, SMTPProtocol, "unix")
			var notes []string
			target := &LMTP{Protocol: SMTPProtocol, Network: "unix", Address: server.address,
				Recipients: c.recipients, MailFrom: c.mailFrom, Note: func(text string) { notes = append(notes, text) }}
			for range 2 {
				c.env.Token = token(1)
				if err := give(t, target, c.env, c.message); err != nil {
					t.Errorf("the message was not taken: %v", err)
				}
			}
			if want := []string{c.want, c.want}; !slices.Equal(server.envelopes, want) {
				t.Errorf("envelopes %q, want %q", server.envelopes, want)
			}
			if len(notes) != c.notes {
				t.Errorf("notes %q, want %d", notes, c.notes)
			}
			if server.sessions != 1 {
				t.Errorf("%d connections, want one for both messages", server.sessions)
			}
		})
	}
}

// Without a name for the recipient the message waits for a person.
func TestLMTP_nobody(t *testing.T) {
	server := serveMail(t, LMTPProtocol, "unix")
	err := give(t, &LMTP{Network: "unix", Address: server.address}, Envelope{User: "M Rose"}, "")
	var refusal *Error
	if !errors.As(err, &refusal) || !refusal.Temporary || !errors.Is(err, errNobody) {
		t.Errorf("a message without recipient: %v, want it deferred and why", err)
	}
}

// give gives a message to a server. It returns nil if the message is Safe, or else the reason.
func give(t *testing.T, target *LMTP, env Envelope, message string) error {
	t.Helper()
	batch := begin(t, target)
	d, err := batch.Create(t.Context(), env)
	if err != nil {
		t.Fatalf("Create() = %v, want no error", err)
	}
	write(t, d, []byte(message))
	closeDelivery(t, d)
	commitErr := batch.Commit(t.Context())
	verdict := d.Verdict()
	want := Unknown
	var refusal *Error
	switch {
	case verdict.Err == nil:
		want = Safe
	case errors.As(verdict.Err, &refusal) && refusal.Temporary:
		want = Deferred
	case refusal != nil:
		want = Refused
	}
	if verdict.Outcome != want || (commitErr != nil) != (want == Unknown) {
		t.Errorf("Commit() = %v, Verdict() = %+v, want outcome %d and an error only of the target", commitErr, verdict, want)
	}
	return verdict.Err
}

// The data that a server gets is the message with a second dot wherever a line may begin with one.
func TestDataWriter(t *testing.T) {
	for message, want := range map[string]string{
		"":                      "",
		".":                     "..",
		"a.b\r\n.\r\n":          "a.b\r\n..\r\n",
		".\r\n..\r\n":           "..\r\n...\r\n",
		"a\n.\r\nQUIT\r\n":      "a\n..\r\nQUIT\r\n",
		"a\n.\nQUIT\n":          "a\n..\nQUIT\n",
		"a\r.\r\nb":             "a\r.\r\nb",
		"\n.\n.\n.":             "\n..\n..\n..",
		"a\x00\xff\r\r\n.b\r\n": "a\x00\xff\r\r\n..b\r\n",
	} {
		for cut := range len(message) + 1 {
			var to spool
			w := dataWriter{to: &to}
			for _, piece := range []string{message[:cut], message[cut:]} {
				if err := w.write([]byte(piece)); err != nil {
					t.Fatal(err)
				}
			}
			if got := to.memory.String(); got != want {
				t.Errorf("%q, cut at %d: %q, want %q", message, cut, got, want)
			}
			ends := strings.HasSuffix(message, "\r\n")
			eight := strings.Contains(message, "\xff")
			if w.octets != int64(len(message)) || w.endsLine != ends || w.eightBit != eight {
				t.Errorf("%q, cut at %d: %d octets, ends a line %t, 8-bit %t", message, cut, w.octets, w.endsLine, w.eightBit)
			}
		}
	}
}
