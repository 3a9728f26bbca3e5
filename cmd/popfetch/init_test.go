package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/discover"
	"github.com/popfetch/popfetch/internal/poptest"
)

const initFile = ".config/popfetch/config.toml"

// A person says yes to everything that init has found out, and can then fetch mail.
func TestInit(t *testing.T) {
	t.Parallel()
	server := newExampleServer(t, 3)
	dns := poptest.NewDNS(t, map[string][]string{"_pop3s._tcp.example.org": {"mail.example.org:" + portOf(server.TLSAddr())}})
	c := converse(t, t.TempDir(), dns, server.CA(), "alice@example.org")
	c.expect("Looking for the POP3 servers of example.org")
	c.answer("Server [mail.example.org:"+portOf(server.TLSAddr())+"]: ", "\n")
	c.answer("User name [alice@example.org]: ", "\n")
	c.answer("Name of the account [example]: ", "\n")
	c.answer("Deliver into the Maildir [~/Maildir]: ", "\n")
	c.answer("such as 30d [never]: ", "\n")
	c.answer("Password", "tanstaaf\n")
	c.expect("Logged in: 3 messages (1500 octets), 3 of them new.")
	c.expect("Wrote ~/.config/popfetch/config.toml and, beside it, example.password.")
	c.expect("  popfetch check example\r\n  popfetch --once example\r\n")
	c.expect("*/5 * * * * popfetch --once")
	c.end(0)

	want := "[account.example]\nserver = \"mail.example.org:" + portOf(server.TLSAddr()) + "\"\nuser = \"alice@example.org\"\n" +
		"maildir = \"~/Maildir\"\npassword_file = \"example.password\"\n"
	if got := c.file(initFile); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	for _, name := range []string{initFile, ".config/popfetch/example.password"} {
		if info, err := os.Stat(filepath.Join(c.home, name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s is %v, %v, want mode 0600", name, info, err)
		}
	}
	fetched := newTerminalPair(t)
	env := []string{"POPFETCH_TEST_DNS=" + dns.Addr(), "SSL_CERT_FILE=" + server.CA().File(), "SSL_CERT_DIR=/nonexistent"}
	if status := exitOf(t, fetched.startIn(c.home, env, "popfetch-resolving", "--once", "example").Wait()); status != 0 {
		t.Errorf("the run ended with %d: %s", status, fetched.screen())
	}
	if messages, err := readMaildir(filepath.Join(c.home, "Maildir")); err != nil || len(messages) != 3 {
		t.Errorf("%d messages were delivered, %v", len(messages), err)
	}

	// The same again is refused, before anybody is asked for a password.
	before := c.file(initFile)
	again := converse(t, c.home, dns, server.CA(), "alice@example.org")
	again.answer("Server [", "\n")
	again.answer("User name [", "\n")
	again.expect(`the account "example" of alice@example.org at mail.example.org:` + portOf(server.TLSAddr()) + " exists already")
	again.end(73)
	if c.file(initFile) != before {
		t.Error("the file has changed")
	}
}

// Everything may be answered in another way. Nobody is asked what an option says.
func TestInit_answers(t *testing.T) {
	t.Parallel()
	server := newExampleServer(t, 2)
	plain, secure := portOf(server.Addr()), portOf(server.TLSAddr())
	dns := poptest.NewDNS(t, map[string][]string{"_pop3._tcp.example.org": {"pop.example.org:" + plain}}, "other.example.org")
	home := t.TempDir()
	writeTree(t, home, map[string]string{
		initFile:               "# mine\n[account.example]\nserver = 'h'\nuser = 'u'\nmaildir = '~/Maildir'",
		"Mail/old/cur/1:2,S":   "a\n",
		"Mail/old/cur/2:2,S":   "b\n",
		"Mail/old/new/.hidden": "",
		"Mail/old/tmp/.hidden": "",
	})
	c := converse(t, home, dns, server.CA())
	c.answer("Mail address: ", "alice\n")
	c.answer(`"alice" is no mail address`, "")
	c.answer("Mail address: ", "alice@Example.org\n")
	c.answer("Server [pop.example.org:"+plain+"]: ", "other.example.org:"+secure+"\n")
	c.answer("User name [alice@Example.org]: ", "alice@example.org\n")
	c.answer("Name of the account [alice@Example.org]: ", "example\n")
	c.answer(`there is an account "example" already`, "")
	c.answer("Name of the account [alice@Example.org]: ", "a/b\n")
	c.answer("may have only letters", "")
	c.answer("Name of the account [alice@Example.org]: ", "Old Mail\n")
	c.answer("Deliver into the Maildir [~/Mail/Old Mail]: ", "~/Mail/old\n")
	c.expect("It holds 2 messages.")
	c.answer("such as 30d [all]: ", "none\n")
	c.answer("such as 30d [never]: ", "thirty days\n")
	c.answer("delete ", "")
	c.answer("such as 30d [never]: ", "30d\n")
	c.answer("Password", "tanstaaf\n")
	c.expect("popfetch check 'Old Mail'")
	c.end(0)
	want := "# mine\n[account.example]\nserver = 'h'\nuser = 'u'\nmaildir = '~/Maildir'\n\n[account.\"Old Mail\"]\nserver = \"other.example.org:" + secure +
		"\"\nuser = \"alice@example.org\"\nmaildir = \"~/Mail/old\"\ninitial = \"none\"\ndelete = \"30d\"\npassword_file = \"Old Mail.password\"\n"
	if got := c.file(initFile); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}

	options := converse(t, t.TempDir(), poptest.NewDNS(t, nil, "pop.example.org"), nil, "alice@example.org", "--config", "c.toml", "--server", "pop.example.org:"+plain,
		"--tls", "starttls", "--tls-ca", server.CA().File(), "--user", "alice@example.org", "--password-command", "echo tanstaaf", "--maildir", "m")
	options.answer("Name of the account [example]: ", "\n")
	options.answer("such as 30d [never]: ", "delivered\n")
	options.expect("Logged in: 2 messages")
	options.expect("--config " + options.home + "/c.toml")
	options.command.Wait() //nolint:errcheck // below
	want = "[account.example]\nserver = \"pop.example.org:" + plain + "\"\ntls = \"starttls\"\ntls_ca = \"" + server.CA().File() +
		"\"\nuser = \"alice@example.org\"\npassword_command = \"echo tanstaaf\"\nmaildir = \"" + options.home + "/m\"\ndelete = \"delivered\"\n"
	if got := options.file("c.toml"); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
}

// A refused password may be typed again, and so may the user name. The third refusal is the last.
func TestInit_refused(t *testing.T) {
	t.Parallel()
	server := newExampleServer(t, 1)
	dns := poptest.NewDNS(t, map[string][]string{"_pop3s._tcp.example.org": {"mail.example.org:" + portOf(server.TLSAddr())}})
	start := func() *conversation {
		c := converse(t, t.TempDir(), dns, server.CA(), "alice@example.org")
		for _, question := range []string{"Server [", "User name [", "Name of the account [", "Maildir [", "[never]: "} {
			c.answer(question, "\n")
		}
		c.answer("Password", "sesame\n")
		c.expect("the server refused the log-in")
		return c
	}
	c := start()
	c.expect("Some servers want only the part before the @")
	c.answer("User name [alice@example.org]: ", "\n")
	c.answer("Password", "tanstaaf\n")
	c.expect("Logged in: 1 messages")
	c.end(0)
	if !strings.Contains(c.file(initFile), "[account.example]") {
		t.Error("nothing was written")
	}

	c = start()
	c.answer("User name [", "alice\n")
	c.answer("Password", "sesame\n")
	c.answer("User name [alice]: ", "\n")
	c.answer("Password", "sesame\n")
	c.end(77)
	if strings.Contains(c.screen(), "sesame") {
		t.Error("the screen shows a password")
	}
	wroteNothing(t, c)
}

func wroteNothing(t *testing.T, c *conversation) {
	t.Helper()
	if entries, err := os.ReadDir(filepath.Join(c.home, ".config")); err == nil {
		t.Errorf("something was written: %v", entries)
	}
}

// A server that DNS names outside of the domain needs a yes. After a no, the usual names are tried.
func TestInit_outside(t *testing.T) {
	t.Parallel()
	server := newExampleServer(t, 1)
	dns := poptest.NewDNS(t, map[string][]string{"_pop3s._tcp.example.com": {"mail.example.org:" + portOf(server.TLSAddr())}})
	c := converse(t, t.TempDir(), dns, server.CA(), "alice@example.com")
	c.expect("DNS names the server mail.example.org:" + portOf(server.TLSAddr()) + ", which is not within example.com.")
	c.answer("Is that the server of your provider? (yes or no) [no]: ", "perhaps\n")
	c.answer("write yes or no", "")
	c.answer("[no]: ", "yes\n")
	c.answer("Server [mail.example.org:", "\x03")
	c.end(130)
	wroteNothing(t, c)

	c = converse(t, t.TempDir(), dns, server.CA(), "alice@example.com")
	c.answer("[no]: ", "\n")
	c.expect("popfetch init --server NAME alice@example.com")
	c.end(68)
	wroteNothing(t, c)
	if n := server.Count("USER") + server.Count("AUTH") + server.Count("PASS"); n > 0 {
		t.Errorf("the server got %d commands about a log-in", n)
	}
}

// A server whose certificate is not valid, or that has no TLS, is not used, and the reason is told.
func TestInit_unprotected(t *testing.T) {
	t.Parallel()
	wrong := poptest.NewServer(t, poptest.Maildrop{User: "alice@example.org", Password: "tanstaaf"})
	wrong.Configure(func(c *poptest.Config) { c.TLS = wrong.CA().ServerTLS(poptest.WrongName) })
	bare := poptest.NewServer(t, poptest.Maildrop{User: "alice@example.org", Password: "tanstaaf"})
	bare.Configure(func(c *poptest.Config) { c.TLS, c.Capabilities = nil, []string{"USER", "UIDL"} })
	dns := poptest.NewDNS(t, map[string][]string{
		"_pop3s._tcp.example.org": {"mail.example.org:" + portOf(wrong.TLSAddr())},
		"_pop3._tcp.example.org":  {"pop.example.org:" + portOf(bare.Addr())},
	})
	c := converse(t, t.TempDir(), dns, wrong.CA(), "alice@example.org")
	c.expect("mail.example.org:" + portOf(wrong.TLSAddr()) + " is not used: its certificate is refused")
	c.expect("pop.example.org:" + portOf(bare.Addr()) + " is not used: it offers no encryption")
	c.expect("no POP3 server of example.org was found")
	c.end(68)
	wroteNothing(t, c)
}

// What the table knows of a provider is told. One without POP3 ends init.
func TestInit_providers(t *testing.T) {
	t.Parallel()
	dns := poptest.NewDNS(t, nil)
	c := converse(t, t.TempDir(), dns, nil, "alice@icloud.com")
	c.expect("iCloud has no POP3: Apple offers IMAP alone.")
	c.end(68)

	c = converse(t, t.TempDir(), dns, nil, "alice@hotmail.com", "--server", "outlook.office365.com")
	c.expect("Outlook.com needs this first:")
	c.answer("User name [alice@hotmail.com]: ", "\n")
	c.answer("Name of the account [hotmail]: ", "\n")
	c.answer("Maildir [", "\n")
	c.answer("[never]: ", "\n")
	c.expect("docs/providers.md")
	c.answer("Client id: ", "0123\n")
	c.expect("  popfetch login hotmail\r\n  popfetch check hotmail\r\n")
	c.end(0)
	want := "[account.hotmail]\nserver = \"outlook.office365.com\"\nuser = \"alice@hotmail.com\"\nmaildir = \"~/Maildir\"\n\n[account.hotmail.oauth]\nprovider = \"microsoft\"\nclient_id = \"0123\"\n"
	if got := c.file(initFile); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}

	c = converse(t, t.TempDir(), dns, nil, "alice@example.org", "--server", "outlook.office365.com")
	c.expect("Outlook.com needs this first:")
	c.answer("User name [alice@example.org]: ", "\x03")
	c.end(130)

	c = converse(t, t.TempDir(), poptest.NewDNS(t, map[string][]string{"_pop3s._tcp.example.org": {".:0"}}), nil, "alice@example.org")
	c.expect("example.org says by DNS that it offers no POP3")
	c.end(68)
}

// Ctrl-C, and the end of the input, leave nothing behind, at whatever question. The question for the
// password takes no notice of the end of the input.
func TestInit_interrupted(t *testing.T) {
	t.Parallel()
	server := newExampleServer(t, 1)
	dns := poptest.NewDNS(t, map[string][]string{"_pop3s._tcp.example.org": {"mail.example.org:" + portOf(server.TLSAddr())}})
	questions := []string{"Server [", "User name [", "Name of the account [", "Maildir [", "[never]: ", "Password"}
	for i, last := range questions {
		for key, status := range map[string]int{"\x03": 130, "\x04": 74} {
			if last == "Password" && status == 74 {
				continue
			}
			c := converse(t, t.TempDir(), dns, server.CA(), "alice@example.org")
			for _, question := range questions[:i] {
				c.answer(question, "\n")
			}
			c.answer(last, key)
			c.end(status)
			wroteNothing(t, c)
		}
	}
}

// A file that is broken, or that cannot be written, is told before anybody is asked.
func TestInit_early(t *testing.T) {
	t.Parallel()
	dns := poptest.NewDNS(t, nil)
	home := t.TempDir()
	writeTree(t, home, map[string]string{initFile: "[account.a]\ntsl = 1\n"})
	c := converse(t, home, dns, nil, "alice@example.org")
	c.expect("config.toml:2: account.a.tsl: is not a known key; write tls")
	c.end(78)

	c = converse(t, t.TempDir(), dns, nil, "alice@example.org", "--config", "/dev/null/config.toml")
	c.expect("no account was added")
	c.end(73)
	for _, args := range [][]string{{"alice"}, {"a@b", "c@d"}, {"a@example.org", "--dry-run"}, {"a@example.org", "--json"}, {"a@example..org"}} {
		c = converse(t, t.TempDir(), dns, nil, args...)
		c.end(64)
	}
	if dns.Asked() > 0 {
		t.Error("DNS was asked")
	}
}

// Every server of the table makes a valid account.
func TestInit_table(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	for _, p := range discover.Providers() {
		if p.Host == "" {
			continue
		}
		a := config.NewAccount{Name: "work", Settings: []config.Setting{
			{Key: "server", Value: p.Host}, {Key: "user", Value: p.User("alice@" + p.Domains()[0])}, {Key: "maildir", Value: "m"}}}
		if p.Interval != "" {
			a.Settings = append(a.Settings, config.Setting{Key: "interval", Value: p.Interval})
		}
		if p.OAuth == "microsoft" { // the others want a secret too
			a.Settings = append(a.Settings, config.Setting{Key: "oauth", Value: []config.Setting{{Key: "provider", Value: p.OAuth}, {Key: "client_id", Value: "x"}}})
		}
		cfg, err := config.Preview(path, a)
		if err != nil || cfg.Accounts[0].Server != p.Host+":995" || cfg.Accounts[0].Interval%time.Minute != 0 {
			t.Errorf("%s: Preview() = %+v, %v", p.Name, cfg, err)
		}
	}
}
