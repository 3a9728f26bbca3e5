package postgres

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
)

// Whoever has lost the account writes nothing, whatever the method. The successor's writes are not
// hindered.
func TestFence(t *testing.T) {
	url := pgtest.Database(t)
	for _, write := range writes {
		t.Run(write.name, func(t *testing.T) {
			first, second := openStore(t, url), openStore(t, url)
			first.rowsAtOnce, second.rowsAtOnce = 50, 50
			l := prepare(t, first, write.name)
			before := contents(t, first, write.name)
			const end = "UPDATE popfetch.turn SET until = '-infinity' WHERE account IN (SELECT id FROM popfetch.account WHERE name IN ($1, $2))"
			if _, err := first.pool.Exec(t.Context(), end, write.name, "to "+write.name); err != nil {
				t.Fatal(err)
			}
			lockIn(t, second, write.name)
			if err := write.do(t.Context(), first, l, write.name); !errors.Is(err, seen.ErrLost) {
				t.Errorf("%v, want ErrLost", err)
			}
			if got := contents(t, first, write.name); got != before {
				t.Errorf("the database holds\n%s\nwant what it held before:\n%s", got, before)
			}
			lockIn(t, second, "to "+write.name)
			theirs, err := second.Enter(t.Context(), write.name, "pop.example.org:995", "alice")
			if err != nil {
				t.Fatal(err)
			}
			if err := write.do(t.Context(), second, theirs, write.name); err != nil {
				t.Errorf("by the successor: %v", err)
			}
			if got := contents(t, first, write.name); got == before {
				t.Error("the successor has written nothing")
			}
		})
	}
}

// The account may go to another process in the middle of a step.
func TestFence_between(t *testing.T) {
	url := pgtest.Database(t)
	first, second := openStore(t, url), openStore(t, url)
	first.rowsAtOnce = 10
	l := enterIn(t, first, "work")
	taken := func(yield func(seen.Record) bool) {
		for i, r := range recordsOf(listingOf("a", 30), "new/1") {
			if i == 25 { // others are sent already
				if _, err := second.pool.Exec(t.Context(), "UPDATE popfetch.turn SET until = '-infinity'"); err != nil {
					t.Error(err)
				}
				lockIn(t, second, "work")
			}
			if !yield(r) {
				return
			}
		}
	}
	if err := l.Apply(t.Context(), seen.Changes{Records: taken}); !errors.Is(err, seen.ErrLost) {
		t.Errorf("Apply() = %v, want ErrLost", err)
	}
	if n := len(allOf(t, second, "work")); n != 0 {
		t.Errorf("%d records are there", n)
	}
}

// A lease that has ended by this process's own clock is lost, too. Only what is delivered may still
// get its records: see TestApply_late.
func TestFence_own(t *testing.T) {
	url := pgtest.Database(t)
	for _, write := range writes {
		if slices.Contains(lateWrites, write.name) {
			continue
		}
		s := openStore(t, url)
		s.rowsAtOnce = 50
		l := prepare(t, s, write.name)
		before := contents(t, s, write.name)
		for _, name := range []string{write.name, "to " + write.name} {
			outrun(t, s, name)
		}
		if err := write.do(t.Context(), s, l, write.name); !errors.Is(err, seen.ErrLost) {
			t.Errorf("%s: %v, want ErrLost", write.name, err)
		}
		if got := contents(t, s, write.name); got != before {
			t.Errorf("%s: the database holds\n%s\nwant\n%s", write.name, got, before)
		}
	}
}

// lateWrites are those of writes that record what is delivered already.
var lateWrites = []string{"records", "records in parts", "all kinds of changes"}

// outrun ends a hold by the clock of its process, as if no renewal had succeeded in time.
func outrun(t testing.TB, s *Store, account string) {
	t.Helper()
	h, err := s.held(account)
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.until = time.Now().Add(-time.Second)
	h.mu.Unlock()
	if err := h.Err(); !errors.Is(err, seen.ErrLost) {
		t.Fatalf("Err() = %v, want ErrLost", err)
	}
}

// A process stops believing in its lease before the lease ends, and perhaps nobody takes the
// account even then. Delivered messages get their records until somebody has taken it.
func TestApply_late(t *testing.T) {
	url := pgtest.Database(t)
	for _, write := range writes {
		if !slices.Contains(lateWrites, write.name) {
			continue
		}
		first, second := openStore(t, url), openStore(t, url)
		first.rowsAtOnce = 50
		l := prepare(t, first, write.name)
		outrun(t, first, write.name)
		before := contents(t, first, write.name)
		if err := write.do(t.Context(), first, l, write.name); err != nil {
			t.Errorf("%s: %v, though nobody has taken the account", write.name, err)
		}
		if got := contents(t, first, write.name); got == before {
			t.Errorf("%s: nothing was written", write.name)
		}
		if _, err := first.pool.Exec(t.Context(), "UPDATE popfetch.turn SET until = '-infinity'"); err != nil {
			t.Fatal(err)
		}
		records := slices.Values(recordsOf(listingOf("later", 1), "new/1"))
		if err := l.Apply(t.Context(), seen.Changes{Records: records}); err != nil {
			t.Errorf("%s: %v after the end of a lease that nobody else has", write.name, err)
		}
		lockIn(t, second, write.name)
		before = contents(t, first, write.name)
		if err := write.do(t.Context(), first, l, write.name); !errors.Is(err, seen.ErrLost) {
			t.Errorf("%s: %v, want ErrLost", write.name, err)
		}
		if got := contents(t, first, write.name); got != before {
			t.Errorf("%s: the database holds\n%s\nwant\n%s", write.name, got, before)
		}
	}
}

// A standing whose write was answered by nothing is not changed twice.
func TestChangeStanding_again(t *testing.T) {
	s := openStore(t, pgtest.Database(t))
	l := enterIn(t, s, "work").(*ledger)
	count := func(st *seen.Standing) { st.Refusals++ }
	for _, version := range []int64{7, 7, 8, 8} {
		if err := l.attemptStanding(t.Context(), version, count); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := l.Standing(t.Context()); err != nil || st.Refusals != 2 {
		t.Errorf("%d refusals are counted, %v; want 2", st.Refusals, err)
	}
	if err := l.ChangeStanding(t.Context(), count); err != nil {
		t.Fatal(err)
	}
	if st, err := l.Standing(t.Context()); err != nil || st.Refusals != 3 {
		t.Errorf("%d refusals are counted, %v; want 3", st.Refusals, err)
	}
}

// The fence is shut until the commit: nobody takes the account while a step of the last epoch may
// still become visible.
func TestFence_lasts(t *testing.T) {
	url := pgtest.Database(t)
	first, second := openStore(t, url), openStore(t, url)
	enterIn(t, first, "work")
	h, err := first.held("work")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := first.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // it may be over
	if _, err := tx.Exec(t.Context(), "SELECT popfetch.fence($1, $2)", h.id, h.epoch); err != nil {
		t.Fatal(err)
	}
	const take = "SELECT FROM popfetch.turn WHERE account = $1 FOR NO KEY UPDATE NOWAIT"
	if _, err := second.pool.Exec(t.Context(), take, h.id); !isCode(err, "55P03") {
		t.Errorf("the row of the lease can be locked before the commit: %v", err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := second.pool.Exec(t.Context(), take, h.id); err != nil {
		t.Error(err)
	}
}

// Without a hold nothing is written, except for the standing.
func TestNotHeld(t *testing.T) {
	s := openStore(t, pgtest.Database(t))
	enterIn(t, s, "to known")
	hold := lockIn(t, s, "known")
	if _, err := s.Enter(t.Context(), "known", "pop.example.org:995", "alice"); err != nil {
		t.Fatal(err)
	}
	if err := hold.Release(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, s, "known")
	for _, write := range writes {
		l, err := s.Look(t.Context(), "known", "", "")
		if err != nil {
			t.Fatal(err)
		}
		if err := write.do(t.Context(), s, l, "known"); (err == nil) != (write.name == "standing") {
			t.Errorf("%s: %v", write.name, err)
		}
		if got := contents(t, s, "known"); (got == before) == (write.name == "standing") {
			t.Errorf("%s: the database holds\n%s\nafter\n%s", write.name, got, before)
		}
		before = contents(t, s, "known")
	}
}

// A step of a former epoch does not even begin, and so waits for nobody's rows.
func TestStep_epoch(t *testing.T) {
	s := openStore(t, pgtest.Database(t))
	enterIn(t, s, "work")
	h, err := s.held("work")
	if err != nil {
		t.Fatal(err)
	}
	step := func(epoch, number int64) error {
		_, err := s.pool.Exec(t.Context(), "SELECT popfetch.step($1, $2, $3)", h.id, epoch, number)
		return err
	}
	for _, test := range []struct {
		epoch, number int64
		want          string
	}{{h.epoch, 10, ""}, {h.epoch, 10, codeDone}, {h.epoch, 9, codeDone}, {h.epoch - 1, 11, codeLost}, {h.epoch + 1, 11, codeLost}, {h.epoch, 11, ""}} {
		if err := step(test.epoch, test.number); (err == nil) != (test.want == "") || err != nil && !isCode(err, test.want) {
			t.Errorf("step %d of epoch %d: %v, want %q", test.number, test.epoch, err, test.want)
		}
	}
}
