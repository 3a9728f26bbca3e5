package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/screen"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// statusNow is the time at which the accounts of the tests are looked at.
var statusNow = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// historyUntil makes the history of a run with each verdict, so long before statusNow.
func historyUntil(verdicts map[time.Duration]seen.Verdict) (h seen.History) {
	for _, before := range []time.Duration{100 * time.Hour, 3 * time.Hour, 2 * time.Hour, time.Hour, time.Minute, -time.Hour} {
		if verdict, ok := verdicts[before]; ok {
			run := seen.RunNote{At: statusNow.Add(-before), Verdict: verdict}
			if verdict != seen.Succeeded {
				run.Status, run.Code, run.Text = exitNoPerm, "login/refused", "login: wrong password"
			}
			h.Note(run)
		}
	}
	return h
}

// TestStatus_maxAge checks the exit status that a monitor gets, and the line about each account.
func TestStatus_maxAge(t *testing.T) {
	temporary := historyUntil(map[time.Duration]seen.Verdict{3 * time.Hour: seen.Succeeded, 2 * time.Hour: seen.Failed})
	temporary.Error.Status = exitTempFail
	for name, c := range map[string]struct {
		history seen.History
		want    int
		says    string
	}{
		"never polled":        {seen.History{}, exitTempFail, "work: 75: it was never polled"},
		"fresh":               {historyUntil(map[time.Duration]seen.Verdict{time.Minute: seen.Succeeded}), exitOK, "OK: 1 account had a success within 90m"},
		"fresh, fails now":    {historyUntil(map[time.Duration]seen.Verdict{time.Hour: seen.Succeeded, time.Minute: seen.Failed}), exitOK, "OK: "},
		"old, no run since":   {historyUntil(map[time.Duration]seen.Verdict{3 * time.Hour: seen.Succeeded}), exitTempFail, "work: 75: no success for 3 h, and no run either"},
		"old, signals since":  {historyUntil(map[time.Duration]seen.Verdict{3 * time.Hour: seen.Succeeded, time.Minute: seen.Passing}), exitTempFail, "work: 75: no success for 3 h"},
		"old, fails since":    {historyUntil(map[time.Duration]seen.Verdict{3 * time.Hour: seen.Succeeded, time.Minute: seen.Failed}), exitNoPerm, "work: 77: no success for 3 h: login: wrong password"},
		"fails always":        {historyUntil(map[time.Duration]seen.Verdict{time.Minute: seen.Failed}), exitNoPerm, "work: 77: no success yet: login: wrong password"},
		"temporary":           {temporary, exitTempFail, "work: 75: no success for 3 h: login: wrong password"},
		"success in 1 h":      {historyUntil(map[time.Duration]seen.Verdict{-time.Hour: seen.Succeeded}), exitOK, "OK: "},
		"success in 100 days": {seen.History{RanAt: statusNow, SucceededAt: statusNow.AddDate(0, 0, 100)}, exitTempFail, "work: 75: the last success is in the future"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			age := "90m"
			p := &program{term: &terminal{out: &out}, options: options{maxAge: &age}}
			all := []accountState{{shownAccount: shownAccount{name: "work"}, history: c.history}}
			if got := exitStatus(p.showStatus(all, statusNow)); got != c.want || !strings.HasPrefix(out.String(), c.says) {
				t.Errorf("status %d, %q, want %d, %q", got, out.String(), c.want, c.says)
			}
		})
	}
}

// The most urgent fault decides, and a manual account counts only if it is named.
func TestStatus_maxAgeOfSeveral(t *testing.T) {
	age := "90m"
	all := []accountState{
		{shownAccount: shownAccount{name: "work", config: &config.Account{Interval: time.Minute}}, history: historyUntil(map[time.Duration]seen.Verdict{time.Minute: seen.Failed})},
		{shownAccount: shownAccount{name: "home", config: &config.Account{Interval: time.Minute}}},
		{shownAccount: shownAccount{name: "by hand", config: &config.Account{}}},
	}
	for words, want := range map[string]string{"": "work home", "by hand": "work home by hand"} {
		var out bytes.Buffer
		p := &program{term: &terminal{out: &out}, options: options{maxAge: &age}}
		if words != "" {
			p.words = []string{words}
		}
		got := exitStatus(p.showStatus(all, statusNow))
		var names []string
		for line := range strings.Lines(out.String()) {
			name, _, _ := strings.Cut(line, ":")
			names = append(names, name)
		}
		if got != exitNoPerm || strings.Join(names, " ") != want {
			t.Errorf("%q: status %d of %q, want %d of %q", words, got, names, exitNoPerm, want)
		}
	}
}

// TestStatus_table looks at a table on terminals of several widths. No line is wider.
func TestStatus_table(t *testing.T) {
	due := 5
	failing := historyUntil(map[time.Duration]seen.Verdict{100 * time.Hour: seen.Succeeded, 3 * time.Hour: seen.Failed, time.Minute: seen.Failed})
	failing.NextAt = statusNow.Add(4 * time.Minute)
	over := historyUntil(map[time.Duration]seen.Verdict{3 * time.Hour: seen.Failed, time.Minute: seen.Succeeded})
	over.MaildropAt, over.Maildrop, over.NextAt = statusNow, seen.MaildropNote{Listed: 12, Backlog: 7}, statusNow.Add(-time.Hour)
	over.Days = []seen.Day{{Date: seen.DateOf(statusNow.AddDate(0, 0, -13)), Delivered: 1}, {Date: seen.DateOf(statusNow), Delivered: 100}}
	all := []accountState{
		{shownAccount: shownAccount{name: "alice@example.org"}, history: failing, leftAlone: statusNow.Add(time.Hour)},
		{shownAccount: shownAccount{name: "работа"}, history: over, quarantined: 2, due: &due, holder: &seen.LockedError{Process: 4711, Since: statusNow.Add(-time.Minute)}},
		{shownAccount: shownAccount{name: "new\x1b[2J"}},
	}
	for _, columns := range []int{0, 40, 80, 200} {
		var out bytes.Buffer
		p := &program{term: &terminal{out: &out, columns: columns, unicode: true}}
		if err := p.showStatus(all, statusNow); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if w := screen.Width(strings.TrimRight(line, "\n")); columns > 0 && w > columns {
				t.Errorf("at %d columns a line has %d: %s", columns, w, line)
			}
		}
		for _, want := range []string{"4711", "77:", "password", "2 quarantined", "due", "left"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("at %d columns %q is missing in\n%s", columns, want, out.String())
			}
		}
		if bars := map[bool]string{true: " ▂▁▁▁▁▁▁▁▁▁▁▁▁█", false: " ▁▁▁▁▁▁█"}[columns >= 80]; columns > 0 && !strings.Contains(out.String(), bars) {
			t.Errorf("the sparkline is missing in\n%s", out.String())
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Error("a name was not escaped")
		}
		t.Logf("%d columns:\n%s", columns, out.String())
	}
}

func TestSpark(t *testing.T) {
	day := func(ago, delivered int) seen.Day {
		return seen.Day{Date: seen.DateOf(statusNow).AddDate(0, 0, -ago), Delivered: delivered}
	}
	for want, days := range map[string][]seen.Day{
		"▁▁▁▁▁▁▁▁▁▁▁▁▁▁": nil,
		"▁▁▁▁▁▁▁▁▁▁▁▁▁█": {day(0, 1)},
		"█▁▁▁▁▁▁▁▁▁▁▁▂▅": {day(20, 999), day(14, 999), day(13, 7), day(1, 1), day(0, 4), day(-1, 999)},
		"▁▁▁▁▁▁▁▁▁▁▁▁█▂": {day(1, 100_000), day(0, 1)},
	} {
		if got := spark(days, statusNow, true); got != want {
			t.Errorf("spark(%v) = %s, want %s", days, got, want)
		}
	}
	if got, want := spark([]seen.Day{day(13, 7), day(0, 1)}, statusNow, false), "70000000000001"; got != want {
		t.Errorf("spark() without Unicode = %s, want %s", got, want)
	}
}

// A thousand accounts are shown, one line each. The log tells how long that took.
func TestStatus_thousandAccounts(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes a thousand accounts")
	}
	const accounts = 1000
	dir := t.TempDir()
	store, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var file strings.Builder
	fmt.Fprintf(&file, "state_dir = %q\n", dir)
	for i := range accounts {
		name := fmt.Sprint("account", i)
		fmt.Fprintf(&file, "[account.%s]\nserver = \"pop.example.org\"\nuser = %q\npassword = \"x\"\nmaildir = \"Mail/%s\"\n", name, name, name)
		if _, err := store.Enter(t.Context(), name, "pop.example.org:995", name); err != nil {
			t.Fatal(err)
		}
		for day := range 3 {
			run := seen.RunNote{At: time.Now().AddDate(0, 0, -day), Verdict: seen.Succeeded, Delivered: day, Sizes: seen.Sizes{12: day}, Maildrop: &seen.MaildropNote{Listed: day}}
			if err := store.NoteRun(t.Context(), name, run); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	began := time.Now()
	args := []string{"popfetch", "status", "--config", path}
	status := run(t.Context(), args, &terminal{out: &out, err: &out})
	if lines := strings.Count(out.String(), "\n"); status != exitOK || lines != accounts {
		t.Errorf("status %d, %d lines, want %d, %d", status, lines, exitOK, accounts)
	}
	t.Logf("%d accounts: %v", accounts, time.Since(began))
}

// A first run may take hours. A monitor is told that it is at work.
func TestTooOld_atWork(t *testing.T) {
	now := time.UnixMilli(1709208000000)
	ago := now.Add(-2 * time.Hour)
	ran, worked := seen.History{RanAt: ago}, seen.History{RanAt: ago, SucceededAt: ago}
	atWork := new(seen.LockedError)
	for want, a := range map[string]accountState{
		"75: it was never polled":                   {},
		"75: the first run is at work":              {holder: atWork},
		"75: no success for 2 h, and no run either": {history: worked},
		"75: no success for 2 h, a run is at work":  {holder: atWork, history: worked},
		"75: no success yet, and no run either":     {history: ran},
	} {
		if got := a.tooOld(time.Hour, now); got != want {
			t.Errorf("tooOld() = %q, want %q", got, want)
		}
	}
}
