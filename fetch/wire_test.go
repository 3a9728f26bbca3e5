package fetch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// wire writes down what runs of one account say on the wire, to be compared with a golden file.
//
// The lines are in the order in which the client sent and read them, so the file also shows which
// commands leave before the reply to an earlier one is read.
type wire struct {
	*rig
	server *poptest.Server
	text   strings.Builder
}

func newWire(t *testing.T, messages ...poptest.Message) *wire {
	t.Helper()
	server := newServer(t, messages...)
	return &wire{rig: newRig(t, server.Addr()), server: server}
}

// deliversFirst is a run that the golden file does not show.
func (w *wire) deliversFirst() {
	w.t.Helper()
	if result := w.run(); result.Err != nil {
		w.t.Fatalf("the run before: %v", result.Err)
	}
}

// shows runs the account once and writes down the dialogue, the outcome and the events.
func (w *wire) shows(title string) {
	w.forget()
	result := w.run()
	fmt.Fprintf(&w.text, "== %s\n", title)
	w.writeDialogue()
	came := outcome(result)
	if came == "" {
		came = "nothing"
	}
	ended := "ended well"
	if result.Err != nil {
		ended = "ended early"
	}
	fmt.Fprintf(&w.text, "-- %s; %s\n", came, ended)
	w.writeEvents()
}

// looks is shows for a look at the account.
func (w *wire) looks(title string) {
	w.t.Helper()
	w.forget()
	survey, err := w.runner.Look(w.t.Context(), &w.account)
	if err != nil {
		w.t.Fatalf("Look() = %v", err)
	}
	fmt.Fprintf(&w.text, "== %s\n", title)
	w.writeDialogue()
	plan := survey.Plan
	fmt.Fprintf(&w.text, "-- %d listed: %d to retrieve, %d to recognise, %d to mark, %d to delete\n",
		len(survey.Listing), plan.Retrieve.Len(), plan.Recognise.Len(), plan.Mark.Len(), plan.Delete.Len())
	w.writeEvents()
}

func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.traced, w.events = nil, nil
}

// noSession is the text of a negative greeting.
const noSession = "[SYS/TEMP] no session now"

// writeDialogue writes what was sent and read; a greeting begins a session. The capabilities that
// a model server announces anyway are left out.
func (w *wire) writeDialogue() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range w.traced {
		said, sent := strings.CutPrefix(line, "true ")
		if sent {
			fmt.Fprintf(&w.text, "C: %s\n", said)
			continue
		}
		said = strings.TrimPrefix(said, "false ")
		if slices.Contains(poptest.DefaultCapabilities(), said) {
			continue
		}
		if strings.HasPrefix(said, "+OK POP3 server ready") || said == "-ERR "+noSession {
			w.text.WriteString("-- connection\n")
		}
		fmt.Fprintf(&w.text, "S: %s\n", said)
	}
}

// writeEvents writes what every event says, apart from times and the words of errors. What became
// of messages of one session is sorted by their numbers: a refusal is told at once, a delivery when
// its batch is recorded.
func (w *wire) writeEvents() {
	w.mu.Lock()
	defer w.mu.Unlock()
	sortFates(w.events)
	for _, e := range w.events {
		fmt.Fprintf(&w.text, "-- event %s", e.Kind)
		if e.Number > 0 {
			fmt.Fprintf(&w.text, ", number %d", e.Number)
		}
		if e.UniqueID != "" {
			fmt.Fprintf(&w.text, ", unique-id %q", e.UniqueID)
		}
		if e.Octets > 0 {
			fmt.Fprintf(&w.text, ", %d octets", e.Octets)
		}
		if e.Messages > 0 {
			fmt.Fprintf(&w.text, ", %d messages", e.Messages)
		}
		if e.Err != nil {
			w.text.WriteString(", with an error")
		}
		if e.Repeated {
			w.text.WriteString(", repeated")
		}
		w.text.WriteString("\n")
	}
	w.text.WriteString("\n")
}

// sortFates sorts each unbroken row of events that tell what became of a message.
func sortFates(events []fetch.Event) {
	isFate := func(e fetch.Event) bool {
		return slices.Contains([]fetch.Kind{fetch.Recognised, fetch.Delivered, fetch.Refused, fetch.Quarantined, fetch.Skipped}, e.Kind)
	}
	for start := 0; start < len(events); start++ {
		end := start
		for end < len(events) && isFate(events[end]) {
			end++
		}
		slices.SortStableFunc(events[start:end], func(a, b fetch.Event) int { return a.Number - b.Number })
		start = end
	}
}

// check compares what was written down with testdata/wire/name.txt.
func (w *wire) check(name string) {
	w.t.Helper()
	w.server.Wait()
	w.server.CheckRules(w.t)
	path := filepath.Join("testdata", "wire", name+".txt")
	got := w.text.String()
	if os.Getenv("POPFETCH_GOLDEN") == "write" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if got != string(want) {
		w.t.Errorf("%s: the runs went otherwise:\n%s", path, goldenDifference(got, string(want)))
	}
}

// goldenDifference shows the first line that differs, with the lines before it.
func goldenDifference(got, want string) string {
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	i := 0
	for i < len(gotLines) && i < len(wantLines) && gotLines[i] == wantLines[i] {
		i++
	}
	at := func(lines []string) string { return strings.Join(lines[min(i, len(lines)):min(i+5, len(lines))], "\n") }
	return fmt.Sprintf("line %d, behind\n%s\ngot\n%s\nwant\n%s", i+1, strings.Join(gotLines[max(0, i-5):i], "\n"), at(gotLines), at(wantLines))
}

// TestWire checks the order of commands, the outcome and the events of typical runs. With
// POPFETCH_GOLDEN=write it writes the golden files, for a change that is intended. git diff then
// shows the difference.
func TestWire(t *testing.T) {
	t.Parallel()
	for _, scenes := range []map[string]func(t *testing.T) *wire{firstRuns, laterRuns, oddRuns, furtherSessions, moreSessions} {
		for name, scene := range scenes {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				scene(t).check(name)
			})
		}
	}
}

// TestWire_files finds golden files that no test compares any more.
func TestWire_files(t *testing.T) {
	t.Parallel()
	for _, name := range filesIn(t, filepath.Join("testdata", "wire")) {
		name = strings.TrimSuffix(name, ".txt")
		known := false
		for _, scenes := range []map[string]func(t *testing.T) *wire{firstRuns, laterRuns, oddRuns, furtherSessions, moreSessions} {
			_, ok := scenes[name]
			known = known || ok
		}
		if !known {
			t.Errorf("no test compares testdata/wire/%s.txt", name)
		}
	}
}
