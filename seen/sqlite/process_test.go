package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// The test binary starts itself as another popfetch. This variable says what that process does, in
// the folder that its argument names.
const roleVariable = "POPFETCH_SEEN_TEST_ROLE"

func TestMain(m *testing.M) {
	role := map[string]func(*Store) error{"lock": lockAndWait, "commit": commitForEver, "step": stepAndDie, "note": noteForEver}[os.Getenv(roleVariable)]
	if role == nil {
		os.Exit(m.Run())
	}
	lookAt := lookAtPlace
	if os.Getenv("POPFETCH_SEEN_TEST_SHARED") == "true" {
		lookAt = func(string) (place, error) { return sharedPlace, nil }
	}
	s, err := openAt(context.Background(), os.Args[len(os.Args)-1], lookAt)
	if err == nil {
		err = role(s)
	}
	fmt.Println("error:", err)
	os.Exit(1)
}

func lockAndWait(s *Store) error {
	if _, err := s.Lock(context.Background(), "work"); err != nil {
		return err
	}
	fmt.Println("locked")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// commitBatch is how many records each transaction of commitForEver has.
const commitBatch = 7

func commitForEver(s *Store) error {
	ctx := context.Background()
	a, err := s.Enter(ctx, "work", "pop.example.org:995", "alice")
	if err != nil {
		return err
	}
	for batch := 0; ; batch++ {
		var records []seen.Record
		for i := range commitBatch {
			records = append(records, seen.Record{Key: seen.Key{UniqueID: fmt.Sprintf("%d-%d", batch, i)}, Kind: seen.Delivered, DeliveredAt: time.Now()})
		}
		if err := a.Apply(ctx, seen.Changes{Records: slices.Values(records)}); err != nil {
			return err
		}
		fmt.Println("committed", batch)
	}
}

// start starts another popfetch, which is killed at the end of the test if it is still alive.
func start(t *testing.T, role, dir string, env ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), program, dir)
	c.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	if _, err := c.StdinPipe(); err != nil { // it stays open until the process has ended
		t.Fatal(err)
	}
	c.Stderr = os.Stderr // if it crashes
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewScanner(out)
}

// kill ends the process at once, as kill -9 does.
func kill(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) {
		t.Fatalf("Wait() = %v, want an exit by signal", err)
	}
}

func TestStore_Lock_processes(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	other, out := start(t, "lock", dir)
	if !out.Scan() || out.Text() != "locked" {
		t.Fatalf("the other process said %q", out.Text())
	}
	if _, err := s.Lock(t.Context(), "work"); !errors.Is(err, seen.ErrLocked) {
		t.Errorf("Lock() = %v, want %v", err, seen.ErrLocked)
	}
	kill(t, other)
	hold, err := s.Lock(t.Context(), "work")
	if err != nil {
		t.Fatalf("Lock() after kill -9 = %v", err)
	}
	if err := hold.Release(); err != nil {
		t.Errorf("hold.Release() = %v", err)
	}
}

// A process is killed between its commits or in one. Each batch is then there completely or not at
// all, and all reported batches are there.
func TestStore_Commit_killed(t *testing.T) {
	for _, after := range []int{1, 2, 5, 13, 34} {
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
			dir := t.TempDir()
			other, out := start(t, "commit", dir)
			committed := 0
			for committed < after && out.Scan() {
				committed++
			}
			if committed < after {
				t.Fatalf("the other process stopped after %d batches", committed)
			}
			kill(t, other)
			s := openIn(t, dir)
			account := enter(t, s)
			batches := map[string]int{}
			for r, err := range account.All(t.Context()) {
				if err != nil {
					t.Fatalf("All() = %v", err)
				}
				var batch, i int
				if _, err := fmt.Sscanf(r.UniqueID, "%d-%d", &batch, &i); err != nil {
					t.Fatalf("unique-id %q: %v", r.UniqueID, err)
				}
				batches[fmt.Sprint(batch)]++
			}
			for i := range committed {
				if n := batches[fmt.Sprint(i)]; n != commitBatch {
					t.Errorf("batch %d has %d records, want %d", i, n, commitBatch)
				}
			}
			for batch, n := range batches {
				if n != commitBatch {
					t.Errorf("batch %s has %d records, want %d", batch, n, commitBatch)
				}
			}
			a, err := look(t, s, "work", "", "")
			if err != nil || a.Records != len(batches)*commitBatch {
				t.Errorf("Records = %d, %v, want %d", a.Records, err, len(batches)*commitBatch)
			}
			var check string
			if err := s.read.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
				t.Errorf("integrity_check = %q, %v", check, err)
			}
		})
	}
}
