package pop3

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// script plays a server on loopback. Each line of dialogue is "S: octets" (sent with CRLF), "S- octets" (sent as they are, with
// the escapes of a Go string), "C: line" (awaited) or "cut" (the connection is closed). At the end of the dialogue the server
// waits for the client to close, and anything that it sends before counts as a mistake. The test fails if the client sends
// something else.
func script(t *testing.T, dialogue ...string) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		defer listener.Close()
		conn, err := listener.Accept()
		if err != nil {
			done <- err
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		done <- play(conn, dialogue)
	}()
	t.Cleanup(func() {
		listener.Close()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return listener.Addr().String()
}

func play(conn net.Conn, dialogue []string) error {
	in := bufio.NewReader(conn)
	for _, line := range dialogue {
		kind, text, _ := strings.Cut(line, " ")
		switch kind {
		case "S:":
			if _, err := fmt.Fprintf(conn, "%s\r\n", text); err != nil {
				return err
			}
		case "S-":
			if _, err := conn.Write([]byte(unescape(text))); err != nil {
				return err
			}
		case "C:":
			got, err := in.ReadString('\n')
			if want := text + "\r\n"; got != want {
				return fmt.Errorf("client sent %q (%v), want %q", got, err, want)
			}
		case "cut":
			return nil
		default:
			return fmt.Errorf("unknown line %q", line)
		}
	}
	if got, err := in.ReadString('\n'); got != "" {
		return fmt.Errorf("client sent %q (%v), want nothing more", got, err)
	}
	return nil
}

var unescape = strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\0`, "\x00", `\t`, "\t").Replace

// plain are the options of a session without TLS, with time limits that a test can wait for.
func plain() *Options {
	const limit = 10 * time.Second
	return &Options{TLS: TLSNone, DialTimeout: limit, GreetingTimeout: limit, ReplyTimeout: limit, StallTimeout: limit}
}

// dial opens a session without TLS with a script.
func dial(t *testing.T, dialogue ...string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), script(t, dialogue...), plain())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// login is the dialogue of a log-in by USER and PASS with CAPA before it.
func login(capabilities ...string) []string {
	dialogue := []string{"S: +OK ready", "C: CAPA", "S: +OK"}
	for _, capability := range capabilities {
		dialogue = append(dialogue, "S: "+capability)
	}
	return append(dialogue, "S: .", "C: USER alice", "S: +OK", "C: PASS secret", "S: +OK")
}

// logged opens a session in TRANSACTION state, whose dialogue goes on as told.
func logged(t *testing.T, capabilities []string, dialogue ...string) *Client {
	t.Helper()
	c := dial(t, append(login(capabilities...), dialogue...)...)
	if _, err := c.Capa(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.User(t.Context(), "alice", "secret"); err != nil {
		t.Fatal(err)
	}
	return c
}
