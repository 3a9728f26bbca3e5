package poptest

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Each quirk shows in one of the replies; all else is as usual.
func TestQuirks(t *testing.T) {
	t.Parallel()
	commands := []string{"CAPA", "USER u", "PASS p", "STAT", "LIST", "UIDL", "UIDL 1", "TOP 1 0", "NOOP", "RETR 1", "QUIT"}
	usual := quirkyReplies(t, commands, nil)
	for _, q := range Quirks() {
		t.Run(q.Name, func(t *testing.T) {
			t.Parallel()
			if got := quirkyReplies(t, commands, Quirky(q)); got == usual {
				t.Errorf("the server said the usual:\n%s", got)
			}
		})
	}
	// The first quirk with an answer gives it, and the others answer the rest.
	want := "+OK listing\r\n1 a\r\n2 b\r\n.\r\n"
	if got := quirkyReplies(t, commands, Quirky(Quirks()...)); !strings.Contains(got, want) || !strings.Contains(got, "-ERR no\r\n.\r\n") {
		t.Errorf("all quirks: the server said %q, want %q and a refusal with a dot", got, want)
	}
}

// quirkyReplies returns all that a server says to the commands.
func quirkyReplies(t *testing.T, commands []string, hook func(*Session, string) Action) string {
	t.Helper()
	server := NewServer(t, Maildrop{User: "u", Password: "p", Messages: []Message{
		{UniqueID: "a", Content: []byte("one\r\n\r\n")}, {UniqueID: "b", Content: []byte("two\r\n\r\n")},
	}})
	server.Configure(func(c *Config) { c.Greeting, c.Hook = "ready", hook })
	client, err := new(net.Dialer).DialContext(t.Context(), "tcp", InClear(server.Addr(), true))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(client, strings.Join(commands, "\r\n")+"\r\n"); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(client)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}
