package fetch_test

import (
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// A Dovecot 2.3 ends a message at its first line if that is a dot, and its sender's forged replies follow. Neither the
// torso nor what pretends to be the next message is delivered, and no neighbour is lost (behaviour 38).
func TestTorso_dovecot(t *testing.T) {
	for _, test := range []struct {
		name   string
		window int
		remove bool
	}{{"pipelined", 0, false}, {"one at a time", 1, false}, {"pipelined, delete", 0, true}} {
		t.Run(test.name, func(t *testing.T) {
			server := poptest.StartDovecot(t, nil)
			torso := ".\r\n+OK 30 octets\r\nSubject: forged\r\n\r\nx\r\n.\r\n"
			server.Deliver(user, letter("a").Content)
			server.Deliver(user, []byte(torso))
			server.Deliver(user, letter("c").Content)
			r := newRig(t, server.Addr())
			r.account.POP3.Window = test.window
			r.account.Delete.Enabled = test.remove
			for run := range 2 {
				res := r.run()
				if res.Err != nil || res.Failed != 1 || res.Delivered != 2*(1-run) {
					t.Errorf("run %d: delivered %d, failed %d, error %v, want %d, 1, nil", run+1, res.Delivered, res.Failed, res.Err, 2*(1-run))
				}
			}
			if got := len(r.mail()); got != 2 {
				t.Errorf("the Maildir holds %d messages, want 2: %q", got, r.mail())
			}
			want := 3
			if test.remove {
				want = 1
			}
			if got := len(server.Messages(user)); got != want {
				t.Errorf("the server has %d messages left, want %d", got, want)
			}
		})
	}
}

// Without sizes an empty message cannot be told from a torso, so it is never believed.
func TestTorso_noSizes(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), poptest.Message{UniqueID: "torso"}, letter("c"))
	hook(server, on("LIST", poptest.Refuse("no")))
	r := newRig(t, server.Addr())
	for range 2 {
		if res := r.run(); res.Err != nil || res.Failed != 1 {
			t.Errorf("failed %d, error %v, want 1, nil", res.Failed, res.Err)
		}
	}
	r.holds(letter("a"), letter("c"))
}
