package hosts

import (
	"context"
	"errors"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// enters reports whether the host lets a session begin at a time, without a wait.
func enters(t *testing.T, h *Host, at time.Time) bool {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := h.Enter(ended, func() time.Time { return at })
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Enter() = %v, want context.Canceled", err)
	}
	return err == nil
}

// The port and the spelling of a name make no other host.
func TestHosts_Of(t *testing.T) {
	var all Hosts
	if all.Of("pop.example.org:995") != all.Of("POP.example.org:110") || all.Of("pop.example.org:995") == all.Of("pop.example.net:995") {
		t.Error("Of() takes one host for two, or two for one")
	}
}

// A host that has refused a session lets in as many as it had let in, for a day.
func TestHost_bound(t *testing.T) {
	var all Hosts
	h := all.Of("pop.example.org:995")
	for range 3 {
		if !enters(t, h, now) {
			t.Fatal("Enter() waits, though nothing was refused")
		}
	}
	h.LetIn(false)
	h.NoteFull(now)
	h.LetIn(true)
	h.GiveUp()
	if sessions, at := h.Bound(); sessions != 2 || !at.Equal(now) || h.Others() != 1 {
		t.Errorf("Bound() = %d, %v, Others() = %d, want 2, %v, 1", sessions, at, h.Others(), now)
	}
	if enters(t, h, now.Add(23*time.Hour)) {
		t.Error("Enter() lets a third session begin, want it to wait")
	}
	if !enters(t, h, now.Add(25*time.Hour)) {
		t.Error("Enter() waits after a day")
	}
	h.GiveUp()
	h.Leave()
	if !enters(t, h, now) || enters(t, h, now) {
		t.Error("Enter() does not let one session begin for the one that has ended")
	}
	h.NoteOther()
	if !enters(t, h, now) {
		t.Error("Enter() waits, though the bound was taken back")
	}
}

// A session that waits begins when another one ends.
func TestHost_wakes(t *testing.T) {
	var all Hosts
	h := all.Of("pop.example.org:995")
	h.Recall(1, now)
	clock := func() time.Time { return now }
	if err := h.Enter(t.Context(), clock); err != nil {
		t.Fatal(err)
	}
	h.LetIn(false)
	entered := make(chan error)
	go func() { entered <- h.Enter(t.Context(), clock) }()
	select {
	case err := <-entered:
		t.Fatalf("Enter() = %v, want it to wait", err)
	case <-time.After(20 * time.Millisecond):
	}
	h.Leave()
	if err := <-entered; err != nil {
		t.Errorf("Enter() = %v", err)
	}
}

// What another process has found out counts only if it is newer.
func TestHost_Recall(t *testing.T) {
	var all Hosts
	h := all.Of("pop.example.org:995")
	h.Recall(0, now)
	h.Recall(3, now)
	h.Recall(1, now.Add(-time.Hour))
	for n := range 3 {
		if !enters(t, h, now) {
			t.Errorf("Enter() lets %d sessions begin, want 3", n)
		}
	}
	if enters(t, h, now) {
		t.Error("Enter() lets a fourth session begin, want 3")
	}
	if _, at := h.Bound(); !at.IsZero() {
		t.Errorf("Bound() is of %v, want none: this process has found out nothing", at)
	}
}
