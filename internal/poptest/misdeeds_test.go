package poptest

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestMisdeeds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, script, send, want string
	}{
		{"reply", `NOOP: +OK done|and more`, "NOOP\r\n", "+OK ready\r\n+OK done\r\nand more\r\n"},
		{"empty line", `NOOP:`, "NOOP\r\n", "+OK ready\r\n\r\n"},
		{"without a line end", `QUIT- +OK`, "QUIT\r\n", "+OK ready\r\n+OK"},
		{"escapes", `QUIT: +OK \x7c\x00\r\xff: (x)`, "QUIT\r\n", "+OK ready\r\n+OK |\x00\r\xff: (x)\r\n"},
		{"true reply in pieces", `QUIT (pieces 1)`, "QUIT\r\n", "+OK ready\r\n+OK good bye\r\n"},
		{"cut", `QUIT (cut 3)`, "QUIT\r\n", "+OK ready\r\n+OK"},
		{"cut behind a reply", `NOOP (cut): +OK`, "NOOP\r\n", "+OK ready\r\n+OK\r\n"},
		{"first words", `NOOP: +OK first`, "NOOP 1\r\nNOOPS\r\n", "+OK ready\r\n+OK first\r\n-ERR not a command of the AUTHORIZATION state\r\n"},
		{"the first that fits", "NOOP (once): +OK 1\nNOOP: +OK 2\n*: +OK 3", "NOOP\r\nNOOP\r\nX\r\n", "+OK 3\r\n+OK 1\r\n+OK 2\r\n+OK 3\r\n"},
		{"greeting", `greeting: -ERR no`, "QUIT\r\n", "-ERR no\r\n+OK good bye\r\n"},
		{"pause", `QUIT (delay 1ms, pieces 4, pause 1ms): +OK slow`, "QUIT\r\n", "+OK ready\r\n+OK slow\r\n"},
		{"challenge", `AUTH: + `, "AUTH X\r\nabc\r\nAUTH X\r\n", "+OK ready\r\n+ \r\n-ERR the exchange is over\r\n+ \r\n"},
		{"endless", `greeting (endless x, y|)- +OK `, "", "+OK " + strings.Repeat("x, y\r\n", 2000)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := NewServer(t, Maildrop{User: "u", Password: "p"})
			server.Configure(func(c *Config) { c.Greeting, c.Hook = "ready", Misdeeds(t, test.script) })
			client, err := new(net.Dialer).DialContext(t.Context(), "tcp", InClear(server.Addr(), true))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			_ = client.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.WriteString(client, test.send); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(test.want))
			if _, err := io.ReadFull(client, got); err != nil || string(got) != test.want {
				t.Errorf("the server said %.200q, error %v, want %.200q", got, err, test.want)
			}
		})
	}
	for _, line := range []string{"NOOP (sing)", "NOOP (pieces many)", `NOOP: \q`, "NOOP +OK)"} {
		if _, err := parseMisdeed(line); err == nil {
			t.Errorf("parseMisdeed(%q) = nil, want an error", line)
		}
	}
}
