package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// securityList has the promises against servers, messages, attackers on the way and other users of
// the machine. Each has the tests that show it: package, function, and the case if only one counts.
var securityList = []struct {
	promise string
	tests   []string
}{
	{"octets after STLS's +OK abort", []string{"pop3.TestDial_TLS_refused/R2595-2/injected", "pop3.TestDial_TLS_refused/R2595-2/injected, then TLS"}},
	{"nothing of a credential without TLS when TLS was asked for", []string{"fetch.TestTLS_oddReplies", "fetch.TestTLS_refused", "pop3.TestInsecure"}},
	{"the time limit covers the handshake", []string{"pop3.TestHandshake_errors/R8314-1/dripping", "pop3.TestHandshake_errors/R2595-1/dripping behind STLS"}},
	{"certificates: self-signed, expired, not yet valid, wrong name, unknown issuer, incomplete chain", []string{"cmd/popfetch.TestCertificate_refused"}},
	{"certificates: another than the pinned one", []string{"cmd/popfetch.TestCertificate_notThePinned"}},
	{"TLS 1.0 and 1.1 refused", []string{"cmd/popfetch.TestCertificate_oldTLS", "pop3.TestDial_TLS_version"}},
	{"the error says what was found and wanted, and the line that pins it", []string{"cmd/popfetch.TestCertificate_refused", "cmd/popfetch.TestCertificate_systemAuthorities"}},
	{"APOP only when named", []string{"internal/login.TestLogin/V0008/never unnamed"}},
	{"APOP only with a valid timestamp", []string{"internal/login.TestLogin_apop", "pop3.TestParseTimestamp", "pop3.TestApop"}},
	{"no server text unescaped or longer than 256 octets: terminal and log", []string{"cmd/popfetch.TestForeignText", "pop3.TestShown_bounded", "pop3.TestEscape",
		"cmd/popfetch.TestCertificate_hostileText", "pop3.TestHandshake_certificateText"}},
	{"no server text unescaped or longer than 256 octets: environment, where unique-ids are whole", []string{"cmd/popfetch.TestForeignText_MDA", "deliver.TestSender"}},
	{"nothing from server or message in a command line", []string{"cmd/popfetch.TestForeignText_MDA"}},
	{"files 0600 and folders 0700 from their first moment", []string{"cmd/popfetch.TestModes", "deliver.TestMaildir_modes", "deliver.TestSpool", "seen/sqlite.TestOpen_modes"}},
	{"O_NOFOLLOW where another could place links", []string{"deliver.TestMaildir_links", "seen/sqlite.TestOpen_foreign", "seen/sqlite.TestStore_Lock_link"}},
	{"root does not deliver into another user's folder", []string{"deliver.TestMaildirPrepare_foreign", "seen/sqlite.TestOpen_foreign/another user's", "cmd/popfetch.TestRoot_foreign"}},
	{"no core dumps while secrets are in memory", []string{"cmd/popfetch.TestMemory_private"}},
	{"secrets in no trace, error, event, state, process list or environment", []string{"cmd/popfetch.TestSecret", "pop3.TestConceal", "pop3.TestTrace",
		"fetch.TestLogin_secret", "internal/config.TestSecret_shown", "internal/config.TestSecret_Resolve"}},
	{"an MDA inherits neither sockets nor database", []string{"deliver.TestMDA_inherits"}},
	{"configuration with secrets that others can read refused", []string{"internal/config.TestLoad_mode", "internal/config.TestLoad_access", "internal/config.TestCheckPrivate"}},
	{"CR, LF, NUL in any argument refused", []string{"pop3.TestCheckArgument", "pop3.TestCheckArgument_property", "internal/login.TestLogin_injection",
		"internal/config.TestValue_control", "internal/config.TestLoad_control", "internal/config.TestSecret_Resolve/C0003/file with CR"}},
	{"unique-ids never used as file names", []string{"cmd/popfetch.TestUniqueID_noFile", "seen/sqlite.TestStore_Lock_names"}},
}

// TestSecurityList checks that the tests in the list exist.
func TestSecurityList(t *testing.T) {
	sources := make(map[string]string)
	for _, line := range securityList {
		if len(line.tests) == 0 {
			t.Errorf("%s: no test shows it", line.promise)
		}
		for _, test := range line.tests {
			dir, name, _ := strings.Cut(test, ".")
			if sources[dir] == "" {
				sources[dir] = testSources(t, filepath.Join("..", "..", filepath.FromSlash(dir)))
			}
			function, name, hasCase := strings.Cut(name, "/")
			if !strings.Contains(sources[dir], "\nfunc "+function+"(t *testing.T) {") {
				t.Errorf("%s: there is no test %s", line.promise, test)
			}
			if hasCase && !strings.Contains(sources[dir], `"`+name+`"`) {
				t.Errorf("%s: there is no case %s", line.promise, test)
			}
		}
	}
}

func testSources(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// TestRoot_foreign makes root deliver into a folder of another user, and keep its state there. No
// server is contacted, and nothing is created.
func TestRoot_foreign(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder to somebody else")
	}
	for _, test := range []struct{ lines, said string }{
		{"maildir = 'home/m'", "popfetch: work: target: the Maildir "},
		{"#", "popfetch: the state in "},
	} {
		a := newAccount(t, poptest.Numbered(1, 500))
		text := accountText(a, test.lines)
		if test.lines == "#" {
			text = strings.Replace(text, "state_dir = 'state'", "state_dir = 'home/state'", 1)
		}
		writeFiles(t, a.dir, map[string]string{"config.toml": text})
		home := filepath.Join(a.dir, "home")
		if err := os.Mkdir(home, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(home, 65534, -1); err != nil {
			t.Fatal(err)
		}
		c := a.command(t, "--once")
		var said strings.Builder
		c.Stderr = &said
		if status := exitOf(t, c.Run()); status != 73 || !strings.HasPrefix(said.String(), test.said) || !strings.Contains(said.String(), "run popfetch as that user") {
			t.Errorf("exit status = %d and %q, want 73, %q and the mend", status, said.String(), test.said)
		}
		if entries, err := os.ReadDir(home); err != nil || len(entries) > 0 || len(a.Sessions()) > 0 {
			t.Errorf("%v was made (%v), %d sessions, want none", entries, err, len(a.Sessions()))
		}
	}
}
