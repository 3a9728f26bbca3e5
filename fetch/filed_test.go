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
	"github.com/popfetch/popfetch/seen"
)

// Mail that was delivered and not recorded does not come again, though its reader has filed it in
// a Maildir++ folder since, and though the account has records of other mail.
func TestFiledMail_notRecorded(t *testing.T) {
	t.Parallel()
	five := func(t *testing.T) (*rig, *ending) {
		t.Helper()
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newRig(t, server.Addr())
		e := new(ending)
		r.runner.Store = endingKept(r.runner.Store, e)
		r.runs("1 listed, 1 new, 1 delivered")
		r.file(".Old")
		server.Drop("").Add(letter("b"), letter("c"), letter("d"), letter("e"), letter("f"))
		t.Cleanup(func() {
			checkCount(t, server, "RETR", 6)
			server.CheckRules(t)
		})
		return r, e
	}
	comesToNothing := func(r *rig) {
		r.t.Helper()
		r.runs("6 listed, 5 recognised")
		r.runs("6 listed")
		r.holds()
		r.has("a", "b", "c", "d", "e", "f")
	}
	t.Run("a crash before the record", func(t *testing.T) {
		r, _ := five(t)
		whole := r.runner.Store
		r.runner.Store = wrapped{whole, func(l seen.Ledger) seen.Ledger { return brokenApply{l} }}
		_ = r.fails(fetch.PhaseRecord, "6 listed, 5 new")
		r.file(".Archive")
		r.runner.Store = whole
		comesToNothing(r)
	})
	// A run that fails between the crash and the one that looks has finished nothing.
	t.Run("a crash before the record, then a failure", func(t *testing.T) {
		r, _ := five(t)
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
		r, e := five(t)
		older, then := t.TempDir(), *e
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
		r.runner.Store = endingKept(openStore(t, older), &then)
		comesToNothing(r)
	})
}

// old lets a folder look as if nothing had been filed in it for a long time.
func (r *rig) old(folder string) {
	r.t.Helper()
	long := time.Now().Add(-30 * day)
	if err := os.Chtimes(filepath.Join(r.maildir, folder, "cur"), long, long); err != nil {
		r.t.Fatal(err)
	}
}

// sought is a Maildir that notes since when its folders were searched.
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
	whole := endingKept(r.runner.Store, new(ending))
	r.runner.Store = whole
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
