package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
)

// The connection is cut at all places of every write. Then all of it is there, or nothing. A step
// whose answer was lost is not carried out twice, though it is sent again.
func TestCut(t *testing.T) {
	database := pgtest.Database(t)
	direct := openStore(t, database)
	points := 5
	if testing.Short() {
		points = 3
	}
	for _, write := range writes {
		t.Run(write.name, func(t *testing.T) {
			wire, through := newShears(t, database)
			open := func(account string) (*Store, seen.Ledger) {
				s := openStore(t, through)
				s.rowsAtOnce = 50
				return s, prepare(t, s, account)
			}
			reference := "reference " + write.name
			s, l := open(reference)
			before := contents(t, direct, reference)
			wire.set(0, -1)
			if err := write.do(t.Context(), s, l, reference); err != nil {
				t.Fatal(err)
			}
			wire.mu.Lock()
			sizes := wire.passed
			wire.mu.Unlock()
			after := contents(t, direct, reference)
			done := 0
			for way, size := range sizes {
				for i := range points {
					account := fmt.Sprint(write.name, way, i)
					s, l := open(account)
					cut := size * i / points
					if i == points-1 {
						cut = size - 1
					}
					wire.set(way, cut)
					err := write.do(t.Context(), s, l, account)
					wire.set(0, -1)
					var got string
					settled := func() bool { // the server may be at it still
						got = contents(t, direct, account)
						return got == after || got == before && err != nil
					}
					for end := time.Now().Add(5 * time.Second); !settled(); time.Sleep(10 * time.Millisecond) {
						if time.Now().After(end) {
							t.Fatalf("cut after %d of %d octets (way %d), %v: the database holds\n%s\nbefore it held\n%s\nand it should hold\n%s",
								cut, size, way, err, got, before, after)
						}
					}
					if err != nil && !errors.Is(err, ErrAway) {
						t.Errorf("cut after %d of %d octets (way %d): %v, want ErrAway", cut, size, way, err)
					}
					if err == nil {
						done++
					}
				}
			}
			t.Logf("%d of %d writes of %d and %d octets were done in spite of the cut", done, 2*points, sizes[0], sizes[1])
			wire.mu.Lock()
			defer wire.mu.Unlock()
			if wire.cuts < points {
				t.Errorf("%d connections were cut, want %d", wire.cuts, 2*points)
			}
		})
	}
}

// A write waits for a database that is away, as long as the hold lasts.
func TestAway(t *testing.T) {
	wire, through := newShears(t, pgtest.Database(t))
	s := openAs(t, through, "worker", 2*time.Second)
	l := enterIn(t, s, "work")
	away := func(is bool) {
		wire.mu.Lock()
		defer wire.mu.Unlock()
		wire.refuses = is
	}
	record := func(id string) error {
		return l.Apply(t.Context(), seen.Changes{Records: slices.Values(recordsOf(listingOf(id, 1), "new/1"))})
	}
	away(true)
	time.AfterFunc(300*time.Millisecond, func() { away(false) })
	if err := record("a"); err != nil {
		t.Errorf("Apply() while the database was away for a moment = %v", err)
	}
	away(true)
	if _, err := s.Look(t.Context(), "work", "", ""); !errors.Is(err, ErrAway) {
		t.Errorf("Look() = %v, want ErrAway", err)
	}
	if err := record("b"); !errors.Is(err, ErrAway) || !errors.Is(err, seen.ErrLost) {
		t.Errorf("Apply() while the database stays away = %v, want ErrAway and ErrLost", err)
	}
	away(false)
	if n := len(allOf(t, s, "work")); n != 1 {
		t.Errorf("%d records are there, want the first", n)
	}
}

func allOf(t testing.TB, s *Store, account string) (all []seen.Record) {
	t.Helper()
	l, err := s.Look(t.Context(), account, "", "")
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range l.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

const (
	killURL   = "POPFETCH_TEST_KILL_URL" // of TestKill_child
	killRows  = 300
	killLease = 400 * time.Millisecond
)

// TestKill_child is a program that TestKill kills. Each of its steps replaces all records.
func TestKill_child(t *testing.T) {
	database := os.Getenv(killURL)
	if database == "" {
		t.Skip("it runs in a process of its own")
	}
	s := openAs(t, database, "child", killLease)
	s.rowsAtOnce = 100
	ctx := context.Background()
	for {
		if _, err := s.Lock(ctx, "work"); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	l, err := s.Enter(ctx, "work", "pop.example.org:995", "alice")
	if err != nil {
		t.Fatal(err)
	}
	listing := listingOf("a", killRows)
	var ids []string
	for _, e := range listing {
		ids = append(ids, e.UniqueID)
	}
	fmt.Println("begun")
	for {
		name := fmt.Sprint(rand.Int64())
		err := l.Apply(ctx, seen.Changes{Replace: ids, Records: slices.Values(recordsOf(listing, name)),
			Asides: []seen.Aside{{Key: seen.Key{UniqueID: "a"}, Reason: seen.Refused, Count: 1}, {Key: seen.Key{UniqueID: "b"}, Reason: seen.Refused, Count: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		var deleted []seen.Deleted
		for _, e := range listing[killRows-10:] {
			deleted = append(deleted, seen.Deleted{Key: e.Key, Rule: name})
		}
		if err := l.Finish(ctx, seen.Diff{}, slices.Clone(listing[:killRows-10]), deleted, now); err != nil {
			t.Fatal(err)
		}
		if err := s.NoteRun(ctx, "work", seen.RunNote{At: now, Verdict: seen.Succeeded}); err != nil {
			t.Fatal(err)
		}
	}
}

// A killed process leaves each step whole, or none of it.
func TestKill(t *testing.T) {
	database := pgtest.Database(t)
	s := openStore(t, database)
	kills := 12
	if testing.Short() {
		kills = 4
	}
	places := make(map[string]bool)
	for n := 0; n < kills || len(places) < 2 && n < 10*kills; n++ { // a busy machine is slow
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill_child$")
		child.Env = append(os.Environ(), killURL+"="+database)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		child.Stderr = os.Stderr
		child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		begun := make([]byte, len("begun"))
		if _, err := io.ReadFull(out, begun); err != nil || string(begun) != "begun" {
			t.Fatalf("the child says %q, %v", begun, err)
		}
		time.Sleep(rand.N(150 * time.Millisecond)) // anywhere
		_ = child.Process.Kill()
		_ = child.Wait()
		eventually(t, 5*time.Second, "the server ends the session", func() bool {
			var sessions int
			err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()").Scan(&sessions)
			return err == nil && sessions == 0
		})
		checkKilled(t, s, places)
	}
	if len(places) < 2 {
		t.Errorf("all kills left one state: %v", places)
	}
}

func checkKilled(t *testing.T, s *Store, places map[string]bool) {
	t.Helper()
	l, err := s.Look(t.Context(), "work", "", "")
	if err != nil {
		t.Fatal(err)
	}
	records := allOf(t, s, "work")
	deleted := 0
	for _, r := range records {
		if r.Places[0].Name != records[0].Places[0].Name {
			t.Errorf("records of two steps are there: %q and %q", r.Places[0].Name, records[0].Places[0].Name)
		}
		if !r.DeletedAt.IsZero() {
			deleted++
		}
	}
	if n := len(records); n != 0 && n != killRows || n != l.Account().Records || deleted != 0 && deleted != 10 {
		t.Errorf("%d records are there, %d are counted, %d are deleted", len(records), l.Account().Records, deleted)
	}
	var last []string
	for d, err := range l.Deletions(t.Context(), time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		last = append(last, d.Rule)
	}
	if len(last)%10 != 0 {
		t.Errorf("%d deletions are logged", len(last))
	}
	asides, err := l.Asides(t.Context())
	if err != nil || len(asides) != 0 && (len(asides) != 2 || asides[0].Count != asides[1].Count) {
		t.Errorf("set aside is %+v, %v", asides, err)
	}
	h, err := s.History(t.Context(), "work", 100000)
	if err != nil || len(h.Days) > 0 && h.Days[0].Runs != h.Total.Runs {
		t.Errorf("the history is %+v, %v", h, err)
	}
	if len(records) > 0 {
		places[strings.Join([]string{records[0].Places[0].Name, fmt.Sprint(deleted)}, " ")] = true
	}
}

// eventually waits for a condition, but no longer than limit.
func eventually(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
