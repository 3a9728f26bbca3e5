package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/popfetch/popfetch/internal/poptest"
)

// dovecotIMAP returns a target for a mailbox of a real server, under TLS.
func dovecotIMAP(t *testing.T, d *poptest.DovecotIMAP, mailbox string) *IMAP {
	t.Helper()
	m := &IMAP{
		Address: d.IMAPSAddr(), TLSConfig: &tls.Config{RootCAs: d.CA().Pool(), ServerName: "localhost"},
		User: d.User, Mailbox: mailbox, Timeout: 10 * time.Second, Notes: NewFileBook(filepath.Join(t.TempDir(), "notes")),
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

// Names of mailboxes may have any characters. A mailbox is made when it is missing, and again when
// somebody has removed it.
func TestIMAP_dovecotMailboxes(t *testing.T) {
	d := poptest.StartDovecotIMAP(t, nil)
	for name, folder := range map[string]string{
		"Archive":            ".Archive",
		"Lists.dev":          ".Lists.dev", // Dovecot's separator
		"Entw\u00fcrfe & Co": ".Entw&APw-rfe &- Co",
		`a "quoted" \ one`:   `.a "quoted" \ one`,
		"\U0001f4e7 100%":    ".&2D3c5w- 100%",
	} {
		t.Run(name, func(t *testing.T) {
			m := dovecotIMAP(t, d, name)
			for i := range 2 {
				if err := m.Prepare(t.Context(), false); err != nil {
					t.Fatalf("Prepare() = %v, want no error", err)
				}
				deliverOne(t, m, token(i), []byte(namedMail))
				if got := readAll(t, d.Mailbox(d.User, folder)); len(got) != 1 || got[0] != strings.ReplaceAll(namedMail, "\r\n", "\n") {
					t.Fatalf("round %d: the mailbox holds %q, want the message", i, got)
				}
				found, err := m.Find(t.Context(), slices.Values([]Token{token(i)}), time.Time{})
				if err != nil || len(found) != 1 {
					t.Errorf("round %d: Find() = %v, %v, want the message", i, found, err)
				}
				m.Recorded(token(i))
				if i == 0 {
					removeMailbox(t, m)
				}
			}
		})
	}
}

// removeMailbox removes the mailbox, as a mail program does.
func removeMailbox(t *testing.T, m *IMAP) {
	t.Helper()
	m.looking.Lock()
	m.closeBox()
	m.looking.Unlock()
	client, err := imapclient.DialTLS(m.Address, &imapclient.Options{TLSConfig: m.TLSConfig})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	password, _ := m.Password(t.Context())
	if err := errors.Join(client.Login(m.User, password).Wait(), client.Delete(m.Mailbox).Wait()); err != nil {
		t.Fatal(err)
	}
}

// A token is taken by each mechanism that a real server knows. A refused one is renewed once.
func TestIMAP_dovecotTokens(t *testing.T) {
	provider := poptest.StartProvider(t, nil)
	expired := provider.SignIn("alice").Access
	provider.Expire()
	good := provider.SignIn("alice").Access
	for _, mechanism := range []string{"oauthbearer", "xoauth2"} {
		options := provider.Dovecot()
		options.Extra = "auth_mechanisms = plain " + mechanism + "\n"
		d := poptest.StartDovecotIMAP(t, options)
		for name, c := range map[string]struct {
			token, next string
			want        error
		}{
			"good":            {good, "", nil},
			"renewed":         {expired, good, nil},
			"refused":         {expired, expired, ErrLogin},
			"no other":        {expired, "", ErrLogin},
			"nor the next":    {expired, "none", ErrLogin},
			"with an octet 1": {"a\x01b", "", ErrLogin},
		} {
			t.Run(mechanism+"/"+name, func(t *testing.T) {
				m := dovecotIMAP(t, d, "INBOX")
				m.User = "alice"
				m.Token = func(context.Context) (string, error) { return c.token, nil }
				if c.next != "" {
					m.Renew = func(context.Context, string) (string, error) { return c.next, nil }
				}
				err := m.Prepare(t.Context(), true)
				if !errors.Is(err, c.want) {
					t.Errorf("Prepare() = %v, want %v", err, c.want)
				}
				if err != nil && strings.Contains(err.Error(), c.token) {
					t.Errorf("Prepare() = %v, want no token in it", err)
				}
			})
		}
	}
}

// A real server is trusted by its authority alone, and refuses a wrong password.
func TestIMAP_dovecotLogin(t *testing.T) {
	d := poptest.StartDovecotIMAP(t, nil)
	for name, c := range map[string]struct {
		change func(m *IMAP)
		want   error
	}{
		"right":        {func(*IMAP) {}, nil},
		"wrong":        {func(m *IMAP) { m.Password = func(context.Context) (string, error) { return "wrong", nil } }, ErrLogin},
		"not trusted":  {func(m *IMAP) { m.TLSConfig = nil }, ErrUntrusted},
		"another host": {func(m *IMAP) { m.TLSConfig.ServerName = "elsewhere.example.org" }, ErrUntrusted},
		"in clear":     {func(m *IMAP) { m.Address, m.StartTLS = poptest.InClear(d.IMAPAddr(), true), true }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := dovecotIMAP(t, d, "INBOX")
			c.change(m)
			if err := m.Prepare(t.Context(), true); !errors.Is(err, c.want) {
				t.Errorf("Prepare() = %v, want %v", err, c.want)
			}
			if err := m.Probe(t.Context(), true); !errors.Is(err, c.want) {
				t.Errorf("Probe() = %v, want %v", err, c.want)
			}
		})
	}
}
