package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// says runs popfetch and returns its standard error. The exit status must be status.
func (a *account) says(t *testing.T, status int, args ...string) string {
	t.Helper()
	c := a.command(t, args...)
	var complaints bytes.Buffer
	c.Stderr = &complaints
	if got := exitOf(t, c.Run()); got != status {
		t.Errorf("popfetch %q ended with %d, want %d, and said: %s", args, got, status, complaints.String())
	}
	return complaints.String()
}

// start starts popfetch. The buffer gets its standard error.
func (a *account) start(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	c := a.command(t, args...)
	said := new(bytes.Buffer)
	c.Stderr = said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, said
}

// holdAt makes the server wait at a command until the test calls letGo.
func holdAt(a *account, command string) (reached <-chan struct{}, letGo func()) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	a.Configure(func(c *poptest.Config) {
		c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == command {
				once.Do(func() { close(asked) })
				<-goOn
			}
			return poptest.Action{}
		}
	})
	return asked, sync.OnceFunc(func() { close(goOn) })
}

// Two processes use one account. The second contacts no server and says so. A command that would
// change the records says at once what to do, whether the first process works or hangs. A command
// that only reads works (behaviour 34).
func TestTogether_oneAccount(t *testing.T) {
	t.Parallel()
	for _, hangs := range []bool{false, true} {
		t.Run(fmt.Sprintf("hangs %t", hangs), func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, poptest.Numbered(2, 500))
			a.mustRun(t, 0, "--once")
			a.Drop("").Add(newMail("later-1"), newMail("later-2"))
			reached, letGo := holdAt(a, "RETR 4")
			defer letGo()
			first, said := a.start(t, "--once")
			await(t, reached)
			if hangs {
				if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			sessions := len(a.Sessions())
			began := time.Now()
			for _, args := range []string{"--once", "seen mark work x", "seen mark work --all", "seen forget work id-1", "seen forget work --all", "seen rename work job"} {
				want := fmt.Sprintf("another popfetch (process %d, since ", first.Process.Pid)
				if said := a.says(t, 75, strings.Fields(args)...); !strings.Contains(said, want) || strings.Count(said, "\n") != 1 {
					t.Errorf("popfetch %s said %q, want one line with %q", args, said, want)
				}
			}
			if got := len(a.Sessions()); got != sessions {
				t.Errorf("%d sessions were begun on a locked account, want none", got-sessions)
			}
			if records := strings.Count(a.mustRun(t, 0, "seen", "list"), "\tdelivered\t"); records < 2 {
				t.Errorf("seen list shows %d records, want the 2 of the first run at least", records)
			}
			if took := time.Since(began); took > 40*time.Second {
				t.Errorf("seven commands took %v on a locked account, want no waiting", took)
			}
			if hangs {
				if err := first.Process.Signal(syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
			}
			letGo()
			if status := exitOf(t, first.Wait()); status != 0 || said.Len() > 0 {
				t.Errorf("the first process ended with %d and said %q, want 0 and nothing", status, said)
			}
			if got := a.delivered(t); got != 4 {
				t.Errorf("delivered = %d, want 4", got)
			}
			a.mustRun(t, 0, "seen", "forget", "work", "id-1")
			a.mustRun(t, 0, "seen", "rename", "work", "job")
			if records := strings.Count(a.mustRun(t, 0, "seen", "list", "job"), "\tdelivered\t"); records != 3 {
				t.Errorf("seen list shows %d records, want 3", records)
			}
		})
	}
}

// crowd is many accounts that share a state folder and a Maildir. Each has a maildrop of its own.
type crowd struct {
	*account
	users []string
	mail  int // number of messages in each maildrop so far
}

func newCrowd(t *testing.T, users int, lines ...string) *crowd {
	t.Helper()
	c := &crowd{account: &account{dir: t.TempDir()}}
	c.maildir = filepath.Join(c.dir, "Maildir")
	var drops []poptest.Maildrop
	for i := range users {
		c.users = append(c.users, fmt.Sprintf("user%d", i))
		drops = append(drops, poptest.Maildrop{User: c.users[i], Password: "tanstaaf", Exclusive: true})
	}
	c.Server = poptest.NewServer(t, drops...)
	text := "state_dir = \"state\"\n[defaults]\nserver = \"" + poptest.InClear(c.Addr(), true) + "\"\ntls = \"none\"\npassword = \"tanstaaf\"\nmaildir = \"Maildir\"\n" +
		strings.Join(lines, "\n") + "\n"
	for _, user := range c.users {
		text += fmt.Sprintf("[account.%s]\nuser = \"%s\"\n", user, user)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// deliver puts n new messages into each maildrop, with the same unique-ids in all of them.
func (c *crowd) deliver(n int) {
	for range n {
		c.mail++
		for _, user := range c.users {
			id := fmt.Sprint("id-", c.mail)
			c.Drop(user).Add(poptest.Message{UniqueID: id, Content: fmt.Appendf(nil, "Message-ID: <%s@%s>\r\n\r\nto %s\r\n", id, user, user)})
		}
	}
}

// together runs popfetch once with each of the argument lists, all at the same time. Each must exit
// with one of its allowed statuses, and none may report a locked database.
func (c *crowd) together(t *testing.T, jobs map[string][]int) {
	t.Helper()
	var all sync.WaitGroup
	for args, allowed := range jobs {
		all.Add(1)
		go func() {
			defer all.Done()
			cmd := c.command(t, strings.Fields(args)...)
			var said bytes.Buffer
			cmd.Stderr = &said
			status := exitOf(t, cmd.Run())
			for _, s := range allowed {
				if s == status && !strings.Contains(said.String(), "database is locked") {
					return
				}
			}
			t.Errorf("popfetch %s ended with %d, want one of %v, and said: %s", args, status, allowed, said.String())
		}()
	}
	all.Wait()
	c.Wait()
}

// check returns how many messages are lost and how many are there twice, in the Maildir and in the
// records.
func (c *crowd) check(t *testing.T) (lost, twice int) {
	t.Helper()
	messages, err := readMaildir(c.maildir)
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range messages {
		twice += len(files) - 1
	}
	want := c.mail * len(c.users)
	if lost = want - len(messages); lost != 0 || twice != 0 {
		t.Errorf("%d lost and %d twice of %d", lost, twice, want)
	}
	if records := strings.Count(c.mustRun(t, 0, "seen", "list"), "\tdelivered\t"); records != want {
		t.Errorf("%d records, want %d", records, want)
	}
	return lost, twice
}

// Several processes start at the same moment, each with an account of its own. There is nothing
// before. They make one state folder and one Maildir, and all of them finish (behaviour 34).
func TestTogether_oneState(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 5)
	for range 2 {
		c.deliver(20)
		jobs := map[string][]int{"seen list": {0}}
		for _, user := range c.users {
			jobs["--once "+user] = []int{0}
		}
		c.together(t, jobs)
		c.check(t)
	}
	c.CheckRules(t)
}

// Several processes fetch the whole crowd at once and meet at each account. Other commands change
// the records meanwhile. No message is lost or delivered twice, and each process ends with 0 or 75.
func TestTorture_together(t *testing.T) {
	if os.Getenv("POPFETCH_TEST_TORTURE") == "" {
		t.Skip("it takes a minute; set POPFETCH_TEST_TORTURE=1")
	}
	t.Parallel()
	lost, twice, cases := 0, 0, 0
	for _, remove := range []string{"never", "delivered"} {
		c := newCrowd(t, 8, `delete = "`+remove+`"`)
		for round := range 12 {
			c.deliver(25)
			jobs := map[string][]int{"seen list": {0}, "seen list --json": {0}, "seen rename none other": {64}}
			for i := range 3 {
				jobs[fmt.Sprintf("--once --jobs %d", i+1)] = []int{0, 75}
			}
			for i, user := range c.users {
				jobs["--once "+user] = []int{0, 75}
				if i%2 == 0 && round > 0 {
					jobs["seen mark "+user+" id-1"] = []int{0, 75} // the message may be recorded already
				}
			}
			cases += len(jobs)
			c.together(t, jobs)
			c.mustRun(t, 0, "--once") // a process that came second at all accounts has fetched nothing
			l, d := c.check(t)
			lost, twice = lost+l, twice+d
			if remove == "delivered" {
				for _, user := range c.users {
					if left := c.Drop(user).UniqueIDs(); len(left) > 0 {
						t.Errorf("left on the server for %s: %q", user, left)
					}
				}
			}
		}
		c.CheckRules(t)
	}
	t.Logf("torture | two at once | %d cases | %d lost | %d twice", cases, lost, twice)
}

// Two state folders know nothing of each other. The server admits one process at a time. The second
// process finds the messages that the first has delivered.
func TestTogether_twoStates(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 1)
	c.deliver(30)
	c.together(t, map[string][]int{"--once user0": {0, 75}, "--once user0 --state-dir other": {0, 75}})
	c.mustRun(t, 0, "--once")
	c.mustRun(t, 0, "--once", "--state-dir", "other")
	c.check(t)
	if records := strings.Count(c.mustRun(t, 0, "seen", "list", "--state-dir", "other"), "\tdelivered\t"); records != 30 {
		t.Errorf("the other state has %d records, want 30", records)
	}
}

// seize takes the write lock of the seen-table, like a process that hangs in the middle of a
// transaction.
func (a *account) seize(t *testing.T) (letGo func()) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(a.dir, "state", "seen.db")+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

// A run waits for another process that writes to the records. A command that only reads does not
// wait.
func TestTogether_busyState(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(2, 500), `delete = "delivered"`)
	a.mustRun(t, 0, "--once")
	a.Drop("").Add(newMail("later-1"))
	letGo := a.seize(t)
	run, said := a.start(t, "--once")
	ended := make(chan int)
	go func() { ended <- exitOf(t, run.Wait()) }()
	a.mustRun(t, 0, "seen", "list")
	select {
	case status := <-ended:
		t.Fatalf("the run ended with %d and said %q, want it to wait", status, said)
	case <-time.After(time.Second): // SQLite itself waits half of this
	}
	letGo()
	if status := <-ended; status != 0 || said.Len() > 0 {
		t.Errorf("the run ended with %d and said %q, want 0 and nothing", status, said)
	}
	if got, left := a.delivered(t), a.Drop("").UniqueIDs(); got != 3 || len(left) != 0 {
		t.Errorf("delivered = %d, left on the server %q, want 3 and none", got, left)
	}
}

// A run that has waited in vain for another process says what to do. The next run finds the message
// by its name.
func TestTorture_busyState(t *testing.T) {
	if os.Getenv("POPFETCH_TEST_TORTURE") == "" {
		t.Skip("it takes half a minute; set POPFETCH_TEST_TORTURE=1")
	}
	t.Parallel()
	a := newAccount(t, poptest.Numbered(2, 500), `delete = "delivered"`)
	a.mustRun(t, 0, "--once")
	a.Drop("").Add(newMail("later-1"))
	a.mustRun(t, 0, "seen", "rename", "work", "old")
	letGo := a.seize(t)
	began := time.Now()
	var both sync.WaitGroup
	for _, args := range []string{"--once", "seen rename old other"} {
		both.Add(1)
		go func() {
			defer both.Done()
			if said, want := a.says(t, 75, strings.Fields(args)...), "another process holds the state; try again later"; !strings.Contains(said, want) {
				t.Errorf("popfetch %s said %q, want %q", args, said, want)
			}
		}()
	}
	both.Wait()
	took := time.Since(began)
	if took > 40*time.Second {
		t.Errorf("it took %v, want half a minute", took)
	}
	letGo()
	a.mustRun(t, 0, "seen", "rename", "old", "work")
	a.mustRun(t, 0, "--once")
	lost := 3 - a.delivered(t)
	if left := a.Drop("").UniqueIDs(); lost != 0 || len(left) != 0 {
		t.Errorf("lost %d, left on the server %q, want none", lost, left)
	}
	t.Logf("torture | a process that hangs in the state | 2 cases | %d lost | waited %v", lost, took.Round(time.Second))
}
