package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// parseMetrics reads a metrics file as Prometheus does.
func parseMetrics(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return families
}

// meteredAccounts are accounts with all kinds of histories and names.
func meteredAccounts() []accountState {
	at := time.UnixMilli(1709208000250)
	var worked, failed seen.History
	for _, took := range []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 2 * time.Second, 2 * time.Hour} {
		worked.Note(seen.RunNote{At: at, Took: took, Verdict: seen.Succeeded, Delivered: 2, Octets: 1 << 40, Deleted: 1, Maildrop: &seen.MaildropNote{Listed: 7}})
	}
	failed.Note(seen.RunNote{At: at, Took: time.Second, Status: exitNoPerm})
	return []accountState{
		{shownAccount: shownAccount{name: "work"}, history: worked, quarantined: 3},
		{shownAccount: shownAccount{name: `a "b" \ c` + "\n" + "é"}, history: failed, refusals: 2},
		{shownAccount: shownAccount{name: "never"}},
	}
}

func TestMetrics_text(t *testing.T) {
	text := metricsText(meteredAccounts())
	families := parseMetrics(t, text)
	values := func(name string) (all []float64) {
		for _, m := range families[name].GetMetric() {
			all = append(all, m.GetGauge().GetValue()+m.GetCounter().GetValue())
		}
		return all
	}
	for name, want := range map[string][]float64{
		"popfetch_up": {1, 0, 0},
		"popfetch_last_success_timestamp_seconds": {1709208000.25, 0, 0},
		"popfetch_last_error_timestamp_seconds":   {0, 1709208000.25, 0},
		"popfetch_delivered_total":                {8, 0, 0},
		"popfetch_delivered_octets_total":         {1 << 42, 0, 0},
		"popfetch_deleted_total":                  {4, 0, 0},
		"popfetch_quarantined":                    {3, 0, 0},
		"popfetch_listed":                         {7, 0, 0},
		"popfetch_refused_logins":                 {0, 2, 0},
	} {
		if got := values(name); !slices.Equal(got, want) {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if len(families) != len(metricFamilies) {
		t.Errorf("there are %d families, want %d", len(families), len(metricFamilies))
	}
	runs := families["popfetch_run_seconds"].GetMetric()
	h := runs[0].GetHistogram()
	if h.GetSampleCount() != 4 || h.GetSampleSum() != 7202.15 {
		t.Errorf("%d runs took %v seconds", h.GetSampleCount(), h.GetSampleSum())
	}
	var buckets []string
	for _, b := range h.GetBucket() {
		buckets = append(buckets, fmt.Sprint(b.GetUpperBound(), ":", b.GetCumulativeCount()))
	}
	if got, want := strings.Join(buckets, " "), "0.1:2 0.3:2 1:2 3:3 10:3 30:3 60:3 180:3 600:3 1800:3 3600:3 +Inf:4"; got != want {
		t.Errorf("buckets = %s, want %s", got, want)
	}
	if got := runs[1].GetLabel()[0].GetValue(); got != "a \"b\" \\ c\né" {
		t.Errorf("the label is %q", got)
	}
}

// Prometheus' own tool finds nothing to complain about.
func TestMetrics_promtool(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		if os.Getenv("POPFETCH_TEST_PROMTOOL") != "" {
			t.Fatal(err)
		}
		t.Skip("promtool is not installed")
	}
	cmd := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(metricsText(meteredAccounts()))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics = %v: %s", err, out)
	}
}

// Whoever reads the file at any moment gets it whole. A write that fails leaves the old one.
func TestReplaceFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.prom")
	text := metricsText(meteredAccounts())
	if err := replaceFile(path, text); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	go func() {
		defer done.Store(true)
		for range 300 {
			if err := replaceFile(path, text); err != nil {
				t.Error(err)
			}
		}
	}()
	for reads := 0; !done.Load() || reads == 0; reads++ {
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Fatalf("read %d octets of %d, %v", len(got), len(text), err)
		}
	}
	link := filepath.Join(t.TempDir(), "link.prom")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(link, "new\n"); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link became %v, %v", info.Mode(), err)
	}
	if got, _ := os.ReadFile(path); string(got) != "new\n" {
		t.Errorf("the file that the link leads to has %q", got)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("%v, %v are left, want one file", files, err)
	}
	if err := replaceFile(os.DevNull, "x"); err == nil {
		t.Error("a device was replaced")
	}
}

// A popfetch that keeps polling writes the file after its passes, and once more at its end.
func TestMetrics_polling(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(1, 500), `interval = "1s"`)
	path := filepath.Join(a.dir, "metrics.prom")
	c := a.command(t, "--metrics-file", path)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	runs := func() int {
		text, err := os.ReadFile(path)
		if err != nil {
			return 0
		}
		return int(parseMetrics(t, string(text))["popfetch_run_seconds"].GetMetric()[0].GetHistogram().GetSampleCount())
	}
	for deadline := time.Now().Add(time.Minute); runs() < 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the file tells of %d runs", runs())
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitEnd(t, c, at, 0)
	if runs() < 3 {
		t.Errorf("the last file tells of %d runs", runs())
	}
}

// If the file cannot be written, a popfetch that keeps polling says so once, and ends with 74.
func TestMetrics_pollingInVain(t *testing.T) {
	t.Parallel()
	a := newAccount(t, poptest.Numbered(1, 500), `interval = "1s"`)
	c := a.command(t, "--metrics-file", filepath.Join(a.dir, "missing", "metrics.prom"))
	said := new(bytes.Buffer)
	c.Stderr = said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); a.Count("QUIT") < 4; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("there were %d sessions", a.Count("QUIT"))
		}
	}
	at := time.Now()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitEnd(t, c, at, exitIO)
	if n := strings.Count(said.String(), "the metrics file cannot be written"); n != 1 || a.delivered(t) != 1 {
		t.Errorf("it was told %d times, and %d messages came: %s", n, a.delivered(t), said)
	}
}
