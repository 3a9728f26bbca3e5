package fetch_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/poptest"
)

// Over a line with a round trip of 20 ms, a run into an IMAP mailbox takes at most half as long again
// as one into a Maildir. All servers are Dovecot. The runs are in turn, and their medians count.
func TestTortureIMAPSpeed(t *testing.T) {
	needTorture(t)
	const messages, octets, oneWay = 5000, 4096, 10 * time.Millisecond
	server := poptest.StartDovecotIMAP(t, nil)
	server.Fill(messages, func(i int) []byte { return speedMessage(i, octets) })
	pop, imap := poptest.Delay(t, server.Addr(), oneWay), poptest.Delay(t, server.IMAPSAddr(), oneWay)
	fetchAll := func(t *testing.T, target deliver.Target) time.Duration {
		r := newRig(t, pop)
		r.account.POP3.Trace = nil
		r.account.User = server.User
		r.account.Login = credentialsOf(server.Password).Login
		if target != nil {
			r.account.Target = target
		}
		begin := time.Now()
		r.runs(fmt.Sprintf("%[1]d listed, %[1]d new, %[1]d delivered", messages))
		return time.Since(begin)
	}
	var maildir, mailbox []time.Duration
	for round := range 3 {
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			maildir = append(maildir, fetchAll(t, nil))
			mailbox = append(mailbox, fetchAll(t, &deliver.IMAP{
				Address: imap, TLSConfig: &tls.Config{RootCAs: server.CA().Pool(), ServerName: "localhost"},
				User: server.User, Mailbox: fmt.Sprintf("Speed %d", round), Timeout: patience,
				Password: func(context.Context) (string, error) { return server.Password, nil },
				Notes:    deliver.NewFileBook(filepath.Join(t.TempDir(), "notes")),
			}))
			if n := len(server.Mailbox(server.User, fmt.Sprintf(".Speed %d", round))); n != messages {
				t.Errorf("the mailbox holds %d messages, want %d", n, messages)
			}
		})
	}
	slices.Sort(maildir)
	slices.Sort(mailbox)
	ratio := mailbox[1].Seconds() / maildir[1].Seconds()
	t.Logf("%d messages of %d octets: Maildir %v, IMAP %v, ratio %.2f", messages, octets, maildir, mailbox, ratio)
	if ratio > 1.5 {
		t.Errorf("IMAP takes %.2f times as long as a Maildir, want 1.5", ratio)
	}
}

func speedMessage(i, octets int) []byte {
	var m strings.Builder
	fmt.Fprintf(&m, "Message-ID: <%d@example.org>\r\nFrom: a@example.org\r\nDate: Mon, 1 Jun 2026 10:00:00 +0000\r\n\r\n", i)
	for m.Len() < octets {
		fmt.Fprintf(&m, "%070d\r\n", m.Len())
	}
	return []byte(m.String())
}
