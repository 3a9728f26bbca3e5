package fetch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// With TLS wanted, only CAPA and STLS are sent in clear, whatever the server replies (R2595-1,
// R8314-1, behaviours 20 to 23). The replies may come from an attacker in between.
func TestTLS_oddReplies(t *testing.T) {
	t.Parallel()
	odd := append(slices.Clone(hostile),
		"+OK\r\n+OK Logged in.\r\n", "+OK\r\nUSER\r\n.\r\n", "+OK\r\nSTLS\r\n.\r\n+OK begin\r\n", "-ERR no TLS, log in in clear\r\n", "+OK PREAUTH <1@a>\r\n")
	for _, word := range []string{"", "CAPA", "STLS"} {
		for i, reply := range odd {
			t.Run(fmt.Sprintf("R2595-1/%q answered by %d", word, i), func(t *testing.T) {
				t.Parallel()
				server := newServer(t, letter("a"))
				hook(server, on(word, poptest.Reply([]byte(reply))))
				modes := []pop3.TLSMode{pop3.TLSStart}
				if word == "" {
					modes = append(modes, pop3.TLSImplicit)
				}
				for _, mode := range modes {
					r := newRig(t, server.Addr()).under(mode, server.CA().ClientTLS("localhost"))
					r.hurry(300 * time.Millisecond)
					_ = r.run()
				}
				server.Wait()
				for _, session := range server.Sessions() {
					for _, command := range session.Commands() {
						if strings.HasPrefix(command, "\x16\x03") || session.Secure() && command == "STLS" {
							break // what follows is TLS
						}
						if command != "CAPA" && command != "STLS" {
							t.Errorf("the client sent %q in clear", command)
						}
					}
					if got := session.Transcript(); !session.Secure() && (shows([]byte(got), secret) || strings.Contains(got, user)) {
						t.Errorf("the session was %q, want nothing of the credentials", got)
					}
				}
			})
		}
	}
}
