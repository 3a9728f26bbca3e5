package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// endLimit bounds the time from a signal to the program's end.
const endLimit = 10 * time.Second

// account is a model server with one maildrop, and a folder with a configuration for it.
type account struct {
	*poptest.Server
	dir     string // with config.toml and the state
	maildir string
}

func newAccount(t *testing.T, messages []poptest.Message, lines ...string) *account {
	t.Helper()
	return newAccountInto(t, filepath.Join(t.TempDir(), "Maildir"), messages, lines...)
}

func newAccountInto(t *testing.T, maildir string, messages []poptest.Message, lines ...string) *account {
	t.Helper()
	a := &account{dir: t.TempDir(), maildir: maildir}
	a.Server = poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf", Messages: messages})
	lines = append([]string{
		`state_dir = "state"`, `[account.work]`, `server = "` + a.Addr() + `"`, `tls = "none"`, `user = "mrose"`,
		`password = "tanstaaf"`, `maildir = "` + maildir + `"`,
	}, lines...)
	if err := os.WriteFile(filepath.Join(a.dir, "config.toml"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// command returns a call of popfetch with this account's configuration.
func (a *account) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), "popfetch", append([]string{"--config", "config.toml"}, args...)...)
	c.Dir = a.dir
	text, err := os.ReadFile(filepath.Join(a.dir, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	declareTLS(a, string(text))
	return c
}

// declareTLS tells the server whether a configuration has tls = "none".
func declareTLS(a *account, text string) {
	if a.Server != nil { // otherwise the test has a server of another kind
		poptest.InClear(a.Addr(), strings.Contains(strings.ReplaceAll(text, "'", `"`), `tls = "none"`))
	}
}

// mustRun runs popfetch and returns its standard output. The exit status must be status. If that is
// 0, standard error must be empty.
func (a *account) mustRun(t *testing.T, status int, args ...string) string {
	t.Helper()
	c := a.command(t, args...)
	var out, complaints bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaints
	if got := exitOf(t, c.Run()); got != status || status == 0 && complaints.Len() > 0 {
		t.Fatalf("popfetch %q ended with %d, want %d, and said: %s", args, got, status, complaints.String())
	}
	return out.String()
}

// exitOf returns the exit status in an error of package exec.
func exitOf(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

// delivered returns the number of messages in the Maildir. None may be there twice.
func (a *account) delivered(t *testing.T) int {
	t.Helper()
	messages, err := readMaildir(a.maildir)
	if err != nil {
		t.Fatal(err)
	}
	for message, files := range messages {
		if len(files) > 1 {
			t.Errorf("%d files hold the same message: %.200q", len(files), message)
		}
	}
	return len(messages)
}

// await waits until the server has got a command.
func await(t *testing.T, asked <-chan struct{}) {
	t.Helper()
	select {
	case <-asked:
	case <-time.After(20 * time.Second):
		t.Fatal("the program did not ask the server for 20 s")
	}
}

// waitEnd waits for the end of a program that got a signal at the given time.
func waitEnd(t *testing.T, c *exec.Cmd, at time.Time, want int) {
	t.Helper()
	status := exitOf(t, c.Wait())
	if took := time.Since(at); took > endLimit {
		t.Errorf("the program ended %v after the signal, want %v at most", took, endLimit)
	}
	if status != want {
		t.Errorf("exit status = %d, want %d; it said: %s", status, want, c.Stderr)
	}
}

// TestSignal interrupts a run between messages. The messages that were asked for are delivered and
// recorded, and QUIT is sent. The next run fetches each of the others once.
func TestSignal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		signal syscall.Signal
		args   []string
		want   int
	}{{syscall.SIGINT, []string{"--once"}, 130}, {syscall.SIGTERM, []string{"--once"}, 143}, {syscall.SIGINT, nil, 0}, {syscall.SIGTERM, nil, 0}} {
		t.Run(test.signal.String()+strings.Join(test.args, ""), func(t *testing.T) {
			t.Parallel()
			const messages = 400
			a := newAccount(t, poptest.Numbered(messages, 2000), `delete = "delivered"`)
			reached := make(chan struct{})
			var once sync.Once
			a.Configure(func(c *poptest.Config) {
				c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
					n, err := strconv.Atoi(strings.TrimPrefix(cmd, "RETR "))
					if err != nil || n < 20 {
						return poptest.Action{}
					}
					once.Do(func() { close(reached) })
					return poptest.Action{Delay: 20 * time.Millisecond} // 8 s for all messages: the signal comes long before
				}
			})
			c := a.command(t, test.args...)
			c.Stderr = new(bytes.Buffer)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, reached)
			at := time.Now()
			if err := c.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			waitEnd(t, c, at, test.want)
			a.Wait()
			delivered := a.delivered(t)
			if asked := a.Count("RETR"); delivered != asked || asked >= messages {
				t.Errorf("delivered = %d, want the %d that were asked for, fewer than %d", delivered, asked, messages)
			}
			if records := strings.Count(a.mustRun(t, 0, "seen", "list"), "\tdelivered\t"); records != delivered {
				t.Errorf("records = %d, want %d", records, delivered)
			}
			if quits := a.Count("QUIT"); quits != 1 {
				t.Errorf("QUIT was sent %d times, want once", quits)
			}
			a.Configure(func(c *poptest.Config) { c.Hook = nil })
			a.mustRun(t, 0, "--once")
			a.Wait()
			if got := a.delivered(t); got != messages {
				t.Errorf("delivered after the next run = %d, want %d", got, messages)
			}
			if retrieved := a.Count("RETR"); retrieved != messages {
				t.Errorf("RETR was sent %d times, want %d: once for each message", retrieved, messages)
			}
			if left := a.Drop("").UniqueIDs(); len(left) != 0 {
				t.Errorf("left on the server: %q", left)
			}
			a.CheckRules(t)
		})
	}
}

// TestSignal_stall interrupts a run while its server is silent in the middle of a message.
func TestSignal_stall(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(5, 2000))
	reached := make(chan struct{})
	var once sync.Once
	a.Configure(func(c *poptest.Config) {
		c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd != "RETR 3" {
				return poptest.Action{}
			}
			once.Do(func() { close(reached) })
			return poptest.Stall(1000)
		}
	})
	c := a.command(t, "--once")
	c.Stderr = new(bytes.Buffer)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, reached)
	at := time.Now()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitEnd(t, c, at, 143)
	if got := a.delivered(t); got != 2 {
		t.Errorf("delivered = %d, want the 2 messages before the silence", got)
	}
	a.Configure(func(c *poptest.Config) { c.Hook = nil })
	a.mustRun(t, 0, "--once")
	a.Wait()
	if got := a.delivered(t); got != 5 {
		t.Errorf("delivered after the next run = %d, want 5", got)
	}
	if got := a.Count("RETR 1"); got != 1 {
		t.Errorf("message 1 was retrieved %d times, want once", got)
	}
}

// TestPoll runs without --once. New mail is fetched at the interval, and SIGTERM ends the program.
func TestPoll(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(1, 500), `interval = "1s"`)
	quits := make(chan struct{}, 100)
	a.Configure(func(c *poptest.Config) {
		c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "QUIT" {
				quits <- struct{}{}
			}
			return poptest.Action{}
		}
	})
	c := a.command(t)
	said := new(bytes.Buffer)
	c.Stdout, c.Stderr = said, said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, quits)
	if got := a.delivered(t); got != 1 {
		t.Errorf("delivered by the first poll = %d, want 1", got)
	}
	a.Drop("").Add(newMail("later-1"))
	await(t, quits)
	await(t, quits) // the mail may have come after the second poll listed
	if got := a.delivered(t); got != 2 {
		t.Errorf("delivered by the later polls = %d, want 2", got)
	}
	at := time.Now()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitEnd(t, c, at, 0) // this is the normal end of a resident program
	if got := a.Count("RETR"); got != 2 || said.Len() > 0 {
		t.Errorf("RETR was sent %d times, want 2, and it said %q, want nothing", got, said)
	}
	a.CheckRules(t)
}

// TestPoll_signal ends a resident program by a signal. That is no failure, even if an account has a
// fault. An error of standard output is a failure.
func TestPoll_signal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		signal syscall.Signal
		refuse bool // whether the log-in is refused
		closed bool // whether standard output is closed
		want   int
	}{
		{"SIGINT", syscall.SIGINT, false, false, 0},
		{"SIGTERM", syscall.SIGTERM, false, false, 0},
		{"trouble", syscall.SIGTERM, true, false, 0},
		{"closed output", syscall.SIGTERM, false, true, 74},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, poptest.Numbered(1, 500))
			quits := make(chan struct{}, 10)
			a.Configure(func(c *poptest.Config) {
				c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
					switch {
					case cmd == "QUIT":
						quits <- struct{}{}
					case test.refuse && strings.HasPrefix(cmd, "AUTH"):
						return poptest.Refuse("[AUTH] no")
					}
					return poptest.Action{}
				}
			})
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			if test.closed {
				reader.Close()
			}
			c := a.command(t, "--json")
			c.Stdout, c.Stderr = writer, new(bytes.Buffer)
			err = c.Start()
			writer.Close()
			if err != nil {
				t.Fatal(err)
			}
			await(t, quits)
			at := time.Now()
			if err := c.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			waitEnd(t, c, at, test.want)
		})
	}
}

// TestClosedOutput closes the reader of --json in the middle of a run. Mail is still delivered, and
// the exit status reports the error.
func TestClosedOutput(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(50, 500), `delete = "delivered"`)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	c := a.command(t, "--once", "--json")
	var said bytes.Buffer
	c.Stdout, c.Stderr = writer, &said
	status := exitOf(t, c.Run())
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "popfetch: standard output: "; status != 74 || !strings.HasPrefix(said.String(), want) || strings.Count(said.String(), "\n") != 1 {
		t.Errorf("exit status = %d and %q, want 74 and one line %q…", status, said.String(), want)
	}
	a.Wait()
	if got, left := a.delivered(t), len(a.Drop("").UniqueIDs()); got != 50 || left != 0 {
		t.Errorf("delivered = %d and left on the server = %d, want 50 and 0", got, left)
	}
}

// TestJobs has more accounts than --jobs allows at once.
func TestJobs(t *testing.T) {
	t.Parallel()
	const accounts = 6
	a := newAccount(t, nil)
	var mu sync.Mutex
	open, most := 0, 0
	a.Configure(func(c *poptest.Config) {
		c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
			mu.Lock()
			defer mu.Unlock()
			switch cmd {
			case "":
				open++
				most = max(most, open)
			case "QUIT":
				open--
			}
			return poptest.Action{}
		}
	})
	text := "state_dir = \"state\"\n[defaults]\nserver = \"" + poptest.InClear(a.Addr(), true) + "\"\ntls = \"none\"\nuser = \"mrose\"\npassword = \"tanstaaf\"\n"
	for i := range accounts {
		text += fmt.Sprintf("[account.a%d]\nmaildir = \"m%d\"\n", i, i)
	}
	if err := os.WriteFile(filepath.Join(a.dir, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a.mustRun(t, 0, "--once", "--jobs", "2", "--quiet") // quiet, because popfetch warns that all accounts have one maildrop
	a.Wait()
	if got := a.Count("QUIT"); got != accounts || most > 2 {
		t.Errorf("%d accounts were polled, %d at once, want %d and 2 at most", got, most, accounts)
	}
}

// A run needs few open files, for any size of a batch and any speed of the disk. The limit may be
// low, and all accounts share it.
func TestOpenFiles(t *testing.T) {
	t.Parallel()
	const messages = 3000
	a := newAccount(t, poptest.Numbered(messages, 600))
	c := a.command(t, "--once")
	c.Args = append([]string{"sh", "-c", `ulimit -n 128 && exec "$0" "$@"`, c.Path}, c.Args[1:]...)
	c.Path = "/bin/sh"
	said, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("popfetch: %v; it said: %s", err, said)
	}
	if got := a.delivered(t); got != messages {
		t.Errorf("delivered = %d, want %d", got, messages)
	}
}
