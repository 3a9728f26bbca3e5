package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
)

// childURL is the variable that makes this test binary a worker, of a database.
const childURL = "POPFETCH_TEST_CHILD"

const childLease = 2 * time.Second

// child is a worker that claims what it can, says so, and answers commands.
func child(url string) {
	say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	s, err := Open(context.Background(), Options{URL: url, Lease: childLease, Worker: "child", Process: os.Getpid()})
	if err != nil {
		say("Open: %v", err)
		return
	}
	ctx := context.Background()
	turns, err := s.Claim(ctx, Claiming{Free: 5})
	if err != nil || len(turns) != 1 {
		say("Claim: %v, %v", turns, err)
		return
	}
	hold, err := s.Lock(ctx, turns[0].Account)
	say("claimed: %v", err)
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		switch commands.Text() {
		case "look":
			say("lost: %v", errors.Is(hold.Err(), seen.ErrLost))
		case "end":
			say("lost: %v", errors.Is(turns[0].End(ctx, Next{In: time.Hour}), seen.ErrLost))
		}
	}
}

// startChild starts a child that has claimed the account.
func startChild(t *testing.T, url string) (c *exec.Cmd, in io.Writer, out *bufio.Scanner) {
	t.Helper()
	c = exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childURL+"="+url)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	reader, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	out = bufio.NewScanner(reader)
	if !out.Scan() || out.Text() != "claimed: <nil>" {
		t.Fatalf("the child says %q", out.Text())
	}
	return c, in, out
}

// claims waits until a store can claim the account.
func claims(t *testing.T, s *Store, limit time.Duration) *Turn {
	t.Helper()
	var turn *Turn
	within(t, limit, "another worker claims the account", func() bool {
		if turns, _ := claim(t, s, Claiming{Free: 1, Hosts: 1}); len(turns) == 1 {
			turn = turns[0]
		}
		return turn != nil
	})
	return turn
}

// A process that was stopped for longer than its lease knows it when it looks, before any timer.
// What it writes is refused.
func TestStopped(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := openAs(t, url, "second", time.Minute)
	schedule(t, s, Scheduled{Account: "a", Host: "one"})
	c, in, out := startChild(t, url)
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	turn := claims(t, s, childLease+takenOver)
	if !turn.TakenOver || turn.Abandoned != 1 {
		t.Errorf("Claim() = %+v, want one that was abandoned", turn)
	}
	before := row(t, s, "a")
	fmt.Fprintln(in, "look\nend")
	if err := c.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"look", "end"} {
		if !out.Scan() || !strings.HasSuffix(out.Text(), "lost: true") {
			t.Errorf("the child answers %q to %s", out.Text(), command)
		}
	}
	if after := row(t, s, "a"); after != before {
		t.Errorf("the child changed %s to %s", before, after)
	}
	if err := turn.Hold().Err(); err != nil {
		t.Errorf("Err() of the second = %v", err)
	}
}

// The accounts of a process that was killed are taken over after the lease.
func TestKilled(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := openAs(t, url, "second", time.Minute)
	schedule(t, s, Scheduled{Account: "a", Host: "one"})
	c, _, _ := startChild(t, url)
	if _, names := claim(t, s, Claiming{Free: 1}); names != nil {
		t.Fatalf("Claim() takes %q, which the child has", names)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if turn := claims(t, s, childLease+takenOver); !turn.TakenOver || turn.Abandoned != 1 {
		t.Errorf("Claim() = %+v, want one that was abandoned", turn)
	}
}
