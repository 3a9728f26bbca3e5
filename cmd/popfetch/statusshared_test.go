package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/postgres"
)

// fillShared makes accounts with a history of two weeks, a standing, and some records, by SQL.
func fillShared(tb testing.TB, url string, accounts, records int) {
	tb.Helper()
	store, err := postgres.Open(tb.Context(), postgres.Options{URL: url, Worker: "filler", Process: 1})
	if err == nil {
		err = store.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	for _, statement := range []string{
		fmt.Sprintf(`INSERT INTO popfetch.account (name, server, username, since, listed, finished_at)
			SELECT 'a' || to_char(i, 'FM00000'), 'pop.example.org:995', 'u' || i, 1, 10, 1 FROM generate_series(1, %d) AS i`, accounts),
		`INSERT INTO popfetch.turn (account, due, host) SELECT id, now() + (id %% 600 - 60) * interval '1 s', 'pop.example.org' FROM popfetch.account`,
		`INSERT INTO popfetch.history (account, ran_at, succeeded_at, error_at, error_since, error_status, error_code, error_text, maildrop_at,
			listed, backlog, quarantined, runs, failed, delivered, octets, deleted, refused, took, durations)
			SELECT id, now.ms, now.ms, 0, 0, 0, '', '', now.ms, 10, 0, 0, 1000, 0, 500, 100000, 0, 0, 60000, '[1,2,3]'
			FROM popfetch.account, (SELECT extract(epoch FROM now())::bigint * 1000 AS ms) AS now`,
		`INSERT INTO popfetch.history_day (account, day, runs, failed, delivered, octets, deleted, quarantined, largest, took, longest, sizes, durations, errors)
			SELECT a.id, extract(epoch FROM now())::bigint / 86400 - d, 100, 0, d, 1000, 0, 0, 100, 1000, 100, '[]', '[1,2,3]', '{}'
			FROM popfetch.account AS a, generate_series(0, 13) AS d`,
		fmt.Sprintf(`INSERT INTO popfetch.seen (account, listed, delivered_at, deleted_at, octets, copy, kind, unique_id, digest, sha256, places)
			SELECT a.id, 100, 1, 0, 100, 0, 1, ('id-' || i)::bytea, '', '', '' FROM popfetch.account AS a, generate_series(1, %d) AS i`, records),
		"VACUUM ANALYZE",
	} {
		if err := pgtest.ExecIn(url, strings.ReplaceAll(statement, "%%", "%")); err != nil {
			tb.Fatalf("%v in %s", err, statement)
		}
	}
}

// BenchmarkReadAll_shared reads what status shows of 10,000 accounts: many at once, and, to compare, one
// after the other.
func BenchmarkReadAll_shared(b *testing.B) {
	url := pgtest.Database(b)
	fillShared(b, url, 10_000, 10)
	store, err := postgres.OpenExisting(b.Context(), postgres.Options{URL: url, Worker: "reader", Process: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	var accounts []shownAccount
	for i := range 10_000 {
		name := fmt.Sprintf("a%05d", i+1)
		accounts = append(accounts, shownAccount{name, name, nil})
	}
	for name, from := range map[string]seen.Store{"many at once": &sharedStore{Store: store}, "one by one": store} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				states := &stateReader{store: from, now: time.Now(), days: sparkDays}
				if all, err := states.readAll(b.Context(), accounts); err != nil || len(all[0].history.Days) != sparkDays {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStatus_shared measures popfetch status with 10,000 accounts in a database, as a process of
// its own. "due" also counts the messages that are due for deletion.
func BenchmarkStatus_shared(b *testing.B) {
	const accounts = 10_000
	url := pgtest.Database(b)
	fillShared(b, url, accounts, 100)
	for _, c := range []struct{ name, line, args string }{
		{"config", "", "config --check"},
		{"named", "", "status a00001"},
		{"table", "", "status"},
		{"due", `delete = "30d"`, "status"},
		{"json", "", "status --json"},
		{"metrics", "", "status --max-age 1h --metrics-file metrics.prom"},
		{"log", "", "log"},
	} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			var text strings.Builder
			fmt.Fprintf(&text, "state = %q\n[defaults]\npassword = \"x\"\n%s\n", url, c.line)
			for i := range accounts {
				fmt.Fprintf(&text, "[account.a%05d]\nserver = \"pop.example.org\"\nuser = \"u%d\"\nmaildir = \"/tmp/none/%d\"\n", i+1, i+1, i+1)
			}
			file := filepath.Join(dir, "config.toml")
			if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
				b.Fatal(err)
			}
			var used time.Duration
			for b.Loop() {
				cmd := exec.CommandContext(b.Context(), "popfetch", append(strings.Fields(c.args), "-c", file)...)
				cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v: %.500s", err, out)
				}
				used += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			}
			b.ReportMetric(used.Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}
