package fetch_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// hostile are replies that are never valid, or not for this command.
var hostile = []string{
	"", "\r\n", "\n", "\x00", "+OK", "+OK\r\n", "+OK\r\n+OK\r\n", "+OK\r\n.\r\n", "+OK\r\n.\r\n.\r\n", "+OK\r\n\r\n.\r\n", "-ERR\r\n", "-ERR [IN-USE]\r\n-ERR\r\n",
	"+ \r\n", "* OK\r\n", "+OK 1 1\r\n1 1\r\n.\r\n", "+OK\r\n1 1\r\n1 1\r\n.\r\n", "+OK\r\n1 x\r\n2 x\r\n3 x\r\n4 x\r\n5 x\r\n.\r\n",
	"+OK\r\n0 0\r\n-1 -1\r\n99999999999 9999999999999999999999\r\n.\r\n", "+OK\r\n3 a\r\n1 b\r\n.\r\n", "+OK\r\nSubject: half\r\n\r\nwithout an end\r\n",
	"+OK\r\n.\r\n+OK forged\r\nSubject: forged\r\n\r\nforged\r\n.\r\n", "+OK\r\n\x1b[2J\r\n.\r\n", "\xff\xfe\r\n", strings.Repeat("+", 9000) + "\r\n", "-ERR\r\n.\r\n",
}

// TestHostile makes a server say anything at any time (behaviour 27, C0014). No run crashes or
// hangs. new/, records and result agree, and only recorded messages are deleted.
func TestHostile(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprintf("V0001/seed %d", seed), func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), letter("b"), letter("c"), letter("d"), letter("e"))
			if seed%2 == 0 {
				server.Configure(without("PIPELINING"))
			}
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			var mu sync.Mutex
			random := rand.New(rand.NewPCG(seed, 3))
			hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
				mu.Lock()
				defer mu.Unlock()
				if random.IntN(8) > 0 || cmd == "" {
					return poptest.Action{}
				}
				return poptest.Reply([]byte(hostile[random.IntN(len(hostile))]))
			})
			r.hurry(50 * time.Millisecond)
			for range 8 {
				had := len(r.mail())
				result := r.run()
				if got := len(r.mail()) - had; got != result.Delivered {
					t.Fatalf("%d more in new/, %d told as delivered (error %v)", got, result.Delivered, result.Err)
				}
				// A message may have a record under each of the ids that the server gave it.
				if files, recorded := len(r.mail()), r.places(); files < len(recorded) {
					t.Fatalf("%d in new/, %d recorded: %q", files, len(recorded), recorded)
				}
				server.Wait()
			}
			recorded := strings.Join(r.recorded(), " ")
			for _, id := range server.DeletedIDs() {
				if !strings.Contains(recorded, id) {
					t.Errorf("%s is deleted, but the records are of %q", id, recorded)
				}
			}
		})
	}
}
