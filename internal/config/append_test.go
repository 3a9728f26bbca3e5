package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// newAccount returns an account that can be added.
func newAccount(name string) NewAccount {
	return NewAccount{Name: name, Settings: []Setting{
		{"server", "pop.example.org"}, {"user", "alice@example.org"}, {"password_command", "pass show mail"}, {"maildir", "~/Maildir"},
	}}
}

const newTable = "server = \"pop.example.org\"\nuser = \"alice@example.org\"\npassword_command = \"pass show mail\"\nmaildir = \"~/Maildir\"\n"

const oldText = "# mine\n[account.old]\n  server=\"pop.example.net\" # kept\nuser = 'bob'\nmaildir = \"M\"\n"

func TestAppend(t *testing.T) {
	home(t)
	for name, test := range map[string]struct{ old, want string }{
		"empty":           {"", "[account.new]\n" + newTable},
		"comment alone":   {"# nothing yet\n", "# nothing yet\n\n[account.new]\n" + newTable},
		"an account":      {oldText, oldText + "\n[account.new]\n" + newTable},
		"no last newline": {strings.TrimSuffix(oldText, "\n"), oldText + "\n[account.new]\n" + newTable},
		"CRLF": {strings.ReplaceAll(oldText, "\n", "\r\n"),
			strings.ReplaceAll(oldText+"\n[account.new]\n"+newTable, "\n", "\r\n")},
		"CRLF without the last": {strings.TrimSuffix(strings.ReplaceAll(oldText, "\n", "\r\n"), "\r\n"),
			strings.ReplaceAll(oldText+"\n[account.new]\n"+newTable, "\n", "\r\n")},
		"byte order mark": {"\uFEFF" + oldText, "\uFEFF" + oldText + "\n[account.new]\n" + newTable},
		"dotted keys": {"account.old.server = 'h'\naccount.old.user = 'u'\naccount.old.maildir = 'm'\n",
			"account.old.server = 'h'\naccount.old.user = 'u'\naccount.old.maildir = 'm'\n\n[account.new]\n" + newTable},
		"defaults": {"[defaults]\ntls = 'starttls'\n", "[defaults]\ntls = 'starttls'\n\n[account.new]\n" + newTable},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeConfig(t, test.old)
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
			if err := Append(t.Context(), path, newAccount("new")); err != nil {
				t.Fatalf("Append() = %v", err)
			}
			if got := read(t, path); got != test.want {
				t.Errorf("the file is\n%q, want\n%q", got, test.want)
			}
			if info, _ := os.Stat(path); info.Mode() != 0o640 {
				t.Errorf("the mode is %v, want that of before", info.Mode())
			}
			onlyFiles(t, filepath.Dir(path), "config.toml")
			cfg, err := Load(path)
			if err != nil || cfg.Accounts[len(cfg.Accounts)-1].Name != "new" {
				t.Errorf("Load() = %+v, %v", cfg, err)
			}
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// onlyFiles fails the test if a folder has other files than these.
func onlyFiles(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if err != nil || strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("%s has %q, %v, want %q", folder, names, err, want)
	}
}

// A missing file is made, with its folders, for nobody else to read. The password is beside it.
func TestAppend_new(t *testing.T) {
	folder := filepath.Join(home(t), ".config", "popfetch")
	path := filepath.Join(folder, "config.toml")
	a := NewAccount{Name: "Old Mail", Comments: []string{"from \x1b[31mhere\nand there", ""}, Password: "hunter2 é",
		Settings: []Setting{{"server", "pop.example.org"}, {"oauth", []Setting{}}, {"user", "a\"\\\x01"}, {"maildir", "m"}}}
	a.Settings = append(a.Settings[:1], a.Settings[2:]...)
	a.Settings[1].Value = `a"\é`
	if err := Append(t.Context(), path, a); err != nil {
		t.Fatalf("Append() = %v", err)
	}
	want := "# from \\U0000001B[31mhere\n# and there\n[account.\"Old Mail\"]\nserver = \"pop.example.org\"\n" +
		"user = \"a\\\"\\\\é\"\nmaildir = \"m\"\npassword_file = \"Old Mail.password\"\n"
	if got := read(t, path); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	for file, mode := range map[string]fs.FileMode{folder: fs.ModeDir | 0o700, path: 0o600, PasswordFile(path, "Old Mail"): 0o600} {
		if info, err := os.Stat(file); err != nil || info.Mode() != mode {
			t.Errorf("the mode of %s is %v, %v, want %v", file, info, err, mode)
		}
	}
	cfg, err := Load(path)
	if err != nil {
		t.Fatalf("Load() = %v", err)
	}
	if got, err := cfg.Accounts[0].Password.Resolve(t.Context(), ""); got != "hunter2 é" || err != nil {
		t.Errorf("Resolve() = %q, %v", got, err)
	}
}

// An account comes with its targets and routes.
func TestAppend_targets(t *testing.T) {
	home(t)
	path := writeConfig(t, "[target.old]\nmaildir = 'o'\n"+oldText)
	a := newAccount("new")
	a.Settings = append(a.Settings, Setting{"route", [][]Setting{
		{{"header", []string{"List-Id", "X-List"}}, {"match", `<dev\.`}, {"deliver", "lists"}},
		{{"header", "Subject"}, {"equals", "x"}, {"deliver", []string{}}},
	}}, Setting{"delete", []Setting{{"after", "30d"}, {"removed", true}}})
	a.Targets = []NewTarget{{"lists", []Setting{{"mda_argv", []string{"cat", ""}}, {"max_deliveries", 2}}}}
	if err := Append(t.Context(), path, a); err != nil {
		t.Fatalf("Append() = %v", err)
	}
	want := "\n[target.lists]\nmda_argv = [\"cat\", \"\"]\nmax_deliveries = 2\n\n[account.new]\n" + newTable +
		"\n[[account.new.route]]\nheader = [\"List-Id\", \"X-List\"]\nmatch = \"<dev\\\\.\"\ndeliver = \"lists\"\n" +
		"\n[[account.new.route]]\nheader = \"Subject\"\nequals = \"x\"\ndeliver = []\n" +
		"\n[account.new.delete]\nafter = \"30d\"\nremoved = true\n"
	if got := read(t, path); !strings.HasSuffix(got, want) {
		t.Errorf("the file is\n%s\nwant at its end\n%s", got, want)
	}
	b := newAccount("next")
	b.Targets = []NewTarget{{"old", []Setting{{"maildir", "x"}}}}
	if err := Append(t.Context(), path, b); !errors.Is(err, ErrExists) {
		t.Errorf("Append() of a target twice = %v, want ErrExists", err)
	}
}

// What cannot be added changes nothing, and the error says what to do.
func TestAppend_refuses(t *testing.T) {
	home(t)
	with := func(key string, value any) NewAccount {
		a := newAccount("new")
		a.Settings = append(a.Settings, Setting{key, value})
		return a
	}
	secret := newAccount("new")
	secret.Settings[2] = Setting{"password", "hunter2"}
	client := newAccount("new")
	client.Settings[2] = Setting{"oauth", []Setting{{"client_secret", "hunter2"}}}
	both := newAccount("new")
	both.Password = "hunter2"
	for name, test := range map[string]struct {
		old      string
		accounts []NewAccount
		want     string
		exists   bool
	}{
		"existing":       {oldText, []NewAccount{newAccount("old")}, `FILE: no account was added: the account "old" exists already in FILE:2; choose another name`, true},
		"twice":          {oldText, []NewAccount{newAccount("a"), newAccount("a")}, `FILE: no account was added: the account "a" exists already in FILE; choose another name`, true},
		"invalid before": {oldText + "tsl = 'none'\n", []NewAccount{newAccount("new")}, `FILE:6: account.old.tsl: is not a known key; write tls`, false},
		"no TOML before": {"x = \"\"\"\n", []NewAccount{newAccount("new")}, `FILE:1: not TOML: the file ends in the middle of a value or name; add what is missing`, false},
		"unknown key":    {oldText, []NewAccount{with("sever", "x")}, `account.new.sever: is not a known key; write server`, false},
		"command":        {oldText, []NewAccount{newAccount("check")}, `account.check: the name of a command cannot be an account's; choose another name`, false},
		"password":       {oldText, []NewAccount{secret}, `account.new: password would be readable in the file; write password_command or password_file`, false},
		"client secret":  {oldText, []NewAccount{client}, `account.new: client_secret would be readable in the file; write client_secret_file or client_secret_command`, false},
		"two passwords":  {oldText, []NewAccount{both}, `account.new.password_file: cannot be set together with password_command; keep one of them`, false},
		"not UTF-8":      {oldText, []NewAccount{with("tls_ca", "\xff")}, `account.new: tls_ca holds octets that are no UTF-8, and TOML cannot hold them; write the text as UTF-8`, false},
		"wrong type":     {oldText, []NewAccount{with("tls_ca", 1.5)}, `account.new: tls_ca has a value of type float64, which no key takes`, false},
		"too large":      {oldText, []NewAccount{with("tls_ca", strings.Repeat("x", maxFile))}, `FILE: no account was added: it would become larger than 1 MiB; name another file with --config`, false},
		"second wrong":   {oldText, []NewAccount{newAccount("a"), with("tls", "ssl")}, `account.new.tls: "ssl" is not known; write "implicit", "starttls" or "none"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeConfig(t, test.old)
			err := Append(t.Context(), path, test.accounts...)
			if err == nil {
				t.Fatalf("Append() added\n%s", read(t, path))
			}
			if got := strings.ReplaceAll(err.Error(), path, "FILE"); got != test.want {
				t.Errorf("Append() = %s\nwant %s", got, test.want)
			}
			if errors.Is(err, ErrExists) != test.exists {
				t.Errorf("errors.Is(err, ErrExists) = %v", !test.exists)
			}
			if got := read(t, path); got != test.old {
				t.Errorf("the file has become\n%s", got)
			}
			onlyFiles(t, filepath.Dir(path), "config.toml")
			if _, previewErr := Preview(path, test.accounts...); previewErr == nil || previewErr.Error() != err.Error() {
				t.Errorf("Preview() = %v, want the same", previewErr)
			}
		})
	}
}

// A link stays, and the file that it leads to is changed. The password is beside the link.
func TestAppend_link(t *testing.T) {
	home(t)
	real, links := writeConfig(t, oldText), t.TempDir()
	path := filepath.Join(links, "config.toml")
	if err := os.Symlink(real, path); err != nil {
		t.Fatal(err)
	}
	a := newAccount("new")
	a.Settings, a.Password = append(a.Settings[:2:2], a.Settings[3]), "hunter2"
	if err := Append(t.Context(), path, a); err != nil {
		t.Fatalf("Append() = %v", err)
	}
	if got := read(t, real); !strings.HasPrefix(got, oldText+"\n[account.new]\n") {
		t.Errorf("the file is\n%s", got)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link is %v, %v", info, err)
	}
	onlyFiles(t, filepath.Dir(real), "config.toml")
	onlyFiles(t, links, "config.toml", "new.password")

	if err := os.Remove(real); err != nil {
		t.Fatal(err)
	}
	var failed *AppendError
	if err := Append(t.Context(), path, newAccount("new")); !errors.As(err, &failed) {
		t.Errorf("Append() to a link to nothing = %v, want an *AppendError", err)
	}
}

// A password file of the same name is never overwritten, and one that Append made does not stay if
// the account was not added.
func TestAppend_passwordFile(t *testing.T) {
	home(t)
	path := writeConfig(t, oldText)
	a, b := newAccount("a"), newAccount("b")
	for _, n := range []*NewAccount{&a, &b} {
		n.Settings, n.Password = append(n.Settings[:2:2], n.Settings[3]), "hunter2"
	}
	if err := os.WriteFile(PasswordFile(path, "b"), []byte("other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Append(t.Context(), path, a, b)
	if !errors.Is(err, ErrExists) || strings.Contains(err.Error(), "hunter") {
		t.Errorf("Append() = %v, want ErrExists", err)
	}
	onlyFiles(t, filepath.Dir(path), "b.password", "config.toml")
	if read(t, path) != oldText || read(t, PasswordFile(path, "b")) != "other\n" {
		t.Error("a file has changed")
	}
	if err := os.WriteFile(PasswordFile(path, "b"), []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Append(t.Context(), path, a, b); err != nil {
		t.Errorf("Append() = %v though the file has this password", err)
	}
	onlyFiles(t, filepath.Dir(path), "a.password", "b.password", "config.toml")
}

// A change that another program makes between reading and writing is not lost.
func TestOldFile_replace_changed(t *testing.T) {
	home(t)
	path := writeConfig(t, oldText)
	old, err := readOld(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(oldText+"# more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := old.replace("lost"); err == nil || read(t, path) != oldText+"# more\n" {
		t.Errorf("replace() = %v, and the file is %q", err, read(t, path))
	}
	onlyFiles(t, filepath.Dir(path), "config.toml")

	missing := filepath.Join(t.TempDir(), "config.toml")
	if old, err = readOld(missing); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(missing, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := old.replace("lost"); err == nil || read(t, missing) != "x" {
		t.Errorf("replace() of a missing file = %v, and the file is %q", err, read(t, missing))
	}
}

// Processes that append at the same time wait for each other.
func TestAppend_together(t *testing.T) {
	home(t)
	path := filepath.Join(t.TempDir(), "config.toml")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := Append(t.Context(), path, newAccount(fmt.Sprint("a", i))); err != nil {
				t.Errorf("Append() = %v", err)
			}
		}()
	}
	wg.Wait()
	if cfg, err := Load(path); err != nil || len(cfg.Accounts) != 20 {
		t.Errorf("Load() = %v, %v, want 20 accounts", cfg, err)
	}
}

func TestAppend_locked(t *testing.T) {
	home(t)
	path := writeConfig(t, oldText)
	unlock, err := lockFolder(t.Context(), filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var failed *AppendError
	if err := Append(ctx, path, newAccount("new")); !errors.As(err, &failed) || read(t, path) != oldText {
		t.Errorf("Append() = %v, want an *AppendError", err)
	}
}
