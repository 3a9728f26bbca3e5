package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// loaded returns the configuration in a text.
func loaded(t *testing.T, text string) *Config {
	t.Helper()
	cfg, err := Load(writeConfig(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestConfig_Uses takes from the account what a target does not say.
func TestConfig_Uses(t *testing.T) {
	home(t)
	cfg := loaded(t, `
[defaults]
server = "h"
user = "u"
mda_timeout = "1m"
imap_password_command = "x"
[account.work]
deliver = ["lists", "mail"]
rcpt = "alice"
mail_from = "<>"
max_deliveries = 3
[[account.work.route]]
header = "X"
equals = "y"
deliver = ["box", "lists"]
[account.home]
maildir = "/m"
[account.plain]
deliver = "box"
[target.lists]
maildir = "/lists/{account}/{year}"
[target.mail]
lmtp = "Localhost:24"
rcpt = ["bob", "carol@example.org"]
mda_timeout = "2s"
max_deliveries = 1
[target.box]
imap = "imaps://dave%40x@imap.example.org/Archive/%C3%9C%25"
[target.box.imap_oauth]
token_command = "y"
[target.unused]
smtp = "unix:/run/smtp"
mail_from = "a@b"
`)
	work := &cfg.Accounts[0]
	minute := time.Minute
	lists := Target{Name: "lists", Maildir: "/lists/work/{year}", Rcpt: []string{"alice"}, MailFrom: NullSender,
		IMAPPassword: Secret{Command: "x"}, MDATimeout: minute, MaxDeliveries: 3}
	mail := Target{Name: "mail", LMTP: "localhost:24", Rcpt: []string{"bob", "carol@example.org"}, MailFrom: NullSender,
		IMAPPassword: Secret{Command: "x"}, MDATimeout: 2 * time.Second, MaxDeliveries: 1}
	box := Target{Name: "box", Rcpt: []string{"alice"}, MailFrom: NullSender, MDATimeout: minute, MaxDeliveries: 3,
		IMAP: Mailbox{User: "dave@x", Server: "imap.example.org:993", Name: "Archive/Ü%",
			written: "imaps://dave%40x@imap.example.org/Archive/%C3%9C%25"}, IMAPOAuth: OAuth{TokenCommand: "y"}}
	if got, want := cfg.Uses(work), []Target{lists, mail, box}; !reflect.DeepEqual(got, want) {
		t.Errorf("Uses() = %+v\nwant %+v", got, want)
	}
	if got, want := cfg.Own(work), []Target{lists, mail}; !reflect.DeepEqual(got, want) {
		t.Errorf("Own() = %+v\nwant %+v", got, want)
	}
	if got := cfg.Own(&cfg.Accounts[1]); len(got) != 1 || got[0].Where() != "maildir /m" || got[0].Name != "" {
		t.Errorf("Own() of an account with a Maildir = %+v", got)
	}
	if got, _ := cfg.TargetOf(&cfg.Accounts[2], "mail"); got.MaxDeliveries != 1 || got.MDATimeout != 2*time.Second || got.MailFrom != "" {
		t.Errorf("TargetOf() for another account = %+v", got)
	}
	if got := cfg.Accounts[1].IMAPPassword; !got.IsZero() {
		t.Errorf("a Maildir has the password %v", got)
	}
	again := loaded(t, written(t, cfg))
	if got, want := written(t, again), written(t, cfg); got != want {
		t.Errorf("read back, it is\n%s\nwant\n%s", got, want)
	}
}

// written returns the configuration in force.
func written(t *testing.T, cfg *Config) string {
	t.Helper()
	var b strings.Builder
	if err := cfg.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestTarget_kinds reads each kind of target, in an account and in a table, and writes it.
func TestTarget_kinds(t *testing.T) {
	folder := home(t)
	for text, want := range map[string]string{
		`maildir = "~/m"`:                          "maildir " + folder + "/m",
		`mbox = "~/{account}-{year}-{month}"`:      "mbox " + folder + "/a-{year}-{month}",
		`mbox = "-"`:                               "mbox -",
		`mda = "cat"`:                              "mda cat",
		`mda_argv = ["cat", "", "-"]`:              "mda_argv cat  -",
		`lmtp = "mail.example.org:24"`:             "lmtp mail.example.org:24",
		`lmtp = "unix:~/s"`:                        "lmtp unix:" + folder + "/s",
		`smtp = "[::1]:25"`:                        "smtp [::1]:25",
		"imap = 'imaps://u@h:1/a b'":               "imap imaps://u@h:1/a b",
		"imap = 'imap://u@localhost/INBOX'":        "imap imap://u@localhost/INBOX",
		"imap = 'imaps://u@[::1]/INBOX'":           "imap imaps://u@[::1]/INBOX",
		"mda = 'cat'\nmda_timeout = '3s'":          "mda cat",
		"mbox = '/b'\nmda_timeout = '3s'":          "mbox /b",
		"lmtp = 'h:1'\nrcpt = 'a'":                 "lmtp h:1",
		"lmtp = 'h:1'\nmail_from = 'a@b'":          "lmtp h:1",
		"mda_argv = ['x']\nmax_deliveries = 3":     "mda_argv x",
		"imap = 'imaps://u@h/I'\nimap_tls_ca='/c'": "imap imaps://u@h/I",
	} {
		if strings.HasPrefix(text, "imap") {
			text += "\nimap_password_command = 'x'"
		}
		cfg := loaded(t, "[account.a]\nserver = 'h'\nuser = 'u'\n"+text)
		if got := cfg.Accounts[0].Where(); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
		cfg = loaded(t, written(t, cfg))
		if got := cfg.Accounts[0].Where(); got != want {
			t.Errorf("%s, read back, is %s, want %s", text, got, want)
		}
		cfg = loaded(t, "[account.a]\nserver = 'h'\nuser = 'u'\ndeliver = 'x'\n[target.x]\n"+text)
		if got, found := cfg.TargetOf(&cfg.Accounts[0], "x"); got.Where() != want || !found {
			t.Errorf("%s in a table is %s, want %s", text, got.Where(), want)
		}
	}
}

// TestTarget_Tokens asks Microsoft for the scope of IMAP, unless others are written.
func TestTarget_Tokens(t *testing.T) {
	for want, o := range map[string]OAuth{
		"https://outlook.office.com/IMAP.AccessAsUser.All offline_access": {Provider: "microsoft", ClientID: "x"},
		"own":                                    {Provider: "microsoft", ClientID: "x", Scopes: []string{"own"}},
		"https://outlook.office365.com/.default": {Provider: "microsoft", ClientID: "x", Flow: flowClient},
		"https://mail.google.com/":               {Provider: "google", ClientID: "x"},
	} {
		target := Target{IMAPOAuth: o}
		if got := strings.Join(target.Tokens().SignIn().Scopes, " "); got != want {
			t.Errorf("the scopes of %+v are %s, want %s", o, got, want)
		}
	}
}

// TestMailbox checks the parts of the URLs of mailboxes.
func TestMailbox(t *testing.T) {
	for url, want := range map[string]Mailbox{
		"imaps://u@H.example/INBOX":   {User: "u", Server: "h.example:993", Name: "INBOX"},
		"IMAPS://a%40b@h:1/x%2Fy%20z": {User: "a@b", Server: "h:1", Name: "x/y z"},
		"imaps://a@b@h/x/y":           {User: "a@b", Server: "h:993", Name: "x/y"},
		"imap://u@127.0.0.1/INBOX":    {User: "u", Server: "127.0.0.1:143", Plain: true, Name: "INBOX"},
		"imaps://u@bücher.example/x":  {User: "u", Server: "xn--bcher-kva.example:993", Name: "x"},
		"imaps://u@[2001:db8::1]:5/x": {User: "u", Server: "[2001:db8::1]:5", Name: "x"},
	} {
		got, err := value{raw: url}.mailbox()
		if got.written = ""; err != nil || got != want {
			t.Errorf("%s is %+v, %v, want %+v", url, got, err, want)
		}
	}
	for url, want := range map[string]string{
		"imaps://u@h":            "names no mailbox",
		"imaps://u@h/":           "names no mailbox",
		"imaps://h/x":            "names no user",
		"imaps://@h/x":           "names no user",
		"imaps://u:hunter2@h/x":  "a password cannot stand in the URL",
		"imaps://u@h/%zz":        "the mailbox is not percent-encoded",
		"imaps://u@h/%0d%0aX":    "the mailbox is not percent-encoded",
		"imaps://%0au@h/x":       "the user is not percent-encoded",
		"imaps://u@h:0/x":        "names no server",
		"imaps://u@/x":           "names no server",
		"imap://u@example.org/x": "would send the password in clear; write imaps://",
		"https://u@h/x":          "is not the URL of a mailbox",
		"INBOX":                  "is not the URL of a mailbox",
	} {
		_, err := value{raw: url}.mailbox()
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the mistake of %s is %v, want %s", url, err, want)
		}
	}
}

// TestRoutes reads routes and writes them.
func TestRoutes(t *testing.T) {
	home(t)
	cfg := loaded(t, oneAccount+`envelope_header = ["Delivered-To", "X-Envelope-To"]
[[account.work.route]]
header = ["List-Id", "X-List"]
match = "(?i)<dev\\."
deliver = "lists"
[[account.work.route]]
header = "Subject"
equals = "buy"
deliver = []
[[account.work.route]]
recipient = ["sales@*", "shop@*"]
deliver = ["lists", "archive"]
[target.lists]
maildir = "/l"
[target.archive]
mbox = "/a"
`)
	want := []Route{
		{Header: []string{"List-Id", "X-List"}, Match: `(?i)<dev\.`, Deliver: []string{"lists"}},
		{Header: []string{"Subject"}, Equals: "buy"},
		{Recipient: []string{"sales@*", "shop@*"}, Deliver: []string{"lists", "archive"}},
	}
	if got := cfg.Accounts[0].Routes; !reflect.DeepEqual(got, want) {
		t.Errorf("the routes are %+v\nwant %+v", got, want)
	}
	again := loaded(t, written(t, cfg))
	if got := again.Accounts[0].Routes; !reflect.DeepEqual(got, want) {
		t.Errorf("read back, the routes are %+v of\n%s", got, written(t, cfg))
	}
}

// TestLoad_targetMistakes names the line and the key of each mistake. oneAccount has five lines.
func TestLoad_targetMistakes(t *testing.T) {
	home(t)
	const target = "[target.lists]\nmaildir = '/l'\n"
	for text, want := range map[string]string{
		"mbox = '/b'":                                             `:6: account.work.mbox: cannot be set together with maildir; keep one of them`,
		"deliver = 'lists'\n" + target:                            `:6: account.work.deliver: cannot be set together with maildir`,
		"rcpt = 'a'":                                              `:6: account.work.rcpt: belongs to lmtp or smtp, but there is maildir; remove one of them`,
		"imap_password_command = 'a'":                             `:6: account.work.imap_password_command: belongs to imap, but there is maildir`,
		"max_deliveries = 2":                                      `:6: account.work.max_deliveries: belongs to mda, mda_argv, lmtp, smtp or imap, but`,
		"[target.x]\nmaildir = '/x'\nrcpt = 'a'":                  `:8: target.x.rcpt: belongs to lmtp or smtp, but there is maildir`,
		"[target.x]\nrcpt = 'a'":                                  `:6: target.x: has no maildir; write maildir = "~/Maildir", or mbox, mda, mda_argv, lmtp, smtp or imap`,
		"[target.x]\nmaildir = '/x'\nmbox = '/y'":                 `:8: target.x.mbox: cannot be set together with maildir`,
		"[target.x]\nmaildir = '/x'\ndeliver = 'y'":               `:8: target.x.deliver: is a key of an account; move it below`,
		"[target.x]\nmaildir = '/x'\nstate_dir = 'y'":             `:8: target.x.state_dir: is no key of an account; move it to the top`,
		"[target.check]\nmaildir = '/x'":                          `:6: target.check: the name of a command cannot be a target's`,
		"[target.'..']\nmaildir = '/x'":                           `:6: target."..": a target's name cannot be a folder that every folder has`,
		"[account.'.']\nserver = 'h'\nuser = 'u'\nmaildir = '/m'": `:6: account.".": an account's name cannot be a folder that every folder has`,
		"target = 'x'":                                            `:6: account.work.target: is not a known key`,
		"[[account.work.route]]\nheader = 'X'\nequals = 'y'\ndeliver = 'list'\n" + target:                   `:9: account.work.route.deliver: no target is called "list"; write "lists", or add the table [target.list]`,
		"[[account.work.route]]\nheader = 'X'\nequals = 'y'\ndeliver = 'x'":                                 `:9: account.work.route.deliver: no target is called "x"; add the table [target.x]`,
		"[[account.work.route]]\nheader = 'X'\nequals = 'y'\ndeliver = ['lists', 'lists']\n" + target:       `:9: account.work.route.deliver: "lists" is there twice; remove one`,
		"[[account.work.route]]\nheader = 'X'\ndeliver = 'lists'\n" + target:                                `:7: account.work.route.header: is compared with nothing; write match or equals too`,
		"[[account.work.route]]\nheader = 'X'\nmatch = 'a'\nequals = 'y'\ndeliver = 'lists'\n" + target:     `:9: account.work.route.equals: cannot be set together with match`,
		"[[account.work.route]]\nheader = 'X'\nmatch = 'a('\ndeliver = 'lists'\n" + target:                  `:8: account.work.route.match: is no regular expression (RE2): error parsing regexp: missing closing ): ` + "`a(`",
		"[[account.work.route]]\nheader = 'X:'\nmatch = 'a'\ndeliver = 'lists'\n" + target:                  `:7: account.work.route.header: "X:" is no name of a header field`,
		"[[account.work.route]]\nheader = 'X'\nrecipient = 'y'\nequals = 'z'\ndeliver = 'lists'\n" + target: `:8: account.work.route.recipient: cannot be set together with header`,
		"envelope_header = ['X-To', 'cc']":                                                                  `:6: account.work.envelope_header: cc does not say to whom a message was sent`,
		"envelope_header = 'X-To'\n[[account.work.route]]\nrecipient = 'y'\nequals = 'z'\ndeliver = []":     `:9: account.work.route.equals: is not used together with recipient`,
		"[[account.work.route]]\nrecipient = 'y'\ndeliver = 'lists'\n" + target:                             `:7: account.work.route.recipient: is not known without envelope_header; name the header`,
		"[[account.work.route]]\nheader = 'X'\nequals = 'y'":                                                `:6: account.work.route: has no deliver; write deliver = "NAME" of a target, or []`,
		"route = 'x'":                                     `:6: account.work.route: is text; write [[account.work.route]] on a line of its own`,
		"add_headers = 'recv'":                            `:6: account.work.add_headers: "recv" is not known; write "received", "delivered-to", "return-path" or "popfetch"`,
		"add_headers = []":                                `:6: account.work.add_headers: is an empty list`,
		"delete = {verify = true, after = '1d'}":          ``,
		"max_messages = 0":                                `:6: account.work.max_messages: 0 is out of range`,
		"max_octets = '1MB'":                              `:6: account.work.max_octets: "1MB" is no size`,
		"session_messages = 'all'":                        `:6: account.work.session_messages: is text; write a number from 1 to`,
		"since = '2026-13-01'":                            `:6: account.work.since: "2026-13-01" is no time; write a number with its unit s, m, h, d or w, such as "60s" or "30d", "none", or a date such as "2026-01-31"`,
		"since = 2026-01-31T10:00:00Z":                    `:6: account.work.since: is a time of a day; write a date alone`,
		"since = 5":                                       `:6: account.work.since: is a number; write a number with its unit`,
		"filter = ' '":                                    `:6: account.work.filter: is blank; write a command or remove the key`,
		"[target.x]\nsmtp = 'mail.example.org:25'":        `:7: target.x.smtp: mail.example.org:25 is not this machine, and the mail would go there in clear; write "localhost:25"`,
		"[target.x]\nlmtp = 'localhost'":                  `:7: target.x.lmtp: has no port; write "host:port", such as "localhost:24", or "unix:/path"`,
		"[target.x]\nmda_argv = 'procmail -t'":            `:7: target.x.mda_argv: is text; write a list of words, such as ["procmail", "-t"]`,
		"[target.x]\nmda_argv = []":                       `:7: target.x.mda_argv: names no program`,
		"[target.x]\nmda_argv = ['a', 1]":                 `:7: target.x.mda_argv: a part of the list is a number`,
		"[target.x]\nmaildir = '/m/{accuont}'":            `:7: target.x.maildir: {accuont} is not replaced; write {account}, {year} or {month}, or another path`,
		"[target.x]\nlmtp = 'h:1'\nrcpt = '<a@b>'":        `:8: target.x.rcpt: "<a@b>" is no mail address`,
		"[target.x]\nlmtp = 'h:1'\nmail_from = \"a\\nb\"": `:8: target.x.mail_from: "a\nb" is no mail address`,
		"[target.x]\nimap = 'imaps://u@h/x'\nimap_tls_ca = '/c'\nimap_tls_fingerprint = '" + strings.Repeat("ab", 32) + "'": `:8: target.x.imap_tls_ca: is not used together with imap_tls_fingerprint`,
	} {
		_, err := Load(writeConfig(t, oneAccount+text+"\n"))
		if want == "" && err == nil {
			continue
		}
		if err == nil || want == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("Load() with\n%s\n= %v\nwant %s", text, err, want)
		}
	}
}

// TestLoad_usedTargetMistakes has mistakes that only the account that uses a target shows.
func TestLoad_usedTargetMistakes(t *testing.T) {
	home(t)
	const account = "[account.work]\nserver = 'h'\nuser = 'u'\n"
	for text, want := range map[string]string{
		"imap = 'imaps://u@h/x'":                                                                                     `:4: account.work.imap: lacks the password of its user; write imap_password_file, imap_password_command, imap_password_credential, imap_password_keyring or imap_oauth`,
		"deliver = 'x'\n[target.x]\nimap = 'imaps://u@h/x'":                                                          `:6: target.x.imap: lacks the password of its user`,
		"deliver = 'x'\nimap_password_command = 'y'\n[target.x]\nimap = 'imaps://u@h/x'":                             ``,
		"deliver = ['a', 'b', 'c']\n[target.a]\nmaildir = '/x'\n[target.b]\nmbox = '/x'\n[target.c]\nmaildir = '/x'": `:4: account.work.deliver: "a" and "c" are one place (maildir /x), which would have each message twice; remove one`,
		"deliver = 'x'":                          `:4: account.work.deliver: no target is called "x"; add the table [target.x]`,
		"deliver = []":                           `:4: account.work.deliver: is an empty list`,
		"mda = 'cat'\ndelete = {removed = true}": `:5: account.work.delete.removed: looks at the files of a Maildir, and this account has none`,
		"mbox = '-'\n[account.work.delete]\nafter = '1d'\nverify = true":         `:7: account.work.delete.verify: looks at delivered files, and this account has neither`,
		"mbox = '/b'\ndelete = {verify = true, larger_than = 1}":                 ``,
		"deliver = 'x'\ndelete.removed = true\n[target.x]\nmaildir = '/x'":       ``,
		"imap = 'imaps://u@h/x'\nimap_oauth = {provider = 'x', client_id = 'x'}": `:5: account.work.imap_oauth.provider: "x" is not known`,
	} {
		_, err := Load(writeConfig(t, account+text+"\n"))
		if want == "" && err == nil {
			continue
		}
		if err == nil || want == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("Load() with\n%s\n= %v\nwant %s", text, err, want)
		}
	}
}

// TestLoad_targetSecrets refuses a file that others can read if a target has a password in it.
func TestLoad_targetSecrets(t *testing.T) {
	home(t)
	for _, secret := range []string{"imap_password = 'hunter2'", "imap_oauth.client_secret = 'hunter2'"} {
		path := writeConfig(t, oneAccount+"[target.x]\nimap = 'imaps://u@h/x'\n"+secret+"\n")
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), ":8: target.x.imap_") || !strings.Contains(err.Error(), "others can read the file") {
			t.Errorf("Load() with %s = %v, want that others can read it", secret, err)
		}
	}
	cfg := loaded(t, oneAccount+"[target.x]\nimap = 'imaps://u@h/x'\nimap_password = 'hunter2'\n")
	if text := written(t, cfg); strings.Contains(text, "hunter2") || !strings.Contains(text, `imap_password = "***"`) {
		t.Errorf("Write() shows\n%s", text)
	}
}

// TestLoad_includedTargets has targets in several files. Their names are unique.
func TestLoad_includedTargets(t *testing.T) {
	home(t)
	main := writeConfig(t, "include = 'more.toml'\n[target.a]\nmaildir = 'a'\n[account.x]\nserver = 'h'\nuser = 'u'\ndeliver = ['a', 'b']\n")
	more := filepath.Join(filepath.Dir(main), "more.toml")
	write := func(text string) {
		if err := os.WriteFile(more, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[target.b]\nmaildir = 'b'\n")
	cfg, err := Load(main)
	if err != nil || len(cfg.Uses(&cfg.Accounts[0])) != 2 {
		t.Errorf("Load() = %+v, %v, want two targets", cfg, err)
	}
	write("[target.a]\nmaildir = 'b'\n")
	if _, err := Load(main); err == nil || !strings.Contains(err.Error(), more+":1: target.a: is in "+main+":2 already; rename or remove one of the two") {
		t.Errorf("Load() with one name twice = %v", err)
	}
}

// TestLoad_since reads the forms of since.
func TestLoad_since(t *testing.T) {
	home(t)
	date := time.Date(2026, 1, 31, 0, 0, 0, 0, time.Local)
	for text, want := range map[string]struct {
		since   Since
		written string
	}{
		`"30d"`:        {Since{Within: 30 * day}, `"30d"`},
		`"2026-01-31"`: {Since{Date: date}, `"2026-01-31"`},
		`2026-01-31`:   {Since{Date: date}, `"2026-01-31"`},
		`"none"`:       {Since{}, `"none"`},
	} {
		cfg := loaded(t, oneAccount+"since = "+text+"\n")
		if got := cfg.Accounts[0].Since; !got.Date.Equal(want.since.Date) || got.Within != want.since.Within || got.IsZero() != (text == `"none"`) {
			t.Errorf("since = %s is %+v, want %+v", text, got, want.since)
		}
		if text := written(t, cfg); !strings.Contains(text, "\nsince = "+want.written+"\n") {
			t.Errorf("Write() lacks since = %s:\n%s", want.written, text)
		}
	}
}

// TestOneShot_targets takes targets from options.
func TestOneShot_targets(t *testing.T) {
	home(t)
	t.Chdir(t.TempDir())
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		values map[string]string
		want   string // the place, or a mistake
	}{
		{map[string]string{"mbox": "b/{account}"}, "mbox " + folder + "/b/u@h"},
		{map[string]string{"mbox": "-"}, "mbox -"},
		{map[string]string{"lmtp": "unix:s", "rcpt": "a,b"}, "lmtp unix:" + folder + "/s"},
		{map[string]string{"imap": "imaps://u@h/x", "imap_password_file": "p"}, "imap imaps://u@h/x"},
		{map[string]string{"imap": "imaps://u@h/x"}, "--imap: lacks the password of its user; write --imap-password-file or --imap-password-command"},
		{map[string]string{"mbox": "/b", "rcpt": "a"}, "--rcpt: belongs to --lmtp or --smtp, but there is --mbox; remove one of them"},
		{map[string]string{"mbox": "/b", "imap_password": "hunter2"}, "--imap-password: every user of the machine could read it in the process list; give --imap-password-command or --imap-password-file"},
		{map[string]string{"smtp": "example.org:25"}, "--smtp: example.org:25 is not this machine"},
		{map[string]string{"user": "a/b", "mbox": "/{account}"}, `--mbox: {account} would be "a/b@h", which is no name of a folder; write another path`},
	} {
		values := map[string]string{"server": "h", "user": "u"}
		for key, text := range test.values {
			values[key] = text
		}
		cfg, err := OneShot(values)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = cfg.Accounts[0].Where()
		}
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("OneShot(%v) is %s, want %s", test.values, got, test.want)
		}
	}
}
