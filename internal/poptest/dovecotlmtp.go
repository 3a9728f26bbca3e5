package poptest

import (
	"fmt"
	"os"
	"slices"
)

// DovecotLMTP is a running Dovecot that takes mail by LMTP, too. It puts the mail into the Maildir
// that POP3 serves.
type DovecotLMTP struct {
	*Dovecot
	port int
}

// StartDovecotLMTP is [StartDovecot] with LMTP over TCP and over a Unix socket. Without
// dovecot-lmtpd, the test is skipped, or fails, in the same way.
func StartDovecotLMTP(t TB, options *DovecotOptions) *DovecotLMTP {
	t.Helper()
	if options == nil {
		options = &DovecotOptions{}
	}
	programs := []string{"/usr/lib/dovecot/lmtp", "/usr/libexec/dovecot/lmtp", "/usr/local/libexec/dovecot/lmtp"}
	installed := slices.ContainsFunc(programs, func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	})
	if !installed {
		if os.Getenv("POPFETCH_TEST_DOVECOT") == "1" {
			t.Fatalf("POPFETCH_TEST_DOVECOT=1, but Dovecot has no LMTP (Debian: dovecot-lmtpd)")
		}
		t.Skipf("Dovecot has no LMTP (Debian: dovecot-lmtpd)")
	}
	port, err := freePort()
	if err != nil {
		t.Fatalf("looking for a free port: %v", err)
	}
	with := *options
	with.Extra += fmt.Sprintf(`
protocols = pop3 lmtp
service lmtp {
  inet_listener lmtp {
    port = %d
  }
  unix_listener lmtp {
    mode = 0666
  }
}
`, port)
	return &DovecotLMTP{Dovecot: StartDovecot(t, &with), port: port}
}

// LMTPAddr returns host and port.
func (d *DovecotLMTP) LMTPAddr() string { return local(d.port) }

// LMTPSocket returns the path of the Unix socket.
func (d *DovecotLMTP) LMTPSocket() string { return d.path("run/lmtp") }
