package fetch_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // registers the driver "sqlite3"

	"github.com/popfetch/popfetch/internal/poptest"
)

// runLimit bounds one run of the program in these tests.
const runLimit = 30 * time.Second

// buildProgram builds popfetch as a user gets it, since a kill ends a process and not a function.
func buildProgram(t *testing.T) string {
	t.Helper()
	return build(t, "cmd/popfetch")
}

// build builds the program in a folder of the module.
func build(t *testing.T, folder string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(folder))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/popfetch/popfetch/"+folder)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", folder, err, out)
	}
	return program
}

// writeConfig writes the configuration with one account for each user.
func (r *killRig) writeConfig() string {
	var c strings.Builder
	fmt.Fprintf(&c, "state_dir = %q\n", r.state)
	for i, user := range r.users {
		name := r.name
		if i > 0 {
			name += "-" + user
		}
		fmt.Fprintf(&c, "[account.%s]\nserver = %q\ntls = \"none\"\nuser = %q\npassword = \"tanstaaf\"\ntimeout = \"20s\"\n", name, r.valve.addr(), user)
		if r.mail != nil {
			fmt.Fprintf(&c, "lmtp = %q\nmax_deliveries = %d\n", "unix:"+r.mail.Socket(), r.maxDeliveries)
		} else if r.mda != "" {
			fmt.Fprintf(&c, "mda = %q\nmax_deliveries = %d\n", r.mda, r.maxDeliveries)
		} else {
			fmt.Fprintf(&c, "maildir = %q\n", r.maildir)
		}
		if r.delete {
			c.WriteString("delete = \"delivered\"\n")
		}
	}
	path := filepath.Join(r.dir, "config.toml")
	if err := os.WriteFile(path, []byte(c.String()), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// killProcess is one run of the program.
type killProcess struct {
	command *exec.Cmd
	output  bytes.Buffer
	done    chan struct{} // closed when it has ended
}

// command is a run of the program.
func (r *killRig) command() []string {
	switch {
	case r.imap != nil:
		return r.imap.command(r)
	case r.composed != nil:
		return []string{r.program, r.composed.name, r.valve.addr(), r.dir, strconv.FormatBool(r.delete), r.mda}
	case r.imap != nil:
		return r.imap.command(r)
	case r.mbox != "":
		return append([]string{r.program, r.state, r.valve.addr(), r.mbox, strconv.FormatBool(r.delete)}, r.users...)
	}
	return []string{r.program, "--once", "--quiet", "--config", r.writeConfig()}
}

// start starts a run.
func (r *killRig) start() *killProcess {
	r.t.Helper()
	arguments := r.command()
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	p := &killProcess{command: exec.CommandContext(ctx, arguments[0], arguments[1:]...), done: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = &p.output, &p.output
	p.command.WaitDelay = time.Second
	r.mu.Lock() // the hook may ask for the process at once
	defer r.mu.Unlock()
	if err := p.command.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		defer cancel()
		_ = p.command.Wait() // ProcessState tells
		close(p.done)
	}()
	r.process = p
	return p
}

// current is the run that was started last.
func (r *killRig) current() *killProcess {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

// kill is kill -9; the process is gone when it returns.
func (p *killProcess) kill() {
	_ = p.command.Process.Kill() // it may have ended by itself
	<-p.done
}

// status waits for the end and returns the exit status, -1 after a signal.
func (p *killProcess) status() int {
	<-p.done
	return p.command.ProcessState.ExitCode()
}

// runs makes a run to its end and wants its exit status to be want.
func (r *killRig) runs(want int) {
	r.t.Helper()
	r.setHook(nil)
	p := r.start()
	if got := p.status(); got != want {
		r.t.Errorf("%s: exit status %d, want %d: %s", r.label, got, want, p.output.String())
	}
	r.server.Wait()
}

// killAt lets the server's octets through, and kills the run a while after the given number has
// passed. It reports whether the run was still alive.
func (r *killRig) killAt(octets int64, delay time.Duration) bool {
	r.t.Helper()
	reached := r.valve.arm(octets)
	p := r.start()
	select {
	case <-reached:
	case <-p.done:
	}
	// The program's work on the octets takes a time that cannot be seen from outside. The delay
	// ends somewhere in it.
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.done:
	}
	return r.ended(p)
}

// killOn kills the run when the server gets a command that begins with the words of cmd (empty:
// when it greets), which it then answers by action.
func (r *killRig) killOn(cmd string, action poptest.Action) bool {
	r.t.Helper()
	r.setHook(func(_ *poptest.Session, got string) poptest.Action {
		if got != cmd && (cmd == "" || !strings.HasPrefix(got, cmd+" ")) {
			return poptest.Action{}
		}
		r.current().kill()
		return action
	})
	p := r.start()
	<-p.done
	return r.ended(p)
}

// killUnrecorded kills the run when new holds one batch more than the given number of records. By
// then somebody else holds a write transaction on the seen-table, and does not end it.
func (r *killRig) killUnrecorded(recorded int) bool {
	r.t.Helper()
	release := sync.OnceValue(r.holdRecords) // two accounts may be at work
	r.setHook(func(s *poptest.Session, cmd string) poptest.Action {
		m, ok := r.argument(s.User(), cmd, "RETR")
		switch {
		case ok && recorded == 0:
			release()
		case ok && m.UniqueID == lastID:
			r.await(r.current(), func() bool { return len(r.recorded(r.state)) >= recorded })
			release()
		}
		return poptest.Action{}
	})
	inNew := func() int {
		names, _ := os.ReadDir(filepath.Join(r.maildir, "new")) // it may not be made yet
		return len(names)
	}
	before := inNew()
	p := r.start()
	r.await(p, func() bool { return inNew() >= before+recorded+batchMessages })
	killed := r.ended(p)
	release()()
	return killed
}

// await returns when come reports true, or p has ended.
func (r *killRig) await(p *killProcess, come func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !come() {
		select {
		case <-p.done:
			return
		case <-tick.C:
		}
	}
}

// holdRecords takes the write lock of the seen-table until release is called.
func (r *killRig) holdRecords() (release func()) {
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(r.state, "seen.db")+"?_txlock=immediate&_busy_timeout=5000")
	if err != nil {
		r.t.Error(err)
		return func() {}
	}
	tx, err := db.Begin()
	if err != nil {
		r.t.Error(err)
		return func() { _ = db.Close() }
	}
	return func() {
		if err := errors.Join(tx.Rollback(), db.Close()); err != nil {
			r.t.Error(err)
		}
	}
}

// ended kills the run, if it goes on, and reports whether a kill ended it.
func (r *killRig) ended(p *killProcess) (killed bool) {
	p.kill()
	r.valve.arm(-1)
	r.server.Wait()
	r.setHook(nil)
	return r.killed(p.status())
}

// killed reports whether an exit status is that of a killed run. What was with an MDA then may come
// to it again.
func (r *killRig) killed(status int) bool {
	if status != -1 {
		return false
	}
	r.mayTwice += r.maxDeliveries
	return true
}

// execute changes the seen-table without the program.
func (r *killRig) execute(statement string, arguments ...any) {
	r.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(r.state, "seen.db")+"?_busy_timeout=5000")
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = db.ExecContext(r.t.Context(), statement, arguments...)
	if err := errors.Join(err, db.Close()); err != nil {
		r.t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}
