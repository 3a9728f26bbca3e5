package config

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fullAccount has a value other than the default for every key.
func fullAccount() Account {
	return Account{
		Name: "full", Server: "h:1", TLS: "starttls", ConnectCommand: "nc h 1",
		Proxy: Proxy{"socks5", "p:1", "u", "hunter2"}, TLSCA: "/ca", TLSServerName: "n",
		TLSCAOnly: true, TLSMinVersion: "1.3", TLSLegacy: true, TLSFingerprint: []string{"ab"}, TLSCert: "/c", TLSKey: "/k", User: "u",
		Password: Secret{Password: "hunter2", File: "/p", Command: "x", Credential: "c", Keyring: "k"},
		OAuth:    OAuth{TokenCommand: "x"},
		Auth:     []string{"plain"}, CredentialsCharset: "utf-8",
		Target: Target{Maildir: "/m", Mbox: "/b", MDA: "cat", MDAArgv: []string{"cat"}, LMTP: "unix:/l", SMTP: "localhost:25",
			IMAP: Mailbox{Server: "h:993", written: "imaps://u@h/INBOX"}, Rcpt: []string{"r"}, MailFrom: NullSender,
			IMAPPassword: Secret{Password: "hunter2", File: "/p", Command: "x", Credential: "c", Keyring: "k"},
			IMAPOAuth:    OAuth{TokenCommand: "x"}, IMAPTLSCA: "/ca", IMAPTLSFingerprint: []string{"ab"},
			MDATimeout: time.Second, MaxDeliveries: 2},
		Deliver: []string{"t"}, Routes: []Route{{Header: []string{"To"}, Equals: "x"}}, EnvelopeHeader: []string{"X-To"},
		AddHeaders: []string{"received"}, Filter: "cat", FilterHeaders: "true",
		MaxMessages: 3, MaxOctets: 4, Since: Since{Within: time.Hour}, SessionMessages: 5, PreCommand: "e", PostCommand: "f",
		Delete: Delete{Enabled: true, Imported: true}, MaxSize: 1, Initial: Initial{Limited: true}, UIDL: "fallback",
		NewUIDs: "stop", QuarantineAfter: 2, Order: "newest", Pipelining: "never", Timeout: time.Second,
		Deadline: time.Second, Interval: time.Second,
		OnNew: "a", OnError: "b", OnRecovered: "c", HookTimeout: time.Second, Workers: []string{"w"},
	}
}

// TestDraft_needless makes each inherited key needless in turn. Then it has its default, and every
// other key keeps its value.
func TestDraft_needless(t *testing.T) {
	empty := emptyAccount("full")
	for i := range accountKeys {
		left := &accountKeys[i]
		got := fullAccount()
		d := &draft[Account]{keys: accountKeys, result: &got, settings: map[string]setting{left.name: {inherited: true}}}
		d.needless(left, "has no meaning")
		full := fullAccount()
		for _, r := range accountKeys {
			want := r.field.toml(&full)
			if r.name == left.name {
				want = r.field.toml(&empty)
			}
			if text := r.field.toml(&got); text != want {
				t.Errorf("without %s, %s = %s, want %s", left.name, r.name, text, want)
			}
		}
		if d.has(left.field.address(&got)) || d.errs != nil {
			t.Errorf("%s is still written, with the mistakes %v", left.name, d.errs)
		}
	}
}

// TestRow_field compares each row with the field of the same name. It also looks for fields without
// a row, and for keys with two rows.
func TestRow_field(t *testing.T) {
	a := fullAccount()
	filled := map[any]string{}
	for _, r := range accountKeys {
		address := r.field.address(&a)
		if other := filled[address]; other != "" {
			t.Errorf("%s and %s fill one field", r.name, other)
		}
		filled[address] = r.name
		if r.field.toml(&a) == "" {
			t.Errorf("%s of a full account is not written", r.name)
		}
	}
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue
			}
			name := strings.ToLower(prefix + v.Type().Field(i).Name)
			if v.Type().Field(i).Anonymous {
				walk(v.Field(i), prefix)
				continue
			}
			if v.Field(i).Type() == reflect.TypeFor[Secret]() {
				walk(v.Field(i), name)
				continue
			}
			key := filled[v.Field(i).Addr().Interface()]
			got := strings.ReplaceAll(key, "_", "")
			if name != "name" && name != got && name != "password"+got && name != got+"s" && name != "imappassword"+strings.TrimPrefix(got, "imap") {
				t.Errorf("the field %s is filled by %q, want the key of its name", name, key)
			}
		}
	}
	walk(reflect.ValueOf(&a).Elem(), "")
}

// TestRow_preset sets each default, and compares with the table's reset.
func TestRow_preset(t *testing.T) {
	checkPresets(t, topKeys)
	checkPresets(t, accountKeys)
}

func checkPresets[T any](t *testing.T, keys table[T]) {
	t.Helper()
	for _, r := range keys {
		var got T
		if r.preset == "" {
			continue
		}
		if err := r.field.set(&got, value{raw: r.preset, option: true}); err != nil {
			t.Errorf("the default of %s: %v", r.name, err)
		}
		if reflect.ValueOf(got).IsZero() {
			t.Errorf("the default of %s changes nothing", r.name)
		}
	}
}

// TestKeys_once looks for the names of keys in the code. A name may occur only in its row.
func TestKeys_once(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		inRow := map[ast.Node]bool{}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if pair, ok := n.(*ast.KeyValueExpr); ok && fmt.Sprint(pair.Key) == "name" {
				inRow[pair.Value] = true
			}
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range Keys() {
				inner := key[strings.LastIndex(key, ".")+1:]
				switch {
				case inRow[literal] && text == inner:
					rows[key]++
				case file == "words.go" && text == "user": // it is the mechanism
				case file == "oauthwords.go" && text == "state": // it is the parameter of OAuth
				case file == "state.go" && text == "password": // it is the parameter of the URL
				case text == key, strings.Contains(key, "_") && regexp.MustCompile(`\b`+key+`\b`).MatchString(text):
					t.Errorf("%s spells the key %s in %q", file, key, text)
				}
			}
			return true
		})
	}
	for _, key := range Keys() {
		want := 1
		if strings.HasSuffix(key, "deliver") {
			want = 2 // an account and a route have one each
		}
		if rows[key] != want {
			t.Errorf("%s has %d rows, want %d", key, rows[key], want)
		}
	}
}

// TestConfig_Mistake checks the place of the key of a field.
func TestConfig_Mistake(t *testing.T) {
	home(t)
	path := writeConfig(t, "jobs = 2\n[defaults]\ntls_ca = '/ca'\nuser = 'd'"+twoAccounts)
	cfg, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := cfg.Accounts[1]
	wrong := errors.New("is wrong")
	tests := map[string]*Error{
		":1: jobs: is wrong":               cfg.Mistake(nil, &cfg.Jobs, wrong),
		": state_dir: is wrong":            cfg.Mistake(nil, &cfg.StateDir, wrong),
		":3: defaults.tls_ca: is wrong":    cfg.Mistake(&copied, &copied.TLSCA, wrong),
		":11: account.work.user: is wrong": cfg.Mistake(&copied, &copied.User, wrong),
		": account.work.mda: is wrong":     cfg.Mistake(&copied, &copied.MDA, wrong),
	}
	for want, mistake := range tests {
		if got := mistake.Error(); got != path+want {
			t.Errorf("Mistake() = %s, want %s", got, path+want)
		}
	}
	oneShot := Config{Accounts: []Account{{Name: "u@h"}}}
	a := &oneShot.Accounts[0]
	if got, want := oneShot.Mistake(a, &a.Password.File, wrong).Error(), "--password-file: is wrong"; got != want {
		t.Errorf("Mistake() = %s, want %s", got, want)
	}
}

func TestOptions(t *testing.T) {
	var got []string
	for _, o := range Options() {
		text := o.Name
		if o.Short != "" {
			text += "/" + o.Short
		}
		if o.Number {
			text += " N"
		}
		if !o.OneShot {
			text += " (any)"
		}
		got = append(got, text)
		if !slices.Contains(Keys(), o.Key) || "--"+o.Name != option(o.Key) || strings.Count(o.Usage, "`") != 2 {
			t.Errorf("the option %+v lacks its key, or the name of its value", o)
		}
	}
	const want = "state-dir (any), jobs/j N (any), server, tls, tls-ca, tls-server-name, tls-fingerprint, user, " +
		"password-file, password-command, auth, credentials-charset, maildir, mbox, mda, lmtp, smtp, imap, rcpt, imap-password-file, imap-password-command"
	if strings.Join(got, ", ") != want {
		t.Errorf("Options() = %s, want %s", strings.Join(got, ", "), want)
	}
}

func TestNoDelivery(t *testing.T) {
	for _, test := range []struct{ values, want map[string]string }{
		{map[string]string{"user": "u"}, map[string]string{"user": "u", "mda": "false"}},
		{map[string]string{"maildir": "m"}, map[string]string{"maildir": "m"}},
		{map[string]string{"mda": "cat"}, map[string]string{"mda": "cat"}},
	} {
		if NoDelivery(test.values); !reflect.DeepEqual(test.values, test.want) {
			t.Errorf("NoDelivery() = %v, want %v", test.values, test.want)
		}
	}
}
