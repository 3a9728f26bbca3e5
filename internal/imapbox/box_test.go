package imapbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// openScript opens a session with a server that answers FETCH in this way and hangs up then.
func openScript(t *testing.T, fetch string) *Box {
	t.Helper()
	b, err := Open(t.Context(), &Account{
		Address: serveScript(t, "hello", "", fetch), StartTLS: true, User: "alice", Mailbox: "INBOX",
		Timeout: 5 * time.Second, Password: func(context.Context) (string, error) { return "secret", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// serveScript serves one session and returns where. The server has more capabilities than it must
// have, and tells them when it is asked.
func serveScript(t *testing.T, greeting, more, fetch string) (address string) {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listen.Close() })
	go func() {
		conn, err := listen.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "* OK %s\r\n", greeting)
		for r := bufio.NewScanner(conn); r.Scan(); {
			tag, command, _ := strings.Cut(r.Text(), " ")
			switch {
			case command == "CAPABILITY":
				fmt.Fprintf(conn, "* CAPABILITY IMAP4rev1%s\r\n", more)
			case strings.Contains(command, "FETCH"):
				fmt.Fprint(conn, fetch)
				return
			}
			fmt.Fprintf(conn, "%s OK done\r\n", tag)
		}
	}()
	return listen.Addr().String()
}

// A greeting may tell only some of the capabilities. So the server is asked for them all the same.
func TestOpen_greeting(t *testing.T) {
	address := serveScript(t, "[CAPABILITY IMAP4rev1] hello", " SASL-IR AUTH=XOAUTH2", "")
	b, err := Open(t.Context(), &Account{
		Address: address, StartTLS: true, User: "alice", Mailbox: "INBOX", Timeout: 5 * time.Second,
		Token: func(context.Context) (string, error) { return "secret", nil },
	})
	if err != nil {
		t.Fatalf("Open() = %v, want a log-in by the mechanism that CAPABILITY tells", err)
	}
	b.Close()
}

// A message counts only when it came whole. An error of the reader ends the session.
func TestFetch_cut(t *testing.T) {
	for name, c := range map[string]struct {
		fetch string
		fails bool
		want  error
	}{
		"cut":               {"* 1 FETCH (UID 1 BODY[] {10}\r\nabc", false, ErrUnreachable},
		"no end":            {"* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n", false, ErrUnreachable},
		"garbage":           {"* 1 FETCH UID 1\r\n", false, ErrUnreachable},
		"nobody can use it": {"* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n", true, io.ErrShortWrite},
	} {
		t.Run(name, func(t *testing.T) {
			b := openScript(t, c.fetch)
			err := b.Fetch(t.Context(), []uint32{1}, func(_ uint32, message io.Reader) error {
				_, err := io.Copy(io.Discard, message)
				if c.fails {
					return io.ErrShortWrite
				}
				return err
			})
			if !errors.Is(err, c.want) {
				t.Errorf("Fetch() = %v, want %v", err, c.want)
			}
		})
	}
}

// A server that sends more than an operation may need is cut off.
func TestBox_tooMuch(t *testing.T) {
	b := openScript(t, "")
	noop := func() error { return b.client.Noop().Wait() }
	if err := b.run(t.Context(), 100, noop); err != nil {
		t.Fatalf("run() = %v, want no error", err)
	}
	if err := b.run(t.Context(), 5, noop); !errors.Is(err, ErrUnreachable) {
		t.Errorf("run() with 5 octets = %v, want ErrUnreachable", err)
	}
	if b.Alive() {
		t.Error("Alive() is true after that, want false")
	}
}
