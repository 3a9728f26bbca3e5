package pop3

import (
	"bufio"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// A port that speaks TLS at once waits for the client. After some silence that is found out. A
// server that is only slow is waited for, and gets nothing on that connection.
func TestDial_silence(t *testing.T) {
	server := poptest.NewServer(t, poptest.Maildrop{User: "alice", Password: "secret"})
	for name, mode := range map[string]TLSMode{"R8314-1/none": TLSNone, "R8314-1/starttls": TLSStart} {
		t.Run(name, func(t *testing.T) {
			_, err := Dial(t.Context(), server.TLSAddr(), &Options{TLS: mode, silentAfter: time.Millisecond})
			if !errors.Is(err, ErrImplicitTLS) {
				t.Errorf("Dial() = %v, want %v", err, ErrImplicitTLS)
			}
		})
	}
	t.Run("C0002/slow", func(t *testing.T) {
		addr, got := slowServer(t)
		c := open(t, addr, &Options{TLS: TLSNone, silentAfter: time.Millisecond})
		noError(t, "Quit()", c.Quit(t.Context()))
		if line := <-got; line != "QUIT\r\n" {
			t.Errorf("the slow server got %q, want QUIT", line)
		}
	})
}

// slowServer greets its first connection when the second one, which asks for TLS, has been answered
// in clear. The channel gets what then came over the first one.
func slowServer(t *testing.T) (addr string, got <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	line := make(chan string, 1)
	go func() {
		defer close(line)
		first, err := listener.Accept()
		if err != nil {
			return
		}
		defer first.Close()
		second, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = second.Read(make([]byte, 1024))
		_, _ = io.WriteString(second, "+OK not TLS\r\n")
		_ = second.Close()
		_, _ = io.WriteString(first, "+OK ready\r\n")
		text, _ := bufio.NewReader(first).ReadString('\n')
		line <- text
		_, _ = io.WriteString(first, "+OK\r\n")
	}()
	return listener.Addr().String(), line
}

func TestService(t *testing.T) {
	for greeting, want := range map[string]string{
		"* OK [CAPABILITY IMAP4rev1] ready": "IMAP", "* PREAUTH hello": "IMAP", "* BYE too many": "IMAP", "* PRE": "IMAP", "* ok": "IMAP",
		"220 mail.example.org ESMTP": "SMTP", "220-mail": "SMTP", "554 no service": "SMTP", "220 m": "SMTP",
		"220 ProFTPD Server": "FTP", "HTTP/1.1 400 Bad": "HTTP", "SSH-2.0-OpenSSH": "SSH",
		"": "", "*": "", "22": "", "220": "", "2200": "", "+OK": "", "-ERR": "", "hello": "", "*OK": "",
	} {
		if got := Service([]byte(greeting)); got != want {
			t.Errorf("Service(%q) = %q, want %q", greeting, got, want)
		}
	}
	c, err := Dial(t.Context(), poptest.InClear(poptest.Dialogue(t, "S: * OK ready\n").Addr(), true), plain())
	var foreign *ProtocolError
	if !errors.As(err, &foreign) || foreign.Service != "IMAP" {
		t.Errorf("Dial() = %v, %v, want a ProtocolError of IMAP", c, err)
	}
}
