package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// hereFault is a fault on this machine, or a server with a wrong setting.
type hereFault struct {
	name    string
	status  int
	args    string   // "--once" if empty
	lines   []string // of the configuration, behind those of the account
	replace []string // old and new text in the configuration
	prepare func(t *testing.T, a *account)
	asked   bool // whether the server gets a connection
	left    int  // messages in the Maildir afterwards
}

// breakingMDA makes the account deliver to a program that ends in the way of how.
func breakingMDA(how string) []string { return []string{"maildir = ", "mda = '''" + how + "''' #"} }

var hereFaults = []hereFault{
	{name: "none", status: 0, asked: true, left: 3},
	{name: "nothing new", status: 0, args: "--once", asked: true, left: 3, prepare: delivers},
	{name: "nothing new, fail-empty", status: 1, args: "--once --fail-empty", asked: true, left: 3, prepare: delivers},
	{name: "something new, fail-empty", status: 0, args: "--once --fail-empty", asked: true, left: 3},

	{name: "unknown option", status: 64, args: "--once --frob"},
	{name: "unknown account", status: 64, args: "--once nobody"},
	{name: "unknown command of seen", status: 64, args: "seen frob"},
	{name: "an account to forget that nobody knows", status: 64, args: "seen forget nobody id-1"},

	{name: "no such configuration", status: 78, args: "--once -c none.toml"},
	{name: "no TOML", status: 78, lines: []string{`what?`}},
	{name: "unknown key", status: 78, lines: []string{`frob = 1`}},
	{name: "value out of range", status: 78, lines: []string{`quarantine_after = 100000`}},
	{name: "no password", status: 78, replace: []string{`password =`, `# password =`}},
	{name: "two targets", status: 78, lines: []string{`mda = "cat"`}},

	{name: "password_command fails", status: 75, asked: true, replace: []string{`password = "tanstaaf"`, `password_command = "exit 3"`}},
	{name: "password_command prints nothing", status: 77, asked: true, replace: []string{`password = "tanstaaf"`, `password_command = "true"`}},
	{name: "wrong password", status: 77, asked: true, replace: []string{`tanstaaf`, `wrong`}},
	{name: "mechanism is not offered", status: 77, asked: true, lines: []string{`auth = "apop"`}},
	{name: "TLS is not spoken", status: 77, replace: []string{`tls = "none"`, `tls = "implicit"`}, asked: true},
	{name: "STLS, unknown authority", status: 77, replace: []string{`tls = "none"`, `tls = "starttls"`}, asked: true},
	{name: "STLS is not offered", status: 77, replace: []string{`tls = "none"`, `tls = "starttls"`}, asked: true,
		prepare: func(_ *testing.T, a *account) { a.lacks("STLS") }},
	{name: "wrong fingerprint", status: 77, asked: true, replace: []string{`tls = "none"`, `tls = "starttls"
tls_fingerprint = "` + strings.Repeat("00", 32) + `"`}},

	{name: "server is not reached", status: 75, prepare: unreachable},
	{name: "no such host", status: 68, prepare: func(t *testing.T, a *account) {
		a.replace(t, a.Addr(), strings.Repeat("x", 64)+".example:110")
	}},

	{name: "state folder is a file", status: 73, prepare: func(t *testing.T, a *account) { a.write(t, "state", "") }},
	{name: "state folder is below a file", status: 73, prepare: func(t *testing.T, a *account) {
		a.write(t, "file", "")
		a.replace(t, `state_dir = "state"`, `state_dir = "file/below"`)
	}},
	{name: "seen.db is damaged", status: 74, prepare: func(t *testing.T, a *account) {
		a.makeState(t)
		a.write(t, "state/seen.db", strings.Repeat("This is no database.\n", 1000))
	}},
	{name: "seen.db is empty", status: 74, prepare: func(t *testing.T, a *account) {
		a.makeState(t)
		a.write(t, "state/seen.db", "")
	}},

	{name: "Maildir is below a file", status: 73, prepare: func(t *testing.T, a *account) {
		a.write(t, "file", "")
		a.replace(t, `maildir = "`+a.maildir, `maildir = "`+filepath.Join(a.dir, "file", "mail"))
	}},
	{name: "Maildir is gone", status: 73, asked: true, prepare: func(t *testing.T, a *account) {
		delivers(t, a)
		removeAll(t, a.maildir)
	}},

	{name: "MDA says 0", status: 0, asked: true, replace: breakingMDA(`cat >/dev/null`)},
	{name: "MDA says 1", status: 75, asked: true, replace: breakingMDA(`cat >/dev/null; exit 1`)},
	{name: "MDA says 65", status: 75, asked: true, replace: breakingMDA(`cat >/dev/null; exit 65`)},
	{name: "MDA says 75", status: 75, asked: true, replace: breakingMDA(`cat >/dev/null; exit 75`)},
	{name: "MDA says 77", status: 75, asked: true, replace: breakingMDA(`cat >/dev/null; exit 77`)},
	{name: "MDA dies", status: 75, asked: true, replace: breakingMDA(`kill -9 $$`)},
	{name: "MDA is missing", status: 75, asked: true, replace: breakingMDA(`true; /no/such/program`)},
	{name: "MDA is missing, as can be seen", status: 75, replace: breakingMDA(`/no/such/program`)},
	{name: "MDA hangs", status: 75, asked: true, replace: breakingMDA(`sleep 60`), lines: []string{`mda_timeout = "1s"`}},
	{name: "MDA refuses for good", status: 65, asked: true, replace: breakingMDA(`cat >/dev/null; [ "$POPFETCH_UID" != id-1 ]`), lines: []string{`quarantine_after = 1`}},

	{name: "too large", status: 0, asked: true, lines: []string{`max_size = 100`}},
	{name: "a message is refused", status: 75, asked: true, left: 2, prepare: func(_ *testing.T, a *account) { a.lacks("RETR 2") }},
	{name: "a message is refused for good", status: 65, asked: true, left: 2, lines: []string{`quarantine_after = 1`},
		prepare: func(_ *testing.T, a *account) { a.lacks("RETR 2") }},
	{name: "a message is without unique-id", status: 76, asked: true, left: 2, prepare: func(_ *testing.T, a *account) {
		a.answers("UIDL", poptest.Reply([]byte("+OK\r\n1 id-1\r\n2\r\n3 id-3\r\n.\r\n")))
	}},
	{name: "all unique-ids are new", status: 76, asked: true, left: 3, lines: []string{`new_uids = "stop"`}, prepare: func(t *testing.T, a *account) {
		delivers(t, a)
		a.Drop("").SetUIDs(func(i int, _ string) string { return fmt.Sprint("new-", i) })
	}},
	{name: "deadline", status: 75, asked: true, left: 1, lines: []string{`deadline = "4s"`}, prepare: func(_ *testing.T, a *account) {
		a.answers("RETR 2", poptest.Stall(20))
	}},

	{name: "an account fails, another does not", status: 77, asked: true, left: 3, prepare: func(t *testing.T, a *account) {
		a.second(t, `password = "wrong"`, a.Addr())
	}},
	{name: "two accounts fail, 69 before 75", status: 69, asked: true, prepare: func(t *testing.T, a *account) {
		a.lacks("UIDL")
		a.second(t, `password = "tanstaaf"`, "127.0.0.1:1")
	}},
	{name: "two accounts fail, 77 before 69", status: 77, asked: true, prepare: func(t *testing.T, a *account) {
		a.lacks("UIDL")
		a.second(t, `password = "wrong"`, a.Addr())
	}},
}

func delivers(t *testing.T, a *account) {
	t.Helper()
	a.mustRun(t, 0, "--once")
}

// unreachable gives the account an address at which no server listens.
func unreachable(t *testing.T, a *account) {
	t.Helper()
	a.replace(t, a.Addr(), "127.0.0.1:1")
}

// second adds an account at the server addr, with a Maildir of its own.
func (a *account) second(t *testing.T, password, addr string) {
	t.Helper()
	a.configure(t, `[account.second]`, `server = "`+addr+`"`, `tls = "none"`, `user = "mrose"`, password,
		`maildir = "`+a.maildir+`-second"`)
}

// TestStatus_here checks the exit status of each fault that is not a reply of the server.
func TestStatus_here(t *testing.T) {
	t.Parallel()
	for _, fault := range hereFaults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, poptest.Numbered(3, 500))
			a.configure(t, fault.lines...)
			if len(fault.replace) > 0 {
				a.replace(t, fault.replace[0], fault.replace[1])
			}
			if fault.prepare != nil {
				fault.prepare(t, a)
			}
			if fault.args == "" {
				fault.args = "--once"
			}
			c := a.command(t, strings.Fields(fault.args)...)
			var said bytes.Buffer
			c.Stderr = &said
			if got := exitOf(t, c.Run()); got != fault.status {
				t.Errorf("exit status = %d, want %d; it said: %s", got, fault.status, said.String())
			}
			if told := said.Len() > 0; told != (fault.status > 1) && fault.name != "too large" {
				t.Errorf("with status %d it said %q", fault.status, said.String())
			}
			a.Wait()
			if asked := len(a.Sessions()) > 0; asked != fault.asked {
				t.Errorf("asked the server: %t, want %t", asked, fault.asked)
			}
			if got := a.delivered(t); got != fault.left {
				t.Errorf("the Maildir holds %d messages, want %d", got, fault.left)
			}
			checkNoted(t, a, fault)
		})
	}
}

// checkNoted checks that the history knows the exit status of a run of the account work.
func checkNoted(t *testing.T, a *account, fault hereFault) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(a.state(), "history.db")); err != nil {
		if fault.asked {
			t.Errorf("the run was not noted: %v", err)
		}
		return
	}
	want := fault.status
	if strings.HasPrefix(fault.args, "--once -") || strings.Contains(fault.name, "another does not") {
		want = exitOK
	}
	h := a.history(t)
	if strings.Contains(fault.name, "two accounts") {
		want = exitUnavailable // the other account decides if it is more urgent
	}
	switch failed := !h.Error.Since.IsZero(); {
	case failed != (want > exitEmpty), failed && h.Error.Status != want, !failed && h.SucceededAt.IsZero():
		t.Errorf("the history has %+v after %d", h, want)
	}
}

// replace replaces text in the configuration. The text must be there.
func (a *account) replace(t *testing.T, text, by string) {
	t.Helper()
	path := filepath.Join(a.dir, "config.toml")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(before), text) {
		t.Fatalf("the configuration has no %q: %s", text, before)
	}
	a.write(t, "config.toml", strings.Replace(string(before), text, by, 1))
}

// write writes a file in the account's folder.
func (a *account) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (a *account) makeState(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(a.state(), 0o700); err != nil {
		t.Fatal(err)
	}
}
