package deliver

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// dovecotIMAP returns a target for a mailbox of a real server, under TLS.
func dovecotIMAP(t *testing.T, d *poptest.DovecotIMAP, mailbox string) *IMAP {
	t.Helper()
	m := &IMAP{
		Address: d.IMAPSAddr(), TLSConfig: &tls.Config{RootCAs: d.CA().Pool(), ServerName: "localhost"},
		User: d.User, Mailbox: mailbox, Timeout: 10 * time.Second, Notes: filepath.Join(t.TempDir(), "notes"),
		Password: func(context.Context) (string, error) { return d.Password, nil },
	}
	t.Cleanup(m.endSessions)
	return m
}

// Dovecot shows every message as it came, apart from NUL and from the ends of lines. What it has is
// found again in any case.
func TestIMAP_dovecotContents(t *testing.T) {
	d := poptest.StartDovecotIMAP(t, nil)
	m := dovecotIMAP(t, d, "INBOX")
	if err := m.Prepare(t.Context(), true); err != nil {
		t.Fatalf("Prepare() = %v, want no error", err)
	}
	for i, c := range contents() {
		t.Run(c.name, func(t *testing.T) {
			receipt := deliverOne(t, m, token(i), []byte(c.wire))
			if len(receipt.Places) != 1 || receipt.Places[0].Name == "" {
				t.Fatalf("Receipt().Places = %+v, want one with a name", receipt.Places)
			}
			want, odd := map[string]string{
				"C0023/empty":         "\n",
				"C0023/NUL":           "a\x80b\n\x80", // on the disk it is NUL
				"C0023/CR at the end": "a\n",
				"C0023/CR CR LF":      "a\nb",
			}[c.name]
			if !odd {
				want = c.want
			}
			if got := readPlace(t, m, receipt.Places[0].Name); got != want {
				t.Errorf("Open() has %s, want %s", brief([]string{got}), brief([]string{want}))
			}
			found, err := m.Find(t.Context(), slices.Values([]Token{token(i)}), time.Time{})
			if err != nil || !slices.Equal(found[token(i)], []string{receipt.Places[0].Name}) {
				t.Errorf("Find() = %v, %v, want %s", found, err, receipt.Places[0].Name)
			}
			m.Recorded(token(i))
		})
	}
}
