package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// writeConfig writes text to a file of mode 0600 and returns its path.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// home sets the environment that default paths depend on, and returns the home folder.
func home(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	t.Setenv("HOME", folder)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("XDG_STATE_HOME", "")
	return folder
}

// TestLoad_bad loads the files of testdata/bad. A file beside each has the mistakes to expect,
// without the file's name.
func TestLoad_bad(t *testing.T) {
	home(t)
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob() = %v, %v, want files", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(file, "toml") + "want")
			if err != nil {
				t.Fatal(err)
			}
			path := writeConfig(t, string(text))
			cfg, err := Load(path)
			if err == nil {
				t.Fatalf("Load() = %+v, want mistakes", cfg)
			}
			got := strings.ReplaceAll(err.Error(), path+":", "") + "\n"
			if got != string(want) {
				t.Errorf("Load() reports\n%swant\n%s", got, want)
			}
			if strings.Contains(got, "hunter") {
				t.Error("Load() reports a password")
			}
			var mistakes Errors
			if !errors.As(err, &mistakes) {
				t.Errorf("Load() returns a %T, want Errors", err)
			}
			for _, m := range mistakes {
				if m.File != path || m.Line < 0 || !strings.Contains(m.Error(), "; ") {
					t.Errorf("mistake %q lacks its file, line or mend", m)
				}
			}
		})
	}
}

func TestLoad_full(t *testing.T) {
	folder := home(t)
	path := writeConfig(t, `
state_dir = "state"
jobs = 7
[defaults]
timeout = "90s"
maildir = "~/Maildir"
mda_timeout = "3m"
[account.work]
server = "POP.Example.org"
tls_ca = "/etc/ca.pem"
tls_server_name = "Mail.example.org"
tls_cert = "~/cert.pem"
tls_key = "key.pem"
user = "alice@example.org"
password_command = "pass show mail/work"
auth = ["plain", "external"]
credentials_charset = "utf-8"
delete = "30d"
max_size = "25M"
initial = "30d"
uidl = "fallback"
new_uids = "stop"
quarantine_after = 3
order = "newest"
pipelining = "never"
deadline = "2h"
interval = "manual"
on_new = "new-mail work"
on_error = "logger broken"
on_recovered = "logger works"
hook_timeout = "5s"
enabled = false
[account."list@2"]
server = "[::1]"
tls = "starttls"
user = "bob"
password = "a b#%\""
mda = "procmail"
max_deliveries = 3
delete = "delivered"
tls_fingerprint = "SHA256:`+strings.Repeat("AB:", 31)+`AB"
`)
	got, err := Load(path)
	if err != nil {
		t.Fatalf("Load() = %v", err)
	}
	want := &Config{
		File:     path,
		StateDir: filepath.Join(filepath.Dir(path), "state"),
		Jobs:     7,
		Lease:    time.Minute, AccountsFrom: FromFile,
		Accounts: []Account{{
			Name: "work", Server: "pop.example.org:995", TLS: "implicit",
			TLSCA: "/etc/ca.pem", TLSServerName: "mail.example.org",
			TLSCert: folder + "/cert.pem", TLSKey: filepath.Dir(path) + "/key.pem",
			User: "alice@example.org", Password: Secret{Command: "pass show mail/work"},
			Auth: []string{"plain", "external"}, CredentialsCharset: "utf-8",
			Target: Target{Maildir: folder + "/Maildir", MDATimeout: 3 * time.Minute, MaxDeliveries: 1},
			Delete: Delete{Enabled: true, After: 30 * 24 * time.Hour}, MaxSize: 25 << 20,
			Initial: Initial{Limited: true, Within: 30 * 24 * time.Hour}, UIDL: "fallback", NewUIDs: "stop", QuarantineAfter: 3,
			Order: "newest", Pipelining: "never", Timeout: 90 * time.Second, Deadline: 2 * time.Hour,
			OnNew: "new-mail work", OnError: "logger broken", OnRecovered: "logger works", HookTimeout: 5 * time.Second,
		}, {
			Name: "list@2", Server: "[::1]:110", TLS: "starttls",
			TLSFingerprint: []string{strings.Repeat("ab", 32)},
			User:           "bob", Password: Secret{Password: `a b#%"`},
			CredentialsCharset: "ascii",
			Target:             Target{MDA: "procmail", MDATimeout: 3 * time.Minute, MaxDeliveries: 3},
			Delete:             Delete{Enabled: true}, UIDL: "required", NewUIDs: "match", QuarantineAfter: 5, Order: "oldest", Pipelining: "auto",
			Timeout: 90 * time.Second, Interval: 5 * time.Minute, HookTimeout: time.Minute, Enabled: true,
		}},
	}
	if mistake, want := got.Mistake(&got.Accounts[0], &got.Accounts[0].TLSCA, errors.New("x")).Error(), got.File+`:\d+: (account\.work|defaults)\.tls_ca: x`; !regexp.MustCompile("^" + want + "$").MatchString(mistake) {
		t.Errorf("Mistake() = %q, want %s", mistake, want)
	}
	got.main, got.homes, got.targetHomes = nil, nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Load() = %#v\nwant %#v", got, want)
	}
}

func TestLoad_missing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.toml")
	_, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load() = %v, want fs.ErrNotExist", err)
	}
	if want := path + ": no such file or directory; name the configuration file with --config"; err.Error() != want {
		t.Errorf("Load() = %q, want %q", err, want)
	}
}

// Every name that is allowed is read, chosen, and written so that it can be read again.
func TestLoad_names(t *testing.T) {
	home(t)
	names := []string{"work", "Old Mail", "a  b", "alice+pop@example.org", "größe", "मेल ३", "почта", "_", "...", "2"}
	text := "[defaults]\nserver = 'h'\nuser = 'u'\nmaildir = '/m'\n"
	for _, name := range names {
		text += "[account.\"" + name + "\"]\n"
	}
	cfg, err := Load(writeConfig(t, text))
	if err != nil {
		t.Fatalf("Load() = %v", err)
	}
	var written strings.Builder
	if err := cfg.Write(&written); err != nil {
		t.Fatal(err)
	}
	again, err := Load(writeConfig(t, written.String()))
	if err != nil {
		t.Fatalf("Load() of what Write wrote = %v\n%s", err, written.String())
	}
	for i, name := range names {
		if again.Accounts[i].Name != name {
			t.Errorf("account %d is %q, want %q", i, again.Accounts[i].Name, name)
		}
		if chosen, err := cfg.Select([]string{name}); err != nil || chosen[0].Name != name {
			t.Errorf("Select(%q) = %v, %v", name, chosen, err)
		}
	}
}
