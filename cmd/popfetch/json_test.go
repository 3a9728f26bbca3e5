package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// jsonLog collects the JSON that commands print, to compare it with a golden file.
type jsonLog struct {
	*account
	t    *testing.T
	text strings.Builder
}

// shows runs popfetch with --json. It collects standard output and the exit status.
func (l *jsonLog) shows(args string) {
	l.t.Helper()
	c := l.command(l.t, strings.Fields(args+" --json")...)
	var out bytes.Buffer
	c.Stdout = &out
	status := exitOf(l.t, c.Run())
	fmt.Fprintf(&l.text, "$ popfetch %s --json\n%s(exit status %d)\n\n", args, normalised(out.String()), status)
	l.Wait()
}

// volatile matches the parts that differ from run to run: times, file names, and texts of errors.
var volatile = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`("(?:time|[a-z]+_at)"):"20[0-9T:.-]+Z"`), `$1:TIME`},
	{regexp.MustCompile(`"place":"(?:[^"\\]|\\.)+"`), `"place":PLACE`},
	{regexp.MustCompile(`"text":"(?:[^"\\]|\\.)+"`), `"text":TEXT`},
	{regexp.MustCompile(`"error":"(?:[^"\\]|\\.)+"`), `"error":TEXT`},
}

// normalised replaces the volatile parts. It sorts adjacent events of messages by the messages'
// numbers. Their order may vary: a refusal is reported at once, a delivery when its batch is
// recorded.
func normalised(out string) string {
	lines := strings.SplitAfter(out, "\n")
	numbers := make(map[string]int) // only of lines that are sorted
	for i, line := range lines {
		var e eventLine
		isEvent := json.Unmarshal([]byte(line), &e) == nil
		for _, v := range volatile {
			lines[i] = v.what.ReplaceAllString(lines[i], v.by)
		}
		if isEvent && slices.Contains([]string{"recognised", "delivered", "refused", "quarantined", "skipped"}, e.Event) {
			numbers[lines[i]] = e.Number
		}
	}
	for start := 0; start < len(lines); start++ {
		end := start
		for end < len(lines) && numbers[lines[end]] > 0 {
			end++
		}
		slices.SortStableFunc(lines[start:end], func(a, b string) int { return numbers[a] - numbers[b] })
		start = end
	}
	return strings.Join(lines, "")
}

// useProgram makes the account deliver to a program instead of its Maildir.
func (l *jsonLog) useProgram(command string) {
	l.t.Helper()
	l.replace(l.t, `maildir = "`+l.maildir+`"`, `mda = '''`+command+`'''`)
}

// jsonCase is an account, and the commands whose output is compared.
type jsonCase struct {
	name  string
	lines []string // of the configuration
	show  func(l *jsonLog)
}

var jsonCases = []jsonCase{
	{name: "delivered", show: func(l *jsonLog) {
		l.shows("check")
		l.shows("list")
		l.shows("--once -n")
		l.shows("--once")
		l.shows("list")
		l.shows("seen list")
		l.shows("--once")
	}},
	{name: "deleted", lines: []string{`delete = "delivered"`}, show: func(l *jsonLog) {
		l.shows("--once -n")
		l.shows("--once")
		l.shows("seen list")
	}},
	{name: "deletion-refused", lines: []string{`delete = "delivered"`}, show: func(l *jsonLog) {
		l.lacks("DELE 2")
		l.shows("--once")
		l.shows("seen list")
	}},
	{name: "refused", lines: []string{`quarantine_after = 2`}, show: func(l *jsonLog) {
		l.lacks("RETR 2")
		l.shows("--once")
		l.shows("seen list")
		l.shows("--once")
		l.shows("seen list")
		l.shows("list")
		l.shows("--once -n")
		l.shows("--once")
	}},
	{name: "refused-by-program", lines: []string{`quarantine_after = 2`}, show: func(l *jsonLog) {
		l.useProgram(`cat >/dev/null; test "$POPFETCH_UID" != id-2`)
		l.shows("--once")
		l.shows("--once")
		l.shows("seen list")
	}},
	{name: "skipped", lines: []string{`max_size = 700`}, show: func(l *jsonLog) {
		large := newMail("large")
		large.Content = append(large.Content, bytes.Repeat([]byte("and more\r\n"), 100)...)
		l.Drop("").Add(large)
		l.shows("list")
		l.shows("--once -n")
		l.shows("--once")
		l.shows("--once")
		l.shows("seen list")
	}},
	{name: "left-out", lines: []string{`since = "2026-10-02"`}, show: func(l *jsonLog) {
		l.shows("list")
		l.shows("--once -n")
		l.shows("--once")
		l.shows("--once --uid id-2 --uid gone")
		l.shows("list")
	}},
	{name: "filtered", lines: []string{`filter_headers = 'case "$POPFETCH_UID" in id-1) exit 1;; id-2) exit 2;; esac'`}, show: func(l *jsonLog) {
		l.Drop("").Add(newMail("later"))
		l.shows("--once -n")
		l.shows("--once")
		l.shows("--once -n")
	}},
	{name: "dropped", lines: []string{
		`filter = 'test "$POPFETCH_UID" != id-2 || exit 99; cat'`,
	}, show: func(l *jsonLog) {
		l.shows("--once")
		l.shows("seen list")
	}},
	{name: "marked", lines: []string{`initial = "none"`}, show: func(l *jsonLog) {
		l.shows("--once -n")
		l.shows("--once")
		l.shows("seen list")
	}},
	{name: "recognised", show: func(l *jsonLog) {
		l.mustRun(l.t, 0, "--once")
		removeAll(l.t, l.state())
		l.Drop("").Add(newMail("later"))
		l.shows("--once -n")
		l.shows("--once")
		l.shows("seen list")
	}},
	{name: "moved", show: func(l *jsonLog) {
		l.mustRun(l.t, 0, "--once")
		l.Drop("").SetUIDs(func(i int, _ string) string { return fmt.Sprint("new-", i) })
		l.shows("--once -n")
		l.shows("--once")
		l.shows("seen list")
	}},
	{name: "moved-stop", lines: []string{`new_uids = "stop"`}, show: func(l *jsonLog) {
		l.mustRun(l.t, 0, "--once")
		l.Drop("").SetUIDs(func(i int, _ string) string { return fmt.Sprint("new-", i) })
		l.shows("--once")
	}},
	{name: "vanished", show: func(l *jsonLog) {
		l.mustRun(l.t, 0, "--once")
		l.Drop("").Remove("id-1")
		l.Drop("").Add(newMail("later"))
		l.shows("--once")
		l.shows("seen list")
	}},
	{name: "copies", show: func(l *jsonLog) {
		l.Drop("").SetUIDs(func(int, string) string { return "x" })
		l.shows("--once")
		l.shows("list")
		l.shows("seen list")
	}},
	{name: "unusable", show: func(l *jsonLog) {
		l.answers("UIDL", poptest.Reply([]byte("+OK\r\n1 id-1\r\n2\r\n3 id-3\r\n.\r\n")))
		l.shows("list")
		l.shows("--once")
	}},
	{name: "odd-unique-ids", show: func(l *jsonLog) {
		l.Drop("").SetUIDs(func(i int, _ string) string { return []string{`<&"\'>`, "%41", "\x7f\xff"}[i] })
		l.shows("--once")
		l.shows("seen list")
	}},
	{name: "uidl-refused", show: func(l *jsonLog) {
		l.lacks("UIDL")
		l.shows("--once")
		l.configure(l.t, `uidl = "fallback"`)
		l.shows("--once")
		l.shows("list")
		l.shows("seen list")
	}},
	{name: "login-refused", show: func(l *jsonLog) {
		l.answers("AUTH", poptest.Refuse("[AUTH] no"))
		l.shows("--once")
		l.shows("list")
	}},
	{name: "broken-off", show: func(l *jsonLog) {
		l.answers("RETR 2", poptest.Cut(30))
		l.shows("--once")
		l.shows("seen list")
	}},
	{name: "noted", show: func(l *jsonLog) {
		l.answers("QUIT", poptest.Cut(0))
		l.shows("--once")
	}},
	{name: "seen", show: func(l *jsonLog) {
		l.shows("seen mark work id-1")
		l.shows("seen list")
		l.shows("seen mark work --all")
		l.shows("seen forget work id-2")
		l.shows("--once")
		l.shows("seen list")
		l.shows("seen forget work --all")
		l.shows("seen list")
	}},
}

// TestJSON compares every field that --json prints, for every kind of outcome. With
// POPFETCH_GOLDEN=write it writes the golden files.
func TestJSON(t *testing.T) {
	t.Parallel()
	for _, test := range jsonCases {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := &jsonLog{t: t, account: newAccount(t, poptest.Numbered(3, 500), test.lines...)}
			test.show(l)
			path := filepath.Join("testdata", "json", test.name+".txt")
			if os.Getenv("POPFETCH_GOLDEN") == "write" {
				if err := os.WriteFile(path, []byte(l.text.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			checkLines(t, path, l.text.String(), string(want))
		})
	}
}

// checkLines reports the first line in which got differs from the file at path.
func checkLines(t *testing.T, path, got, want string) {
	t.Helper()
	gotLines, wantLines := strings.SplitAfter(got, "\n"), strings.SplitAfter(want, "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		var g, w string
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if g != w {
			t.Errorf("%s: line %d is\n%swant\n%s", path, i+1, g, w)
			return
		}
	}
}
