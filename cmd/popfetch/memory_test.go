package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/poptest"
)

// mostMemory bounds the resident memory at its peak, for any mail.
const mostMemory = 64 << 20

// TestMemory fetches one message of 1 GiB, and a maildrop of 200,000 messages. It uses the program
// as users build it. It takes minutes, so it runs only with POPFETCH_TEST_MEMORY=1.
func TestMemory(t *testing.T) {
	if os.Getenv("POPFETCH_TEST_MEMORY") == "" {
		t.Skip("POPFETCH_TEST_MEMORY is not set")
	}
	program := buildProgram(t)
	t.Run("one message of 1 GiB", func(t *testing.T) {
		messages := poptest.Numbered(1, 1<<30)
		a := newAccountInto(t, roomyMaildir(t, 3<<29), messages)
		a.measure(t, program, mostMemory, "first fetch", "--once")
		want := sha256.New()
		if err := messages[0].Write(lineEnds{want}); err != nil {
			t.Fatal(err)
		}
		if got := a.onlyFile(t); !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			t.Errorf("SHA-256 of the message delivered = %x, want %x", got.Sum(nil), want.Sum(nil))
		}
	})
	t.Run("200,000 messages", func(t *testing.T) {
		const messages = 200_000
		a := newAccountInto(t, roomyMaildir(t, 3<<29), poptest.Numbered(messages, 250))
		a.measure(t, program, mostMemory, "what would be fetched", "--once", "--dry-run")
		a.measure(t, program, mostMemory, "all marked as seen", "seen", "mark", "--all", "work", "--state-dir", "marked")
		a.measure(t, program, mostMemory, "nothing new, all marked", "--once", "--state-dir", "marked", "--keep")
		a.measure(t, program, mostMemory, "first fetch", "--once")
		a.measure(t, program, mostMemory, "nothing new", "--once")
		a.measure(t, program, mostMemory, "list", "list")
		if err := os.RemoveAll(filepath.Join(a.dir, "state")); err != nil {
			t.Fatal(err)
		}
		a.measure(t, program, mostMemory, "recognised after the loss of the state", "--once")
		a.measure(t, program, mostMemory, "all deleted", "--once", "--delete")
		a.Wait()
		if got := a.Count("RETR"); got != messages {
			t.Errorf("RETR was sent %d times, want %d: once for each message", got, messages)
		}
		if left := len(a.Drop("").UniqueIDs()); left != 0 {
			t.Errorf("left on the server = %d, want 0", left)
		}
	})
}

// TestMemory_unknownIDs leaves 200,000 messages out of a first run and recognises them afterwards.
// One server has no UIDL, and one has changed all unique-ids.
func TestMemory_unknownIDs(t *testing.T) {
	if os.Getenv("POPFETCH_TEST_MEMORY") == "" {
		t.Skip("POPFETCH_TEST_MEMORY is not set")
	}
	program := buildProgram(t)
	for _, uidl := range []bool{false, true} {
		t.Run(fmt.Sprintf("UIDL %v", uidl), func(t *testing.T) {
			a := newAccountInto(t, filepath.Join(t.TempDir(), "Maildir"), poptest.Numbered(200_000, 250), `uidl = "fallback"`, `initial = "none"`)
			a.Configure(func(c *poptest.Config) {
				c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
					if cmd == "UIDL" && !uidl {
						return poptest.Refuse("no such command")
					}
					return poptest.Action{}
				}
			})
			a.measure(t, program, mostMemory, "all left out", "--once")
			a.Wait()
			a.Drop("").SetUIDs(func(i int, _ string) string { return fmt.Sprint("new-", i) })
			a.measure(t, program, mostMemory, "nothing new", "--once")
			a.Wait()
			if got := a.Count("RETR"); got != 0 {
				t.Errorf("RETR was sent %d times, want nothing retrieved", got)
			}
		})
	}
}

// TestMemory_old leaves 200,000 messages on the server because they are old, with other messages among
// them. Their dates are asked for once.
func TestMemory_old(t *testing.T) {
	if os.Getenv("POPFETCH_TEST_MEMORY") == "" {
		t.Skip("POPFETCH_TEST_MEMORY is not set")
	}
	const messages = 200_000
	program := buildProgram(t)
	a := newAccountInto(t, filepath.Join(t.TempDir(), "Maildir"), poptest.Numbered(messages, 250), `since = "2026-10-02"`)
	a.measure(t, program, mostMemory, "first run", "--once")
	a.Drop("").Add(newMail("undated"))
	a.measure(t, program, mostMemory, "one new message", "--once")
	a.measure(t, program, mostMemory, "nothing new", "--once")
	a.measure(t, program, mostMemory, "list", "list")
	a.Drop("").Remove(a.Drop("").UniqueIDs()[:messages/2]...)
	a.measure(t, program, mostMemory, "half of them are gone", "--once")
	a.Wait()
	if got := a.Count("TOP"); got != messages+1 {
		t.Errorf("TOP was sent %d times, want %d: once for each message", got, messages+1)
	}
	if got := a.Count("RETR"); got != 1 {
		t.Errorf("RETR was sent %d times, want once", got)
	}
}

// If the system gives it no memory, popfetch ends with the status that the manual lists, at any
// moment. The next run delivers what is left, once.
func TestMemory_none(t *testing.T) {
	t.Parallel()
	const messages = 50
	program := buildProgram(t)
	a := newAccount(t, poptest.Numbered(messages, 600))
	limited := func(kibibytes int) int {
		c := a.command(t, "--once")
		c.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -v %d && exec "$0" "$@"`, kibibytes), program}, c.Args[1:]...)
		c.Path = "/bin/sh"
		return exitOf(t, c.Run())
	}
	if got := limited(100_000); got != 2 {
		t.Errorf("with hardly any memory popfetch ends with %d, want 2", got)
	}
	for kibibytes := 600_000; kibibytes < 1_500_000; kibibytes += 100_000 {
		// SQLite reports that it got no memory.
		if got := limited(kibibytes); got != 0 && got != 2 && got != exitIO {
			t.Errorf("with %d KiB popfetch ends with %d, want 0, 2 or %d", kibibytes, got, exitIO)
		}
	}
	a.mustRun(t, 0, "--once")
	// A run that ended at once may have left a file in tmp, as after a kill.
	got, err := os.ReadDir(filepath.Join(a.maildir, "new"))
	if err != nil || len(got) != messages {
		t.Errorf("new holds %d messages, %v, want %d", len(got), err, messages)
	}
}

// buildProgram builds popfetch as users do, without the race detector.
func buildProgram(t testing.TB) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "popfetch")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building popfetch: %v\n%s", err, out)
	}
	return program
}

// roomyMaildir returns a path for a Maildir with room for so many octets. It is on a RAM disk if
// there is one, because the test is about memory.
func roomyMaildir(t *testing.T, octets uint64) string {
	t.Helper()
	for _, place := range []string{"/dev/shm", t.TempDir()} {
		var fs unix.Statfs_t
		if err := unix.Statfs(place, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < octets {
			continue
		}
		dir, err := os.MkdirTemp(place, "popfetch-memory-")
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return filepath.Join(dir, "Maildir")
	}
	t.Skipf("no room for %d octets", octets)
	return ""
}

// measure runs the program, which must succeed, and watches its memory until it ends.
func (a *account) measure(t *testing.T, program string, limit int64, what string, args ...string) {
	t.Helper()
	a.measureUntil(t, program, exitOK, limit, what, args...)
}

// measureUntil is like measure for a program that must end with status. It returns the peak of
// memory and the time.
func (a *account) measureUntil(t *testing.T, program string, status int, limit int64, what string, args ...string) (peak int64, took time.Duration) {
	t.Helper()
	c := a.command(t, args...)
	c.Path = program
	var said bytes.Buffer
	c.Stderr = &said
	began := time.Now()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			// The child's ru_maxrss cannot be used: on Linux it begins with the peak of the parent
			// process.
			peak = max(peak, peakMemory(c.Process.Pid))
			continue
		case err := <-ended:
			if got := exitOf(t, err); got != status {
				t.Fatalf("%s: exit status = %d, want %d: %s", what, got, status, said.String())
			}
		}
		break
	}
	took = time.Since(began)
	t.Logf("%s: %.1f MiB resident at the peak, %.1f s", what, float64(peak)/(1<<20), took.Seconds())
	if peak == 0 || peak > limit {
		t.Errorf("%s: peak = %d octets, want %d at most", what, peak, limit)
	}
	return peak, took
}

// peakMemory returns the highest resident memory of a process so far, in octets. If that is not
// known any more, it returns 0.
func peakMemory(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscanf(line, "%d kB", &kib); err != nil {
		return 0
	}
	return kib << 10
}

// onlyFile returns the digest of the only message in the Maildir.
func (a *account) onlyFile(t *testing.T) hash.Hash {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(a.maildir, "new", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the Maildir holds %q, %v, want one file", files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, f); err != nil {
		t.Fatal(err)
	}
	return digest
}

// lineEnds turns CRLF into LF, for messages without a CR alone.
type lineEnds struct{ w io.Writer }

func (l lineEnds) Write(p []byte) (int, error) {
	if _, err := l.w.Write(bytes.ReplaceAll(p, []byte("\r"), nil)); err != nil {
		return 0, err
	}
	return len(p), nil
}
