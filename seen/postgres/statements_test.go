package postgres

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
)

// tracer counts round trips, and the statements in them.
type tracer struct{ trips, statements atomic.Int64 }

func (c *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.trips.Add(1)
	c.statements.Add(1)
	return ctx
}

func (*tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	c.trips.Add(1)
	c.statements.Add(int64(data.Batch.Len()))
	return ctx
}

func (*tracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (*tracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// trace counts what the store does from now on.
func trace(t testing.TB, s *Store) *tracer {
	t.Helper()
	c := &tracer{}
	config := s.pool.Config()
	config.ConnConfig.Tracer = c
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	s.pool.Close()
	s.pool = pool
	return c
}

// A poll that finds nothing new needs few round trips, and writes only its history.
func TestStatements(t *testing.T) {
	s := openStore(t, pgtest.Database(t))
	l := enterIn(t, s, "work")
	listing := listingOf("a", 1000)
	apply := func(records []seen.Record) error {
		return l.Apply(t.Context(), seen.Changes{Records: slices.Values(records)})
	}
	if err := apply(recordsOf(listing, "new/1")); err != nil {
		t.Fatal(err)
	}
	if err := l.Finish(t.Context(), seen.Diff{}, listing, nil, now); err != nil {
		t.Fatal(err)
	}
	c := trace(t, s)
	var d seen.Diff
	for _, step := range []struct {
		name                   string
		do                     func() error
		wantTrips, wantQueries int64
	}{
		{"Enter", func() (err error) { l, err = s.Enter(t.Context(), "work", "pop.example.org:995", "alice"); return err }, 1, 1},
		{"Standing", func() error { _, err := l.Standing(t.Context()); return err }, 1, 1},
		{"Diff unchanged", func() (err error) { d, err = l.Diff(t.Context(), listing, time.Time{}); return err }, 1, 1},
		{"Discarded", func() error { _, err := l.Discarded(t.Context()); return err }, 0, 0},
		{"ChangeStanding without a change", func() error { return l.ChangeStanding(t.Context(), func(*seen.Standing) {}) }, 1, 1},
		{"NoteRun, first of a day", func() error {
			return s.NoteRun(t.Context(), "work", seen.RunNote{At: now, Maildrop: &seen.MaildropNote{}})
		}, 2, 6},
		{"NoteRun", func() error {
			return s.NoteRun(t.Context(), "work", seen.RunNote{At: now, Maildrop: &seen.MaildropNote{}})
		}, 2, 5},
		{"ChangeStanding", func() error { return l.ChangeStanding(t.Context(), func(st *seen.Standing) { st.Refusals++ }) }, 2, 4},
		{"Ready", func() error { return l.Ready(t.Context(), 1) }, 1, 3},
		{"Apply", func() error { return apply(recordsOf(listingOf("b", 1), "new/1")) }, 1, 4},
		{"Discarded after a step", func() error { _, err := l.Discarded(t.Context()); return err }, 1, 1},
		{"Finish", func() error { return l.Finish(t.Context(), d, append(listing, listingOf("b", 1)...), nil, now) }, 6, 8},
	} {
		c.trips.Store(0)
		c.statements.Store(0)
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if trips, statements := c.trips.Load(), c.statements.Load(); trips != step.wantTrips || statements != step.wantQueries {
			t.Errorf("%s: %d statements in %d round trips, want %d in %d", step.name, statements, trips, step.wantQueries, step.wantTrips)
		}
		if step.name == "Diff unchanged" && !d.Unchanged {
			t.Error("the listing was not found unchanged")
		}
	}
}

// A change that no method makes removes the digest, too, and rows are counted.
func TestTriggers(t *testing.T) {
	for name, change := range map[string]string{
		"removed":           "DELETE FROM popfetch.seen WHERE unique_id = 'a-0001'",
		"another key":       "UPDATE popfetch.seen SET unique_id = 'z' WHERE unique_id = 'a-0001'",
		"deleted":           "UPDATE popfetch.seen SET deleted_at = 5 WHERE unique_id = 'a-0001'",
		"listed":            "UPDATE popfetch.seen SET listed = 5 WHERE unique_id = 'a-0001'",
		"aside removed":     "DELETE FROM popfetch.aside",
		"aside another key": "UPDATE popfetch.aside SET copy = 1",
		"another account":   "UPDATE popfetch.seen SET account = (SELECT id FROM popfetch.account WHERE name = 'other') WHERE unique_id = 'a-0001'",
		"account removed":   "DELETE FROM popfetch.account WHERE name = 'work'",
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, pgtest.Database(t))
			enterIn(t, s, "other")
			l := enterIn(t, s, "work")
			listing := listingOf("a", 3)
			err := l.Apply(t.Context(), seen.Changes{Records: slices.Values(recordsOf(listing[:2], "new/1")), Asides: []seen.Aside{{Key: listing[2].Key, Reason: seen.TooLarge}}})
			if err == nil {
				err = l.Finish(t.Context(), seen.Diff{}, listing, nil, now)
			}
			if err == nil {
				_, err = s.pool.Exec(t.Context(), change)
			}
			if err != nil {
				t.Fatal(err)
			}
			var wrong, digests int
			err = s.pool.QueryRow(t.Context(), `
				SELECT count(*) FILTER (WHERE records <> (SELECT count(*) FROM popfetch.seen AS s WHERE s.account = a.id)),
					count(*) FILTER (WHERE digest IS NOT NULL) + (SELECT count(*) FROM popfetch.seen WHERE account NOT IN (SELECT id FROM popfetch.account))
				FROM popfetch.account AS a`).Scan(&wrong, &digests)
			if err != nil || wrong != 0 || digests != 0 {
				t.Errorf("%d accounts are counted wrong, %d digests or orphans are left, %v", wrong, digests, err)
			}
		})
	}
}

// BenchmarkLedger shows what steps cost.
func BenchmarkLedger(b *testing.B) {
	s := openStore(b, pgtest.Database(b))
	l := enterIn(b, s, "work")
	listing := listingOf("a", 1000)
	records := recordsOf(listing, "new/1")
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("Apply 1000 records", func(b *testing.B) {
		for range b.N {
			must(l.Apply(b.Context(), seen.Changes{Records: slices.Values(records)}))
		}
	})
	must(l.Finish(b.Context(), seen.Diff{}, slices.Clone(listing), nil, now))
	b.Run("idle poll of 1000", func(b *testing.B) {
		for range b.N {
			l, err := s.Enter(b.Context(), "work", "pop.example.org:995", "alice")
			must(err)
			_, err = l.Standing(b.Context())
			must(err)
			_, err = l.Diff(b.Context(), listing, time.Time{})
			must(err)
			must(s.NoteRun(b.Context(), "work", seen.RunNote{At: now, Maildrop: &seen.MaildropNote{}}))
		}
	})
	b.Run("Diff of 1000 that lost one", func(b *testing.B) {
		for range b.N {
			_, err := l.Diff(b.Context(), listing[1:], time.Time{})
			must(err)
		}
	})
	many := listingOf("m", 100_000)
	b.Run("Apply 100000 records", func(b *testing.B) {
		for range b.N {
			must(l.Apply(b.Context(), seen.Changes{Records: slices.Values(recordsOf(many, "new/1"))}))
		}
	})
	b.Run("Finish of 100000", func(b *testing.B) {
		for range b.N {
			must(l.Finish(b.Context(), seen.Diff{}, slices.Clone(many), nil, now))
		}
	})
}
