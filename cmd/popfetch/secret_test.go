package main

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

const timestamp = "<1896.697170952@dbc.mtview.ca.us>"

// secretForms returns the password in all forms that could be seen: as it is, in base64 as in AUTH,
// and as the digest of APOP.
func secretForms() map[string]string {
	digest := md5.Sum([]byte(timestamp + "tanstaaf"))
	return map[string]string{
		"password":       "tanstaaf",
		"AUTH LOGIN":     base64.StdEncoding.EncodeToString([]byte("tanstaaf")),
		"AUTH PLAIN":     base64.StdEncoding.EncodeToString([]byte("\x00mrose\x00tanstaaf")),
		"digest of APOP": hex.EncodeToString(digest[:]),
	}
}

// witness shows what a program started by popfetch can see of it: command lines and environments.
const witness = `{ tr '\0' '\n' </proc/$PPID/cmdline; tr '\0' '\n' </proc/$PPID/environ; tr '\0' '\n' </proc/self/environ; echo witness; } >>witness 2>/dev/null`

// TestSecret runs the program with all its output, to a good end and into each fault. The server
// repeats everything that it gets. Then it looks for the password in all traces of the run: output,
// state, command lines and environments (C0046).
func TestSecret(t *testing.T) {
	t.Parallel()
	repeats := func(words string) func(string) poptest.Action {
		return func(cmd string) poptest.Action {
			if !strings.HasPrefix(cmd, words) {
				return poptest.Action{}
			}
			return poptest.Refuse("what is '" + cmd + "', and is tanstaaf your password?")
		}
	}
	answers := func(words string, action poptest.Action) func(string) poptest.Action {
		return func(cmd string) poptest.Action {
			if !strings.HasPrefix(cmd, words) {
				return poptest.Action{}
			}
			return action
		}
	}
	none := func(string) poptest.Action { return poptest.Action{} }
	const command = `password_command = "` + "cat password; cat password >&2; . ./witness.sh" + `"`
	for _, test := range []struct {
		name   string
		lines  string // lines of the account; {plain} and {tls} are the server's addresses, {ca} its authority
		hook   func(string) poptest.Action
		status int
		asked  bool // whether the witness has seen popfetch
	}{
		{"plain", `auth = "plain"`, none, 0, false},
		{"login", `auth = "login"`, none, 0, false},
		{"user", `auth = "user"`, none, 0, false},
		{"apop", `auth = "apop"`, none, 0, false},
		{"under TLS", "server = '{tls}'\ntls = 'implicit'\ntls_ca = '{ca}'\ntls_server_name = 'localhost'", none, 0, false},
		{"password_file", `password_file = "password"`, none, 0, false},
		{"password_command", command, none, 0, true},
		{"MDA", `mda = ". ./witness.sh; cat >/dev/null"`, none, 0, true},

		{"plain repeated", `auth = "plain"`, repeats("AUTH"), 75, false},
		{"user repeated", `auth = "user"`, repeats("PASS"), 75, false},
		{"apop repeated", `auth = "apop"`, repeats("APOP"), 75, false},
		{"plain refused", `auth = "plain"`, answers("AUTH", poptest.Refuse("[AUTH] no, tanstaaf is wrong")), 77, false},
		{"no status line", `auth = "user"`, answers("PASS", poptest.Reply([]byte("you said PASS tanstaaf\r\n"))), 76, false},
		{"cut in the log-in", `auth = "user"`, answers("PASS", poptest.Cut(0)), 75, false},
		{"granted and repeated", `auth = "user"`, answers("PASS", poptest.Action{Reply: []byte("+OK tanstaaf is right\r\n"), Effect: poptest.EffectFull}), 0, false},
		{"nothing in common", `auth = "plain"`, answers("CAPA", poptest.Reply([]byte("+OK\r\nSASL GSSAPI\r\n.\r\n"))), 77, false},
		{"STLS refused", `tls = "starttls"`, answers("STLS", poptest.Refuse("no")), 77, false},
		{"STLS stripped", `tls = "starttls"`, answers("CAPA", poptest.Reply([]byte("+OK\r\nUSER\r\nSASL PLAIN LOGIN\r\n.\r\n"))), 77, false},
		{"CAPA refused, so no STLS", `tls = "starttls"`, answers("CAPA", poptest.Refuse("no")), 77, false},
		{"a reply behind STLS", `tls = "starttls"`, answers("STLS", poptest.Reply([]byte("+OK\r\n+OK go on\r\n"))), 76, false},
		{"certificate refused", "server = '{tls}'\ntls = 'implicit'", none, 77, false},
		{"listing refused", "", answers("UIDL", poptest.Refuse("no")), 69, false},
		{"message refused", "", answers("RETR", poptest.Refuse("no")), 75, false},
		{"quit refused", `delete = "delivered"`, answers("QUIT", poptest.Refuse("no")), 75, false},
		{"MDA fails", `mda = ". ./witness.sh; env; exit 1"`, none, 75, true},
		{"Maildir cannot be made", `maildir = "password/below"`, none, 73, false},
		{"password_command fails", `password_command = "set -x; cat password; cat password >&2; . ./witness.sh; exit 1"`, none, 75, true},
		{"password_file is no one line", `password_file = "tab"`, none, 78, false},
		{"password_file for all", `password_file = "open"`, none, 78, false},
		{"two passwords", "password = 'tanstaaf'\npassword_file = 'password'", none, 78, false},
		{"password without quotes", `password = tanstaaf`, none, 78, false},
		{"control character in the password", `password = "tanstaaf\r\nDELE 1"`, none, 78, false},
		{"password of two types", `password = ["tanstaaf"]`, none, 78, false},
		{"password in the server", `server = "pop://mrose:tanstaaf@localhost"`, none, 78, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, poptest.Numbered(2, 500))
			a.Configure(func(c *poptest.Config) {
				c.Timestamp = timestamp
				c.Hook = func(_ *poptest.Session, cmd string) poptest.Action { return test.hook(cmd) }
			})
			lines := strings.NewReplacer("{tls}", a.TLSAddr(), "{ca}", a.CA().File()).Replace(test.lines)
			writeFiles(t, a.dir, map[string]string{
				"config.toml": accountText(a, lines), "password": "tanstaaf\n", "tab": "tanstaaf\t\n", "open": "tanstaaf\n", "witness.sh": witness,
			})
			err := errors.Join(os.Chmod(filepath.Join(a.dir, "open"), 0o644), os.Chmod(filepath.Dir(a.dir), 0o755)) // and others can reach it
			if err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"--once", "-vv", "--json"}, {"config"}, {"seen", "list", "--json"}} {
				c := a.command(t, args...)
				var out, said bytes.Buffer
				c.Stdout, c.Stderr = &out, &said
				if got := exitOf(t, c.Run()); got != test.status && args[0] == "--once" {
					t.Errorf("exit status = %d, want %d; it said\n%s", got, test.status, said.String())
				}
				checkNoSecret(t, strings.Join(args, " ")+": standard output", out.Bytes())
				checkNoSecret(t, strings.Join(args, " ")+": standard error", said.Bytes())
			}
			seen, err := os.ReadFile(filepath.Join(a.dir, "witness"))
			if asked := bytes.Contains(seen, []byte("--json\n")) && bytes.Contains(seen, []byte("PATH=")); asked != test.asked {
				t.Errorf("the witness saw %d octets (%v), want popfetch's command line: %v", len(seen), err, test.asked)
			}
			checkNoSecret(t, "what programs see", seen)
			err = filepath.WalkDir(filepath.Join(a.dir, "state"), func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return nil //nolint:nilerr // there may be no state
				}
				content, err := os.ReadFile(path)
				checkNoSecret(t, d.Name(), content)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// accountText is the configuration of an account. The given lines replace those that they
// contradict.
func accountText(a *account, lines string) string {
	text := "state_dir = 'state'\n[account.work]\nuser = 'mrose'\n"
	for key, line := range map[string]string{
		"server": "server = '" + a.Addr() + "'", "tls": "tls = 'none'", "password": "password = 'tanstaaf'", "maildir": "maildir = 'm'",
	} {
		has := strings.Contains("\n"+lines, "\n"+key+" =")
		has = has || key == "password" && strings.Contains("\n"+lines, "\npassword_")
		has = has || key == "maildir" && strings.Contains("\n"+lines, "\nmda =")
		if !has {
			text += line + "\n"
		}
	}
	declareTLS(a, text+lines)
	return text + lines + "\n"
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func checkNoSecret(t *testing.T, where string, octets []byte) {
	t.Helper()
	for name, form := range secretForms() {
		if bytes.Contains(octets, []byte(form)) {
			t.Errorf("%s shows the %s:\n%s", where, name, octets)
		}
	}
}

// TestMemory_private runs the program as a user without rights. The files in /proc that show its
// memory and environment then belong to root. Nobody else can read them, and the kernel writes no
// core dump. For the MDA this is undone.
func TestMemory_private(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can run a program as somebody else")
	}
	const nobody = "65534"
	a := newAccount(t, poptest.Numbered(1, 500))
	dir, err := os.MkdirTemp("", "popfetch-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	writeFiles(t, dir, map[string]string{"config.toml": accountText(a, `mda = "stat -c %u /proc/$PPID/environ /proc/self/environ >owners; cat >/dev/null"`)})
	copyProgram(t, filepath.Join(dir, "popfetch"))
	for _, path := range []string{dir, filepath.Join(dir, "config.toml"), filepath.Join(dir, "popfetch")} {
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), filepath.Join(dir, "popfetch"), "-c", "config.toml", "--once")
	c.Dir = dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("popfetch: %v: %s", err, out)
	}
	owners, err := os.ReadFile(filepath.Join(dir, "owners"))
	if want := "0\n" + nobody + "\n"; err != nil || string(owners) != want {
		t.Errorf("the memory of popfetch and of its MDA belongs to %q (%v), want %q", owners, err, want)
	}
}

func copyProgram(t *testing.T, path string) {
	t.Helper()
	program, err := exec.LookPath("popfetch")
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
}
