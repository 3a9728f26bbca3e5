package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// status returns what status --json tells of the account.
func (a *account) status(t *testing.T) (line statusLine) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.mustRun(t, 0, "status", "--json", "work")), &line); err != nil {
		t.Fatal(err)
	}
	return line
}

// history returns the history of the account.
func (a *account) history(t *testing.T) seen.History {
	t.Helper()
	store, err := sqlite.Open(t.Context(), a.state())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	h, err := store.History(t.Context(), "work", 2)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// While a run is at work, status tells which process it is, and disturbs nothing. A second run that
// finds it at work is not noted. Nor is one that is killed: what was known before stays.
func TestStatus_atWork(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(3, 500))
	a.mustRun(t, 0, "--once")
	before := a.status(t)
	reached, letGo := holdAt(a, "STAT")
	defer letGo()
	c, _ := a.start(t, "--once")
	<-reached
	for range 5 {
		if now := a.status(t); now.Process == nil || *now.Process != c.Process.Pid || now.ProcessSince == nil || time.Since(*now.ProcessSince).Abs() > time.Hour {
			t.Fatalf("status tells %+v, want process %d", now, c.Process.Pid)
		}
	}
	a.says(t, exitTempFail, "--once")
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	letGo()
	after := a.status(t)
	if after.Process != nil || after.LastError != nil || !after.LastSuccess.Equal(*before.LastSuccess) {
		t.Errorf("after the kill status tells %+v, before %+v", after, before)
	}
	a.mustRun(t, 0, "--once")
	h := a.history(t)
	if h.Total.Runs != 2 || h.Total.Delivered != 3 || h.Total.Failed != 0 || len(h.Days) == 0 {
		t.Errorf("the history is %+v, want two runs", h)
	}
}

// A run that a signal has ended delivered what it could. It is neither a success nor an error.
func TestHistory_signal(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(1, 500), `pipelining = "never"`)
	a.mustRun(t, 0, "--once")
	before := a.status(t)
	reached, letGo := holdAt(a, "STAT")
	defer letGo()
	c, _ := a.start(t, "--once")
	<-reached
	at := time.Now()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitEnd(t, c, at, 143)
	letGo()
	after, h := a.status(t), a.history(t)
	if after.LastError != nil || !after.LastSuccess.Equal(*before.LastSuccess) || h.Total.Runs != 2 || h.Total.Failed != 0 {
		t.Errorf("status tells %+v, before %+v; the history is %+v", after, before, h)
	}
}

// What a run did is in the history as its event tells it.
func TestHistory_counts(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(4, 500), `delete = "delivered"`, `quarantine_after = 1`)
	a.lacks("RETR 2")
	a.says(t, exitQuarantined, "--once")
	h := a.history(t)
	if len(h.Days) == 0 {
		t.Fatalf("the history is %+v", h)
	}
	day := h.Days[len(h.Days)-1]
	sizes := 0
	for _, n := range day.Sizes {
		sizes += n
	}
	if h.Total.Delivered != 3 || h.Total.Deleted != 3 || h.Maildrop != (seen.MaildropNote{Listed: 4, Quarantined: 1}) ||
		day.Quarantined != 1 || sizes != 3 || day.Largest < 400 || h.Total.Octets < 1200 || day.Errors["quarantined"] != 1 || h.Error.Text != "messages quarantined: 1" {
		t.Errorf("the history is %+v", h)
	}
	if now := a.status(t); now.Quarantined != 1 || *now.Backlog != 0 || *now.Status != exitQuarantined {
		t.Errorf("status tells %+v", now)
	}
	a.mustRun(t, 0, "seen", "forget", "work", "--quarantined")
	if now := a.status(t); now.Quarantined != 0 {
		t.Errorf("after seen forget, %d are quarantined", now.Quarantined)
	}
}

// If the history cannot be written, mail comes all the same. A warning says so once, and not again in
// the next run.
func TestHistory_unwritable(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(3, 500))
	a.second(t, `password = "tanstaaf"`, a.Addr())
	if err := os.MkdirAll(filepath.Join(a.state(), "history.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	said := a.says(t, exitOK, "--once")
	if strings.Count(said, "this run is missing in status and report: ") != 1 {
		t.Errorf("it said %q, want one warning", said)
	}
	if n := a.delivered(t); n != 3 {
		t.Errorf("%d messages came", n)
	}
	if said := a.says(t, exitOK, "--once"); said != "" {
		t.Errorf("the next run said %q", said)
	}
}

// A power cut may damage the history. The next run begins it anew, and says so.
func TestHistory_damaged(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(3, 500))
	a.mustRun(t, 0, "--once")
	if err := os.WriteFile(filepath.Join(a.state(), "history.db"), []byte(strings.Repeat("torn", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	said := a.says(t, exitIO, "status")
	if !strings.Contains(said, "history.db: ") || !strings.Contains(said, "; remove the file, or let") {
		t.Errorf("status said %q", said)
	}
	said = a.says(t, exitOK, "--once")
	if !strings.Contains(said, "earlier runs are missing in status and report: ") ||
		!strings.Contains(said, "the history was damaged, and begins anew") {
		t.Errorf("it said %q", said)
	}
	if said := a.says(t, exitOK, "--once"); said != "" {
		t.Errorf("the next run said %q", said)
	}
	if h := a.history(t); h.Total.Runs != 2 || h.Total.Delivered != 0 {
		t.Errorf("the history is %+v, want the runs since", h)
	}
}

// A run without news waits for no disk because of the state: what it notes in the history is not
// synced.
func TestHistory_unsynced(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	if os.Geteuid() != 0 {
		t.Skip("the memory of popfetch is private, so only root sees the names in its system calls")
	}
	a := newAccount(t, poptest.Numbered(3, 500))
	for range 2 {
		a.mustRun(t, 0, "--once")
	}
	runs := a.history(t).Total.Runs
	popfetch := a.command(t, "--once")
	c := exec.CommandContext(t.Context(), strace, append([]string{"-f", "-y", "-o", "trace", "-e", "trace=fsync,fdatasync,syncfs,sync_file_range,openat", popfetch.Path}, popfetch.Args[1:]...)...)
	c.Dir, c.Env = a.dir, popfetch.Env
	if out, err := c.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "ptrace") {
			t.Skipf("strace is not allowed here: %s", out)
		}
		t.Fatalf("%v: %s", err, out)
	}
	trace, err := os.ReadFile(filepath.Join(a.dir, "trace"))
	if err != nil {
		t.Fatal(err)
	}
	opened, syncs := false, regexp.MustCompile(`(fsync|fdatasync|syncfs|sync_file_range)\(.*/state[/>]`)
	for line := range strings.Lines(string(trace)) {
		opened = opened || strings.Contains(line, "openat") && strings.Contains(line, "/history.db\"")
		if syncs.MatchString(line) {
			t.Errorf("it was synced: %s", line)
		}
	}
	if !opened || a.history(t).Total.Runs != runs+1 {
		t.Errorf("the history was opened: %t; %d runs are noted, want %d", opened, a.history(t).Total.Runs, runs+1)
	}
}
