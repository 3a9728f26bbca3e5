package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// metric is one family of the metrics file.
type metric struct {
	name, kind, help string
	value            func(*accountState) float64 // of one account; nil: it is a histogram
}

// metricFamilies are what the metrics file has. The names are part of the contract.
var metricFamilies = []metric{
	{"popfetch_up", "gauge", "Whether the last run of the account succeeded (1) or not (0).",
		func(a *accountState) float64 {
			if a.history.SucceededAt.IsZero() || a.fails() {
				return 0
			}
			return 1
		}},
	{"popfetch_last_success_timestamp_seconds", "gauge", "When a run of the account last succeeded; 0: never.",
		func(a *accountState) float64 {
			return secondsOf(a.history.SucceededAt)
		}},
	{"popfetch_last_error_timestamp_seconds", "gauge", "When a run of the account last failed; 0: never.",
		func(a *accountState) float64 {
			return secondsOf(a.history.Error.At)
		}},
	{"popfetch_delivered_total", "counter", "Messages that were delivered.",
		func(a *accountState) float64 {
			return float64(a.history.Total.Delivered)
		}},
	{"popfetch_delivered_octets_total", "counter", "Octets of the messages that were delivered.",
		func(a *accountState) float64 {
			return float64(a.history.Total.Octets)
		}},
	{"popfetch_deleted_total", "counter", "Messages that were deleted on the server.",
		func(a *accountState) float64 {
			return float64(a.history.Total.Deleted)
		}},
	{"popfetch_quarantined", "gauge", "Messages on the server that are quarantined.",
		func(a *accountState) float64 {
			return float64(a.quarantined)
		}},
	{"popfetch_listed", "gauge", "Messages that the server listed last.",
		func(a *accountState) float64 {
			return float64(a.history.Maildrop.Listed)
		}},
	{"popfetch_run_seconds", "histogram", "How long the runs of the account took.", nil},
	{"popfetch_refused_logins", "gauge", "Log-ins that the server refused in a row.",
		func(a *accountState) float64 {
			return float64(a.refusals)
		}},
}

func secondsOf(t time.Time) float64 { return float64(seen.Millis(t)) / 1000 }

// metricsText writes the accounts in Prometheus' text format, version 0.0.4.
func metricsText(all []accountState) string {
	var text strings.Builder
	for _, m := range metricFamilies {
		fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s %s\n", m.name, m.help, m.name, m.kind)
		for i := range all {
			label := `account="` + labelText.Replace(all[i].name) + `"`
			if m.value != nil {
				fmt.Fprintf(&text, "%s{%s} %s\n", m.name, label, number(m.value(&all[i])))
			} else {
				writeHistogram(&text, m.name, label, &all[i].history)
			}
		}
	}
	return text.String()
}

var labelText = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// writeHistogram writes how long runs took. Each bucket counts those below its bound too.
func writeHistogram(text *strings.Builder, name, label string, h *seen.History) {
	count := 0
	for i, n := range h.Durations {
		count += n
		bound := "+Inf"
		if i < len(seen.DurationBounds) {
			bound = number(seen.DurationBounds[i].Seconds())
		}
		fmt.Fprintf(text, "%s_bucket{%s,le=\"%s\"} %d\n", name, label, bound, count)
	}
	took := float64(h.Total.Took.Milliseconds()) / 1000
	fmt.Fprintf(text, "%s_sum{%s} %s\n%s_count{%s} %d\n", name, label, number(took), name, label, count)
}

// metricsMode lets others read the file, which is the sense of it.
const metricsMode = 0o644

// replaceFile gives a file a new content. Whoever reads it gets the old or the new one as a whole.
// It is not synced: after a power cut a file of long ago would be as wrong as none.
func replaceFile(path, text string, mode fs.FileMode) error {
	if isStream(path) {
		return fmt.Errorf("%s is no plain file", path)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no plain file", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// isStream reports whether a path names what is open already, such as /dev/stdout. A file behind it
// must not be replaced: others go on writing to it.
func isStream(path string) bool {
	return filepath.Dir(path) == "/dev" || strings.HasPrefix(path, "/dev/fd/") ||
		strings.HasPrefix(path, "/proc/")
}

// metricsWriter writes the metrics file of a command that fetches. Its methods may be called at the
// same time. A nil one does nothing.
type metricsWriter struct {
	path   string
	ctx    context.Context
	store  seen.Store
	failed func(error) // is told the first of several errors in a row
	guard  func()      // is deferred by the goroutine of the timer

	mu       sync.Mutex
	own      func() string // the text of a worker, which tells of itself; nil: the file tells of accounts
	accounts []shownAccount
	timer    *time.Timer // of a write that is due; nil: none is
	next     time.Time   // not before then
	failing  bool
}

const (
	// metricsPause is the shortest time between two writes.
	metricsPause = time.Second
	// metricsShare limits the part of the time in which the file is written, for very many accounts.
	metricsShare = 20
)

// metricsFor returns the writer for --metrics-file, or nil.
func (p *program) metricsFor(ctx context.Context, s *setting, store seen.Store, failed func(error)) (*metricsWriter, error) {
	if p.metricsFile == "" {
		return nil, nil //nolint:nilnil // a nil writer does nothing
	}
	path, err := pathOf("metrics-file", p.metricsFile)
	if err != nil {
		return nil, err
	}
	return &metricsWriter{path: path, ctx: context.WithoutCancel(ctx), store: store,
		accounts: s.metered(), failed: failed, guard: p.guard}, nil
}

// metered returns the accounts that the metrics file tells of: all that are in use, whichever a
// command line names.
func (s *setting) metered() (accounts []shownAccount) {
	for i := range s.Accounts {
		if a := &s.Accounts[i]; s.oneShot {
			accounts = append(accounts, shownAccount{a.Name, stateName(a), a})
		} else if a.Enabled {
			accounts = append(accounts, shownAccount{a.Name, a.Name, a})
		}
	}
	return accounts
}

// use has the file tell of the accounts of another setting, soon and from then on.
func (m *metricsWriter) use(s *setting) {
	if m == nil {
		return
	}
	m.mu.Lock()
	m.accounts = s.metered()
	m.mu.Unlock()
	m.changed()
}

// changed has the file written soon.
func (m *metricsWriter) changed() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timer == nil {
		m.timer = time.AfterFunc(time.Until(m.next), func() {
			defer m.guard()
			m.write()
		})
	}
}

// end writes the file a last time.
func (m *metricsWriter) end() {
	if m != nil {
		m.write()
	}
}

func (m *metricsWriter) write() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
	began := time.Now()
	var err error
	if m.own != nil {
		err = writeMetricsText(m.path, m.own())
	} else {
		err = writeMetrics(m.ctx, m.path, m.store, m.accounts)
	}
	m.next = time.Now().Add(max(metricsPause, metricsShare*time.Since(began)))
	if err != nil && !m.failing {
		m.failed(err)
	}
	m.failing = err != nil
}

func writeMetrics(ctx context.Context, path string, store seen.Store, accounts []shownAccount) error {
	states := &stateReader{store: store, now: time.Now(), brief: true}
	all, err := states.readAll(ctx, accounts)
	var shared *sharing
	if err == nil {
		shared, err = readSharing(ctx, store, accounts)
	}
	if err != nil {
		return fmt.Errorf("the metrics file cannot be written: %w", err)
	}
	text := metricsText(all)
	if shared != nil {
		text += figuresText("", sharingFigures(shared))
	}
	return writeMetricsText(path, text)
}

func writeMetricsText(path, text string) error {
	if err := replaceFile(path, text, metricsMode); err != nil {
		return fmt.Errorf("the metrics file cannot be written: %w", err)
	}
	return nil
}

// withMetrics writes the metrics file for a command that shows the state.
func (p *program) withMetrics(ctx context.Context, s *shownSetting, store seen.Store, outcome error) error {
	path, err := pathOf("metrics-file", p.metricsFile)
	if err != nil {
		return err
	}
	accounts := s.metered()
	if !s.configured {
		for _, a := range s.known {
			accounts = append(accounts, shownAccount{a.Name, a.Name, nil})
		}
	}
	if err := writeMetrics(ctx, path, store, accounts); err != nil {
		p.term.errorf("%v", err)
		return withStatus(outcome, exitIO)
	}
	return outcome
}
