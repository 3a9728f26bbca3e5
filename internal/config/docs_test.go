package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	exampleFile = "../../config.example.toml"
	manualFile  = "../../man/popfetch.toml.5"
)

func readDocument(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestManual_keys compares the keys in the manual with those in the code.
func TestManual_keys(t *testing.T) {
	var got []string
	for _, item := range regexp.MustCompile(`(?m)^\.It Cm ([\w.]+) No = `).FindAllStringSubmatch(readDocument(t, manualFile), -1) {
		got = append(got, item[1])
	}
	want := Keys()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the manual describes the keys %v, want each of %v once", got, want)
	}
}

// TestManual_defaults compares the defaults in the manual with those in the code.
func TestManual_defaults(t *testing.T) {
	manual := readDocument(t, manualFile)
	checkDefaultsTold(t, topKeys, manual)
	checkDefaultsTold(t, accountKeys, manual)
}

func checkDefaultsTold[T any](t *testing.T, keys table[T], manual string) {
	t.Helper()
	for _, r := range keys {
		if r.preset == "" {
			continue
		}
		_, part, _ := strings.Cut(manual, "\n.It Cm "+r.name+" No = ")
		part, _, _ = strings.Cut(part, "\n.It Cm ")
		preset := regexp.QuoteMeta(r.preset)
		told := regexp.MustCompile(`\nDefault:(\n\.Li \\\(dq| )` + preset + `(\\\(dq )?\.` +
			`|\.It Li \\\(dq` + preset + `\\\(dq\n(?:[^.].*\n)*The default\.`)
		if !told.MatchString(part) {
			t.Errorf("the manual does not tell the default %s of %s", r.preset, r.name)
		}
	}
}

// TestManual_names checks that the manual lists the names that an account cannot have.
func TestManual_names(t *testing.T) {
	manual := readDocument(t, manualFile)
	_, list, found := strings.Cut(manual, "cannot be used:\n")
	list, _, ended := strings.Cut(list, ".Sh")
	list, _, _ = strings.Cut(list, ".Ss")
	if !found || !ended {
		t.Fatal("the manual has no list of names that cannot be used")
	}
	got := regexp.MustCompile(`[a-z]+`).FindAllString(strings.ReplaceAll(list, ".Li", ""), -1)
	want := slices.Sorted(slices.Values(reservedNames))
	if !slices.Equal(got, want) {
		t.Errorf("the manual lists the names %v, want %v", got, want)
	}
}

// TestManual_examples loads the configurations in the manual.
func TestManual_examples(t *testing.T) {
	home(t)
	displays := regexp.MustCompile(`(?s)\.Bd -literal -offset indent\n(.*?)\.Ed`).FindAllStringSubmatch(readDocument(t, manualFile), -1)
	loaded := 0
	for _, display := range displays {
		if !strings.Contains(display[1], "[account.") {
			continue // it is a command
		}
		loaded++
		if _, err := Load(writeConfig(t, display[1])); err != nil {
			t.Errorf("Load() = %v of\n%s", err, display[1])
		}
	}
	if loaded != 6 {
		t.Errorf("the manual shows %d configurations, want 6", loaded)
	}
}

func TestExample(t *testing.T) {
	home(t)
	path := writeConfig(t, readDocument(t, exampleFile))
	if err := os.Chmod(path, 0o644); err != nil { // the mode that it has in the repository
		t.Fatal(err)
	}
	cfg, err := Load(path)
	if err != nil {
		t.Fatalf("Load() = %v", err)
	}
	var names []string
	for _, a := range cfg.Accounts {
		names = append(names, a.Name)
	}
	if got := strings.Join(names, " "); got != "work lists pinned certificate token microsoft google provider service old keyring sorted dovecot" {
		t.Errorf("the example has the accounts %s", got)
	}
}

// commentedKey matches a commented-out line of the example.
var commentedKey = regexp.MustCompile(`(?m)^#(\w+ = )`)

// sharedKey matches a line of the example that is for many machines.
var sharedKey = regexp.MustCompile(`(?m)^##(\w+ = )`)

// TestExample_shared enables the lines of the example that are for many machines.
func TestExample_shared(t *testing.T) {
	home(t)
	text := sharedKey.ReplaceAllString(readDocument(t, exampleFile), "$1")
	cfg, err := Load(writeConfig(t, text))
	if err != nil {
		t.Fatalf("Load() = %v", err)
	}
	if cfg.State == "" || cfg.StateDir != "" || cfg.StatePasswordCommand == "" || cfg.AccountsKeyFile == "" {
		t.Errorf("the example has state %s, state_dir %s", cfg.State, cfg.StateDir)
	}
	if cfg.Lease != time.Minute || cfg.AccountsFrom != FromFile {
		t.Errorf("the example has lease %v and accounts %s, want the defaults", cfg.Lease, cfg.AccountsFrom)
	}
	if len(cfg.Accounts[0].Workers) == 0 {
		t.Error("the example has no workers")
	}
}

// TestExample_enabled enables all commented-out lines of the example. Lines that the example calls
// defaults must change nothing.
func TestExample_enabled(t *testing.T) {
	home(t)
	text := readDocument(t, exampleFile)
	plain, err := Load(writeConfig(t, text))
	if err != nil {
		t.Fatalf("Load() = %v", err)
	}
	enabled, err := Load(writeConfig(t, commentedKey.ReplaceAllString(text, "$1")))
	if err != nil {
		t.Fatalf("Load() with all lines enabled = %v", err)
	}
	work := &enabled.Accounts[0]
	for key, hook := range map[string]*string{"on_new": &work.OnNew, "on_error": &work.OnError, "on_recovered": &work.OnRecovered} {
		if *hook == "" {
			t.Errorf("the enabled example has no %s", key)
		}
		*hook = ""
	}
	lists := &enabled.Accounts[1]
	if lists.TLSCA != "/etc/ssl/example-net.pem" || lists.TLSServerName != "mail.example.net" {
		t.Errorf("the enabled example has tls_ca %s, tls_server_name %s", lists.TLSCA, lists.TLSServerName)
	}
	if lists.ConnectCommand == "" {
		t.Error("the enabled example has no connect_command")
	}
	lists.TLSCA, lists.TLSServerName, lists.ConnectCommand = "", "", ""
	pinned := &enabled.Accounts[2]
	if pinned.Proxy.IsZero() {
		t.Error("the enabled example has no proxy")
	}
	pinned.Proxy = Proxy{}
	compareExampleTokens(t, enabled.Accounts[5:8], plain.Accounts[5:8])
	old := &enabled.Accounts[9]
	if old.Password.IsZero() {
		t.Error("the enabled example has no password")
	}
	old.Password = Secret{}
	phone := &enabled.Targets[len(enabled.Targets)-1]
	if phone.IMAPPassword.IsZero() {
		t.Error("the enabled example has no imap_password")
	}
	phone.IMAPPassword = Secret{}
	plain.File, enabled.File = "", ""
	var want, got strings.Builder
	if err := plain.Write(&want); err != nil {
		t.Fatal(err)
	}
	if err := enabled.Write(&got); err != nil {
		t.Fatal(err)
	}
	if got.String() != want.String() {
		t.Errorf("with all lines enabled the example says\n%swant\n%s", got.String(), want.String())
	}
}

// compareExampleTokens checks that the lines behind # say what is asked for without them. It then
// makes the accounts equal.
func compareExampleTokens(t *testing.T, enabled, plain []Account) {
	t.Helper()
	microsoft, google, other := &enabled[0].OAuth, &enabled[1].OAuth, &enabled[2].OAuth
	if microsoft.Tenant == "" || !reflect.DeepEqual(microsoft.SignIn(), plain[0].OAuth.SignIn()) {
		t.Errorf("the enabled example signs in as %+v, want %+v", microsoft.SignIn(), plain[0].OAuth.SignIn())
	}
	if other.ClientSecret.IsZero() || google.Extra["login_hint"] != "heidi@gmail.com" {
		t.Errorf("the enabled example has %+v and %+v", google, other)
	}
	*microsoft, *google, *other = plain[0].OAuth, plain[1].OAuth, plain[2].OAuth
}

// TestExample_keys checks that the example has every key.
func TestExample_keys(t *testing.T) {
	text := commentedKey.ReplaceAllString(readDocument(t, exampleFile), "$1")
	text = sharedKey.ReplaceAllString(text, "$1")
	got := map[string]bool{}
	for _, k := range indexLines(text) {
		path := k.path
		switch path[0] {
		case defaultsTable:
			path = path[1:]
		case accountTable, targetTable:
			path = path[min(2, len(path)):]
		}
		got[strings.Join(path, ".")] = true
	}
	for _, key := range Keys() {
		if !got[key] {
			t.Errorf("the example lacks %s", key)
		}
	}
}
