package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestOneShot(t *testing.T) {
	folder := home(t)
	t.Chdir(folder)
	got, err := OneShot(map[string]string{
		"server": "POP.example.org", "user": "alice", "password_command": "pass show mail/work",
		"maildir": "./backup", "auth": "plain,apop", "delete": "7d", "max_size": "100", "credentials_charset": "iso-8859-1",
		"timeout": "2m", "jobs": "2", "enabled": "true", "tls": "starttls",
	})
	if err != nil {
		t.Fatalf("OneShot() = %v", err)
	}
	want := &Config{
		StateDir: filepath.Join(folder, ".local/state/popfetch"),
		Jobs:     2,
		Lease:    time.Minute, AccountsFrom: FromFile,
		Accounts: []Account{{
			Name: "alice@pop.example.org", Server: "pop.example.org:110", TLS: "starttls",
			User: "alice", Password: Secret{Command: "pass show mail/work"}, Auth: []string{"plain", "apop"}, CredentialsCharset: "iso-8859-1",
			Target: Target{Maildir: filepath.Join(folder, "backup"), MDATimeout: 5 * time.Minute, MaxDeliveries: 1},
			Delete: Delete{Enabled: true, After: 7 * 24 * time.Hour}, MaxSize: 100,
			UIDL: "required", NewUIDs: "match", QuarantineAfter: 5, Order: "oldest", Pipelining: "auto", Timeout: 2 * time.Minute, Interval: 5 * time.Minute, HookTimeout: time.Minute, Enabled: true,
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("OneShot() = %#v\nwant %#v", got, want)
	}
}

func TestOneShot_URL(t *testing.T) {
	home(t)
	tests := []struct{ url, server, user, auth string }{
		{"pop://alice@pop.example.org", "pop.example.org:995", "alice", ""},
		{"POP://alice;AUTH=*@pop.example.org:110/", "pop.example.org:110", "alice", ""},
		{"pop://alice%40example.org;auth=+APOP@[::1]:1110", "[::1]:1110", "alice@example.org", "apop"},
		{"pop://dom%5Calice;AUTH=PLAIN@h", "h:995", `dom\alice`, "plain"},
	}
	for _, test := range tests {
		cfg, err := OneShot(map[string]string{"server": test.url, "maildir": "/m"})
		if err != nil {
			t.Errorf("OneShot(%s) = %v", test.url, err)
			continue
		}
		a := cfg.Accounts[0]
		if a.Server != test.server || a.User != test.user || strings.Join(a.Auth, " ") != test.auth {
			t.Errorf("OneShot(%s) = %s, %s, %v, want %s, %s, %s", test.url, a.Server, a.User, a.Auth, test.server, test.user, test.auth)
		}
	}
}

func TestOneShot_URLWithoutUser(t *testing.T) {
	home(t)
	cfg, err := OneShot(map[string]string{"server": "pop://[::1]", "user": "bob", "mda": "cat"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.Accounts[0].Name, "bob@::1"; got != want {
		t.Errorf("Name = %s, want %s", got, want)
	}
}

func TestOneShot_bad(t *testing.T) {
	home(t)
	tests := []struct {
		name   string
		values map[string]string
		want   string
	}{
		{"nothing", nil, `
--server: is missing; give --server pop.example.org
--user: is missing; give --user alice@example.org
--maildir: is missing; give --maildir ~/Maildir, or --mbox, --mda, --lmtp, --smtp or --imap`},
		{"wrong values", map[string]string{
			"server": "h:0", "user": "", "maildir": "/m", "mda": "procmail", "mda_timeout": "5",
			"password_file": "/p", "password_command": "x", "jobs": "many", "max_deliveries": "2",
			"enabled": "yes", "auth": "plain,,apop",
		}, `
--jobs: "many" is no number; write a number from 1 to 1000
--server: the port is no number from 1 to 65535; write host or host:port, such as "pop.example.org:995" or "[::1]:995"
--user: is empty; write a value or remove the key
--auth: is empty; write a value or remove the key
--mda-timeout: "5" is no time; write a number with its unit s, m, h, d or w, such as "60s" or "30d"
--enabled: "yes" is not known; write true or false
--password-command: cannot be set together with --password-file; keep one of them
--mda: cannot be set together with --maildir; keep one of them`},
		{"password", map[string]string{"server": "h", "user": "u", "maildir": "/m", "password": "hunter2"},
			"--password: every user of the machine could read it in the process list; give --password-command or --password-file"},
		{"unknown", map[string]string{"server": "h", "user": "u", "maildir": "/m", "tls_ciphers": "1.3"},
			"--tls-ciphers: is not a known option; see popfetch(1)"},
		{"URL with password", map[string]string{"server": "pop://alice:hunter2@h", "maildir": "/m"},
			"--server: a password cannot stand in the URL; give --password-command or --password-file"},
		{"URL with password, no host", map[string]string{"server": "pop://alice:hunter2", "user": "u", "maildir": "/m"},
			`--server: the port is no number from 1 to 65535; write host or host:port, such as "pop.example.org:995" or "[::1]:995"`},
		{"URL of another scheme", map[string]string{"server": "imap://alice@h", "maildir": "/m"},
			`--server: "imap" is not the scheme of a POP URL; write pop://user;AUTH=mechanism@host:port`},
		{"URL and user", map[string]string{"server": "pop://alice;AUTH=x@h", "user": "u", "auth": "plain", "maildir": "/m"}, `
--user: the URL of --server has it too; remove --user
--auth: the URL of --server has it too; remove --auth`},
		{"URL and TLS", map[string]string{"server": "pops://alice@h", "tls": "none", "maildir": "/m"},
			"--tls: the URL of --server has it too; remove --tls"},
		{"URL with unknown mechanism", map[string]string{"server": "pop://alice;AUTH=kerberos@h", "maildir": "/m"},
			`--server: "kerberos" is not known; write "auto", "plain", "login", "user", "apop", "ntlm", "cram-md5", "scram-sha-1", "scram-sha-256", "oauthbearer", "xoauth2", "external" or "gssapi"`},
		{"URL with unknown part", map[string]string{"server": "pop://alice;X=1@h", "maildir": "/m"},
			"--server: the URL has a part that is not known; write pop://user;AUTH=mechanism@host:port"},
		{"URL with bad encoding", map[string]string{"server": "pop://ali%zz@h", "maildir": "/m"},
			"--server: the user in the URL is not percent-encoded correctly; write pop://user;AUTH=mechanism@host:port"},
		{"C0003/URL with a line end", map[string]string{"server": "pop://a%0d%0aDELE@h", "maildir": "/m"},
			"--server: holds a control character; remove it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg, err := OneShot(test.values)
			if err == nil {
				t.Fatalf("OneShot() = %+v, want mistakes", cfg)
			}
			if want := strings.TrimPrefix(test.want, "\n"); err.Error() != want {
				t.Errorf("OneShot() reports\n%s\nwant\n%s", err, want)
			}
		})
	}
}

func TestOneShot_defaults(t *testing.T) {
	home(t)
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	cfg, err := OneShot(map[string]string{"server": "h", "user": "u", "maildir": "~"})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(state, "popfetch"); cfg.StateDir != want || cfg.Jobs != 4 {
		t.Errorf("OneShot() has state_dir %s and jobs %d, want %s and 4", cfg.StateDir, cfg.Jobs, want)
	}
	if got, want := cfg.Accounts[0].Maildir, os.Getenv("HOME"); got != want {
		t.Errorf("maildir ~ = %s, want %s", got, want)
	}
}
