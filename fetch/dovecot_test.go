package fetch_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// TestDovecot fetches from a real Dovecot in every way that popfetch can connect and log in, keeps,
// and then deletes; each message must come octet for octet.
func TestDovecot(t *testing.T) {
	t.Parallel()
	server := poptest.StartDovecot(t, nil)
	var want []string
	fill := func(t *testing.T) {
		for _, sample := range poptest.RealWorld() {
			if sample.Dovecot {
				server.Deliver(server.User, sample.Message)
			}
		}
		want = nil
		for _, m := range server.Messages(server.User) {
			want = append(want, delivered(m))
		}
		slices.Sort(want)
		if len(want) < 20 {
			t.Fatalf("Dovecot holds %d messages, want all of the samples", len(want))
		}
	}
	fill(t)
	for _, connection := range []struct {
		name string
		mode pop3.TLSMode
		addr string
	}{
		{"plain", pop3.TLSNone, server.Addr()}, {"STLS", pop3.TLSStart, server.Addr()}, {"implicit TLS", pop3.TLSImplicit, server.TLSAddr()},
	} {
		for _, mechanism := range []login.Mechanism{"", login.Plain, login.Login, login.User, login.Apop} {
			name := string(mechanism)
			if name == "" {
				name = "auto"
			}
			t.Run("C0009/"+connection.name+", "+name, func(t *testing.T) {
				r := newRig(t, connection.addr).under(connection.mode, server.CA().ClientTLS("localhost"))
				r.account.User = server.User
				c := credentialsOf(server.Password)
				c.User = server.User
				if mechanism != "" {
					c.Mechanisms = []login.Mechanism{mechanism}
				}
				r.account.Login = c.Login
				if mechanism == login.Apop && connection.mode == pop3.TLSStart {
					// The timestamp came in clear text, so it is forgotten (R2595-2).
					checkFault(t, r.fails(fetch.PhaseLogin, ""), login.Cannot)
					return
				}
				n := len(want)
				r.runs(fmt.Sprintf("%[1]d listed, %[1]d new, %[1]d delivered", n))
				r.runs(fmt.Sprintf("%d listed", n))
				if got := r.mail(); !slices.Equal(got, want) {
					t.Errorf("new/ does not hold what Dovecot does: %s", firstDifference(got, want))
				}
				if mechanism != "" {
					return
				}
				r.account.Delete.Enabled = true // known from before: TOP shows each
				r.runs(fmt.Sprintf("%[1]d listed, %[1]d deleted", n))
				r.runs("")
				if left := len(server.Messages(server.User)); left > 0 {
					t.Errorf("Dovecot still holds %d messages", left)
				}
				fill(t)
				r.maildir = filepath.Join(r.state, "second")
				r.account.Name, r.account.Shared, r.account.Target = "second", []string{"work"}, deliver.NewMaildir(r.maildir)
				r.runs(fmt.Sprintf("%[1]d listed, %[1]d new, %[1]d delivered, %[1]d deleted", n))
				if got := r.mail(); !slices.Equal(got, want) {
					t.Errorf("after delivery and deletion: %s", firstDifference(got, want))
				}
				fill(t)
			})
		}
	}
}

// What a real server says to wrong credentials, to an empty maildrop, and to TOP.
func TestDovecot_replies(t *testing.T) {
	t.Parallel()
	server := poptest.StartDovecot(t, &poptest.DovecotOptions{Users: map[string]string{user: secret}, Extra: "auth_failure_delay = 0\n"})
	t.Run("C0020/empty maildrop", func(t *testing.T) {
		newRig(t, server.Addr()).runs("")
	})
	for _, mechanism := range []login.Mechanism{login.Plain, login.Login, login.User, login.Apop} {
		t.Run("C0010/wrong password, "+string(mechanism), func(t *testing.T) {
			r := newRig(t, server.Addr())
			r.account.Login = credentialsOf("wrong", mechanism).Login
			checkFault(t, r.fails(fetch.PhaseLogin, ""), login.Refused)
			if trace := fmt.Sprint(r.traced); strings.Contains(trace, "wrong") {
				t.Errorf("the trace shows the password: %s", trace)
			}
		})
	}
	t.Run("C0034/recognised by TOP", func(t *testing.T) {
		for i := range 20 {
			server.Deliver(user, letter(fmt.Sprint("real-", i)).Content)
		}
		r := newRig(t, server.Addr())
		r.runs("20 listed, 20 new, 20 delivered")
		r.runner.Store = openStore(t, t.TempDir())
		r.runs("20 listed, 20 recognised")
		r.account.Delete.Enabled = true
		r.runs("20 listed, 20 deleted")
	})
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("got %.200q, want %.200q", got[i], want[i])
		}
	}
	return fmt.Sprintf("got %d messages, want %d", len(got), len(want))
}
