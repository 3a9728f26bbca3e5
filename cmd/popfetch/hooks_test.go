package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// appendConfig adds lines to an account's configuration file.
func (a *account) appendConfig(t *testing.T, lines ...string) {
	t.Helper()
	path := filepath.Join(a.dir, "config.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, strings.Join(lines, "\n")+"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestHooks_resident polls two accounts, one at a time. The hook of one of them hangs. No account waits
// for that, and what comes meanwhile is for one more hook. A signal ends the program in time, with
// the hook.
func TestHooks_resident(t *testing.T) {
	t.Parallel()
	slow := newAccount(t, poptest.Numbered(2, 400), `interval = "1s"`, `on_new = "echo $POPFETCH_COUNT $POPFETCH_SENDER $$ >>hook; exec sleep 1234"`)
	quick := newAccount(t, poptest.Numbered(1, 400))
	slow.appendConfig(t, `[account.quick]`, `server = "`+poptest.InClear(quick.Addr(), true)+`"`, `tls = "none"`, `user = "mrose"`,
		`password = "tanstaaf"`, `maildir = "`+quick.maildir+`"`, `interval = "1s"`, `on_new = "echo $POPFETCH_ACCOUNT >>quick"`)
	c := slow.command(t, "--jobs", "1")
	c.Stderr = new(bytes.Buffer)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := func(file string) []string {
		text, _ := os.ReadFile(filepath.Join(slow.dir, file))
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	eventually(t, "the hook runs", func() bool { return strings.HasPrefix(lines("hook")[0], "2 ") })
	before := quick.Count("QUIT")
	eventually(t, "the other account is polled", func() bool { return quick.Count("QUIT") >= before+2 })
	quick.Drop("").Add(newMail("news"))
	eventually(t, "its hook runs again", func() bool { return len(lines("quick")) == 2 })
	from := func(name string) poptest.Message {
		return poptest.Message{UniqueID: name, Content: []byte("From: " + name + "@example.org\r\n\r\n" + name + "\r\n")}
	}
	for i, name := range []string{"first", "second"} {
		slow.Drop("").Add(from(name))
		eventually(t, "a message is fetched while the hook runs", func() bool {
			files, err := os.ReadDir(filepath.Join(slow.maildir, "new"))
			return err == nil && len(files) == 3+i
		})
	}
	polls := slow.Count("QUIT")
	eventually(t, "the pass with the second one has ended", func() bool { return slow.Count("QUIT") >= polls+2 })
	if got := lines("hook"); len(got) != 1 {
		t.Errorf("two hooks run at the same time: %q", got)
	}
	first := strings.Fields(lines("hook")[0])
	if err := exec.CommandContext(t.Context(), "kill", first[len(first)-1]).Run(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one hook runs for both messages", func() bool { return len(lines("hook")) == 2 && strings.HasPrefix(lines("hook")[1], "2 second@") })
	at := time.Now()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitEnd(t, c, at, 0)
	want := "popfetch: work: on_new failed (signal: terminated)\npopfetch: work: on_new was ended: popfetch was stopped\n"
	if said := c.Stderr.(*bytes.Buffer).String(); said != want {
		t.Errorf("the program said %q, want %q", said, want)
	}
	second := strings.Fields(lines("hook")[1])
	eventually(t, "the hook has ended", func() bool {
		line, err := os.ReadFile("/proc/" + second[len(second)-1] + "/cmdline")
		return err != nil || len(line) == 0
	})
}

// TestHooks_newest delivers messages in batches that end in any order. The newest one is that of
// the highest number, in whichever order they come.
func TestHooks_newest(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"oldest", "newest"} {
		var messages []poptest.Message
		for i := range 900 {
			messages = append(messages, poptest.Message{UniqueID: fmt.Sprint("id-", i),
				Content: fmt.Appendf(nil, "From: sender-%d@example.org\r\nSubject: subject %d\r\n\r\n%d\r\n", i, i, i)})
		}
		a := newAccount(t, messages, `order = "`+order+`"`, `on_new = "printenv POPFETCH_COUNT POPFETCH_SENDER POPFETCH_SUBJECT >ran"`)
		a.mustRun(t, 0, "--once")
		text, err := os.ReadFile(filepath.Join(a.dir, "ran"))
		if want := "900\nsender-899@example.org\nsubject 899\n"; err != nil || string(text) != want {
			t.Errorf("%s first: the hook got %q (%v), want %q", order, text, err, want)
		}
	}
}
