package fetch_test

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// Mail that was delivered and not recorded does not come again, though its reader has filed it in
// a Maildir++ folder since, and though the account has records of other mail.
func TestFiledMail_notRecorded(t *testing.T) {
	t.Parallel()
	five := func(t *testing.T) *rig {
		t.Helper()
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newRig(t, server.Addr())
		r.runs("1 listed, 1 new, 1 delivered")
		r.file(".Old")
		server.Drop("").Add(letter("b"), letter("c"), letter("d"), letter("e"), letter("f"))
		t.Cleanup(func() {
			checkCount(t, server, "RETR", 6)
			server.CheckRules(t)
		})
		return r
	}
	comesToNothing := func(r *rig) {
		r.t.Helper()
		r.runs("6 listed, 5 recognised")
		r.runs("6 listed")
		r.holds()
		r.has("a", "b", "c", "d", "e", "f")
	}
	t.Run("a crash before the record", func(t *testing.T) {
		r := five(t)
		whole := r.runner.Store
		r.runner.Store = wrapped{whole, func(l seen.Ledger) seen.Ledger { return brokenApply{l} }}
		_ = r.fails(fetch.PhaseRecord, "6 listed, 5 new")
		r.file(".Archive")
		r.runner.Store = whole
		comesToNothing(r)
	})
	// A run that fails between the crash and the one that looks has finished nothing.
	t.Run("a crash before the record, then a failure", func(t *testing.T) {
		r := five(t)
		whole := r.runner.Store
		r.runner.Store = wrapped{whole, func(l seen.Ledger) seen.Ledger { return brokenApply{l} }}
		_ = r.fails(fetch.PhaseRecord, "6 listed, 5 new")
		r.file(".Archive")
		r.later(30 * day)
		r.old(".Archive")
		r.runner.Store = wrapped{whole, func(l seen.Ledger) seen.Ledger { return brokenDiff{l} }}
		_ = r.fails(fetch.PhaseState, "6 listed")
		r.runner.Store = whole
		comesToNothing(r)
	})
	t.Run("an older seen.db", func(t *testing.T) {
		r := five(t)
		older := t.TempDir()
		for _, name := range filesIn(t, r.state) {
			octets, err := os.ReadFile(filepath.Join(r.state, name))
			if err == nil {
				err = os.WriteFile(filepath.Join(older, name), octets, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		r.runs("6 listed, 5 new, 5 delivered")
		r.file(".Archive")
		r.runs("6 listed")
		r.runner.Store = openStore(t, older)
		comesToNothing(r)
	})
}

// Mail without a record is looked for also if it was hidden from the next run, or could not be
// retrieved in it: that run is finished, but has not found it.
func TestFiledMail_missedOnce(t *testing.T) {
	t.Parallel()
	for name, miss := range map[string]func(r *rig, server *poptest.Server) (back func()){
		"not listed": func(_ *rig, server *poptest.Server) func() {
			server.Drop("").Remove("b")
			server.Drop("").Add(letter("c"))
			return func() { server.Drop("").Add(letter("b")) }
		},
		"refused, without TOP": func(_ *rig, server *poptest.Server) func() {
			server.Configure(without("TOP"))
			hook(server, on("RETR", poptest.Refuse("not now")))
			return func() { hook(server, nil) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"))
			r := newRig(t, server.Addr())
			r.runs("1 listed, 1 new, 1 delivered")
			server.Drop("").Add(letter("b"))
			whole := r.runner.Store
			r.runner.Store = wrapped{whole, func(l seen.Ledger) seen.Ledger { return brokenApply{l} }}
			_ = r.fails(fetch.PhaseRecord, "2 listed, 1 new")
			r.runner.Store = whole
			r.file(".Archive")
			r.later(2 * day)
			back := miss(r, server)
			if result := r.run(); result.Err != nil {
				t.Fatalf("Run() = %v, want no error", result.Err)
			}
			r.file(".Read")
			back()
			if result := r.run(); result.Err != nil || result.Delivered > 0 || result.Recognised != 1 {
				t.Errorf("Run() = %s, %v, want the message to be recognised", outcome(result), result.Err)
			}
			r.holds()
		})
	}
}

// old makes a folder look as if nothing had been filed in it for a long time.
func (r *rig) old(folder string) {
	r.t.Helper()
	long := time.Now().Add(-30 * day)
	if err := os.Chtimes(filepath.Join(r.maildir, folder, "cur"), long, long); err != nil {
		r.t.Fatal(err)
	}
}

// sought is a Maildir that notes the time since which its folders were searched.
type sought struct {
	*deliver.Maildir
	since []time.Time
}

func (s *sought) Find(ctx context.Context, tokens iter.Seq[deliver.Token], since time.Time) (map[deliver.Token][]string, error) {
	s.since = append(s.since, since)
	return s.Maildir.Find(ctx, tokens, since)
}

// For the sake of large Maildirs a folder is searched only if something was filed in it since the
// last finished run. All are searched for an account without records, and after a run that was not
// finished.
func TestFiledMail_since(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	r := newRig(t, server.Addr())
	target := &sought{Maildir: deliver.NewMaildir(r.maildir)}
	r.account.Target = target
	whole := r.runner.Store
	check := func(what string, want time.Time) {
		t.Helper()
		if len(target.since) != 1 || target.since[0].Sub(want).Abs() > time.Minute || target.since[0].IsZero() != want.IsZero() {
			t.Errorf("%s: searched since %v, want once, since %v", what, target.since, want)
		}
		target.since = nil
	}
	r.runs("")
	server.Drop("").Add(letter("a"))
	r.runs("1 listed, 1 new, 1 delivered")
	check("without a record", time.Time{})
	first := r.now()
	r.later(day)
	server.Drop("").Add(letter("b"))
	r.runner.Store = wrapped{whole, func(l seen.Ledger) seen.Ledger { return brokenApply{l} }}
	_ = r.fails(fetch.PhaseRecord, "2 listed, 1 new")
	check("after a finished run", first)
	r.runner.Store = whole
	server.Drop("").Add(letter("c"))
	r.runs("3 listed, 1 new, 1 delivered, 1 recognised")
	check("after a run that was not finished", time.Time{})
	r.runs("3 listed")
	if len(target.since) > 0 {
		t.Errorf("searched since %v, want no search where nothing is new", target.since)
	}
}
