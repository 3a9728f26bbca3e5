package fetch_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// elsewhere returns another spelling of the server's address.
func elsewhere(t *testing.T, server *poptest.Server) string {
	t.Helper()
	_, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("localhost", port)
}

// One maildrop is fetched into one Maildir under two spellings of its server, in turns: as two
// accounts, or as one account and without a configuration file. Each message comes once.
func TestRecognise_otherSpelling(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"", "mrose at localhost to maildir mail"} {
		for _, top := range []bool{true, false} {
			t.Run(fmt.Sprintf("state %q, TOP %v", state, top), func(t *testing.T) {
				t.Parallel()
				a, b, c, d := letter("a"), letter("b"), letter("c"), letter("d")
				unnamed := poptest.Message{UniqueID: "u", Content: []byte("Subject: alarm\r\n\r\n1\r\n")}
				server := newServer(t, a, b, unnamed)
				if !top {
					noTop(server)
				}
				r := newRig(t, server.Addr())
				first := r.account
				second := r.newAccount("second", elsewhere(t, server), r.account.Target)
				second.State, second.Delete = state, fetch.DeletePolicy{Enabled: true, After: day}
				as := func(account fetch.Account, recognised int) {
					t.Helper()
					r.account = account
					if result := r.run(); result.Err != nil || result.Recognised != recognised {
						t.Errorf("%s at %s came to %s, %v, want %d recognised", account.Name, account.Server, outcome(result), result.Err, recognised)
					}
				}
				as(first, 0)
				as(second, 3)
				server.Drop("").Add(c)
				as(second, 0)
				as(first, 1)
				server.Drop("").Add(d)
				as(first, 0)
				as(second, 1)
				r.holds(a, b, c, d, unnamed)
				r.later(day + day/8)
				as(second, 0)
				r.later(2 * day)
				server.Wait()
				server.CheckRules(t)
			})
		}
	}
}

// Another server of the same user may give the same unique-id to another message of equal size.
// Without a Message-ID, only the octets tell them apart.
func TestRecognise_otherServer(t *testing.T) {
	t.Parallel()
	alarm := func(body string) poptest.Message {
		return poptest.Message{UniqueID: "1", Content: []byte("From: printer\r\nSubject: alarm\r\n\r\n" + body + "\r\n")}
	}
	r := newRig(t, newServer(t, alarm("1"), letter("a")).Addr())
	r.runs("2 listed, 2 new, 2 delivered")
	other := newServer(t, alarm("2"), sized("a", "b", ""))
	r.account = r.newAccount("other", other.Addr(), r.account.Target)
	r.runs("2 listed, 2 new, 2 delivered")
	r.holds(alarm("1"), alarm("2"), letter("a"), sized("a", "b", ""))
}

// The state is lost, and the account has another port now.
func TestRecognise_otherPort(t *testing.T) {
	t.Parallel()
	a, b := letter("a"), letter("b")
	server := newServer(t, a, b)
	r := newRig(t, server.Addr())
	host, _, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.account.Target.Prepare(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	content := delivered(a.Content)
	token := deliver.NewToken(user, net.JoinHostPort(host, "995"), "a", 0, int64(len(poptest.Wire(a.Content))))
	name := fmt.Sprintf("1709208000.%vQ1P1.host,S=%d:2,S", token, len(content))
	if err := os.WriteFile(filepath.Join(r.maildir, "cur", name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	r.runs("2 listed, 1 new, 1 delivered, 1 recognised")
	r.holds(b)
}
