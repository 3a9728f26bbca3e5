package fetch_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// tells runs the account, and checks what is new to a person: the last words of its warnings and of its error, in order.
func (r *rig) tells(want ...string) {
	r.t.Helper()
	r.mu.Lock()
	r.events = nil
	r.mu.Unlock()
	r.run()
	var got []string
	for _, e := range append(r.told(fetch.Warning), r.told(fetch.Finished)...) {
		if e.Err != nil && !e.Repeated {
			got = append(got, e.Err.Error())
		}
	}
	if !slices.EqualFunc(got, want, strings.Contains) {
		r.t.Errorf("told anew: %q, want %q", got, want)
	}
}

// An error that lasts is told once a day, until it changes or a run goes well.
func TestTold_error(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	r.tells()
	hook(server, on("AUTH", poptest.Refuse("[SYS/TEMP] try again in 17 s")))
	r.tells("[SYS/TEMP] try again in 17 s")
	hook(server, on("AUTH", poptest.Refuse("[SYS/TEMP] not yet")))
	for range 3 {
		r.later(7 * time.Hour)
		r.tells()
	}
	r.later(3 * time.Hour)
	r.tells("[SYS/TEMP]")
	r.tells()
	hook(server, on("AUTH", poptest.Refuse("[IN-USE] by another")))
	r.tells("[IN-USE]")
	r.tells()
	hook(server, on("AUTH", poptest.Refuse("[SYS/TEMP] again")))
	r.tells("[SYS/TEMP]") // it has changed
	hook(server, nil)
	r.tells()
	hook(server, on("AUTH", poptest.Refuse("[SYS/TEMP] again")))
	r.tells("[SYS/TEMP]") // the run before went well
	r.later(-48 * time.Hour)
	r.tells("[SYS/TEMP]") // the clock was wrong
}

// The refusals of a password are one error until the account is left alone, and one from then on.
func TestTold_breaker(t *testing.T) {
	t.Parallel()
	server := newGuardedServer(t)
	password := "wrong"
	r := guarded(t, server, &password)
	r.tells("refused")
	r.tells()
	r.tells("left alone until")
	r.tells()
	r.later(20 * time.Minute)
	r.tells() // refused once more
	r.tells()
}

// Where a server's LOGIN-DELAY is longer than the time between two runs, that it is too early is told once a day too.
func TestTold_held(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.Configure(announcing("LOGIN-DELAY 600"))
	r := newRig(t, server.Addr())
	r.tells()
	r.tells("login delay")
	for range 3 {
		r.later(10 * time.Minute)
		r.tells()
		r.tells()
	}
	r.later(day)
	r.tells()
	r.tells("login delay")
}

// Warnings that come with each run are told once a day as well, whatever the errors between them.
func TestTold_warnings(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	expire := func(c *poptest.Config) { c.Capabilities = append(poptest.DefaultCapabilities(), "EXPIRE 0") }
	r := newRig(t, server.Addr())
	r.tells()
	server.Configure(expire)
	r.tells("EXPIRE 0")
	r.tells()
	r.later(time.Hour)
	hook(server, on("LIST", poptest.Refuse("no sizes today")))
	r.tells("no sizes today")
	hook(server, on("LIST", poptest.Refuse("none today either")))
	r.tells()
	hook(server, on("AUTH", poptest.Refuse("[SYS/TEMP]")))
	r.tells("[SYS/TEMP]") // this run did not come to the warnings
	r.tells()
	hook(server, on("LIST", poptest.Refuse("no sizes")))
	r.tells()
	hook(server, nil)
	r.tells() // sizes are back
	hook(server, on("LIST", poptest.Refuse("no sizes again")))
	r.tells("no sizes again")
	r.later(21*time.Hour + 59*time.Minute)
	r.tells()
	r.later(time.Minute)
	r.tells("EXPIRE 0", "no sizes again") // a day, less what a daily run may come early, after the first of them
	r.runner.Quiet = true
	r.tells("EXPIRE 0", "no sizes again") // to nobody
	r.runner.Quiet = false
	r.tells("EXPIRE 0", "no sizes again")
	r.tells()
}

// What a person asks for is always told, and so are faults of the state, where what was told is kept.
func TestTold_always(t *testing.T) {
	t.Parallel()
	t.Run("look", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		server.Configure(func(c *poptest.Config) { c.Capabilities = append(poptest.DefaultCapabilities(), "EXPIRE 0") })
		r := newRig(t, server.Addr())
		r.tells("EXPIRE 0")
		if _, err := r.runner.Look(t.Context(), &r.account); err != nil {
			t.Fatal(err)
		}
		if told := r.told(fetch.Warning); len(told) != 2 || told[1].Repeated {
			t.Errorf("Look told %+v, want the warning, as new", told)
		}
		r.tells()
	})
	t.Run("state", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newRig(t, server.Addr())
		r.tells()
		if err := r.runner.Store.Close(); err != nil {
			t.Fatal(err)
		}
		r.tells("closed")
		r.tells("closed")
		r.runner.Store = openStore(t, r.state)
		r.tells()
	})
	t.Run("lock", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, newServer(t).Addr())
		r.tells()
		locks, err := filepath.Glob(filepath.Join(r.state, "account-work-*.lock"))
		if err != nil || len(locks) != 1 {
			t.Fatalf("locks %q, error %v", locks, err)
		}
		if err := os.Remove(locks[0]); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(locks[0], 0o700); err != nil {
			t.Fatal(err)
		}
		r.tells("is a directory")
		r.tells("is a directory")
	})
	t.Run("state lost in the middle", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newRig(t, server.Addr())
		hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "AUTH" || !strings.HasPrefix(cmd, "AUTH") {
				return poptest.Action{}
			}
			if err := r.runner.Store.Close(); err != nil {
				t.Error(err)
			}
			return poptest.Refuse("[SYS/TEMP]")
		})
		for range 2 {
			r.runner.Store = openStore(t, r.state)
			r.tells("[SYS/TEMP]")
		}
	})
}

// That another run has the account is no fault of the state; a target that is missing is told once as well.
func TestTold_before_the_server(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	r := newRig(t, server.Addr())
	r.tells()
	unlock, err := r.runner.Store.Lock("work")
	if err != nil {
		t.Fatal(err)
	}
	r.tells("another popfetch")
	r.tells()
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	r.tells()
	r.account.Target = deliver.NewMaildir(filepath.Join("/proc/no/such/folder"))
	r.tells("/proc/no/such")
	r.tells()
}
