package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/doctor"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/oauth"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/internal/screen"
)

func TestFold(t *testing.T) {
	for _, test := range []struct {
		line    string
		columns int
		want    string
	}{
		{"ok one two", 0, "ok one two\n"}, // no terminal
		{"ok one two", 10, "ok one two\n"},
		{"ok one two", 9, "ok one\n  two\n"},
		{"ok one two three", 6, "ok one\n  two\n  three\n"},
		{"ok averylongword x", 8, "ok\n  averylongword x\n"},
		{"averylongword", 8, "averylongword\n"},
		{"ok 漢字 漢字", 8, "ok 漢字\n  漢字\n"},
	} {
		if got := fold(test.line, "  ", test.columns); got != test.want {
			t.Errorf("fold(%q, %d) = %q, want %q", test.line, test.columns, got, test.want)
		}
	}
}

// On a terminal, the report of a good account fits on a screen of 80 columns and 24 lines, and a fault
// is told once.
func TestTerminal_check(t *testing.T) {
	t.Parallel()
	server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf", Messages: poptest.Numbered(3, 500)})
	server.Configure(func(c *poptest.Config) {
		c.TLS = server.CA().ServerTLS(poptest.LongLived)
		c.Capabilities = append(c.Capabilities, "LOGIN-DELAY 60", "EXPIRE 60")
	})
	dir, err := os.MkdirTemp("", "") // a short name, as in life
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	check := func(command, end string) (lines []string, status int) {
		p := newTerminalPair(t)
		c := p.start("check", "--server", server.TLSAddr(), "--tls-ca", server.CA().File(), "--user", "mrose", "--password-command", command,
			"--state-dir", dir+"/state", "--maildir", dir+"/Maildir")
		status = exitOf(t, c.Wait())
		p.waitFor(end)
		return strings.Split(strings.TrimRight(p.screen(), "\r\n"), "\r\n"), status
	}
	lines, status := check("echo tanstaaf", " free\r\n")
	rows := 1 // the prompt
	for _, line := range lines {
		if n := screen.Width(line); n > 80 && !strings.Contains(line, "tls_fingerprint = ") {
			t.Errorf("the line %q has %d columns, want at most 80", line, n)
		}
		rows += (screen.Width(line) + 79) / 80
	}
	if status != 0 || rows > 24 {
		t.Errorf("exit status = %d, with %d rows, want 0 and at most 24:\n%s", status, rows, strings.Join(lines, "\n"))
	}
	lines, status = check("echo wrong", "settings\r\n")
	text := strings.Join(lines, "\n")
	if status != 77 || strings.Count(text, "refused the log-in") != 1 || strings.Contains(text, "popfetch: ") {
		t.Errorf("exit status = %d, want 77 and the fault once:\n%s", status, text)
	}
}

// change replaces a line of the account's configuration.
func (a *account) change(line, by string) {
	path := filepath.Join(a.dir, "config.toml")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(text), line, by, 1)), 0o600)
	}
	if err != nil {
		panic(err)
	}
}

// withPassword has the password come from elsewhere.
func (a *account) withPassword(line string) { a.change(`password = "tanstaaf"`, line) }

// The exit status tells of a fault if, and only if, the report has one.
func TestCheck_status(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		lines   []string
		arrange func(a *account)
		fault   string // the check; empty: none is
	}{
		{"good", nil, nil, ""},
		{"only warnings", nil, func(a *account) {
			a.answers("CAPA", poptest.Reply([]byte("+OK\r\nUSER\r\nUIDL\r\nTOP\r\nEXPIRE 0\r\n.\r\n")))
		}, ""},
		{"greeting", nil, func(a *account) { a.answers("", poptest.Refuse("[SYS/TEMP] later")) }, doctor.CheckGreeting},
		{"capabilities", nil, func(a *account) { a.answers("CAPA", poptest.Cut(3)) }, doctor.CheckCapabilities},
		{"mechanisms", []string{`auth = "cram-md5"`}, nil, doctor.CheckMechanisms},
		{"login", nil, func(a *account) { a.answers("AUTH", poptest.Refuse("[IN-USE] another")) }, doctor.CheckLogin},
		{"uidl", nil, func(a *account) { a.lacks("UIDL") }, doctor.CheckUIDL},
		{"unusable", nil, func(a *account) {
			a.answers("UIDL", poptest.Reply([]byte("+OK\r\n1 id-1\r\n2\r\n3 id-3\r\n.\r\n")))
		}, doctor.CheckUIDL},
		{"greeting cut", nil, func(a *account) { a.answers("", poptest.Cut(3)) }, doctor.CheckGreeting},
		{"another protocol", nil, func(a *account) { a.answers("", poptest.Reply([]byte("* OK IMAP4rev1\r\n"))) }, doctor.CheckGreeting},
		{"login cut", nil, func(a *account) { a.answers("AUTH", poptest.Cut(0)) }, doctor.CheckLogin},
		{"login for good", nil, func(a *account) { a.answers("AUTH", poptest.Refuse("[SYS/PERM] no")) }, doctor.CheckLogin},
		{"list refused", nil, func(a *account) { a.answers("LIST", poptest.Refuse("no")) }, ""}, // the sizes are unknown
		{"list cut", nil, func(a *account) { a.answers("LIST", poptest.Cut(5)) }, doctor.CheckUIDL},
		{"list is nonsense", nil, func(a *account) { a.answers("LIST", poptest.Reply([]byte("so what\r\n"))) }, doctor.CheckUIDL},
		{"quit", nil, func(a *account) { a.answers("QUIT", poptest.Cut(0)) }, ""},
		{"password command fails", nil, func(a *account) { a.withPassword(`password_command = "exit 1"`) }, doctor.CheckLogin},
		{"password command is silent", nil, func(a *account) { a.withPassword(`password_command = "true"`) }, doctor.CheckLogin},
		{"keyring", nil, func(a *account) { a.withPassword(`password_keyring = "none"`) }, doctor.CheckLogin},
		{"no Maildir", nil, func(a *account) { a.change(`maildir = "`+a.maildir+`"`, `maildir = "config.toml"`) }, doctor.CheckTarget},
		{"no program", nil, func(a *account) { a.change(`maildir = "`+a.maildir+`"`, `mda = "/nowhere/program"`) }, doctor.CheckTarget},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, poptest.Numbered(3, 500), test.lines...)
			if test.arrange != nil {
				test.arrange(a)
			}
			c := a.command(t, "check", "--json")
			var out bytes.Buffer
			c.Stdout = &out
			status := exitOf(t, c.Run())
			var line struct {
				Status int
				Checks []doctor.Finding
			}
			last := out.Bytes()[bytes.LastIndexByte(bytes.TrimSpace(out.Bytes()), '\n')+1:]
			if err := json.Unmarshal(last, &line); err != nil {
				t.Fatalf("%v: %q", err, out.String())
			}
			var faults []string
			for _, f := range line.Checks {
				if f.State == doctor.Fault {
					faults = append(faults, f.Check)
				}
				if (f.State == doctor.OK) != (f.Mend == "") {
					t.Errorf("finding %+v, want a mend unless it is ok", f)
				}
			}
			var want []string
			if test.fault != "" {
				want = []string{test.fault}
			}
			if !slices.Equal(faults, want) || (status != 0) != (test.fault != "") || line.Status != status {
				t.Errorf("exit status = %d, with faults of %q, want one of %q: %s", status, faults, want, out.String())
			}
		})
	}
}

// A certificate of the provider of OAuth 2 is not the server's: nobody is told to pin it as that.
func TestCheck_providersCertificate(t *testing.T) {
	leaf := poptest.NewCA(t).Server(poptest.SelfSigned).TLS.Leaf
	refused := &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{leaf}, Err: x509.UnknownAuthorityError{Cert: leaf}}
	err := &fetch.Error{Account: "work", Phase: fetch.PhaseLogin, Err: &login.Error{Fault: login.Refused, Err: &oauth.Error{Fault: oauth.Refused, Err: refused}}}
	s := &setting{Config: new(config.Config), accounts: []config.Account{{Name: "work"}}}
	if mend := s.mend(err); mend != "" {
		t.Errorf("mend() = %q, want nothing", mend)
	}
	x := &examination{account: &s.accounts[0]}
	x.addFault(s, err, time.Now())
	if len(x.findings) != 1 || x.findings[0].Check != doctor.CheckLogin || x.findings[0].Paste != "" || x.certificate != nil {
		t.Errorf("findings = %+v, want one of the log-in without a pin, and no certificate", x.findings)
	}
}
