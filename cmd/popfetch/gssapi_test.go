package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// A ticket of kinit fetches mail from a Dovecot without any password. What is wrong with the ticket or
// the KDC is told with its mend, and by the exit status. It is not parallel, because the ticket's
// place is in the environment.
func TestGSSAPI(t *testing.T) {
	kdc := poptest.StartKDC(t, nil)
	server := poptest.StartDovecot(t, &poptest.DovecotOptions{Kerberos: kdc, Users: map[string]string{"mrose": "x", "alice": "y"}})
	for i := range 3 {
		server.Deliver("mrose", fmt.Appendf(nil, "Subject: %d\r\n\r\ntext\r\n", i))
	}
	_, port, err := net.SplitHostPort(server.TLSAddr())
	if err != nil {
		t.Fatal(err)
	}
	a := &account{dir: t.TempDir()}
	a.maildir = filepath.Join(a.dir, "Maildir")
	configure := func(user, host, more string) {
		text := "state_dir = \"state\"\n[account.work]\nserver = \"" + host + ":" + port + "\"\nuser = \"" + user + "\"\nauth = \"gssapi\"\n" +
			"maildir = \"" + a.maildir + "\"\ntls_ca = \"" + server.CA().File() + "\"\n" + more
		if err := os.WriteFile(filepath.Join(a.dir, "config.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cache := filepath.Join(a.dir, "cache")
	if err := kdc.Kinit(cache, "1h"); err != nil {
		t.Fatal(err)
	}
	expired := filepath.Join(a.dir, "expired")
	poptest.NewService(t, 18).WriteCache(t, expired, poptest.Cached{Server: "krbtgt/" + poptest.Realm, End: time.Now().Add(-time.Hour)})

	configure("mrose", "localhost", "")
	for _, test := range []struct {
		name, cache, config string
		status              int
		says                string
	}{
		{"a ticket", cache, kdc.Config, 0, `^$`},
		{"again", "FILE:" + cache, kdc.Config, 0, `^$`},
		{"no cache", cache + "-none", kdc.Config, 77, `^popfetch: work: login: gssapi: there is no ticket cache \S+cache-none; run kinit\n$`},
		{"expired", expired, kdc.Config, 77, `gssapi: the ticket of mrose@POPTEST\.EXAMPLE expired on \d{4}-\d\d-\d\d at \d\d:\d\d; run kinit\n$`},
		{"another kind", "KCM:1000", kdc.Config, 77, `the ticket cache is KCM:1000, and popfetch reads only files; set KRB5CCNAME to a path for both kinit and popfetch\n$`},
		{"no KDC", cache, kdc.Unreachable(), 75, `gssapi: no KDC of POPTEST\.EXAMPLE is reached: .*connection refused\n$`},
	} {
		t.Run("R4752-1/"+test.name, func(t *testing.T) {
			t.Setenv("KRB5CCNAME", test.cache)
			t.Setenv("KRB5_CONFIG", test.config)
			command := "--once"
			if test.status != 0 {
				command = "check" // which repeats what was told before
			}
			said := a.says(t, test.status, command)
			if !regexp.MustCompile(test.says).MatchString(said) {
				t.Errorf("popfetch said %q, want %s", said, test.says)
			}
			if got := a.delivered(t); got != 3 {
				t.Errorf("%d messages are in the Maildir, want 3", got)
			}
		})
	}
	t.Run("refused until kinit", func(t *testing.T) {
		old := filepath.Join(a.dir, "old") // as a ticket is after the server's key was changed
		poptest.NewService(t, 18).WriteCache(t, old, poptest.Cached{End: time.Now().Add(time.Hour)})
		t.Setenv("KRB5CCNAME", old)
		t.Setenv("KRB5_CONFIG", kdc.Config)
		const why = `perhaps the ticket is too old for the server: run kinit; or the clocks differ, or the server lacks the key of pop/localhost@POPTEST\.EXAMPLE`
		for run, says := range []string{`\[AUTH\].*` + why, `^$`, why + `; refused 3 times in a row, .*a changed password, ticket or sign-in, or `, `^$`} { // told once
			if said := a.says(t, 77, "--once"); !regexp.MustCompile(says).MatchString(said) {
				t.Errorf("run %d: popfetch said %q, want %s", run, said, says)
			}
		}
		t.Setenv("KRB5CCNAME", cache)
		if said := a.says(t, 0, "--once"); said != "" {
			t.Errorf("with a new ticket popfetch said %q", said)
		}
	})
	t.Run("another user", func(t *testing.T) {
		configure("alice", "localhost", "")
		t.Setenv("KRB5CCNAME", cache)
		t.Setenv("KRB5_CONFIG", kdc.Config)
		said := a.says(t, 77, "--once")
		if !regexp.MustCompile(`the server refused the log-in: gssapi: .*the server knows the ticket, but perhaps mrose@POPTEST\.EXAMPLE may not be alice there`).MatchString(said) {
			t.Errorf("popfetch said %q, want a refusal", said)
		}
	})
	t.Run("another name of the server", func(t *testing.T) {
		configure("mrose", "127.0.0.1", `tls_server_name = "localhost"`)
		t.Setenv("KRB5CCNAME", cache)
		t.Setenv("KRB5_CONFIG", kdc.Config)
		said := a.says(t, 77, "--once")
		if !regexp.MustCompile(`the KDC of POPTEST\.EXAMPLE knows no service pop/127\.0\.0\.1@POPTEST\.EXAMPLE; write the name`).MatchString(said) {
			t.Errorf("popfetch said %q, want that the service is unknown", said)
		}
	})
}
