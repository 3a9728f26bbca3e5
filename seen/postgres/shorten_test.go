package postgres

import (
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
)

// A shorter interval counts from the last poll. No account becomes due later than it was.
func TestShorten(t *testing.T) {
	t.Parallel()
	s := openAs(t, pgtest.Database(t), "first", time.Minute)
	const hour = time.Hour
	tests := map[string]struct {
		set  string
		want time.Duration // until it is due; negative: no worker polls it
	}{
		"long":    {"due = now() + interval '20 hours', since = now() - interval '4 hours'", 2 * hour},
		"over":    {"due = now() + interval '16 hours', since = now() - interval '8 hours'", 0},
		"never":   {"due = now() + interval '16 hours'", 0},
		"soon":    {"due = now() + interval '1 hour', since = now() - interval '1 hour'", hour},
		"refused": {"due = now() + interval '9 hours', since = now() - interval '9 hours', hold_until = now() + interval '8 hours'", 8 * hour},
		"held":    {"due = now() + interval '9 hours', since = now(), holder = 'x', until = now() + interval '1 minute'", 9 * hour},
		"other":   {"due = now() + interval '20 hours', since = now() - interval '4 hours'", 20 * hour},
		"ended":   {"due = 'infinity'", -1},
	}
	intervals := make(map[string]time.Duration)
	for name, test := range tests {
		if name != "other" {
			intervals[name] = 6 * hour
		}
		if err := s.Schedule(t.Context(), []Scheduled{{Account: name}}); err != nil {
			t.Fatal(err)
		}
		_, err := s.pool.Exec(t.Context(), "UPDATE popfetch.turn SET "+test.set+" WHERE account = (SELECT id FROM popfetch.account WHERE name = $1)", name)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Shorten(t.Context(), intervals); err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		var got float64
		err := s.pool.QueryRow(t.Context(), `
			SELECT CASE WHEN due = 'infinity' THEN -1 ELSE extract(epoch FROM due - now()) END
			FROM popfetch.turn JOIN popfetch.account ON id = account WHERE name = $1`, name).Scan(&got)
		if err != nil {
			t.Fatal(err)
		}
		if want := test.want.Seconds(); want < 0 && got != -1 || want >= 0 && (got > want+1 || got < want-60) {
			t.Errorf("%s is due in %v s, want about %v", name, got, test.want)
		}
	}
}
