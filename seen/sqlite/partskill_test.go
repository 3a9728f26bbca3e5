package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// killedRows is how many rows a transaction of stepAndDie writes.
const killedRows = 3

// stepAndDie does a step, and kills itself after so many transactions.
func stepAndDie(s *Store) error {
	ctx := context.Background()
	s.partRows = killedRows
	l, err := s.enter(ctx, "work", "pop.example.org:995", "alice")
	if err != nil {
		return err
	}
	left, err := strconv.Atoi(os.Getenv("POPFETCH_SEEN_TEST_AFTER"))
	if err != nil {
		return err
	}
	die := func(*sql.Conn) {
		if left--; left == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	s.wrote = die
	if err := steps[os.Getenv("POPFETCH_SEEN_TEST_STEP")](ctx, l, crowd("id", 10)); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

// atOnce names the steps that must be done completely or not at all.
var atOnce = map[string]bool{"mark": true, "move": true, "replace": true}

// contents returns all that is known of an account, as text.
func contents(t *testing.T, l *ledger) string {
	t.Helper()
	known, _ := dump(t, l)
	var places int
	if err := l.store.read.QueryRowContext(t.Context(), "SELECT count(*) FROM detail LEFT JOIN place ON detail = id").Scan(&places); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s\n%d places", known, places)
}

// If a process is killed between two transactions, its step is done completely or not at all. Only
// Finish may be done in part, and the next Finish completes it.
func TestStep_killed(t *testing.T) {
	for _, journal := range []string{"wal", "delete"} {
		for _, name := range slices.Sorted(maps.Keys(steps)) {
			t.Run(journal+"/"+name, func(t *testing.T) {
				t.Parallel()
				killStep(t, name, journal == "delete")
			})
		}
	}
}

// killStep kills a step after its first transaction, after its second, and so on, until the step
// ends first.
func killStep(t *testing.T, name string, shared bool) {
	lookAt := lookAtPlace
	if shared {
		lookAt = func(string) (place, error) { return sharedPlace, nil }
	}
	listing := crowd("id", 10)
	begin := func() (*Store, *ledger) {
		s, err := openAt(t.Context(), t.TempDir(), lookAt)
		if err != nil {
			t.Fatal(err)
		}
		s.now = func() time.Time { return now }
		l := enter(t, s)
		deliverAll(t, l, listing)
		mustFinish(t, l, listing)
		return s, l
	}
	s, l := begin()
	defer s.Close()
	before := contents(t, l)
	if err := steps[name](t.Context(), l, listing); err != nil {
		t.Fatal(err)
	}
	after := contents(t, l)
	found := map[string]int{}
	for n := 1; ; n++ {
		s, _ := begin()
		dir := s.dir
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		c, out := start(t, "step", dir, "POPFETCH_SEEN_TEST_STEP="+name, fmt.Sprint("POPFETCH_SEEN_TEST_AFTER=", n), fmt.Sprint("POPFETCH_SEEN_TEST_SHARED=", shared))
		if said := out.Scan(); said && out.Text() != "done" {
			t.Fatalf("the other process said %q", out.Text())
		} else if said {
			if n < 5 {
				t.Errorf("the step took %d transactions, want some more", n-1)
			}
			break
		}
		_ = c.Wait() // it has killed itself
		s, err := openAt(t.Context(), dir, lookAt)
		if err != nil {
			t.Fatal(err)
		}
		s.now = func() time.Time { return now }
		_, err = s.Look(t.Context(), "work", "pop.example.org:995", "alice")
		unsettled := errors.Is(err, seen.ErrUnsettled)
		if err != nil && !unsettled {
			t.Fatal(err)
		}
		l := enter(t, s)
		got := contents(t, l)
		switch {
		case got == before && !unsettled:
			found["before"]++
		case got == after:
			found["after"]++
		case atOnce[name]:
			t.Errorf("killed after %d transactions, it has done a part:\n%s\nwant nothing:\n%s\nor all:\n%s", n, got, before, after)
		}
		if !atOnce[name] { // a second call completes it
			if err := steps[name](t.Context(), l, listing); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, enter(t, s)); name != "another server" && got != after {
				t.Errorf("killed after %d transactions, then done again, it left\n%s\nwant\n%s", n, got, after)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if atOnce[name] && (found["before"] == 0 || found["after"] == 0) {
		t.Errorf("it was found done %d times and not done %d times, want some of each", found["after"], found["before"])
	}
}
