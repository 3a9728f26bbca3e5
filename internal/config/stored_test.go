package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// loadAccounts reads a text as a file of accounts.
func loadAccounts(t *testing.T, text string) (*Config, error) {
	t.Helper()
	return LoadAccounts("-", strings.NewReader(text))
}

// storedText has every kind of secret, and targets that only some accounts use.
const storedText = `
[defaults]
timeout = "20s"
tls_ca = "ca.pem"
password = "inherited1"
imap_password = "inherited2"

[target.lists]
maildir = "~/lists/{account}"

[target.box]
imap = "imaps://bob@imap.example.org/INBOX"
imap_password = "hunter3"

[target.cloud]
imap = "imaps://bob@imap.example.com/INBOX"
[target.cloud.imap_oauth]
client_id = "x"
client_secret = "hunter4"
token_url = "https://example.org/token"
device_url = "https://example.org/device"

[account.plain]
server = "Pop.Example.org"
user = "alice"
maildir = "M/{account}"
enabled = false

[account."a b"]
server = "h"
user = "u"
proxy = "socks5://me:hunter5@proxy:1080"
deliver = ["box", "cloud"]
envelope_header = "X-To"
interval = "5m"
[account."a b".oauth]
client_id = "x"
client_secret = "hunter6"
token_url = "https://example.org/token"
device_url = "https://example.org/device"
[[account."a b".route]]
header = "List-Id"
match = "x = [y]\n"
deliver = "lists"
[[account."a b".route]]
recipient = "sales@*"
deliver = []
`

// An account is complete in itself, and read back it is the same.
func TestStore(t *testing.T) {
	folder, _ := filepath.EvalSymlinks(home(t))
	t.Chdir(folder)
	cfg, err := loadAccounts(t, storedText)
	if err != nil {
		t.Fatal(err)
	}
	database := &Config{File: "config.toml"}
	for i := range cfg.Accounts {
		a := &cfg.Accounts[i]
		s := cfg.Store(a)
		if strings.Contains(s.TOML, "hunter") || strings.Contains(s.TOML, "inherited") {
			t.Errorf("the text shows a secret:\n%s", s.TOML)
		}
		if shown := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(shown, "hunter") {
			t.Errorf("it is shown as %s", shown)
		}
		read, err := s.Read()
		if err != nil {
			t.Fatalf("Read() = %v of\n%s", err, s.TOML)
		}
		database.Add(read)
		got := &database.Accounts[i]
		if !reflect.DeepEqual(got, a) {
			t.Errorf("read back from\n%s\nit is\n%#v\nwant\n%#v", s.TOML, got, a)
		}
		if used, want := database.Uses(got), cfg.Uses(a); !reflect.DeepEqual(used, want) {
			t.Errorf("the targets of %s are\n%#v\nwant\n%#v", a.Name, used, want)
		}
	}
	plain, other := cfg.Store(&cfg.Accounts[0]), cfg.Store(&cfg.Accounts[1])
	want := fmt.Sprintf("[account.plain]\nserver = \"pop.example.org:995\"\ntls_ca = %q\nuser = \"alice\"\npassword = \"***\"\n"+
		"maildir = %q\ntimeout = \"20s\"\n", folder+"/ca.pem", folder+"/M/plain")
	if plain.TOML != want {
		t.Errorf("the text is\n%s\nwant\n%s", plain.TOML, want)
	}
	var keys []string
	for key := range other.Secrets {
		keys = append(keys, key+"="+other.Secrets[key])
	}
	slices.Sort(keys)
	if got := strings.Join(keys, " "); got != "imap_password=inherited2 oauth.client_secret=hunter6 proxy=hunter5 "+
		"target.box.imap_password=hunter3 target.cloud.imap_oauth.client_secret=hunter4" {
		t.Errorf("the secrets are %s", got)
	}
	if plain.Enabled || database.Accounts[0].Enabled {
		t.Error("the account is enabled")
	}
}

// Each key that holds a secret is one that is sealed.
func TestSecretsOf_all(t *testing.T) {
	c := &Config{Targets: []Target{{Name: "t"}}, targetHomes: map[string]targetHome{"t": {&source{}, 0}}}
	a := &Account{Deliver: []string{"t"}}
	for _, s := range []*Secret{&a.Password, &a.IMAPPassword, &a.OAuth.ClientSecret, &a.IMAPOAuth.ClientSecret,
		&c.Targets[0].IMAPPassword, &c.Targets[0].IMAPOAuth.ClientSecret} {
		s.Password = "x"
	}
	a.Proxy.Password = "x"
	known := map[string]bool{}
	for _, s := range c.secretsOf(a) {
		known[s.key] = true
	}
	for key := range accountKeys.secrets() {
		if !known[key] {
			t.Errorf("%s of an account is not sealed", key)
		}
	}
	for key := range targetKeys.secrets() {
		if !known["target.t."+key] {
			t.Errorf("%s of a target is not sealed", key)
		}
	}
	for _, r := range accountKeys {
		if r.hasSecret != nil && !known[r.name] {
			t.Errorf("%s is not sealed", r.name)
		}
	}
}

// Two stored accounts may have targets of the same name.
func TestConfig_Add_targets(t *testing.T) {
	c := new(Config)
	for _, name := range []string{"a", "b"} {
		text := fmt.Sprintf("[target.t]\nmaildir = \"/m/%s\"\n[account.%s]\nserver = \"h\"\nuser = \"u\"\ndeliver = \"t\"\n", name, name)
		read, err := Stored{Name: name, TOML: text, Enabled: true}.Read()
		if err != nil {
			t.Fatal(err)
		}
		c.Add(read)
	}
	for i, want := range []string{"/m/a", "/m/b"} {
		a := &c.Accounts[i]
		used := c.Uses(a)
		if len(used) != 1 || used[0].Maildir != want {
			t.Errorf("the targets of %s are %v", a.Name, used)
			continue
		}
		field := func(t *Target) any { return &t.Maildir }
		if got := c.TargetMistake(a, &used[0], field, errors.New("x")).Error(); got != "database: target.t.maildir: x" {
			t.Errorf("TargetMistake() = %s", got)
		}
	}
	a := c.Accounts[1]
	if got := c.Mistake(&a, &a.Server, errors.New("x")).Error(); got != "database: account.b.server: x" || c.FileOf("b") != "database" {
		t.Errorf("Mistake() = %s", got)
	}
	if !c.Wrote(&a, &a.User) || c.Wrote(&a, &a.Timeout) {
		t.Error("Wrote() does not say which keys are stored")
	}
	var text strings.Builder
	if err := c.Write(&text); err != nil || strings.Count(text.String(), "[target.t]") != 2 {
		t.Errorf("Write() = %v, and wrote\n%s", err, text.String())
	}
}

func TestStored_Read_broken(t *testing.T) {
	const good = "[account.a]\nserver = \"h\"\nuser = \"u\"\nmaildir = \"/m\"\n"
	for name, s := range map[string]Stored{
		"database: account.a.serve: is not a known key; write server":                             {Name: "a", TOML: strings.ReplaceAll(good, "server", "serve")},
		"database: account.b: its specification is that of another account; put it again":         {Name: "b", TOML: good},
		"database: account.a: password has no sealed value; put the account again":                {Name: "a", TOML: good + "password = \"***\"\n"},
		"database: not TOML: the file ends in the middle of a value or name; add what is missing": {Name: "a", TOML: good + "x = \"\"\""},
		`database: account.a.deliver: no target is called "t"; add the table [target.t]`:          {Name: "a", TOML: strings.Replace(good, "maildir = \"/m\"", "deliver = \"t\"", 1)},
	} {
		var errs Errors
		if _, err := s.Read(); !errors.As(err, &errs) || err.Error() != name {
			t.Errorf("Read() = %v, want %s", err, name)
		}
	}
}

func TestLoadAccounts_refuses(t *testing.T) {
	home(t)
	const good = "[account.a]\nserver = 'h'\nuser = 'u'\nmaildir = '/m'\n"
	for name, test := range map[string]struct{ text, want string }{
		"of a machine": {"jobs = 3\nstate_dir = '/s'\nstate = 'postgres://x/y'\n" + good, `standard input:1: jobs: belongs to a machine, and not to its accounts; remove it here, and write it into the configuration of the machines
standard input:2: state_dir: belongs to a machine, and not to its accounts; remove it here, and write it into the configuration of the machines
standard input:3: state: belongs to a machine, and not to its accounts; remove it here, and write it into the configuration of the machines`},
		"others":    {"include = 'x'\n" + good, `standard input:1: include: a file of accounts includes no others; remove it, and put each of the files`},
		"unknown":   {"sever = 'x'\n" + good, `standard input:1: sever: is not a known key; remove it, or see popfetch.toml(5) for the keys`},
		"no TOML":   {good + "x = \"\"\"", `standard input:5: not TOML: the file ends in the middle of a value or name; add what is missing`},
		"empty":     {"", `standard input: account: there is none; write [account.NAME] with server, user and maildir (or mbox, mda, mda_argv, lmtp, smtp, imap or deliver)`},
		"a target":  {good + "[target.t]\nmaildir = '/t'\n", `standard input:5: target.t: is the target of no account in this file, so the database would not have it; remove it, or name it in deliver`},
		"several":   {good + "tsl = 'x'\ntimeout = 5\n[account.check]\nserver = 'h'\nuser = 'u'\nmaildir = '/m'\n", "standard input:5: account.a.tsl: is not a known key; write tls\nstandard input:6: account.a.timeout: "},
		"a mask":    {"[defaults]\nproxy = 'socks5://me:***@p:1'\n" + good + "password = '***'\n", "standard input:2: defaults.proxy: is \"***\", which stands for a secret in what \"popfetch accounts get\" prints; write the secret itself, or another key for it\nstandard input:7: account.a.password: is \"***\", "},
		"too large": {strings.Repeat("#", maxAccountsFile+1), `standard input: is larger than 64 MiB; name a file with accounts, or - for standard input`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadAccounts(t, test.text)
			var errs Errors
			if !errors.As(err, &errs) || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("LoadAccounts() = %v\nwant %s", err, test.want)
			}
		})
	}
	path := writeConfig(t, good+"password = 'x'\n")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadAccounts(path, nil); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("LoadAccounts() of a file with a password that others can read = %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, err := LoadAccounts(path, nil); err != nil || len(cfg.Accounts) != 1 {
		t.Errorf("LoadAccounts() = %v", err)
	}
}

func TestChangedKeys(t *testing.T) {
	const old = "[target.t]\nmaildir = \"/a = b\"\nrcpt = \"x\"\n\n[account.a]\nserver = \"h\"\nroute = [\n  {header = [\"A\"], deliver = []},\n]\nuser = \"u\"\n"
	for changed, want := range map[string]string{
		old:                                     "",
		strings.Replace(old, "/a = b", "/c", 1): "target.t.maildir",
		strings.Replace(old, "user = \"u\"\n", "", 1): "user",
		strings.Replace(old, "\"A\"", "\"B\"", 1):     "route",
		old + "timeout = \"1s\"\n":                    "timeout",
		"[account.a]\nserver = \"g\"\nuser = \"u\"\n": "route server target.t.maildir target.t.rcpt",
	} {
		if got := strings.Join(ChangedKeys(old, changed), " "); got != want {
			t.Errorf("ChangedKeys() = %s, want %s of\n%s", got, want, changed)
		}
	}
}
