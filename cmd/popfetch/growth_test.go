package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/poptest"
)

// manyAccounts writes a configuration of n accounts at a server, and returns its path. The lines in
// common are in each account.
func manyAccounts(t *testing.T, n int, server string, common ...string) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("[defaults]\nserver = \"" + server + "\"\npassword_command = \"false\"\n")
	text.WriteString(strings.Join(common, "\n") + "\n")
	together := strings.Contains(text.String(), "\nuser =")
	for i := range n {
		fmt.Fprintf(&text, "[account.a%d]\nmaildir=\"/m/%d\"\n", i, i)
		if !together {
			fmt.Fprintf(&text, "user=\"u%d\"\n", i)
		}
	}
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// work is the cost of a start.
type work struct {
	processor time.Duration
	octets    uint64 // allocated in all
}

// startWith starts with a configuration. It ends at the state, which cannot be opened.
func startWith(t *testing.T, path string) work {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var said bytes.Buffer
	var memoryBefore, memoryAfter runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memoryBefore)
	before := processorTime(t)
	status := run(t.Context(), []string{"popfetch", "--once", "-c", path, "--state-dir", "/dev/null/none"}, &terminal{out: &said, err: &said})
	after := processorTime(t)
	runtime.ReadMemStats(&memoryAfter)
	if !strings.Contains(said.String(), "the state in /dev/null/none") || strings.Count(said.String(), "\n") != 1 {
		t.Fatalf("the start ended with %d and said %q, want that the state cannot be opened", status, said.String())
	}
	return work{after - before, memoryAfter.TotalAlloc - memoryBefore.TotalAlloc}
}

// processorTime returns the processor time of the calling thread.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

// A start with four times as many accounts costs about four times as much, whatever they have in
// common. The test counts all allocations of the process, so no other test runs beside it.
func TestStart_growth(t *testing.T) {
	authority := filepath.Join(t.TempDir(), "ca.pem")
	pem, err := os.ReadFile(poptest.NewCA(t).File())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(authority, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, common string }{
		{"a maildrop each", `tls = "none"`},
		{"one maildrop", `user = "mrose"`},
		{"one authority", `tls_ca = "` + authority + `"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			const times, most = 4, 8 // quadratic work would grow 16 times
			var before work
			for _, n := range []int{250, 1000, 4000} {
				path := manyAccounts(t, n, "127.0.0.1:1", test.common)
				spent := startWith(t, path)
				for range 2 { // other programs may have disturbed the first try
					again := startWith(t, path)
					spent = work{min(spent.processor, again.processor), min(spent.octets, again.octets)}
				}
				t.Logf("%d accounts: %v, %d octets", n, spent.processor, spent.octets)
				if before.octets > 0 && (spent.processor > most*before.processor || spent.octets > most*before.octets) {
					t.Fatalf("%d accounts cost %v and %d octets, %d cost %v and %d octets: more than %d times as much", n,
						spent.processor, spent.octets, n/times, before.processor, before.octets, most)
				}
				before = spent
			}
		})
	}
}

// TestStart_memory measures the memory of 10,000 accounts before the first connection, with the
// program as users build it.
func TestStart_memory(t *testing.T) {
	if os.Getenv("POPFETCH_TEST_MEMORY") == "" {
		t.Skip("POPFETCH_TEST_MEMORY is not set")
	}
	const accounts, limit = 10_000, 100 << 20
	program := buildProgram(t)
	for _, user := range []string{"", `user = "mrose"`} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		path := manyAccounts(t, accounts, listener.Addr().String(), `tls = "none"`, user)
		c := exec.CommandContext(t.Context(), program, "--once", "-c", path, "--state-dir", t.TempDir())
		began := time.Now()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		connection, err := listener.Accept()
		took, peak := time.Since(began), peakMemory(c.Process.Pid)
		if err := errors.Join(err, c.Process.Kill()); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // it was killed
		connection.Close()
		t.Logf("%q: first connection after %v, %.1f MiB resident at the peak", user, took, float64(peak)/(1<<20))
		if peak == 0 || peak > limit {
			t.Errorf("%q: peak = %d octets, want %d at most", user, peak, limit)
		}
	}
}
