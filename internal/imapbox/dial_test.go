package imapbox

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// script serves one connection: it says what is given, and answers STARTTLS. It returns the address
// and what a client has sent in clear.
func script(t *testing.T, config *tls.Config, greeting, answer string) (addr string, clear <-chan string) {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listen.Close() })
	said := make(chan string, 1)
	go func() {
		conn, err := listen.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, greeting)
		r := bufio.NewReader(conn)
		line, _ := r.ReadString('\n')
		fmt.Fprint(conn, answer)
		if !strings.Contains(answer, "p0 OK begin") {
			rest, _ := io.ReadAll(r)
			said <- line + string(rest)
			return
		}
		secured := tls.Server(conn, config)
		if secured.Handshake() != nil {
			said <- line
			return
		}
		said <- line
		r = bufio.NewReader(secured)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			tag, command, _ := strings.Cut(strings.TrimSpace(line), " ")
			if command == "CAPABILITY" {
				fmt.Fprint(secured, "* CAPABILITY IMAP4rev1\r\n")
			}
			fmt.Fprintf(secured, "%s OK done\r\n", tag)
		}
	}()
	return listen.Addr().String(), said
}

// Off loopback, nothing but STARTTLS is sent before TLS, and nothing that came before counts after.
func TestOpen_startTLS(t *testing.T) {
	ca := poptest.NewCA(t)
	for name, c := range map[string]struct {
		greeting, answer string
		untrusted        bool // the client does not know the authority
		want             error
	}{
		"good":          {"* OK hello\r\n", "p0 OK begin\r\n", false, nil},
		"more":          {"* OK hello\r\n", "* OK by the way\r\np0 OK begin\r\n", false, nil},
		"not offered":   {"* OK hello\r\n", "p0 BAD what?\r\n", false, ErrUntrusted},
		"not now":       {"* OK hello\r\n", "p0 NO later\r\n", false, ErrUntrusted},
		"PREAUTH":       {"* PREAUTH hello\r\n", "p0 OK begin\r\n", false, ErrUntrusted},
		"goodbye":       {"* BYE full\r\n", "", false, ErrUnreachable},
		"then goodbye":  {"* OK hello\r\n", "* BYE full\r\n", false, ErrUnreachable},
		"injected":      {"* OK hello\r\n", "p0 OK begin\r\nT1 OK you are in\r\n", false, ErrUntrusted},
		"unknown":       {"* OK hello\r\n", "p0 OK begin\r\n", true, ErrUntrusted},
		"endless":       {"* OK " + strings.Repeat("x", 10<<10), "p0 OK begin\r\n", false, ErrProtocol},
		"another tag":   {"* OK hello\r\n", "p00 OK begin\r\n", false, ErrUnreachable},
		"cut off early": {"* OK hel", "", false, ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			addr, clear := script(t, ca.ServerTLS(poptest.Valid), c.greeting, c.answer)
			config := ca.ClientTLS("localhost")
			if c.untrusted {
				config = poptest.NewCA(t).ClientTLS("localhost")
			}
			a := &Account{
				Address: addr, StartTLS: true, strict: true, TLSConfig: config, User: "alice", Mailbox: "INBOX", Timeout: 500 * time.Millisecond,
				Password: func(context.Context) (string, error) { return "secret", nil },
			}
			b, err := Open(t.Context(), a)
			if err == nil {
				b.Close()
			}
			if !errors.Is(err, c.want) {
				t.Errorf("Open() = %v, want %v", err, c.want)
			}
			if got := <-clear; got != "p0 STARTTLS\r\n" && got != "" {
				t.Errorf("the client sent %q in clear, want STARTTLS alone", got)
			}
		})
	}
}

func TestEncodeMailbox(t *testing.T) {
	for name, want := range map[string]string{
		"INBOX":              "INBOX",
		"a&b":                "a&-b",
		"~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-", // RFC 3501 section 5.1.3
		"\U0001f4e7":         "&2D3c5w-",
	} {
		if got := encodeMailbox(name); got != want {
			t.Errorf("encodeMailbox(%q) = %q, want %q", name, got, want)
		}
	}
	if got, want := quote(`a "b" \`), `"a \"b\" \\"`; got != want {
		t.Errorf("quote() = %s, want %s", got, want)
	}
}

func TestReply_marks(t *testing.T) {
	for code, want := range map[string]string{
		"APPENDUID 7 5":               "[]",
		"APPENDUID 7 5:7":             "[{7 5} {7 6} {7 7}]",
		"appenduid 7 5,9,6":           "[{7 5} {7 9} {7 6}]",
		"APPENDUID 7 7:6,9":           "[{7 6} {7 7} {7 9}]",
		"APPENDUID 7 1:4":             "[]",
		"APPENDUID 7 1:4294967295":    "[]",
		"APPENDUID 7 0:2":             "[]",
		"APPENDUID 7 a:c":             "[]",
		"APPENDUID 4294967296 1:3":    "[]",
		"APPENDUID 7":                 "[]",
		"COPYUID 7 1:3":               "[]",
		"APPENDUID 7 1,2,":            "[]",
		"APPENDUID 7 1:2,4294967296":  "[]",
		"APPENDUID 7 1,1:4294967295,": "[]",
	} {
		if got := fmt.Sprint((&reply{code: code}).marks(3)); got != want {
			t.Errorf("marks() of %q = %s, want %s", code, got, want)
		}
	}
}

func TestReadStatus(t *testing.T) {
	for line, want := range map[string]Mark{
		`* STATUS INBOX (UIDNEXT 9 UIDVALIDITY 7)`:                 {7, 9},
		`* status "a (b) {3}" (uidvalidity 7 X (1) UIDNEXT 4)`:     {},
		`* STATUS "a (b)" (MESSAGES 3 UIDVALIDITY 7 UIDNEXT 4444)`: {7, 4444},
		`* STATUS INBOX (UIDNEXT)`:                                 {},
		`* STATUS INBOX`:                                           {},
		`* OK (UIDNEXT 9 UIDVALIDITY 7)`:                           {},
		`* STATUS INBOX (UIDNEXT -1 UIDVALIDITY 4294967296)`:       {},
	} {
		if got := readStatus(line, Mark{}); got != want {
			t.Errorf("readStatus(%q) = %v, want %v", line, got, want)
		}
	}
}

// Text that the server sends may end like a literal, and literals that nobody asked for are dropped.
func TestReadText(t *testing.T) {
	for text, want := range map[string]string{
		"* 1 FETCH (X {3}\r\na\nb)\r\nnext\r\n":             "* 1 FETCH (X {3})",
		"* 1 FETCH (X {1}\r\n\n Y {2}\r\n\r\n)\r\nnext\r\n": "* 1 FETCH (X {1} Y {2})",
		"p1 NO not {3}\r\nnext\r\n":                         "p1 NO not {3}",
		"* OK not {3}\r\nnext\r\n":                          "* OK not {3}",
	} {
		r := bufio.NewReader(strings.NewReader(text))
		got, err := readText(r)
		if next, _ := r.ReadString('\n'); got != want || err != nil || next != "next\r\n" {
			t.Errorf("readText(%q) = %q, %v, and then %q, want %q", text, got, err, next, want)
		}
	}
}
