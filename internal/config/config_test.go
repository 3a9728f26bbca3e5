package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// twoAccounts is a whole configuration. A test can append keys to it.
const twoAccounts = `
[account.home]
server = "h"
user = "u"
maildir = "/m"
[account.work]
server = "h"
user = "u"
maildir = "/m"
`

func TestConfig_Select(t *testing.T) {
	cfg := &Config{Accounts: []Account{
		{Name: "work", Enabled: true}, {Name: "home"}, {Name: "list", Enabled: true},
	}}
	tests := []struct{ names, want, err string }{
		{"", "work list", ""},
		{"home", "home", ""},
		{"list home work list", "work home list", ""},
		{"werk", "", `no account is called "werk"; there is "work"`},
		{"Home xyz", "", `no account is called "Home"; there is "home"` + "\n" + `no account is called "xyz"; there is "work", "home", "list"`},
	}
	for _, test := range tests {
		selected, err := cfg.Select(strings.Fields(test.names))
		var got []string
		for _, a := range selected {
			got = append(got, a.Name)
		}
		if err == nil {
			err = errors.New("")
		}
		if strings.Join(got, " ") != test.want || err.Error() != test.err {
			t.Errorf("Select(%q) = %q, %q, want %q, %q", test.names, got, err, test.want, test.err)
		}
	}
}

func TestConfig_Select_disabled(t *testing.T) {
	cfg := &Config{Accounts: []Account{{Name: "work"}}}
	if got, err := cfg.Select(nil); err == nil {
		t.Errorf("Select() = %v, want an error", got)
	}
}

func TestDefaultPath(t *testing.T) {
	folder := home(t)
	if _, err := os.Stat("/etc/popfetch/config.toml"); err == nil {
		t.Skip("this machine has a configuration for all")
	}
	if got, want := DefaultPath(), folder+"/.config/popfetch/config.toml"; got != want {
		t.Errorf("DefaultPath() = %s, want %s", got, want)
	}
	t.Setenv("XDG_CONFIG_HOME", "relative")
	if got, want := DefaultPath(), folder+"/.config/popfetch/config.toml"; got != want {
		t.Errorf("DefaultPath() = %s with a relative variable, want %s", got, want)
	}
	xdg := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", xdg)
	if got, want := DefaultPath(), xdg+"/popfetch/config.toml"; got != want {
		t.Errorf("DefaultPath() = %s, want %s", got, want)
	}
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", "")
	if got, want := DefaultPath(), "/etc/popfetch/config.toml"; got != want {
		t.Errorf("DefaultPath() = %s without a home, want %s", got, want)
	}
}

func TestLoad_withoutHome(t *testing.T) {
	home(t)
	t.Setenv("HOME", "")
	path := writeConfig(t, strings.Replace(twoAccounts, `"/m"`, `"~/m"`, 1))
	want := path + ":5: account.home.maildir: ~ cannot be expanded: $HOME is not defined; write the whole path"
	if _, err := Load(path); err == nil || err.Error() != want {
		t.Errorf("Load() = %v, want %s", err, want)
	}
}

func TestDefaultStateDir(t *testing.T) {
	folder := home(t)
	if got, want := DefaultStateDir(), folder+"/.local/state/popfetch"; got != want {
		t.Errorf("DefaultStateDir() = %s, want %s", got, want)
	}
	t.Setenv("HOME", "")
	if got := DefaultStateDir(); got != "" {
		t.Errorf("DefaultStateDir() = %s without a home, want nothing", got)
	}
}

// TestLoad_mode loads files that others can read: only a password makes that a mistake.
func TestLoad_mode(t *testing.T) {
	home(t)
	tests := []struct {
		name, text string
		mode       os.FileMode
		mistake    string // without file
	}{
		{"password in account", twoAccounts + `password = "hunter2"`, 0o640, ":10: account.work.password: others can read the file (mode 0640); run chmod 600 "},
		{"password in defaults", "[defaults]\npassword = \"hunter2\"" + twoAccounts, 0o604, ":2: defaults.password: others can read the file (mode 0604); run chmod 600 "},
		{"password in a disabled account", twoAccounts + "enabled = false\npassword = \"hunter2\"", 0o644, ":11: account.work.password: "},
		{"password in one line", "account.a.password = 'hunter2'" + twoAccounts, 0o644, ":1: account.a.password: "},
		{"password that another key replaces", "account.a.password = 'hunter2'\naccount.a = 1" + twoAccounts, 0o644, ":1: account.a.password: "},
		{"wrong password", twoAccounts + "password = 12", 0o644, ":10: account.work.password: others can read"},
		{"password, private", twoAccounts + `password = "hunter2"`, 0o600, ""},
		{"password, read-only", twoAccounts + `password = "hunter2"`, 0o400, ""},
		{"no password", twoAccounts + `password_command = "echo"`, 0o644, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := writeConfig(t, test.text)
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path)
			if test.mistake == "" {
				if err != nil {
					t.Errorf("Load() = %v, want no mistake", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), path+test.mistake) {
				t.Errorf("Load() = %v, want %s", err, test.mistake)
			}
		})
	}
}

func TestLoad_notAFile(t *testing.T) {
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is a folder; name") {
		t.Errorf("Load() of a folder = %v, want an error that tells so", err)
	}
	if _, err := Load("/dev/zero"); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB; name") {
		t.Errorf("Load() of /dev/zero = %v, want an error that tells so", err)
	}
}

// TestLoad_inherited checks which keys an account takes from [defaults].
func TestLoad_inherited(t *testing.T) {
	home(t)
	const fingerprint = `"0000000000000000000000000000000000000000000000000000000000000000"`
	tests := []struct {
		name, defaults, account string
		want                    func(*Account)
	}{
		{"taken", `order = "newest"`, `maildir = "/m"`, func(a *Account) { a.Maildir = "/m"; a.Order = "newest" }},
		{"replaced", `order = "newest"`, "maildir = '/m'\norder = 'oldest'", func(a *Account) { a.Maildir = "/m" }},
		{"target replaced", "mda = 'cat'\nmda_timeout = '1m'\nmax_deliveries = 2", "maildir = '/m'", func(a *Account) { a.Maildir = "/m"; a.MDATimeout = 60e9 }},
		{"target taken", "mda = 'cat'\nmda_timeout = '1m'", "max_deliveries = 2", func(a *Account) {
			a.MDA, a.MDATimeout, a.MaxDeliveries = "cat", 60e9, 2
		}},
		{"password replaced", "password = 'x'\nmaildir = '/m'", "password_command = 'y'", func(a *Account) {
			a.Maildir, a.Password.Command = "/m", "y"
		}},
		{"TLS left out", "maildir = '/m'\ntls_ca = '/ca'\ntls_server_name = 'n'\ntls_cert = '/c'\ntls_key = '/k'\ntls_fingerprint = " + fingerprint, "tls = 'none'", func(a *Account) {
			a.Maildir, a.TLS, a.Server = "/m", "none", "h:110"
		}},
		{"root left out", "maildir = '/m'\ntls_ca = '/ca'", "tls_fingerprint = " + fingerprint, func(a *Account) {
			a.Maildir, a.TLSFingerprint = "/m", []string{strings.Trim(fingerprint, `"`)}
		}},
		{"password left out", "maildir = '/m'\npassword = 'x'", "tls_cert = '/c'\ntls_key = '/k'\nauth = 'external'", func(a *Account) {
			a.Maildir, a.TLSCert, a.TLSKey, a.Auth = "/m", "/c", "/k", []string{"external"}
		}},
		{"password left out for a ticket", "maildir = '/m'\npassword = 'x'", "auth = 'gssapi'", func(a *Account) {
			a.Maildir, a.Auth = "/m", []string{"gssapi"}
		}},
		{"limit lifted", "maildir = '/m'\nmax_size = '1K'\ndeadline = '1h'\ninitial = 'none'", "max_size = 'none'\ndeadline = 'none'\ninitial = 'all'", func(a *Account) { a.Maildir = "/m" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg, err := Load(writeConfig(t, "[defaults]\n"+test.defaults+"\n[account.a]\nserver = 'h'\nuser = 'u'\n"+test.account))
			if err != nil {
				t.Fatal(err)
			}
			want := emptyAccount("a")
			want.Server, want.User = "h:995", "u"
			test.want(&want)
			if got := cfg.Accounts[0]; !reflect.DeepEqual(got, want) {
				t.Errorf("Load() has %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestLoad_relativePath loads a path without a folder, which is in the working folder.
func TestLoad_relativePath(t *testing.T) {
	home(t)
	path := writeConfig(t, strings.ReplaceAll(twoAccounts, `"/m"`, `"../m"`))
	t.Chdir(filepath.Dir(path))
	cfg, err := Load("config.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(filepath.Dir(filepath.Dir(path)), "m")
	if got := cfg.Accounts[0].Maildir; got != want {
		t.Errorf("maildir = %s, want %s", got, want)
	}
}

// TestLoad_order loads accounts that are not in alphabetical order.
func TestLoad_order(t *testing.T) {
	home(t)
	cfg, err := Load(writeConfig(t, `account.z = {server = "h", user = "u", maildir = "/m"}
account.b.server = "h"
account.b.user = "u"
[defaults]
maildir = "/m"
[account.a]
server = "h"
user = "u"
`))
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for _, a := range cfg.Accounts {
		got += a.Name
	}
	if got != "zba" {
		t.Errorf("the accounts' order is %s, want zba", got)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"password", "password_file", "tls_ca", "tls_key", "user", "order"}
	tests := []struct{ word, want string }{
		{"pasword", "password"},
		{"passwrod", "password"},
		{"PASSWORD", "password"},
		{"passwordfile", "password_file password"},
		{"tlsca", "tls_ca"},
		{"odrer", "order"},
		{"use", "user"},
		{"mbox", ""},
		{"", ""},
		{"é", ""},
		{strings.Repeat("password", 100000), ""},
	}
	for _, test := range tests {
		if got := strings.Join(Nearest(test.word, known), " "); got != test.want {
			t.Errorf("Nearest(%q) = %q, want %q", test.word, got, test.want)
		}
	}
}

func TestSlips(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "abc", 0},
		{"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "bc", 1}, {"kitten", "sitting", 3},
	}
	for _, test := range tests {
		if got := slips(test.a, test.b); got != test.want {
			t.Errorf("slips(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestError(t *testing.T) {
	cause := errors.New("cause; mend")
	tests := []struct {
		err  Error
		want string
	}{
		{Error{File: "f", Line: 3, Key: "jobs", Err: cause}, "f:3: jobs: cause; mend"},
		{Error{File: "f", Key: "jobs", Err: cause}, "f: jobs: cause; mend"},
		{Error{File: "f", Line: 3, Err: cause}, "f:3: cause; mend"},
		{Error{Key: "--jobs", Err: cause}, "--jobs: cause; mend"},
		{Error{Err: cause}, "cause; mend"},
	}
	for _, test := range tests {
		if got := test.err.Error(); got != test.want {
			t.Errorf("Error() = %q, want %q", got, test.want)
		}
		if all := (Errors{&test.err}); !errors.Is(all, cause) {
			t.Errorf("errors.Is(%v, cause) = false", all)
		}
	}
}
