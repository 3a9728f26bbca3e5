package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/systrace"
)

// moving is the home of a person who has used mpop.
type moving struct {
	t    *testing.T
	home string
}

const mpopPassword = "hunter2"

// newMoving writes mpop's files for so many messages.
func newMoving(t *testing.T, messages int) *moving {
	t.Helper()
	m := &moving{t, t.TempDir()}
	var ids strings.Builder
	fmt.Fprintf(&ids, " %d pop.example.org alice\n", messages)
	for i := range messages {
		fmt.Fprintf(&ids, "%08d\n", i)
	}
	if err := os.Mkdir(filepath.Join(m.home, ".mpop_uidls"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, m.home, map[string]string{
		".mpoprc":                              "account work\nhost pop.example.org\ntls on\ntls_starttls off\nuser alice\npassword " + mpopPassword + "\nkeep on\ndelivery maildir ~/Mail\n",
		".mpop_uidls/alice_at_pop.example.org": ids.String(),
	})
	return m
}

func (m *moving) environment() []string {
	return []string{"HOME=" + m.home, "PATH=" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE")}
}

// runs runs popfetch, and returns its exit status and what it said.
func (m *moving) runs(args ...string) (status int, said string) {
	m.t.Helper()
	c := exec.CommandContext(m.t.Context(), "popfetch", args...)
	c.Dir, c.Env = m.home, m.environment()
	out, err := c.CombinedOutput()
	if strings.Contains(string(out), mpopPassword) {
		m.t.Errorf("popfetch %q shows the password: %s", args, out)
	}
	return exitOf(m.t, err), string(out)
}

func (m *moving) config() string { return filepath.Join(m.home, ".config", "popfetch", "config.toml") }

// check looks at what an import has left that was interrupted. If there is a configuration, it is
// whole, and so are its password and its records: popfetch fetches nothing again.
func (m *moving) check(messages int) (written bool) {
	m.t.Helper()
	text, err := os.ReadFile(m.config())
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	_, line, found := strings.Cut(string(text), "password_file = ")
	file, err := strconv.Unquote(strings.TrimSpace(line))
	if err != nil || !found {
		m.t.Fatalf("the configuration is %q", text)
	}
	password, err := os.ReadFile(filepath.Join(filepath.Dir(m.config()), file))
	if err != nil || string(password) != mpopPassword+"\n" {
		m.t.Fatalf("the password file has %q, %v", password, err)
	}
	if _, said := m.runs("seen", "list"); strings.Count(said, "\timported\t") != messages {
		m.t.Fatalf("the account is configured, and %d messages are seen, want %d", strings.Count(said, "\timported\t"), messages)
	}
	return true
}

// traced imports, and makes the verdict on the nth change of a file. It reports whether there was one.
func (m *moving) traced(program string, nth int, verdict systrace.Verdict) (met bool, status int) {
	m.t.Helper()
	out, err := os.Create(filepath.Join(m.t.TempDir(), "out"))
	if err != nil {
		m.t.Fatal(err)
	}
	defer out.Close()
	inState := 0
	changes := map[string]bool{"write": true, "pwrite64": true, "rename": true, "renameat": true, "renameat2": true, "fsync": true,
		"fdatasync": true, "unlink": true, "unlinkat": true, "mkdir": true, "mkdirat": true, "ftruncate": true}
	status, err = systrace.Run([]string{program, "import", "mpop", "--apply"}, m.environment(), out, time.Minute, func(c *systrace.Call, done bool) systrace.Verdict {
		if !strings.HasPrefix(c.Path, m.home) || !changes[c.Name] || done {
			return systrace.Verdict{}
		}
		if strings.Contains(c.Path, "/state/") { // most calls are there, and other tests look at them
			if inState++; inState%13 != 0 {
				return systrace.Verdict{}
			}
		}
		if nth--; nth != 0 {
			return systrace.Verdict{}
		}
		met = true
		return verdict
	})
	if errors.Is(err, systrace.ErrUnsupported) {
		m.t.Skip(err)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return met, status
}

// TestImport_killed kills an import at each change of a file, and lets each fail. Afterwards either
// the account is not configured, or all of it is there. A second import completes it.
func TestImport_killed(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("popfetch")
	if err != nil {
		t.Fatal(err)
	}
	const messages = 5
	for name, verdict := range map[string]systrace.Verdict{"killed": {Kill: true}, "disk full": {Fail: syscall.ENOSPC}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, after := 0, 0
			for nth := 1; ; nth++ {
				m := newMoving(t, messages)
				met, status := m.traced(program, nth, verdict)
				if !met {
					break
				}
				want := 0
				if m.check(messages) {
					after++
					want = 73
				} else {
					before++
				}
				if status == 0 && want == 0 {
					t.Errorf("change %d: the import ended with 0, and has written nothing", nth)
				}
				if status, said := m.runs("import", "mpop", "--apply"); status != want {
					t.Errorf("change %d: a second import ended with %d, want %d: %s", nth, status, want, said)
				}
				if !m.check(messages) {
					t.Errorf("change %d: a second import did not complete it", nth)
				}
			}
			if before == 0 || after == 0 {
				t.Errorf("it was found undone %d times and done %d times, want some of each", before, after)
			}
			t.Logf("undone %d times, done %d times", before, after)
		})
	}
}

// TestImport_together imports in several processes at once. One of them writes everything, and the
// others nothing.
func TestImport_together(t *testing.T) {
	t.Parallel()
	const messages, processes = 3000, 4
	m := newMoving(t, messages)
	statuses := make(chan int, processes)
	for range processes {
		go func() {
			c := exec.CommandContext(t.Context(), "popfetch", "import", "mpop", "--apply")
			c.Dir, c.Env = m.home, m.environment()
			_ = c.Run()
			statuses <- c.ProcessState.ExitCode()
		}()
	}
	done := 0
	for range processes {
		switch status := <-statuses; status {
		case 0:
			done++
		case 73, 75:
		default:
			t.Errorf("an import ended with %d, want 0, 73 or 75", status)
		}
	}
	if done != 1 {
		t.Errorf("%d imports have written, want 1", done)
	}
	m.check(messages)
}
