package fetch

import (
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen/sqlite"
)

// Of two times before which an account is not to log in the later one stands, unless a wrong clock noted it.
func TestPostpone(t *testing.T) {
	store, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	s := newSession(t.Context(), &Runner{Store: store, Now: func() time.Time { return now }}, &Account{Name: "work", Server: "pop.example.org:995", User: "mrose"})
	defer s.release()
	if s.ledger, err = store.Enter(t.Context(), "work", s.account.Server, s.account.User); err != nil {
		t.Fatal(err)
	}
	s.known = s.ledger.Account()
	for _, step := range []struct {
		name   string
		clock  time.Duration
		until  time.Duration // from that clock
		reason string
		left   time.Duration
		stands string
	}{
		{"the first", 0, time.Hour, "first", time.Hour, "first"},
		{"an earlier one", 0, time.Minute, "earlier", time.Hour, "first"},
		{"a later one", 0, 2 * time.Hour, "later", 2 * time.Hour, "later"},
		{"one after the last has passed", 3 * time.Hour, time.Minute, "next", time.Minute, "next"},
		{"a year", 0, 365 * 24 * time.Hour, "year", 24 * time.Hour, "year"},
		{"one that a wrong clock noted", 1000 * 24 * time.Hour, time.Hour, "wrong", time.Hour, "wrong"},
		{"one after that", -1000 * 24 * time.Hour, time.Minute, "right", time.Minute, "right"},
	} {
		now = now.Add(step.clock)
		if err := s.postpone(now.Add(step.until), step.reason); err != nil {
			t.Fatal(err)
		}
		st, err := s.ledger.Standing(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if left := held(st, now); left != step.left || st.Reason != step.stands {
			t.Errorf("%s: %v left because of %q, want %v because of %q", step.name, left, st.Reason, step.left, step.stands)
		}
	}
}

func TestInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Millisecond: "1 s", time.Second: "1 s", 1001 * time.Millisecond: "2 s", 10 * time.Minute: "600 s",
		601 * time.Second: "11 min", 3 * time.Hour: "180 min", 3*time.Hour + 1: "4 h", 24 * time.Hour: "24 h",
	} {
		if got := inWords(d); got != want {
			t.Errorf("inWords(%v) = %q, want %q", d, got, want)
		}
	}
}
