package fetch_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// Messages larger than MaxSize stay on the server and are reported once, even if LIST was wrong.
func TestMaxSize(t *testing.T) {
	t.Parallel()
	large := sized("large", "large", strings.Repeat("x", 5000))
	t.Run("C0021/by LIST", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"), large, letter("b"))
		r := newRig(t, server.Addr())
		r.account.MaxSize = 1000
		r.account.Delete.Enabled = true
		r.runs("3 listed, 2 new, 2 delivered, 1 skipped, 2 deleted")
		r.runs("1 listed, 1 skipped")
		checkCount(t, server, "RETR 2", 0)
		if told := r.told(fetch.Skipped); len(told) != 1 || told[0].UniqueID != "large" {
			t.Errorf("told as skipped: %+v, want large, once", told)
		}
		r.account.MaxSize = 0
		r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
		r.holds(letter("a"), letter("b"), large)
		server.CheckRules(t)
	})
	t.Run("C0021/LIST lied", func(t *testing.T) {
		t.Parallel()
		lying := large
		lying.Listed = "50"
		server := newServer(t, letter("a"), lying, letter("b"))
		r := newRig(t, server.Addr())
		r.account.MaxSize = 1000
		r.account.Delete.Enabled = true
		r.runs("3 listed, 3 new, 2 delivered, 1 skipped, 2 deleted")
		r.holds(letter("a"), letter("b"))
		if got := server.Drop("").UniqueIDs(); !slices.Equal(got, []string{"large"}) {
			t.Errorf("the maildrop holds %q, want large", got)
		}
		r.run()
		r.holds(letter("a"), letter("b"))
		server.CheckRules(t)
	})
	t.Run("C0021/exactly", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newRig(t, server.Addr())
		r.account.MaxSize = int64(len(letter("a").Content))
		r.runs("1 listed, 1 new, 1 delivered")
	})
}

// An MDA's verdict is about one message. Others go on, and the next run tries the refused one again
// (behaviour 29).
func TestMDA(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, verdict string }{
		{"status 1", "exit 1"}, {"status 75", "exit 75"}, {"signal", "kill -9 $$"},
		{"status 1 without reading", "exec <&-; exit 1"},
	} {
		for _, deliveries := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d at once", test.name, deliveries), func(t *testing.T) {
				t.Parallel()
				server := newServer(t, letter("a"), letter("b"), letter("c"))
				r := newRig(t, server.Addr())
				r.account.Delete.Enabled = true
				mda := func(verdict string) *deliver.MDA {
					return &deliver.MDA{Deliveries: deliveries, Command: fmt.Sprintf(
						"[ \"$POPFETCH_UID\" = b ] && { %s; }; cat > %s/$POPFETCH_UID.$$", verdict, r.state)}
				}
				r.account.Target = mda(test.verdict)
				r.runs("3 listed, 3 new, 2 delivered, 1 failed, 2 deleted")
				r.has("a", "c")
				var refused *deliver.Error
				if told := r.told(fetch.Refused); len(told) != 1 || !errors.As(told[0].Err, &refused) || told[0].UniqueID != "b" {
					t.Errorf("told as refused: %+v, want b with a *deliver.Error", told)
				}
				r.runs("1 listed, 1 new, 1 failed")
				r.account.Target = mda("true")
				r.runs("1 listed, 1 new, 1 delivered, 1 deleted")
				for _, id := range []string{"a", "b", "c"} {
					files, err := filepath.Glob(filepath.Join(r.state, id+".*"))
					if err != nil || len(files) != 1 {
						t.Errorf("%s was taken %d times, want once", id, len(files))
						continue
					}
					if got, err := os.ReadFile(files[0]); err != nil || string(got) != delivered(letter(id).Content) {
						t.Errorf("%s came as %q, error %v", id, got, err)
					}
				}
				server.CheckRules(t)
			})
		}
	}
	t.Run("C0013/more than there is room for", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, poptest.Numbered(150, 200)...)
		r := newRig(t, server.Addr())
		r.runner.KeepAlive = time.Millisecond // so that NOOP comes between RETR and RETR
		r.account.Delete.Enabled = true
		r.account.Target = &deliver.MDA{Deliveries: 4, Command: "cat > " + r.state + "/$POPFETCH_UID"}
		r.runs("150 listed, 150 new, 150 delivered, 150 deleted")
		for i := range 150 {
			if _, err := os.Stat(fmt.Sprintf("%s/id-%d", r.state, i+1)); err != nil {
				t.Error(err)
			}
		}
		server.CheckRules(t)
	})
	t.Run("C0006/never starts on a torso", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"), letter("b"))
		hook(server, on("RETR 2", poptest.Cut(60)))
		r := newRig(t, server.Addr())
		r.account.Target = &deliver.MDA{Command: "cat >> " + r.state + "/all"}
		_ = r.fails(fetch.PhaseRetrieve, "2 listed, 2 new, 1 delivered")
		if got, err := os.ReadFile(r.state + "/all"); err != nil || string(got) != delivered(letter("a").Content) {
			t.Errorf("the MDA was given %q, error %v, want a alone", got, err)
		}
	})
}

// While a slow MDA holds up the session, NOOP keeps it alive, and a refused NOOP does no harm
// (C0027, C0029).
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		action poptest.Action
	}{
		{"C0027/slow MDA", poptest.Action{}},
		{"C0029/refused", poptest.Refuse("what for?")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"), letter("b"))
			r := newRig(t, server.Addr())
			fifo := filepath.Join(r.state, "fifo")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			// The MDA waits until the server has seen three NOOPs.
			var noops atomic.Int32
			hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
				if cmd != "NOOP" {
					return poptest.Action{}
				}
				if noops.Add(1) == 3 {
					if err := os.WriteFile(fifo, []byte("go on\n"), 0o600); err != nil {
						t.Error(err)
					}
				}
				return test.action
			})
			r.runner.KeepAlive = 10 * time.Millisecond
			r.account.Delete.Enabled = true
			r.account.Target = &deliver.MDA{Timeout: patience, Command: `[ "$POPFETCH_UID" = b ] || read line < ` + fifo}
			r.runs("2 listed, 2 new, 2 delivered, 2 deleted")
			if n := server.Count("NOOP"); n < 3 {
				t.Errorf("NOOP was sent %d times, want three at least", n)
			}
			server.CheckRules(t)
		})
	}
	t.Run("C0028/not with a reply outstanding", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"), letter("b"))
		server.Configure(without("PIPELINING"))
		hook(server, on("RETR", poptest.Action{Delay: 50 * time.Millisecond}))
		r := newRig(t, server.Addr())
		r.runner.KeepAlive = time.Millisecond
		r.runs("2 listed, 2 new, 2 delivered")
		sent := commands(t, server, 1)
		noop := slices.Index(sent, "NOOP")
		if noop >= 0 && noop < slices.Index(sent, "RETR 2") {
			t.Errorf("the client sent %q, want no NOOP before RETR 2", sent)
		}
	})
	t.Run("C0027/session lost meanwhile", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newRig(t, server.Addr())
		fifo := filepath.Join(r.state, "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd != "NOOP" {
				return poptest.Action{}
			}
			if err := os.WriteFile(fifo, []byte("go on\n"), 0o600); err != nil {
				t.Error(err)
			}
			return poptest.Cut(0)
		})
		r.runner.KeepAlive = 10 * time.Millisecond
		r.account.Delete.Enabled = true
		r.account.Target = &deliver.MDA{Timeout: patience, Command: "read line < " + fifo}
		r.runs("1 listed, 1 new, 1 delivered, 1 deleted") // in a further session
		r.has("a")
	})
}
