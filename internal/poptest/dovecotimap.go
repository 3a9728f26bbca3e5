package poptest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// DovecotIMAP is a running Dovecot that serves IMAP, too. Each user's mailboxes are in the Maildir
// that POP3 serves.
type DovecotIMAP struct {
	*Dovecot
	taps [2]*tap
}

// StartDovecotIMAP is [StartDovecot] with IMAP in clear text with STARTTLS, and IMAP under implicit
// TLS. Without dovecot-imapd, the test is skipped, or fails, in the same way.
func StartDovecotIMAP(t TB, options *DovecotOptions) *DovecotIMAP {
	t.Helper()
	if options == nil {
		options = &DovecotOptions{}
	}
	programs := []string{"/usr/lib/dovecot/imap", "/usr/libexec/dovecot/imap", "/usr/local/libexec/dovecot/imap"}
	if !slices.ContainsFunc(programs, func(path string) bool { return fileExists(path) }) {
		if os.Getenv("POPFETCH_TEST_DOVECOT") == "1" {
			t.Fatalf("POPFETCH_TEST_DOVECOT=1, but Dovecot has no IMAP (Debian: dovecot-imapd)")
		}
		t.Skipf("Dovecot has no IMAP (Debian: dovecot-imapd)")
	}
	var ports [2]int
	for i := range ports {
		var err error
		if ports[i], err = freePort(); err != nil {
			t.Fatalf("looking for a free port: %v", err)
		}
	}
	with := *options
	with.Extra += fmt.Sprintf(`
protocols = pop3 imap
service imap-login {
  service_count = 0
  process_min_avail = 1
  chroot =
  inet_listener imap {
    port = %d
  }
  inet_listener imaps {
    port = %d
    ssl = yes
  }
}
service imap {
  process_limit = 200
}
`, ports[0], ports[1])
	d := &DovecotIMAP{Dovecot: StartDovecot(t, &with)}
	for i, port := range ports {
		d.taps[i] = newTap(t, local(port))
	}
	return d
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// IMAPAddr returns host and port for STARTTLS, and for clear text if [InClear] says so.
func (d *DovecotIMAP) IMAPAddr() string { return d.taps[0].addr() }

// IMAPSAddr returns host and port for implicit TLS.
func (d *DovecotIMAP) IMAPSAddr() string { return d.taps[1].addr() }

// Folder returns the Maildir of one of the user's mailboxes; see [DovecotIMAP.Mailbox].
func (d *DovecotIMAP) Folder(user, name string) string {
	return filepath.Join(d.maildirs.dir, user, "Maildir", name)
}

// Mailbox returns the files of the messages in one of the user's mailboxes, as they are on the
// disk. The name is as in the file system, such as "" for INBOX, and ".a.b" for a/b.
func (d *DovecotIMAP) Mailbox(user, name string) []string {
	d.t.Helper()
	var all []string
	for _, sub := range []string{"new", "cur"} {
		folder := filepath.Join(d.Folder(user, name), sub)
		entries, err := os.ReadDir(folder)
		if err != nil {
			d.t.Fatalf("listing a Maildir: %v", err)
		}
		for _, entry := range entries {
			all = append(all, filepath.Join(folder, entry.Name()))
		}
	}
	return all
}
