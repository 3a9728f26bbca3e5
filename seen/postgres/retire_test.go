package postgres

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/popfetch/popfetch/internal/pgtest"
)

// Accounts are taken out that nobody knows and nobody has polled for a day, and no others.
func TestRetire(t *testing.T) {
	t.Parallel()
	s := openAs(t, pgtest.Database(t), "first", time.Minute)
	var accounts []Scheduled
	for _, name := range []string{"fresh", "held", "known", "left", "polled"} {
		accounts = append(accounts, Scheduled{Account: name})
	}
	if err := s.Schedule(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]string{
		"fresh":  "due = now() - interval '23 hours'",
		"held":   "due = now() - interval '2 days', until = now() + interval '1 minute'",
		"known":  "due = now() - interval '2 days'",
		"left":   "due = now() - interval '2 days'",
		"polled": "due = now() - interval '2 days', until = now() - interval '1 hour'",
	} {
		_, err := s.pool.Exec(t.Context(), "UPDATE popfetch.turn SET "+set+" WHERE account = (SELECT id FROM popfetch.account WHERE name = $1)", name)
		if err != nil {
			t.Fatal(err)
		}
	}
	scheduled := func() []string {
		rows, err := s.pool.Query(t.Context(), "SELECT name FROM popfetch.account JOIN popfetch.turn ON account = id WHERE due < 'infinity' ORDER BY name")
		if err != nil {
			t.Fatal(err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if err := s.Retire(t.Context(), []string{"known"}); err != nil {
		t.Fatal(err)
	}
	if got, want := scheduled(), []string{"fresh", "held", "known", "polled"}; !slices.Equal(got, want) {
		t.Errorf("scheduled are %v, want %v", got, want)
	}
	if err := s.Retire(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got, want := scheduled(), []string{"fresh", "held", "polled"}; !slices.Equal(got, want) {
		t.Errorf("scheduled are %v, want %v", got, want)
	}
	if err := s.Schedule(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
	if got := scheduled(); len(got) != len(accounts) {
		t.Errorf("scheduled again are %v, want all", got)
	}
}
