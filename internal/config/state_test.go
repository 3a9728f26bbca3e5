package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestStateURL_String masks passwords wherever a URL may have one.
func TestStateURL_String(t *testing.T) {
	tests := []struct{ url, want string }{
		{"", ""},
		{"postgres://h/d", "postgres://h/d"},
		{"postgres://u@h:1/d?sslmode=verify-full", "postgres://u@h:1/d?sslmode=verify-full"},
		{"postgres://u:hunter2@h/d", "postgres://u:***@h/d"},
		{"postgres://u:@h/d", "postgres://u:***@h/d"},
		{"postgresql://u:hunter2@h1:1,h2:2/d?a=b", "postgresql://u:***@h1:1,h2:2/d?a=b"},
		{"postgres://u:hun@ter2@h", "postgres://u:***@h"},
		{"postgres:///d?host=/run&password=hunter2&user=u", "postgres:///d?host=/run&password=***&user=u"},
		{"postgres://h/d?sslpassword=hunter2", "postgres://h/d?sslpassword=***"},
		{"postgres://h/d?p%61ssword=hunter2", "postgres://h/d?p%61ssword=***"},
		{"postgres://h/d?%zz=hunter2", "postgres://h/d?%zz=***"},
	}
	for _, test := range tests {
		u := StateURL(test.url)
		if got := u.String(); got != test.want {
			t.Errorf("String() = %s, want %s", got, test.want)
		}
		if got, want := u.HasPassword(), test.url != test.want; got != want {
			t.Errorf("HasPassword() of %s = %t, want %t", test.want, got, want)
		}
		if shown := fmt.Sprintf("%v %s %q %#v %+v", u, u, u, u, struct{ U StateURL }{u}); strings.Contains(shown, "ter2") {
			t.Errorf("package fmt shows %s", shown)
		}
	}
}

// TestLoad_shared reads the keys of a state that machines share.
func TestLoad_shared(t *testing.T) {
	home(t)
	cfg, err := Load(writeConfig(t, `state = "postgres://u:hunter2@h/d"
lease = "5s"
accounts = "database"
accounts_key_file = "key"
`))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.StateDir != "" || cfg.State != "postgres://u:hunter2@h/d" || cfg.Lease != 5*time.Second || cfg.AccountsFrom != FromDatabase || !strings.HasSuffix(cfg.AccountsKeyFile, "/key") {
		t.Errorf("Load() = %+v", cfg)
	}
	var text strings.Builder
	if err := cfg.Write(&text); err != nil {
		t.Fatal(err)
	}
	want := `state = "postgres://u:***@h/d"
lease = "5s"
accounts = "database"
accounts_key_file = "` + cfg.AccountsKeyFile + `"
jobs = 4
`
	if text.String() != want {
		t.Errorf("Write() wrote\n%swant\n%s", text.String(), want)
	}
	again, err := Load(writeConfig(t, text.String()))
	if err != nil || again.State != "postgres://u:***@h/d" {
		t.Errorf("Load() of what Write wrote = %v, %v", again, err)
	}
}

// TestLoad_sharedMistakes has contradictions, and URLs that name no database.
func TestLoad_sharedMistakes(t *testing.T) {
	home(t)
	const (
		usage   = `write "postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full"`
		escapes = `is no URL; a character such as "@", "/", "?", "#" or "%" in name or password is written as %40, %2F, %3F, %23 or %25; ` + usage
		alone   = `has a meaning only where many machines share a database; write state = "postgres://…", or remove it`
		inside  = `the accounts come from the database; take it out, and give it to "popfetch accounts put"`
		state   = "state = 'postgres://h/d'\n"
	)
	tests := []struct{ top, below, want string }{
		{"state_dir = '/s'\n" + state, twoAccounts, ":2: state: cannot be set together with state_dir; keep one of them"},
		{state + "state_dir = '/s'\n", twoAccounts, ":2: state_dir: cannot be set together with state; keep one of them"},
		{"state = 'mysql://u:hunter2@h/d'", twoAccounts, `:1: state: "mysql" is no kind of database that popfetch knows; ` + usage},
		{"state = 'host=h password=hunter2'", twoAccounts, ":1: state: is no URL of a database; " + usage},
		{"state = 'postgres://u:hunter2/x@h/d'", twoAccounts, ":1: state: " + escapes},
		{"state = 'postgres://u:12/hunter2@h/d'", twoAccounts, ":1: state: " + escapes},
		{"state = 'postgres://u:hunter2#@h/d'", twoAccounts, ":1: state: " + escapes},
		{"state = 'postgres://u:hunter2%@h/d'", twoAccounts, ":1: state: " + escapes},
		{"state = 'postgres://h/d?password=%zz'", twoAccounts, `:1: state: has a part behind "?" that is written wrongly; ` + usage},
		{"state = 5", twoAccounts, `:1: state: is a number; write text in "quotes"`},
		{state + "lease = '4s'", twoAccounts, ":2: lease: 4s is too short; write at least 5s"},
		{state + "lease = '1m0s'", twoAccounts, `:2: lease: "1m0s" is not one number with one unit; write "1m"`},
		{state + "accounts = 'both'", twoAccounts, `:2: accounts: "both" is not known; write "file" or "database"`},
		{"[accounts.work]\nserver = 'h'", twoAccounts, ":1: accounts: is a table; an account is written as [account.NAME]"},
		{"state = 'postgres://u:hunter2@h/d'\nstate_password_command = 'x'", twoAccounts, ":2: state_password_command: the URL of state has a password already; keep one of them"},
		{"lease = '60s'", twoAccounts, ":1: lease: " + alone},
		{"accounts = 'file'", twoAccounts, ":1: accounts: " + alone},
		{"accounts_key_file = 'k'", twoAccounts, ":1: accounts_key_file: " + alone},
		{"state_password_command = 'k'", twoAccounts, ":1: state_password_command: " + alone},
		{"[defaults]\nworkers = 'w'", twoAccounts, ":2: defaults.workers: " + alone},
		{"", twoAccounts + "workers = ['w']", ":10: account.work.workers: " + alone},
		{state, twoAccounts + "workers = ['w', '-x']", `:11: account.work.workers: "-x" is no label; write letters, digits and . _ -, at most 63 of them`},
		{state + "accounts = 'database'", "[defaults]\ntls = 'implicit'\n[account.a]\nserver = 'h'\nuser = 'u'\nmaildir = '/m'\n[target.t]\nmaildir = '/m'", ":3: defaults: " + inside + "\n:5: account.a: " + inside + "\n:9: target.t: " + inside},
		{"database = 'postgres://h/d'", twoAccounts, `:1: database: is not a known key; write state = "postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full"`},
	}
	for _, test := range tests {
		path := writeConfig(t, test.top+"\n"+strings.TrimPrefix(test.below, "\n"))
		_, err := Load(path)
		if err == nil {
			t.Errorf("Load() = nil with\n%s%s, want %s", test.top, test.below, test.want)
			continue
		}
		if got := strings.ReplaceAll(err.Error(), path, ""); got != test.want {
			t.Errorf("Load() = %s, want %s", got, test.want)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Load() shows the password: %v", err)
		}
	}
}

// TestLoad_sharedMode refuses a password that others can read.
func TestLoad_sharedMode(t *testing.T) {
	home(t)
	tests := []struct {
		state string
		mode  os.FileMode
		want  string // without file
	}{
		{"postgres://u@h/d", 0o644, ""},
		{"postgres://u:hunter2@h/d", 0o600, ""},
		{"postgres://u:hunter2@h/d", 0o640, ":1: state: others can read the file (mode 0640); run chmod 600 "},
		{"postgres://u@h/d?password=hunter2", 0o604, ":1: state: others can read the file (mode 0604); run chmod 600 "},
	}
	for _, test := range tests {
		path := writeConfig(t, "state = '"+test.state+"'"+twoAccounts)
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		got := ""
		if err != nil {
			got = strings.ReplaceAll(err.Error(), path, "")
		}
		if got != test.want {
			t.Errorf("Load() = %q with %s and mode %o, want %q", got, StateURL(test.state), test.mode, test.want)
		}
	}
}
