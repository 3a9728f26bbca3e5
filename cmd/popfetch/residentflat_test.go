package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// footprint is what a process holds of the system.
type footprint struct {
	resident    int64 // octets
	threads     int
	descriptors int // 0: they may not be counted
}

func (f footprint) String() string {
	return fmt.Sprintf("%.1f MiB resident, %d threads, %d descriptors", float64(f.resident)/(1<<20), f.threads, f.descriptors)
}

func footprintOf(t *testing.T, pid int) footprint {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	number := func(name string) (n int64) {
		_, line, _ := strings.Cut(string(status), name+":")
		_, _ = fmt.Sscan(line, &n)
		return n
	}
	files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)) // only root may read it, since memory is kept private
	return footprint{number("VmRSS") << 10, int(number("Threads")), len(files)}
}

// TestResident_flat polls 50 accounts 10,000 times. The last 8,000 polls need no more memory, threads
// and descriptors than the first 2,000.
func TestResident_flat(t *testing.T) {
	if os.Getenv("POPFETCH_TEST_MEMORY") == "" {
		t.Skip("POPFETCH_TEST_MEMORY is not set")
	}
	const accounts, jobs, early, polls, growth = 50, 8, 2000, 10_000, 2 << 20
	m := newMaildrops(t)
	var drops []poptest.Maildrop
	for i := range accounts {
		drops = append(drops, poptest.Maildrop{User: fmt.Sprint("user-", i), Password: "tanstaaf", Messages: poptest.Numbered(5, 500)})
	}
	server := poptest.NewServer(t, drops...)
	text := fmt.Sprintf("state_dir = \"state\"\njobs = %d\n[defaults]\nserver = %q\ntls = \"none\"\npassword_file = \"password\"\ninterval = \"1h\"\n",
		jobs, poptest.InClear(server.Addr(), true))
	for i := range accounts {
		text += fmt.Sprintf("[account.a%d]\nuser = \"user-%d\"\nmaildir = \"mail-%d\"\n", i, i, i)
	}
	m.put("password", "tanstaaf\n")
	m.put("config.toml", text)
	s := &stayer{maildrops: m, Cmd: m.command("--quiet"), out: new(output), said: new(output)}
	s.Path, s.Stdout, s.Stderr = buildProgram(t), s.out, s.said
	s.begin()
	eventually(t, "the first poll", func() bool { return server.Logins() > 0 })
	began := time.Now()
	// until returns what the program needed at most until n polls, and its memory then.
	until := func(n int) (most footprint) {
		limit := time.Now().Add(2 * time.Minute)
		for server.Logins() < n {
			if time.Now().After(limit) {
				t.Fatalf("after %v only %d polls, want %d", time.Since(began), server.Logins(), n)
			}
			s.tell(syscall.SIGUSR1)
			time.Sleep(50 * time.Millisecond) // less than all accounts take, so that all are at work always
			now := footprintOf(t, s.Process.Pid)
			most.resident = now.resident
			most.threads = max(most.threads, now.threads)
			most.descriptors = max(most.descriptors, now.descriptors)
		}
		return most
	}
	first := until(early)
	t.Logf("%d polls of %d accounts: %s", early, accounts, first)
	last := until(polls)
	t.Logf("%d polls of %d accounts: %s", polls, accounts, last)
	if last.resident > first.resident+growth || last.threads > first.threads+2 || last.descriptors > first.descriptors+jobs {
		t.Errorf("after %d polls %s, and after %d polls %s; want no more", early, first, polls, last)
	}
	at := time.Now()
	s.tell(syscall.SIGTERM)
	waitEnd(t, s.Cmd, at, 0)
	if said := s.said.String(); said != "" {
		t.Errorf("it said %q, want nothing", said)
	}
}
