package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/internal/worker"
	"github.com/popfetch/popfetch/seen/postgres"
)

// figuresIn returns the numbers of a metrics file that has no account.
func figuresIn(t *testing.T, text string) map[string]float64 {
	t.Helper()
	values := make(map[string]float64)
	for name, family := range parseMetrics(t, text) {
		for _, m := range family.GetMetric() {
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

// The metrics file of a worker tells of this worker alone, also while its database is away.
func TestWorker_metrics(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	c := newCrewAt(t, server.Database(t), 3, `interval = "1s"`)
	hook(c.servers["a02"], on("UIDL", poptest.Refuse("not now")))
	c.mail("one")
	file := filepath.Join(t.TempDir(), "worker.prom")
	s := c.stay("worker", "--metrics-file", file)
	values := make(map[string]float64)
	read := func() map[string]float64 {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil
		}
		if !strings.Contains(string(text), fmt.Sprintf(`(process %d)"`, s.Process.Pid)) || strings.Contains(string(text), "account=") {
			t.Errorf("the file has\n%s", text)
		}
		values = figuresIn(t, string(text))
		return values
	}
	eventually(t, "polls are in the file", func() bool {
		read()
		return values["popfetch_worker_polls_total"] >= 4 && values["popfetch_worker_failed_polls_total"] > 0
	})
	for name, want := range map[string]float64{
		"popfetch_worker_database_up": 1, "popfetch_worker_jobs": 20, "popfetch_worker_delivered_total": 2,
		"popfetch_worker_takeovers_total": 0, "popfetch_worker_lost_leases_total": 0,
	} {
		if values[name] != want {
			t.Errorf("%s = %v, want %v", name, values[name], want)
		}
	}
	if values["popfetch_worker_claims_total"] < values["popfetch_worker_polls_total"] {
		t.Errorf("there are more polls than claims: %v", values)
	}
	server.Stop(syscall.SIGQUIT)
	eventually(t, "the file says that the database is away", func() bool { return read() != nil && values["popfetch_worker_database_up"] == 0 })
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file says that it is back", func() bool { return read()["popfetch_worker_database_up"] == 1 })
	s.tell(syscall.SIGTERM)
	waitEnd(t, s.Cmd, time.Now(), 0)
}

// Each metric is in the documentation.
func TestMetrics_documented(t *testing.T) {
	page, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	workers := &sharing{workers: make([]postgres.Worker, 2), interval: time.Minute}
	workers.work.Overdue = 90 * time.Second
	text := figuresText("", sharingFigures(workers))
	values := figuresIn(t, text)
	if values["popfetch_oldest_overdue_intervals"] != 1.5 || values["popfetch_workers"] != 2 {
		t.Errorf("the figures are\n%s", text)
	}
	names := slices.Collect(maps.Keys(values))
	for _, m := range metricFamilies {
		names = append(names, m.name)
	}
	for _, f := range workerFigures(postgres.Counts{}, worker.Counts{}) {
		names = append(names, f.name)
	}
	for _, name := range names {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/monitoring.md lacks %s", name)
		}
	}
}
