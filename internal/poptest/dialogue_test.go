package poptest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDialogue(t *testing.T) {
	s := Dialogue(t, `
		# two connections, the second by TLS
		S: +OK ready
		C: USER mrose
		S- +O
		S- K\r\n
		C~ PASS .*
		S: +OK \x41\t\\
		chunk 1
		C: QUIT
		S: +OK bye

		-- connection
		tls
		S: +OK ready
		C: QUIT
		S: +OK bye
		close`)
	c := dial(t, s.Addr())
	if got := c.line(); got != "+OK ready" {
		t.Errorf("greeting: got %q, want %q", got, "+OK ready")
	}
	c.want("+OK", "USER mrose")
	if got, want := c.cmd("PASS secret"), "+OK A\t\\"; got != want {
		t.Errorf("escapes: got %q, want %q", got, want)
	}
	c.want("+OK bye", "QUIT")
	_ = c.c.Close()

	c = dial(t, s.Addr())
	c.startTLS(s.CA().ClientTLS("localhost"))
	c.line()
	c.want("+OK bye", "QUIT")
	if rest, err := c.rest(); rest != "" || err != nil {
		t.Errorf("after close: got %q and %v, want a proper end", rest, err)
	}
	_ = c.c.Close()
	s.Wait()
	if got, want := string(s.Received()), "USER mrose\r\nPASS secret\r\nQUIT\r\nQUIT\r\n"; got != want {
		t.Errorf("Received() = %q, want %q", got, want)
	}
	if got, want := len(s.Connections()), 2; got != want {
		t.Errorf("%d connections recorded, want %d", got, want)
	}
}

// If the client leaves the script in any way, the test fails with the line's number.
func TestDialogue_mismatch(t *testing.T) {
	const script = "S: +OK\nC: QUIT\nS: +OK bye"
	tests := []struct {
		name, script, sent string
		want               string // part of the failure, "" for none
	}{
		{"same", script, "QUIT\r\n", ""},
		{"other line", script, "NOOP\r\n", `line 2: got "NOOP\r\n", want "QUIT\r\n"`},
		{"end", script, "", "line 2: got \"\" and the end of the stream"},
		{"half a line", script, "QUI", "line 2: got \"QUI\" and the end of the stream"},
		{"more", script, "QUIT\r\nNOOP\r\n", `after the last line: got "NOOP\r\n"`},
		{"regexp is anchored", "S: +OK\nC~ QUI", "QUIT\r\n", `line 2: got "QUIT"`},
		{"C0003/bare LF", "S: +OK\nC~ QUIT\\n?", "QUIT\n", "line 2: C0003"},
		{"C0003/8 bit", "S: +OK\nC~ .*", "USER \xe9\r\n", "line 2: C0003"},
		{"C0003/behind stall", "S: +OK\nstall", "QUIT\n", "C0003"},
		{"C0003/lax", "S: +OK\nlax\nC~ .*", "USER \xe9\r\n", ""},
		{"R2449-7/long", "S: +OK\nC~ .*", strings.Repeat("x", 254) + "\r\n", "line 2: R2449-7"},
		{"R2449-7/longest", "S: +OK\nC~ .*", strings.Repeat("x", 253) + "\r\n", ""},
		{"R2449-7/SASL", "S: + \nC~ .*", strings.Repeat("x", 4000) + "\r\n", ""},
		{"missing connection", script + "\n-- connection\nS: +OK", "QUIT\r\n", "connection 2 of 2 was not opened"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrial(t)
			s := Dialogue(tr, tt.script)
			c := dial(t, s.Addr())
			c.line()
			c.send(tt.sent)
			_ = c.c.Close()
			failures := strings.Join(tr.finish(), "\n")
			if tt.want == "" && failures != "" || !strings.Contains(failures, tt.want) {
				t.Errorf("failures: got %q, want %q", failures, tt.want)
			}
		})
	}
}

func TestParseScript(t *testing.T) {
	tests := []struct{ name, script, want string }{
		{"unknown directive", "S: +OK\nfoo", `line 2: "foo": no such directive`},
		{"chunk without number", "chunk", "no such directive"},
		{"chunk with a word", "chunk x", "invalid syntax"},
		{"negative chunk", "chunk -1", "negative"},
		{"pause without unit", "pause 5", "missing unit"},
		{"escape", `S: \q`, `reading the escape at "\\q"`},
		{"regexp", "C~ (", "missing closing"},
		{"certificate", "tls old", "no such certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseScript(tt.script)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parseScript(%q) = %v, want %q", tt.script, err, tt.want)
			}
		})
	}
}

func TestUnescape(t *testing.T) {
	for text, want := range map[string]string{
		"":                 "",
		`a "b" 'c'`:        `a "b" 'c'`,
		`\r\n\t\\\x00\xff`: "\r\n\t\\\x00\xff",
		"ü\xfc":            "ü\xfc",
		`\u00fc`:           "ü",
	} {
		if got, err := unescape(text); string(got) != want || err != nil {
			t.Errorf("unescape(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestDialogueFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pop")
	if err := os.WriteFile(path, []byte("# from a file\nS: +OK\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := dial(t, DialogueFile(t, path).Addr())
	if got := c.line(); got != "+OK" {
		t.Errorf("got %q, want +OK", got)
	}
}

// A connection that is not in the script fails the test.
func TestDialogue_oneTooMany(t *testing.T) {
	tr := newTrial(t)
	s := Dialogue(tr, "S: +OK")
	first := dial(t, s.Addr())
	first.line()
	_ = first.c.Close()
	s.Wait()
	second := dial(t, s.Addr())
	_ = second.c.Close()
	if got := strings.Join(tr.finish(), "\n"); !strings.Contains(got, "more than the 1") {
		t.Errorf("failures: got %q, want one about a connection too many", got)
	}
}

// The client sees the end of the connection as the script says, even if commands are unread.
func TestDialogue_ends(t *testing.T) {
	for _, tt := range []struct {
		directive string
		want      error // nil: the end of the stream
	}{
		{"cut", nil},
		{"close", nil},
		{"reset", errors.New("reset")},
		{"stall", os.ErrDeadlineExceeded},
	} {
		t.Run(tt.directive, func(t *testing.T) {
			s := Dialogue(t, "S: +OK\nC: STAT\n"+tt.directive)
			c := dial(t, s.Addr())
			c.line()
			c.send("STAT\r\nLIST\r\nUIDL\r\n")
			if tt.directive == "stall" {
				_ = c.c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			}
			_, err := c.rest()
			switch {
			case tt.want == nil && err != nil, tt.want != nil && err == nil:
				t.Errorf("end: got %v, want %v", err, tt.want)
			case errors.Is(tt.want, os.ErrDeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded):
				t.Errorf("end: got %v, want %v", err, tt.want)
			}
			_ = c.c.Close()
			s.Wait()
			if got := string(s.Received()); tt.directive != "reset" && got != "STAT\r\nLIST\r\nUIDL\r\n" {
				t.Errorf("Received() = %q, want all three commands", got)
			}
		})
	}
}

// The handshake begins in the middle of the stream. If the client rejects a bad certificate, the
// test does not fail.
func TestDialogue_TLS(t *testing.T) {
	for _, tt := range []struct {
		directive string
		check     func(error) bool
	}{
		{"tls", func(err error) bool { return err == nil }},
		{"tls wrong-name", func(err error) bool { var e x509.HostnameError; return errors.As(err, &e) }},
		{"tls expired", func(err error) bool {
			var e x509.CertificateInvalidError
			return errors.As(err, &e) && e.Reason == x509.Expired
		}},
		{"tls self-signed", func(err error) bool { var e x509.UnknownAuthorityError; return errors.As(err, &e) }},
	} {
		t.Run(tt.directive, func(t *testing.T) {
			s := Dialogue(t, "S: +OK\nC: STLS\nS: +OK\n"+tt.directive)
			c := dial(t, s.Addr())
			c.line()
			c.want("+OK", "STLS")
			secure := tls.Client(c.c, s.CA().ClientTLS("localhost"))
			if err := secure.HandshakeContext(t.Context()); !tt.check(err) {
				t.Errorf("handshake: got %v", err)
			}
			_ = c.c.Close()
			s.Wait()
			if got := string(s.Received()); got != "STLS\r\n" {
				t.Errorf("Received() = %q, want only what is not TLS", got)
			}
		})
	}
}

// Each piece is a segment of its own. A client that reads in time receives them one by one.
func TestDialogue_chunk(t *testing.T) {
	s := Dialogue(t, "chunk 3\nS: +OK ready\nchunk 0\nC: QUIT\nS: +OK bye")
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	all, reads, buffer := "", 0, make([]byte, 100)
	for !strings.HasSuffix(all, "\r\n") {
		n, err := c.Read(buffer)
		if err != nil {
			t.Fatalf("after %q: %v", all, err)
		}
		all, reads = all+string(buffer[:n]), reads+1
	}
	if all != "+OK ready\r\n" {
		t.Errorf("got %q, want %q", all, "+OK ready\r\n")
	}
	t.Logf("%d reads for 4 pieces", reads) // Two may come in one read on a busy machine.
	_, _ = io.WriteString(c, "QUIT\r\n")
	_, _ = io.ReadAll(io.LimitReader(c, 9))
}
