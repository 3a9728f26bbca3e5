package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen/postgres"
)

// taken notes the accounts that were put into force.
type taken struct{ names []string }

func (*taken) Run(context.Context) {}
func (*taken) Wake()               {}

func (n *taken) use(_ context.Context, _ *setting, accounts []fetch.Account) {
	n.names = nil
	for i := range accounts {
		n.names = append(n.names, accounts[i].Name)
	}
}

// Changed accounts get into force even if an attempt before has read them and then failed, such as
// a reload whose configuration had a mistake.
func TestWatcher_secondAttempt(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.toml")
	text := fmt.Sprintf("state = %q\naccounts = \"database\"\n", pgtest.Database(t))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &program{term: newTerminal(), database: new(database), shelf: new(shelf)}
	p.command, p.source.file = workerCommand, &file
	s, err := p.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	store := openedBy(t, p, s.Config, toWrite)
	defer store.Close()
	put := func(name string) {
		spec := postgres.Spec{Name: name, Interval: time.Minute, Enabled: true, TOML: fmt.Sprintf(
			"[account.%s]\nserver = \"pop.example.org\"\nuser = \"alice\"\npassword_command = \"true\"\nmaildir = \"/mail/%s\"\n", name, name)}
		_, err := store.PutAccounts(t.Context(), who(), postgres.Put{
			Specs: []postgres.Spec{spec}, Keys: func(_, _ *postgres.Spec) []string { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	polling := new(taken)
	report := p.newReporter(s)
	w := watcher{
		poller:  &poller{program: p, runner: p.runner(s, store, report), report: report, setting: s},
		polling: polling, version: p.shelf.at(),
	}
	inForce := func(want ...string) {
		t.Helper()
		if err := w.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(polling.names, want) {
			t.Errorf("in force are %v, want %v", polling.names, want)
		}
	}
	inForce()
	put("one")
	inForce("one")
	put("two")
	if _, err := p.load(t.Context()); err != nil { // as a reload does that fails later
		t.Fatal(err)
	}
	inForce("one", "two")
}

// The records of all accounts that were removed 90 days ago go soon, however many there are.
func TestWatcher_sweep(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	p := &program{term: newTerminal(), database: new(database), shelf: new(shelf)}
	store := openedBy(t, p, &config.Config{State: config.StateURL(url), Lease: time.Minute}, toWrite)
	defer store.Close()
	for _, statement := range []string{
		`INSERT INTO popfetch.spec (name, version, toml, host, label, period, enabled, removed)
			SELECT 'a' || i, 1, '', '', '', 0, true, now() - interval '91 days' FROM generate_series(1, 150) AS i`,
		"UPDATE popfetch.specs SET version = 1",
	} {
		if err := pgtest.ExecIn(url, statement); err != nil {
			t.Fatal(err)
		}
	}
	runner := &fetch.Runner{Store: store}
	w := watcher{poller: &poller{program: p, runner: runner, report: &reporter{}}, version: 1}
	left := func() int {
		t.Helper()
		w.look(t.Context())
		specs, _, err := store.AccountChanges(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(specs)
	}
	for range 3 {
		if left() == 0 && !w.swept.IsZero() {
			return
		}
	}
	t.Errorf("the records of %d accounts are left; next sweep: %v", left(), w.swept)
}
