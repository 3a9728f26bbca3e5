package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
)

// BenchmarkTurn measures a claim and an end, for each account: without a bound of hosts and with
// one, and with many accounts that are due, but whose host is at its bound.
func BenchmarkTurn(b *testing.B) {
	const accounts, hosts, free = 50_000, 200, 50
	url := pgtest.Database(b)
	s := openAs(b, url, "first", time.Minute)
	scheduled := make([]Scheduled, accounts)
	for i := range scheduled {
		scheduled[i] = Scheduled{Account: fmt.Sprintf("account%06d", i), Host: fmt.Sprintf("host%d.example", i%hosts)}
	}
	if err := s.Schedule(b.Context(), scheduled); err != nil {
		b.Fatal(err)
	}
	exec := func(sql string) {
		if _, err := s.pool.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	turns := func(b *testing.B, bound int) {
		var before, after int64
		exec("VACUUM ANALYZE popfetch.turn")
		wal := func(n *int64) {
			if err := s.pool.QueryRow(b.Context(), "SELECT pg_current_wal_insert_lsn() - '0/0'").Scan(n); err != nil {
				b.Fatal(err)
			}
		}
		wal(&before)
		var claiming time.Duration
		claims, n := 0, 0
		for b.Loop() {
			began := time.Now()
			got, err := s.Claim(b.Context(), Claiming{Free: free, Hosts: bound})
			if err != nil || len(got) == 0 {
				b.Fatal(got, err)
			}
			claiming += time.Since(began)
			claims++
			for _, t := range got {
				if err := t.End(b.Context(), Next{In: time.Hour}); err != nil {
					b.Fatal(err)
				}
				n++
			}
		}
		wal(&after)
		b.ReportMetric(float64(after-before)/float64(n), "WAL-B/turn")
		b.ReportMetric(float64(claiming.Microseconds())/float64(claims), "µs/claim")
		b.ReportMetric(float64(n)/float64(claims), "turns/claim")
	}
	exec("UPDATE popfetch.turn SET due = now() + interval '1 h' WHERE account > 5000")
	b.Run("few due", func(b *testing.B) { turns(b, 0) })
	exec("UPDATE popfetch.turn SET due = now() - interval '1 h' WHERE account < 5000")
	b.Run("few due, bound", func(b *testing.B) { turns(b, 10) })
	exec("UPDATE popfetch.turn SET due = now() - interval '1 h'")
	b.Run("all due", func(b *testing.B) { turns(b, 0) })
	b.Run("all due, bound", func(b *testing.B) { turns(b, 10) })
	exec("UPDATE popfetch.turn SET due = now() - interval '2 h', host = 'host0.example' WHERE account % 2 = 0")
	exec("UPDATE popfetch.turn SET holder = 'x', until = now() + interval '1 h' WHERE account < 21 AND host = 'host0.example'")
	b.Run("host at its bound", func(b *testing.B) { turns(b, 10) })
}
