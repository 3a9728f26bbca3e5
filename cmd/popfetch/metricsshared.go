package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/popfetch/popfetch/internal/worker"
	"github.com/popfetch/popfetch/seen/postgres"
)

// figure is one number of the metrics file that is not about an account. The names are part of the
// contract.
type figure struct {
	name, kind, help string
	value            float64
}

// figuresText writes figures in Prometheus' text format. labels are all in braces, or "".
func figuresText(labels string, figures []figure) string {
	var text strings.Builder
	for _, f := range figures {
		fmt.Fprintf(&text, "# HELP %[1]s %[2]s\n# TYPE %[1]s %[3]s\n%[1]s%[4]s %[5]s\n", f.name, f.help, f.kind, labels, number(f.value))
	}
	return text.String()
}

// sharingFigures are what the metrics file has of a database beside the accounts.
func sharingFigures(s *sharing) []figure {
	w := &s.work
	figures := []figure{
		{"popfetch_workers", "gauge", "Workers that have noted themselves within 30 seconds.", float64(s.alive())},
		{"popfetch_silent_workers", "gauge", "Workers that have not, within a day, and did not end properly.", float64(len(s.workers) - s.alive())},
		{"popfetch_scheduled", "gauge", "Accounts that workers poll.", float64(w.Scheduled)},
		{"popfetch_at_work", "gauge", "Accounts that are at work.", float64(w.Held)},
		{"popfetch_due", "gauge", "Accounts that wait for a worker.", float64(w.Due)},
		{"popfetch_overdue", "gauge", "Accounts that have waited for a worker for more than a minute.", float64(w.Late)},
		{"popfetch_left_alone", "gauge", "Accounts that workers leave alone, because they were not given back three times in a row.", float64(w.Resting)},
		{"popfetch_oldest_overdue_seconds", "gauge", "How long the account has waited for a worker that has waited longest.", roundSeconds(w.Overdue)},
	}
	if n, known := s.intervals(); known {
		figures = append(figures, figure{"popfetch_oldest_overdue_intervals", "gauge", "The same in intervals of that account.", n})
	}
	return figures
}

// figures are what the metrics file of a worker has.
func (t *team) figures() []figure {
	up := 1.0
	if t.away.Load() != nil {
		up = 0
	}
	return append(workerFigures(t.store.Counts(), t.Counts()),
		figure{"popfetch_worker_database_up", "gauge", "Whether the worker can reach the database (1) or not (0).", up},
		figure{"popfetch_worker_jobs", "gauge", "Accounts that the worker has at work at once, at most.", float64(t.atOnce(t.roll.Load().setting))},
		figure{"popfetch_worker_failed_polls_total", "counter", "Polls that have failed.", float64(t.troubled.Load())})
}

// workerFigures are those that the store and the loop of a worker have counted.
func workerFigures(c postgres.Counts, here worker.Counts) []figure {
	return []figure{
		{"popfetch_worker_at_work", "gauge", "Accounts that the worker has at work.", float64(here.Working)},
		{"popfetch_worker_claims_total", "counter", "Accounts that the worker has claimed.", float64(c.Claims)},
		{"popfetch_worker_polls_total", "counter", "Accounts that the worker has polled and given back.", float64(c.Polls)},
		{"popfetch_worker_delivered_total", "counter", "Messages that the worker has delivered.", float64(c.Delivered)},
		{"popfetch_worker_late_seconds_total", "counter", "How long after their time accounts were claimed, all added up.", roundSeconds(c.Late)},
		{"popfetch_worker_latest_seconds", "gauge", "The longest of these times since the worker started.", roundSeconds(c.Latest)},
		{"popfetch_worker_lost_leases_total", "counter", "Leases that ended before the account was given back.", float64(c.Lost)},
		{"popfetch_worker_takeovers_total", "counter", "Accounts claimed from a worker that had not given them back.", float64(c.TakeOvers)},
		{"popfetch_worker_renewals_total", "counter", "Statements that renewed all leases.", float64(c.Renewals)},
		{"popfetch_worker_failed_renewals_total", "counter", "Those that failed.", float64(c.Unrenewed)},
		{"popfetch_worker_pool_wait_seconds_total", "counter", "How long statements have waited for a free connection, all added up.", roundSeconds(c.PoolWait)},
	}
}

// metricsEvery is how often a worker writes its metrics if no poll ends, which a monitor would take for
// a worker that stands still.
const metricsEvery = 15 * time.Second

// meter has the metrics file tell of this worker alone: the accounts are those of all workers. stop
// waits for its end.
func (t *team) meter(ctx context.Context) (stop func()) {
	if t.metrics == nil {
		return func() {}
	}
	host, _ := os.Hostname() // "" if it is unknown
	labels := fmt.Sprintf(`{worker="%s",host="%s"}`, labelText.Replace(workerName()), labelText.Replace(host))
	t.metrics.tellOwn(func() string { return figuresText(labels, t.figures()) })
	ctx, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Add(1)
	go func() {
		defer ended.Done()
		defer t.guard()
		for ctx.Err() == nil {
			t.metrics.changed()
			select {
			case <-time.After(metricsEvery):
			case <-ctx.Done():
			}
		}
	}()
	return func() { cancel(); ended.Wait() }
}

// tellOwn has the file tell what own returns from now on.
func (m *metricsWriter) tellOwn(own func() string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own = own
}
