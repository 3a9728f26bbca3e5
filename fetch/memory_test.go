package fetch

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/hosts"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// If there are two times before which an account must not log in, the later one counts, unless it
// was noted by a wrong clock.
func TestMemory_postpone(t *testing.T) {
	store, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	j := newJob(t.Context(), &Account{Name: "work", Server: "pop.example.org:995", User: "mrose"}, new(hosts.Hosts))
	defer j.end()
	j.now = func() time.Time { return now }
	if j.ledger, err = store.Enter(t.Context(), "work", j.account.Server, j.account.User); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name      string
		clock     time.Duration
		announced time.Duration // zero: nothing is
		left      time.Duration
	}{
		{"the first", 0, time.Hour, time.Hour},
		{"an earlier one", 0, time.Minute, time.Hour},
		{"a later one", 0, 2 * time.Hour, 2 * time.Hour},
		{"one after the last has passed", 3 * time.Hour, time.Minute, time.Minute},
		{"one that is not announced", time.Hour, 0, 5 * time.Minute},
		{"a year", 0, 365 * 24 * time.Hour, 24 * time.Hour},
		{"one that a wrong clock noted", 1000 * 24 * time.Hour, time.Hour, time.Hour},
		{"one after that", -1000 * 24 * time.Hour, time.Minute, time.Minute},
	} {
		now = now.Add(step.clock)
		m, err := recall(j, fetching)
		if err != nil {
			t.Fatal(err)
		}
		caps := pop3.Capabilities{}
		if step.announced > 0 {
			caps["LOGIN-DELAY"] = []string{strconv.Itoa(int(step.announced.Seconds()))}
		}
		reply := &pop3.ReplyError{Command: "PASS", Code: pop3.CodeLoginDelay}
		if err := m.noteLogin(&login.Error{Fault: login.Later, Err: reply}, caps); !errors.As(err, &reply) {
			t.Fatalf("%s: noteLogin() = %v, want the server's reply", step.name, err)
		}
		st, err := j.ledger.Standing(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if left := held(st, now); left != step.left || st.Reason != "login delay" {
			t.Errorf("%s: %v left because of %q, want %v", step.name, left, st.Reason, step.left)
		}
	}
	if left := held(seen.Standing{NotBefore: now.Add(-time.Second)}, now); left > 0 {
		t.Errorf("%v left of a time that has passed", left)
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
