package postgres

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
)

// The records of a removed account go after 90 days, unless it was put again or is at work.
func TestSweepAccounts(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "w", time.Minute)
	put(t, s, false, specOf("old"), specOf("young"), specOf("back"), specOf("busy"), specOf("kept"))
	if _, err := s.RemoveAccounts(t.Context(), admin, []string{"old", "young", "back", "busy"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), "UPDATE popfetch.spec SET removed = now() - interval '90 days 1 minute' WHERE name <> 'young' AND removed IS NOT NULL"); err != nil {
		t.Fatal(err)
	}
	put(t, s, false, specOf("back"))
	hold, err := s.Lock(t.Context(), "busy")
	if err != nil {
		t.Fatal(err)
	}
	swept, err := s.SweepAccounts(t.Context())
	if err != nil || strings.Join(swept, " ") != "old" {
		t.Errorf("SweepAccounts() = %v, %v", swept, err)
	}
	var left string
	if err := s.pool.QueryRow(t.Context(), "SELECT string_agg(name, ' ' ORDER BY name) FROM popfetch.account").Scan(&left); err != nil || left != "back busy kept young" {
		t.Errorf("the accounts with records are %s, %v", left, err)
	}
	if err := hold.Release(); err != nil {
		t.Fatal(err)
	}
	if swept, err = s.SweepAccounts(t.Context()); err != nil || strings.Join(swept, " ") != "busy" {
		t.Errorf("SweepAccounts() after the release = %v, %v", swept, err)
	}
	entries, err := s.Audit(t.Context(), 1)
	if err != nil || len(entries) != 1 || entries[0].Action != "expire" || entries[0].Account != "busy" {
		t.Errorf("the audit says %v, %v", entries, err)
	}
}

// The records of an account that was removed stay if a file has it since.
func TestSweepAccounts_file(t *testing.T) {
	s := openAs(t, pgtest.Database(t), "w", time.Minute)
	put(t, s, false, specOf("scheduled"), specOf("runs"), specOf("ran"))
	if _, err := s.RemoveAccounts(t.Context(), admin, []string{"scheduled", "runs", "ran"}); err != nil {
		t.Fatal(err)
	}
	sql(t, s, "UPDATE popfetch.spec SET removed = now() - interval '91 days'")
	schedule(t, s, Scheduled{Account: "scheduled"})
	for name, at := range map[string]time.Time{"runs": time.Now(), "ran": time.Now().Add(-92 * 24 * time.Hour)} {
		hold := lock(t, s, name)
		err := s.NoteRun(t.Context(), name, seen.RunNote{At: at, Verdict: seen.Succeeded})
		if err := errors.Join(err, hold.Release()); err != nil {
			t.Fatal(err)
		}
	}
	if swept, err := s.SweepAccounts(t.Context()); err != nil || strings.Join(swept, " ") != "ran" {
		t.Errorf("SweepAccounts() = %v, %v; want the one that nobody uses", swept, err)
	}
}
