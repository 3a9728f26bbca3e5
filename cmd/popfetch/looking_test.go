package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// lookingCommands are the commands that only show something.
var lookingCommands = []string{
	"list", "list --json", "check", "check --json", "check work",
	"--once --dry-run", "--once -n --json", "--once -n --all", "seen list", "seen list --json",
}

// lookingAt is an account in a state in which a run would write something.
type lookingAt struct {
	name    string
	lines   []string // of the configuration
	prepare func(t *testing.T, a *account)
	retr    []string // messages that each command with a session retrieves to identify them
	allToo  bool     // also with --all, which needs to know less
	status  int      // exit status of those commands; with --all 0 in place of 65
}

var lookedAt = []lookingAt{
	{name: "nothing is known", prepare: func(*testing.T, *account) {}},
	{name: "nothing is known, initial none", lines: []string{`initial = "none"`}, prepare: func(*testing.T, *account) {}},
	{name: "nothing is known, initial 30d", lines: []string{`initial = "30d"`}, prepare: func(*testing.T, *account) {}},
	{name: "nothing is known, too large", lines: []string{`max_size = 300`}, prepare: func(*testing.T, *account) {}},
	{name: "nothing is known, delete", lines: []string{`delete = "delivered"`}, prepare: func(*testing.T, *account) {}},
	{name: "all is known", prepare: func(t *testing.T, a *account) { a.mustRun(t, 0, "--once") }},
	{name: "one is new", prepare: func(t *testing.T, a *account) {
		a.mustRun(t, 0, "--once")
		a.Drop("").Add(newMail("later"))
	}},
	{name: "one is gone", prepare: func(t *testing.T, a *account) {
		a.mustRun(t, 0, "--once")
		a.Drop("").Remove("id-1")
	}},
	{name: "all may be deleted", prepare: func(t *testing.T, a *account) {
		a.mustRun(t, 0, "--once")
		a.configure(t, `delete = "delivered"`)
	}},
	{name: "all may be deleted, no TOP", prepare: func(t *testing.T, a *account) {
		a.lacks("TOP")
		a.mustRun(t, 0, "--once")
		a.configure(t, `delete = "delivered"`)
	}},
	{name: "seen.db is lost", prepare: func(t *testing.T, a *account) {
		a.mustRun(t, 0, "--once")
		removeAll(t, a.state())
	}},
	{name: "the records of two are lost", prepare: func(t *testing.T, a *account) {
		a.mustRun(t, 0, "--once")
		a.mustRun(t, 0, "seen", "forget", "work", "id-1", "id-2")
	}},
	{name: "all unique-ids are new", prepare: func(t *testing.T, a *account) {
		a.mustRun(t, 0, "--once")
		a.Drop("").SetUIDs(func(i int, _ string) string { return fmt.Sprint("new-", i) })
	}},
	{name: "all unique-ids are new, no TOP", retr: []string{"RETR 1", "RETR 2", "RETR 3"}, prepare: func(t *testing.T, a *account) {
		a.lacks("TOP")
		a.mustRun(t, 0, "--once")
		a.Drop("").SetUIDs(func(i int, _ string) string { return fmt.Sprint("new-", i) })
	}},
	{name: "all unique-ids are new, stop", lines: []string{`new_uids = "stop"`}, prepare: func(t *testing.T, a *account) {
		a.mustRun(t, 0, "--once")
		a.Drop("").SetUIDs(func(i int, _ string) string { return fmt.Sprint("new-", i) })
	}},
	{name: "one of three copies is gone", prepare: func(t *testing.T, a *account) {
		a.Drop("").SetUIDs(func(int, string) string { return "x" })
		a.mustRun(t, 0, "--once")
		copies := a.Drop("").Messages()
		a.Drop("").Remove("x")
		a.Drop("").Add(copies[1:]...)
	}},
	{name: "UIDL is refused", lines: []string{`uidl = "fallback"`}, prepare: func(t *testing.T, a *account) {
		a.lacks("UIDL")
		a.mustRun(t, 0, "--once")
		a.Drop("").Add(newMail("later"))
	}},
	{name: "UIDL is refused, no TOP", lines: []string{`uidl = "fallback"`}, retr: []string{"RETR 1", "RETR 2", "RETR 3"},
		allToo: true, prepare: func(t *testing.T, a *account) {
			a.lacks("UIDL", "TOP")
			a.mustRun(t, 0, "--once")
		}},
	{name: "one was refused", lines: []string{`quarantine_after = 3`}, prepare: func(t *testing.T, a *account) {
		a.lacks("RETR 2")
		a.says(t, 75, "--once")
	}},
	{name: "one is quarantined", lines: []string{`quarantine_after = 1`}, status: 65, prepare: func(t *testing.T, a *account) {
		a.lacks("RETR 2")
		a.says(t, 65, "--once")
	}},
	{name: "one is without unique-id", status: 76, prepare: func(t *testing.T, a *account) {
		a.mustRun(t, 0, "--once")
		a.answers("UIDL", poptest.Reply([]byte("+OK\r\n1 id-1\r\n2\r\n3 id-3\r\n.\r\n")))
	}},
}

// TestLooking checks the commands that only show something. They leave every octet of state and
// Maildir as it was and delete nothing. They retrieve only messages that they cannot identify
// otherwise. Each session ends with QUIT.
func TestLooking(t *testing.T) {
	t.Parallel()
	for _, at := range lookedAt {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, poptest.Numbered(3, 500), at.lines...)
			at.prepare(t, a)
			a.Wait()
			left := a.Drop("").UniqueIDs()
			before, mail := contents(t, a.dir), contents(t, a.maildir)
			for _, command := range lookingCommands {
				sessions := len(a.Sessions())
				a.says(t, at.statusOf(command), strings.Fields(command)...)
				a.Wait()
				for _, difference := range differences(before, contents(t, a.dir)) {
					t.Errorf("popfetch %s: %s", command, difference)
				}
				for _, difference := range differences(mail, contents(t, a.maildir)) {
					t.Errorf("popfetch %s: in the Maildir, %s", command, difference)
				}
				at.checkSessions(t, command, a.Sessions()[sessions:])
			}
			if got := a.Drop("").UniqueIDs(); !slices.Equal(got, left) {
				t.Errorf("the maildrop holds %q, want %q", got, left)
			}
			a.CheckRules(t)
		})
	}
}

// statusOf returns the expected exit status of the command.
func (at *lookingAt) statusOf(command string) int {
	if strings.HasPrefix(command, "seen ") || strings.HasSuffix(command, "--all") && at.status == exitQuarantined {
		return 0
	}
	return at.status
}

// checkSessions checks the commands that the server got.
func (at *lookingAt) checkSessions(t *testing.T, command string, sessions []*poptest.Session) {
	t.Helper()
	if asks := !strings.HasPrefix(command, "seen "); asks != (len(sessions) > 0) {
		t.Errorf("popfetch %s: %d sessions", command, len(sessions))
	}
	want := at.retr
	if strings.HasSuffix(command, "--all") && !at.allToo {
		want = nil
	}
	for _, session := range sessions {
		var retr []string
		for _, line := range session.Commands() {
			switch keyword, _, _ := strings.Cut(line, " "); keyword {
			case "RETR":
				retr = append(retr, line)
			case "DELE", "RSET":
				t.Errorf("popfetch %s sent %s", command, line)
			}
		}
		slices.Sort(retr)
		if !slices.Equal(retr, want) {
			t.Errorf("popfetch %s sent %q, want %q", command, retr, want)
		}
		if lines := session.Commands(); lines[len(lines)-1] != "QUIT" {
			t.Errorf("popfetch %s: the session ended by %s, want QUIT", command, lines[len(lines)-1])
		}
	}
}

// state returns the account's state folder.
func (a *account) state() string { return filepath.Join(a.dir, "state") }

// configure adds lines to the configuration.
func (a *account) configure(t *testing.T, lines ...string) {
	t.Helper()
	path := filepath.Join(a.dir, "config.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, strings.Join(lines, "\n")+"\n"...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// answers makes the server take action for each command that begins with words.
func (a *account) answers(words string, action poptest.Action) {
	a.Configure(func(c *poptest.Config) {
		before := c.Hook
		c.Hook = func(s *poptest.Session, cmd string) poptest.Action {
			switch {
			case cmd == words || words != "" && strings.HasPrefix(cmd, words+" "):
				return action
			case before != nil:
				return before(s, cmd)
			}
			return poptest.Action{}
		}
	})
}

// lacks makes the server neither announce nor know some commands.
func (a *account) lacks(commands ...string) {
	for _, command := range commands {
		a.answers(command, poptest.Refuse("no such command"))
	}
	a.Configure(func(c *poptest.Config) {
		c.Capabilities = slices.DeleteFunc(slices.Clone(c.Capabilities), func(line string) bool { return slices.Contains(commands, line) })
	})
}

func removeAll(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

// contents returns the mode and the octets of every file below a folder. A missing folder has none.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		all[path] = info.Mode().String()
		if !entry.Type().IsRegular() {
			return nil
		}
		octets, err := os.ReadFile(path)
		all[path] += string(octets)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

// differences returns the differences between two contents.
func differences(before, after map[string]string) []string {
	var told []string
	for path, was := range before {
		if is, ok := after[path]; !ok {
			told = append(told, path+" is gone")
		} else if is != was {
			told = append(told, path+" has changed")
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			told = append(told, path+" is new")
		}
	}
	return told
}
