package fetch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// dated is a message with these header lines before its own.
func dated(id, lines string) poptest.Message {
	m := letter(id)
	m.Content = append([]byte(lines), m.Content...)
	return m
}

// daysAgo is a date as header fields have it.
func daysAgo(days int) string {
	return time.Now().Add(-time.Duration(days) * day).Format(time.RFC1123Z)
}

// TestInitial is the first run of an account with each kind of initial.
func TestInitial(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, messages ...poptest.Message) (*rig, *poptest.Server) {
		t.Helper()
		t.Parallel()
		server := newServer(t, messages...)
		t.Cleanup(func() { server.CheckRules(t) })
		r := newRig(t, server.Addr())
		r.account.Initial = fetch.InitialPolicy{Limited: true}
		return r, server
	}
	a, b, c := letter("a"), letter("b"), letter("c")
	old, recent := dated("old", "Date: "+daysAgo(40)+"\r\n"), dated("recent", "Date: "+daysAgo(20)+"\r\n")

	t.Run("none", func(t *testing.T) {
		r, server := start(t, a, b)
		r.runs("2 listed, 2 marked")
		r.has("a", "b")
		for _, record := range r.records() {
			if record.Kind != seen.Marked || record.Digest == (seen.Digest{}) {
				t.Errorf("the record is %+v, want it marked and the header known", record)
			}
		}
		if told := r.told(fetch.Marked); len(told) != 1 || told[0].Messages != 2 {
			t.Errorf("told %+v, want once that 2 are left out", told)
		}
		server.Drop("").Add(c)
		r.account.Delete.Enabled = true
		r.runs("3 listed, 1 new, 1 delivered, 1 deleted")
		r.later(1000 * day)
		r.runs("2 listed") // what was never delivered is never deleted
		r.holds(c)
		checkCount(t, server, "RETR", 1)
	})
	t.Run("none, without TOP", func(t *testing.T) {
		r, server := start(t, a, b)
		noTop(server)
		r.runs("2 listed, 2 marked")
		server.Drop("").Add(c)
		r.runs("3 listed, 1 new, 1 delivered")
	})
	t.Run("none, then another message under a marked id", func(t *testing.T) {
		r, server := start(t, a)
		r.runs("1 listed, 1 marked")
		long := sized("a", "other", string(make([]byte, 500)))
		list(server, long)
		r.runs("1 listed, 1 new, 1 delivered")
		r.holds(long)
	})
	t.Run("a time", func(t *testing.T) {
		r, server := start(t, old, recent, a)
		r.account.Initial.Within = 30 * day
		r.runs("3 listed, 2 new, 2 delivered, 1 marked")
		r.holds(recent, a) // a has no date
		r.runs("3 listed")
		server.Drop("").Add(dated("later", "Date: "+daysAgo(400)+"\r\n"))
		r.runs("4 listed, 1 new, 1 delivered") // no first run any more
	})
	t.Run("a time, without TOP", func(t *testing.T) {
		r, server := start(t, old, recent)
		noTop(server)
		r.account.Initial.Within = 30 * day
		r.runs("2 listed, 2 new, 2 delivered")
		r.warned("no TOP")
	})
	t.Run("a time, TOP refused for one", func(t *testing.T) {
		r, server := start(t, old, under("old2", old))
		hook(server, on("TOP 2", poptest.Refuse("not now")))
		r.account.Initial.Within = 30 * day
		r.runs("2 listed, 1 new, 1 delivered, 1 marked")
	})
	t.Run("broken off before anything is marked", func(t *testing.T) {
		r, server := start(t, a, b)
		hook(server, on("TOP 2", poptest.Cut(0)))
		_ = r.fails(fetch.PhaseIdentify, "2 listed")
		r.has()
		hook(server, nil)
		r.runs("2 listed, 2 marked")
	})
	t.Run("broken off behind it", func(t *testing.T) {
		r, server := start(t, old, recent, a)
		r.account.Initial.Within = 30 * day
		hook(server, on("RETR 2", poptest.Cut(0)))
		if result := r.run(); result.Err == nil || result.Marked != 1 {
			t.Errorf("Run() = %s, %v, want 1 marked and an error", outcome(result), result.Err)
		}
		hook(server, nil)
		if result := r.run(); result.Err != nil || result.Marked != 0 {
			t.Errorf("the next run: %s, %v, want no more marked", outcome(result), result.Err)
		}
		r.holds(recent, a)
	})
	t.Run("an empty maildrop", func(t *testing.T) {
		r, server := start(t)
		r.runs("")
		server.Drop("").Add(a)
		r.runs("1 listed, 1 new, 1 delivered")
	})
	t.Run("a program", func(t *testing.T) {
		r, _ := start(t, a)
		r.account.Target = &deliver.MDA{Command: "cat >/dev/null", Timeout: patience}
		r.runs("1 listed, 1 marked")
	})
	t.Run("a look marks nothing", func(t *testing.T) {
		r, _ := start(t, a, b)
		survey, err := r.runner.Look(t.Context(), &r.account)
		if err != nil || survey.Plan.Mark.Len() != 2 || survey.Plan.Retrieve.Len() != 0 {
			t.Errorf("Look() = %+v, %v, want 2 to be marked", survey, err)
		}
		r.runs("2 listed, 2 marked")
	})
	t.Run("all asked for", func(t *testing.T) {
		r, _ := start(t, a, b)
		r.account.All = true
		r.runs("2 listed, 2 new, 2 delivered")
	})

	// A message that looks old may never have been retrieved.
	t.Run("not where the target holds messages of the maildrop", func(t *testing.T) {
		r, server := start(t, a)
		r.account.Initial = fetch.InitialPolicy{}
		r.runs("1 listed, 1 new, 1 delivered")
		server.Drop("").Add(b)
		r.account.Initial.Limited = true
		r.runner.Store = openStore(t, t.TempDir())
		r.runs("2 listed, 1 new, 1 delivered, 1 recognised")
		r.warned("the target holds messages of this maildrop")
		r.holds(a, b)
	})
	t.Run("not where the account was renamed", func(t *testing.T) {
		r, _ := start(t, a)
		r.account.Initial = fetch.InitialPolicy{}
		r.runs("1 listed, 1 new, 1 delivered")
		r.account.Name, r.account.Initial.Limited = "renamed", true
		r.account.Origin.Has = func(string, string) bool { return false }
		r.runs("1 listed")
		r.warned(`account "work" stands in no configuration any more`)
		r.holds(a)
	})
	t.Run("not where another account shares the maildrop", func(t *testing.T) {
		r, _ := start(t, a)
		r.account.Initial = fetch.InitialPolicy{}
		r.runs("1 listed, 1 new, 1 delivered")
		r.account.Name, r.account.Initial.Limited, r.account.Shared = "second", true, []string{"work"}
		r.maildir = filepath.Join(t.TempDir(), "other")
		r.account.Target = deliver.NewMaildir(r.maildir)
		r.runs("1 listed, 1 new, 1 delivered")
		r.warned(`account "work" has the same server and user`)
		r.holds(a)
	})
	t.Run("not where something is marked already", func(t *testing.T) {
		r, _ := start(t, a, b)
		ledger, err := r.runner.Store.Enter(t.Context(), "work", r.account.Server, user)
		if err != nil {
			t.Fatal(err)
		}
		mark := seen.Record{Key: seen.Key{UniqueID: "a"}, Kind: seen.Marked, DeliveredAt: time.Now()}
		if err := ledger.Apply(t.Context(), seen.Changes{Records: slices.Values([]seen.Record{mark})}); err != nil {
			t.Fatal(err)
		}
		r.runs("2 listed, 1 new, 1 delivered")
	})
	t.Run("not where all was forgotten", func(t *testing.T) {
		r, _ := start(t, a, b)
		r.runs("2 listed, 2 marked")
		ledger, err := r.runner.Store.Look(t.Context(), "work", r.account.Server, user)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.runs("2 listed, 2 new, 2 delivered")
	})
}

// TestHintOfStrangers shows the warning for a user who has fetched into the same Maildir by another
// program before.
func TestHintOfStrangers(t *testing.T) {
	t.Parallel()
	const hint = "first run of this account, but its target already holds"
	start := func(t *testing.T, strangers int) *rig {
		t.Helper()
		t.Parallel()
		r := newRig(t, newServer(t, letter("a"), letter("b")).Addr())
		for _, dir := range []string{"tmp", "new", "cur"} {
			if err := os.MkdirAll(filepath.Join(r.maildir, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for i := range strangers {
			name := filepath.Join(r.maildir, "cur", fmt.Sprintf("1790000000.M%dP2.host:2,S", i))
			if err := os.WriteFile(name, []byte("mail"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return r
	}
	hints := func(r *rig) int {
		n := 0
		for _, e := range r.told(fetch.Warning) {
			if strings.Contains(e.Err.Error(), hint) {
				n++
			}
		}
		return n
	}
	check := func(t *testing.T, r *rig, want int) {
		t.Helper()
		if got := hints(r); got != want {
			t.Errorf("%d hints, want %d: %v", got, want, r.told(fetch.Warning))
		}
	}
	t.Run("another program's mail", func(t *testing.T) {
		r := start(t, 3)
		r.runs("2 listed, 2 new, 2 delivered")
		r.warned("its target already holds 3 messages that were not recognised; all 2 on the server will be fetched, possibly again")
		r.warned("popfetch seen mark --all work")
		r.warned("popfetch seen rebuild --from-maildir " + r.maildir + " work")
		r.runs("2 listed")
		check(t, r, 1)
	})
	t.Run("none", func(t *testing.T) {
		r := start(t, 0)
		r.runs("2 listed, 2 new, 2 delivered")
		check(t, r, 0)
	})
	t.Run("the state is gone, and what was delivered is recognised", func(t *testing.T) {
		r := start(t, 0)
		r.runs("2 listed, 2 new, 2 delivered")
		r.runner.Store = openStore(t, t.TempDir())
		r.runs("2 listed, 2 recognised")
		check(t, r, 0)
	})
	t.Run("the state is gone, and the server was another", func(t *testing.T) {
		r := start(t, 0)
		r.runs("2 listed, 2 new, 2 delivered")
		r.runner.Store = openStore(t, t.TempDir())
		r.account.Server = poptest.InClear(newServer(t, letter("c")).Addr(), true)
		r.runs("1 listed, 1 new, 1 delivered")
		r.warned("its target already holds 2 messages that were not recognised")
		check(t, r, 1)
	})
	t.Run("another account's mail", func(t *testing.T) {
		r := start(t, 0)
		r.runs("2 listed, 2 new, 2 delivered")
		second := newServer(t, letter("c"))
		account := r.newAccount("second", second.Addr(), r.account.Target)
		if result := r.runner.Run(t.Context(), []fetch.Account{account})[0]; result.Err != nil || result.Delivered != 1 {
			t.Errorf("Run() = %s, %v, want 1 delivered", outcome(result), result.Err)
		}
		check(t, r, 0)
	})
	t.Run("nothing is to be retrieved", func(t *testing.T) {
		r := start(t, 3)
		r.account.Initial.Limited = true
		r.runs("2 listed, 2 marked")
		check(t, r, 0)
	})
	t.Run("one-shot use", func(t *testing.T) {
		r := start(t, 3)
		r.account.State = "mrose at server to maildir x"
		r.runs("2 listed, 2 new, 2 delivered")
		r.warned("write the account into a configuration file")
		check(t, r, 1)
	})
}

// A message that a first run left out and --all has retrieved becomes due like all others.
func TestInitial_allAndDelete(t *testing.T) {
	t.Parallel()
	var messages []poptest.Message
	for i := range 20 {
		messages = append(messages, letter(fmt.Sprint("m", i)))
	}
	server := newServer(t, messages...)
	r := newRig(t, server.Addr())
	r.account.Initial.Limited = true
	r.runs("20 listed, 20 marked")
	server.Drop("").Add(letter("new"))
	r.account.All = true
	r.runs("21 listed, 21 new, 21 delivered")
	r.account.All = false
	r.account.Delete = fetch.DeletePolicy{Enabled: true, After: 30 * day}
	r.runs("21 listed")
	r.later(16 * day)
	r.runs("21 listed")
	r.later(15 * day)
	r.runs("21 listed, 21 deleted")
}
