package screen_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/screen"
	"github.com/popfetch/popfetch/internal/screen/screentest"
)

const limit = 10 * time.Second

// rig is a screen on a model of a terminal, which can be stopped.
type rig struct {
	*screen.Screen
	t             *testing.T
	model         *screentest.Model
	columns, rows atomic.Int64
	mu            sync.Mutex // held while the terminal is stopped
	broken        error
}

func newRig(t *testing.T, columns, rows int) *rig {
	r := &rig{t: t, model: screentest.New(columns)}
	r.columns.Store(int64(columns))
	r.rows.Store(int64(rows))
	size := func() (int, int) { return int(r.columns.Load()), int(r.rows.Load()) }
	lost := func(texts, troubles int) string { return fmt.Sprintf("lost %d, %d\n", texts, troubles) }
	r.Screen = screen.New(r, size, lost, func() {})
	return r
}

func (r *rig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return 0, r.broken
	}
	return r.model.Write(b)
}

func (r *rig) put(rank screen.Rank, format string, args ...any) {
	r.t.Helper()
	within(r.t, func() {
		if err := r.Put(r, fmt.Sprintf(format, args...), rank); err != nil {
			r.t.Errorf("Put: %v", err)
		}
	})
}

// within fails the test if a call takes too long.
func within(t *testing.T, call func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatal("the call does not return")
	}
}

// shows waits until the terminal shows something.
func (r *rig) shows(want string) {
	r.t.Helper()
	r.wait(fmt.Sprintf("shows\n%q, want\n%q", "%s", want), func() bool { return r.model.String() == want })
}

func (r *rig) wait(what string, until func() bool) {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for over := time.After(limit); !until(); {
		select {
		case <-tick.C:
		case <-over:
			r.t.Fatalf("the terminal "+what, r.model.String())
		}
	}
}

func lines(lines ...string) func(int, int) []string {
	return func(int, int) []string { return lines }
}

// Lines stand above the live lines, whole. At the end, nothing of the live lines is left.
func TestScreen_live(t *testing.T) {
	t.Parallel()
	r := newRig(t, 80, 24)
	r.put(screen.Trouble, "first\n")
	r.Live(lines("bar 1", "bar 2"))
	r.shows("first\nbar 1\nbar 2\n")
	r.put(screen.Trouble, "second, which is longer than a bar\n")
	r.put(screen.News, "third\n")
	r.shows("first\nsecond, which is longer than a bar\nthird\nbar 1\nbar 2\n")
	r.Live(lines("bar 2"))
	r.shows("first\nsecond, which is longer than a bar\nthird\nbar 2\n")
	r.Live(nil)
	within(t, func() { _ = r.Flush() })
	if got, want := r.model.String(), "first\nsecond, which is longer than a bar\nthird\n"; got != want {
		t.Errorf("the terminal shows %q, want %q", got, want)
	}
}

// When the program is to end, no live lines are left.
func TestScreen_ending(t *testing.T) {
	t.Parallel()
	r := newRig(t, 80, 24)
	r.put(screen.Trouble, "first\n")
	r.Live(lines("bar"))
	r.shows("first\nbar\n")
	r.Stop()
	r.shows("first\n")
	r.Live(lines("bar"))
	r.put(screen.Trouble, "second\n")
	within(t, func() { _ = r.Flush() })
	r.shows("first\nsecond\n")
}

// While a person is asked, no live lines are shown.
func TestScreen_question(t *testing.T) {
	t.Parallel()
	r := newRig(t, 80, 24)
	r.Live(lines("bar"))
	r.shows("bar\n")
	r.Ask(r, "Password: ")
	r.shows("Password:\n")
	r.put(screen.Trouble, "\nother\nPassword: ")
	r.shows("Password:\nother\nPassword:\n")
	r.Answered(r, "\n")
	r.shows("Password:\nother\nPassword:\nbar\n")
}

// A terminal that becomes narrower folds the live lines. They go nevertheless, and nothing else.
func TestScreen_narrower(t *testing.T) {
	t.Parallel()
	r := newRig(t, 80, 24)
	r.put(screen.Trouble, "first\n")
	r.Live(func(columns, _ int) []string {
		return []string{strings.Repeat("a", columns-1), strings.Repeat("b", columns-1)}
	})
	r.shows("first\n" + strings.Repeat("a", 79) + "\n" + strings.Repeat("b", 79) + "\n")
	r.mu.Lock()
	r.model.Resize(20)
	r.columns.Store(20)
	r.mu.Unlock()
	r.shows("first\n" + strings.Repeat("a", 19) + "\n" + strings.Repeat("b", 19) + "\n")
	r.rows.Store(2)
	r.shows("first\n" + strings.Repeat("a", 19) + "\n")
	r.rows.Store(1)
	r.shows("first\n")
}

// A stopped terminal holds up nobody. News are dropped first, and the oldest of them.
func TestScreen_stopped(t *testing.T) {
	t.Parallel()
	r := newRig(t, 80, 24)
	r.mu.Lock()
	r.put(screen.Trouble, "error 0\n")
	for i := range 5000 {
		if i == 10 || i == 4000 {
			r.put(screen.Trouble, "error %d\n", i)
		}
		r.put(screen.News, "news %d\n", i)
	}
	r.put(screen.Dialog, "prompt\n")
	r.mu.Unlock()
	within(t, func() { _ = r.Flush() })
	got := strings.Split(strings.TrimSpace(r.model.String()), "\n")
	var kept, lost, after int
	errorsSeen, next := 0, -1
	for _, line := range got {
		var n, m int
		switch {
		case line == "prompt":
		case strings.HasPrefix(line, "error "):
			errorsSeen++
		default:
			if c, _ := fmt.Sscanf(line, "lost %d, %d", &n, &m); c == 2 {
				lost, after = lost+n, kept
				if m != 0 {
					t.Errorf("%d errors were dropped", m)
				}
				next = -1
				continue
			}
			if _, err := fmt.Sscanf(line, "news %d", &n); err != nil || next >= 0 && n != next {
				t.Fatalf("%q stands where news %d was due: %v", line, next, err)
			}
			kept, next = kept+1, n+1
		}
	}
	if errorsSeen != 3 || kept+lost != 5000 || kept < 700 || next != 5000 || got[len(got)-1] != "prompt" {
		t.Errorf("%d errors, %d news and %d dropped behind the first %d; want 3 errors, all 5000 news counted, the last ones kept, and the prompt last; the end is %q",
			errorsSeen, kept, lost, after, got[len(got)-3:])
	}
}

// dropped sums up how many lines, and how many errors among them, the screen says that it dropped. It
// says so each time that it goes on.
func dropped(text string) (all, errors int) {
	for line := range strings.Lines(text) {
		var n, m int
		if c, _ := fmt.Sscanf(line, "lost %d, %d", &n, &m); c == 2 {
			all, errors = all+n, errors+m
		}
	}
	return all, errors
}

// Too many errors are dropped, too. They are counted as errors.
func TestScreen_stoppedErrors(t *testing.T) {
	t.Parallel()
	r := newRig(t, 80, 24)
	r.mu.Lock()
	for i := range 3000 {
		r.put(screen.Trouble, "error %d\n", i)
	}
	r.mu.Unlock()
	within(t, func() { _ = r.Flush() })
	text := r.model.String()
	all, errors := dropped(text)
	if shown := strings.Count(text, "error "); all == 0 || all != errors || all+shown != 3000 || !strings.HasSuffix(text, "error 2999\n") {
		t.Errorf("%d lines and %d of them errors were dropped, and %d are shown; want 3000 together", all, errors, shown)
	}
}

// Large texts count by their octets.
func TestScreen_stoppedOctets(t *testing.T) {
	t.Parallel()
	r := newRig(t, 80, 24)
	r.mu.Lock()
	for i := range 100 {
		r.put(screen.News, "%d%s\n", i, strings.Repeat(" ", 50_000))
	}
	r.mu.Unlock()
	within(t, func() { _ = r.Flush() })
	if all, _ := dropped(r.model.String()); all < 80 || all > 89 {
		t.Errorf("%d lines were dropped, want some 80", all)
	}
}

// Data waits for the terminal, so all of it comes out. When the program is to end, it waits no more.
func TestScreen_data(t *testing.T) {
	t.Parallel()
	r := newRig(t, 80, 24)
	put := func(n int) <-chan error {
		done := make(chan error, 1)
		go func() {
			for i := range n {
				if err := r.Put(r, fmt.Sprintf("data %d\n", i), screen.Data); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		return done
	}
	r.mu.Lock()
	done := put(5000)
	select {
	case err := <-done:
		t.Errorf("Put has not waited: %v", err)
	case <-time.After(50 * time.Millisecond): // it waits, or has not come so far
	}
	r.mu.Unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
	within(t, func() { _ = r.Flush() })
	if got := strings.Count(r.model.String(), "data "); got != 5000 {
		t.Errorf("%d lines came out, want 5000", got)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	done = put(5000)
	r.Stop()
	select {
	case err := <-done:
		if !errors.Is(err, screen.ErrStopped) {
			t.Errorf("Put = %v, want ErrStopped", err)
		}
	case <-time.After(limit):
		t.Error("Put waits though the program is to end")
	}
	within(t, func() { _ = r.Flush() })
}

// A terminal that fails is reported for data.
func TestScreen_broken(t *testing.T) {
	t.Parallel()
	r := newRig(t, 80, 24)
	r.broken = io.ErrClosedPipe
	r.put(screen.Trouble, "lost\n")
	within(t, func() {
		if err := r.Flush(); err != nil {
			t.Errorf("Flush = %v, want nil, because no data is lost", err)
		}
	})
	r.put(screen.Data, "data\n")
	within(t, func() {
		if err := r.Flush(); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Flush = %v, want the error of the terminal", err)
		}
	})
	if err := r.Put(r, "more\n", screen.Data); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Put = %v, want the error of the terminal", err)
	}
}

// Wipe removes the live lines without a lock, even while the terminal is being written.
func TestScreen_wipe(t *testing.T) {
	t.Parallel()
	if got := newRig(t, 80, 24).Wipe(); got != "" {
		t.Errorf("Wipe = %q, want nothing", got)
	}
	r := newRig(t, 80, 24)
	r.put(screen.Trouble, "first\n")
	r.Live(lines("bar 1", "bar 2"))
	r.shows("first\nbar 1\nbar 2\n")
	_, _ = r.model.Write([]byte(r.Wipe() + "panic\n"))
	if got, want := r.model.String(), "first\npanic\n"; got != want {
		t.Errorf("the terminal shows %q, want %q", got, want)
	}
}
