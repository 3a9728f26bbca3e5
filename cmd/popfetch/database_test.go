package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen/postgres"
)

// TestOpenDatabase opens a database several times. All parts of a command share its connections,
// and the last Close closes them.
func TestOpenDatabase(t *testing.T) {
	p := &program{database: new(database)}
	cfg := &config.Config{State: config.StateURL(pgtest.Database(t)), Lease: time.Minute}
	book := p.database.book("work", "mbox")
	if _, err := p.openDatabase(t.Context(), cfg, toRead); !errors.Is(err, postgres.ErrNoTables) {
		t.Fatalf("openDatabase() = %v, want ErrNoTables", err)
	}
	empty, err := p.openStore(t.Context(), cfg, toRead)
	if err != nil {
		t.Fatal(err)
	}
	if accounts, err := empty.Accounts(t.Context()); err != nil || len(accounts) > 0 {
		t.Errorf("Accounts() = %v, %v", accounts, err)
	}
	if all, err := book.All(); err != nil || len(all) > 0 {
		t.Errorf("All() = %v, %v before the database is open", all, err)
	}
	if err := errors.Join(book.Put(nil), book.Keep("made", nil)); !errors.Is(err, errNotOpen) {
		t.Errorf("Put() = %v before the database is open", err)
	}
	if err := empty.Close(); err != nil {
		t.Fatal(err)
	}

	first := openedBy(t, p, cfg, toWrite)
	second := openedBy(t, p, cfg, toRead)
	if first.Store != second.Store {
		t.Error("the second to open has connections of its own")
	}
	hold, err := first.Lock(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(second.Close(), second.Close(), book.Keep("made", []byte("x"))); err != nil {
		t.Errorf("while the first one is open: %v", err)
	}
	if value, err := book.Kept("made"); err != nil || string(value) != "x" {
		t.Errorf("Kept() = %q, %v", value, err)
	}
	if err := errors.Join(hold.Release(), first.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Accounts(t.Context()); err == nil {
		t.Error("the database is open after the last Close")
	}

	// Whoever reads first keeps its connections when another one writes.
	reads := openedBy(t, p, cfg, toRead)
	writes := openedBy(t, p, cfg, toWrite)
	if reads.Store != writes.Store {
		t.Error("the one that writes has connections of its own")
	}
	if _, err := writes.Accounts(t.Context()); err != nil {
		t.Error(err)
	}
	if err := errors.Join(writes.Close(), reads.Close()); err != nil {
		t.Error(err)
	}
}

func openedBy(t *testing.T, p *program, cfg *config.Config, how access) *sharedStore {
	t.Helper()
	store, err := p.openDatabase(t.Context(), cfg, how)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// TestSameState refuses a configuration that is read again and has the state elsewhere.
func TestSameState(t *testing.T) {
	old := config.Config{State: "postgres://u:hunter2@h/d", Lease: time.Minute}
	if err := sameState(&old, &old); err != nil {
		t.Errorf("sameState() = %v", err)
	}
	for want, change := range map[string]func(*config.Config){
		"state: cannot change from postgres://u:***@h/d to postgres://u:***@h/e ":  func(c *config.Config) { c.State = "postgres://u:hunter3@h/e" },
		"state: cannot change from postgres://u:***@h/d to ":                       func(c *config.Config) { c.State, c.StateDir = "", "/s" },
		"lease: cannot change from 1m to 5s ":                                      func(c *config.Config) { c.Lease = 5 * time.Second },
		"state-password-command: cannot change while popfetch polls; end popfetch": func(c *config.Config) { c.StatePasswordCommand = "x" },
		"accounts: cannot change while popfetch polls; end popfetch and start it ": func(c *config.Config) { c.AccountsFrom = config.FromDatabase },
	} {
		cfg := old
		change(&cfg)
		err := sameState(&old, &cfg)
		var mistake *config.Error
		if !errors.As(err, &mistake) || !strings.Contains(strings.ReplaceAll(err.Error(), "_", "-"), want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("sameState() = %v, want %s", err, want)
		}
	}
	folder := config.Config{StateDir: "/a"}
	if err := sameState(&folder, &config.Config{StateDir: "/b"}); err == nil || !strings.Contains(err.Error(), `cannot change from /a to "/b"`) {
		t.Errorf("sameState() = %v", err)
	}
}

// TestExitStatus_database has faults of a database while accounts are at work.
func TestExitStatus_database(t *testing.T) {
	for err, want := range map[error]int{
		postgres.ErrAway: exitTempFail, postgres.ErrRefused: exitConfig,
	} {
		if got := faultStatus(fmt.Errorf("recording: %w", err)); got != want {
			t.Errorf("faultStatus(%v) = %d, want %d", err, got, want)
		}
	}
}
