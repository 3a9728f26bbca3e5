package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// crowd makes a listing of many messages.
func crowd(prefix string, n int) []seen.Entry {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%06d", prefix, i)
	}
	return listingOf(ids...)
}

// largest makes the store note how many rows its largest transaction changed, including those
// changed by triggers.
func largest(t *testing.T, s *Store) *atomic.Int64 {
	t.Helper()
	var most, before atomic.Int64
	total := func(conn *sql.Conn) int64 {
		var n int64
		if err := conn.QueryRowContext(context.Background(), "SELECT total_changes()").Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
	before.Store(total(s.write))
	s.wrote = func(conn *sql.Conn) {
		n := total(conn)
		most.Store(max(most.Load(), n-before.Swap(n)))
	}
	return &most
}

// steps are the steps that write the rows of a whole account.
var steps = map[string]func(ctx context.Context, l *ledger, listing []seen.Entry) error{
	"mark": func(ctx context.Context, l *ledger, listing []seen.Entry) error {
		return l.Apply(ctx, seen.Changes{Records: func(yield func(seen.Record) bool) {
			for _, e := range listing {
				e.UniqueID += "+"
				if !yield(seen.Record{Key: e.Key, Kind: seen.Marked}) {
					return
				}
			}
		}})
	},
	"move": func(ctx context.Context, l *ledger, listing []seen.Entry) error {
		return l.Apply(ctx, seen.Changes{Moves: func(yield func(seen.Move) bool) {
			for _, e := range listing {
				to := e
				to.UniqueID += "+"
				if !yield(seen.Move{From: e.Key, To: to}) {
					return
				}
			}
		}})
	},
	"replace": func(ctx context.Context, l *ledger, listing []seen.Entry) error {
		c := seen.Changes{}
		var records []seen.Record
		for _, e := range listing {
			c.Replace = append(c.Replace, e.UniqueID)
			e.Octets++
			records = append(records, recordOf(e))
		}
		c.Records = slices.Values(records)
		return l.Apply(ctx, c)
	},
	"finish, all deleted": func(ctx context.Context, l *ledger, listing []seen.Entry) error {
		var deleted []seen.Deleted
		for _, e := range listing {
			deleted = append(deleted, deletedBy("rule", e.Key)...)
		}
		return l.Finish(ctx, seen.Diff{}, nil, deleted, now)
	},
	"finish, all gone": func(ctx context.Context, l *ledger, _ []seen.Entry) error {
		return l.Finish(ctx, seen.Diff{}, nil, nil, now)
	},
	"forget": func(ctx context.Context, l *ledger, _ []seen.Entry) error {
		_, err := l.Forget(ctx)
		return err
	},
	"try again": func(ctx context.Context, l *ledger, listing []seen.Entry) error {
		c := seen.Changes{}
		for _, e := range listing {
			c.Asides = append(c.Asides, seen.Aside{Key: seen.Key{UniqueID: "more-" + e.UniqueID}, Reason: seen.Quarantined, Count: 1})
		}
		if err := l.Apply(ctx, c); err != nil {
			return err
		}
		n, err := l.TryAgain(ctx, seen.Quarantined)
		if n != len(listing) {
			return fmt.Errorf("%d are tried again, want %d: %w", n, len(listing), err)
		}
		return err
	},
	"another server": func(ctx context.Context, l *ledger, _ []seen.Entry) error {
		_, err := l.store.Enter(ctx, l.account.Name, "elsewhere:995", l.account.User)
		return err
	},
}

// However much one account writes, no other one waits long: no transaction is large, with a
// write-ahead log or without.
func TestParts(t *testing.T) {
	const messages = 3*partRows + 5
	for _, journal := range []string{"wal", "delete"} {
		for name, step := range steps {
			t.Run(journal+"/"+name, func(t *testing.T) {
				t.Parallel()
				var s *Store
				if journal == "delete" {
					s = onShared(t, t.TempDir())
				} else {
					s = open(t)
				}
				account := enter(t, s)
				listing := crowd("id", messages)
				deliverAll(t, account, listing)
				mustFinish(t, account, listing)
				most := largest(t, s)
				if err := step(t.Context(), account, listing); err != nil {
					t.Fatal(err)
				}
				if got := most.Load(); got > 6*partRows {
					t.Errorf("a transaction changed %d rows of %d messages, want at most 6 for each of %d", got, messages, partRows)
				}
				enter(t, s)
			})
		}
	}
}

// An account's record is written while another account, in another process, writes a great many
// rows.
func TestApply_besides(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes very many records")
	}
	const messages = 300_000
	dir := t.TempDir()
	s := openIn(t, dir)
	account := enter(t, s)
	listing := crowd("id", messages)
	for chunk := range slices.Chunk(listing, 50_000) {
		deliverAll(t, account, chunk)
	}
	mustFinish(t, account, listing)
	other := openIn(t, dir)
	mda := enterAs(t, other, "other", "pop.example.org:995", "bob")
	for _, name := range []string{"move", "finish, all gone"} {
		done := make(chan error)
		go func() { done <- steps[name](t.Context(), account, listing) }()
		applied := 0
		for ended := false; !ended; applied++ {
			select {
			case err := <-done:
				if ended = true; err != nil {
					t.Fatal(err)
				}
			case <-time.After(50 * time.Millisecond): // as long as a program takes for a message
				mustCommit(t, mda, recordOf(listingOf(fmt.Sprint(name, applied))[0]))
			}
		}
		if applied < 10 {
			t.Errorf("%s: the other account made %d records meanwhile, want many", name, applied)
		}
	}
}

// The record of a delivered message waits as long as its context lives, even if others have waited
// in vain.
func TestApply_waits(t *testing.T) {
	s := open(t)
	enter(t, s)
	waiting := openIn(t, s.dir)
	account := enter(t, waiting)
	letGo := hold(t, s)
	waiting.vain.Store(waitedInVain(waiting, time.Duration(patience))) // after this all others hardly wait
	if err := account.Ready(t.Context(), 1); !errors.Is(err, seen.ErrBusy) {
		t.Errorf("Ready() = %v, want %v", err, seen.ErrBusy)
	}
	// Ready has returned: behind the record in the queue it would wait as long. The other lets go
	// after more than two waits of SQLite itself (busyTimeout).
	released := make(chan error, 1)
	time.AfterFunc(1200*time.Millisecond, func() { released <- letGo() })
	if err := commit(t.Context(), account, recordOf(listingOf("a")[0])); err != nil {
		t.Errorf("Apply() = %v, want it to wait until the other lets go", err)
	}
	if err := <-released; err != nil {
		t.Fatal(err)
	}
}

// If the table is locked and nothing is written, its owner hangs, or the system failed to give a
// lock back (TestTortureFaults found that with fcntl). Then even the record of a delivered message
// does not wait for ever. The time that another step has waited counts, and the next record does not
// wait again.
func TestApply_stalls(t *testing.T) {
	s := open(t)
	enter(t, s)
	waiting := openIn(t, s.dir)
	account := enter(t, waiting)
	waiting.stall = 700 * time.Millisecond
	letGo := hold(t, s)
	refused := func() {
		t.Helper()
		if err := commit(t.Context(), account, recordOf(listingOf("a")[0])); !errors.Is(err, seen.ErrBusy) {
			t.Errorf("Apply() = %v, want %v", err, seen.ErrBusy)
		}
	}
	refused()
	waiting.stall = time.Hour // nothing from here on waits so long
	waiting.vain.Store(waitedInVain(waiting, time.Hour))
	refused()
	refused()

	waiting.stall = 700 * time.Millisecond
	done := make(chan error)
	go func() { done <- commit(t.Context(), account, recordOf(listingOf("b")[0])) }()
	for began := time.Now(); time.Since(began) < 4*waiting.stall; { // others write
		if err := os.Chtimes(filepath.Join(s.dir, fileName+"-wal"), time.Time{}, time.Now()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			t.Fatalf("Apply() = %v while others write, want it to wait", err)
		case <-time.After(waiting.stall / 10):
		}
	}
	if err := letGo(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Apply() = %v when the other let go", err)
	}
}

// Without a write-ahead log, a commit waits for readers longer than SQLite itself waits.
func TestApply_waitsForReaders(t *testing.T) {
	s := onShared(t, t.TempDir())
	account := enter(t, s)
	mustCommit(t, account, recordOf(listingOf("a")[0]))
	done := make(chan error)
	for _, err := range account.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		go func() { done <- commit(t.Context(), account, recordOf(listingOf("b")[0])) }()
		select {
		case err := <-done:
			t.Fatalf("Apply() = %v while another reads", err)
		case <-time.After(1200 * time.Millisecond):
		}
	}
	if err := <-done; err != nil {
		t.Errorf("Apply() = %v when nobody read any more", err)
	}
}
