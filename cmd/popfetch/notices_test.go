package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// A lasting error is reported once a day, until it changes or a run succeeds.
func TestNotices_error(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newToldRig(t, server)
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
	r.tells("[SYS/TEMP]") // another error
	hook(server, nil)
	r.tells("work: fetched again after 24 h") // told once
	r.tells()
	hook(server, on("AUTH", poptest.Refuse("[SYS/TEMP] again")))
	r.tells("[SYS/TEMP] again; if it lasts, this is told again tomorrow") // the run before succeeded
	r.later(-48 * time.Hour)
	r.tells("[SYS/TEMP]") // the clock was wrong
}

// Refusals of a password are one error until popfetch stops trying. From then on there is another
// error.
func TestNotices_breaker(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	r := newToldRig(t, server)
	r.password(func() string { return "wrong" })
	r.tells("refused")
	r.tells()
	r.tells("left alone until")
	r.tells()
	r.later(20 * time.Minute)
	r.tells() // refused once more
	r.tells()
}

// If a server wants a longer time between two log-ins than there is between two runs, every second
// run comes too early. This is reported once a day too, although the runs between them succeed.
func TestNotices_held(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	r := newToldRig(t, server)
	tooSoon := on("AUTH", poptest.Refuse("[LOGIN-DELAY] not so soon"))
	r.tells()
	hook(server, tooSoon)
	r.tells("[LOGIN-DELAY]")
	r.tells("login delay")
	for range 3 {
		r.later(10 * time.Minute)
		hook(server, nil)
		r.tells()
		hook(server, tooSoon)
		r.tells("[LOGIN-DELAY]") // the run before succeeded
		r.tells()
	}
	r.later(day)
	hook(server, nil)
	r.tells()
	hook(server, tooSoon)
	r.tells("[LOGIN-DELAY]")
	r.tells("login delay")
}

// Warnings that every run has are also reported once a day, even if there are errors between them.
func TestNotices_warnings(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	expire := func(c *poptest.Config) { c.Capabilities = append(poptest.DefaultCapabilities(), "EXPIRE 5") }
	r := newToldRig(t, server)
	r.account.Delete = fetch.DeletePolicy{Enabled: true, After: 30 * day}
	r.tells()
	server.Configure(expire)
	r.tells("after 5 days (EXPIRE)")
	r.tells()
	r.later(time.Hour)
	hook(server, on("LIST", poptest.Refuse("no sizes today")))
	r.tells("no sizes today")
	hook(server, on("LIST", poptest.Refuse("none today either")))
	r.tells()
	hook(server, on("AUTH", poptest.Refuse("[SYS/TEMP]")))
	r.tells("[SYS/TEMP]") // this run did not reach the warnings
	r.tells()
	hook(server, on("LIST", poptest.Refuse("no sizes")))
	r.tells() // the error has not lasted a minute
	hook(server, nil)
	r.tells() // LIST works again
	hook(server, on("LIST", poptest.Refuse("no sizes again")))
	r.tells("no sizes again")
	r.later(21*time.Hour + 59*time.Minute)
	r.tells()
	r.later(time.Minute)
	r.tells("after 5 days (EXPIRE)", "no sizes again") // a day after the first of them, less the tolerance for daily runs
	r.notices.quiet = true
	r.tells("after 5 days (EXPIRE)", "no sizes again") // quiet: nobody would see these in real use
	r.notices.quiet = false
	r.tells("after 5 days (EXPIRE)", "no sizes again")
	r.tells()
}

// A fault that a person asks about is always reported. So is a fault of the state, where the
// notices are stored.
func TestNotices_always(t *testing.T) {
	t.Parallel()
	t.Run("look", func(t *testing.T) {
		t.Parallel()
		server := newServer(t)
		server.Configure(func(c *poptest.Config) { c.Capabilities = append(poptest.DefaultCapabilities(), "EXPIRE 5") })
		r := newToldRig(t, server)
		r.account.Delete = fetch.DeletePolicy{Enabled: true, After: 30 * day}
		r.tells("after 5 days (EXPIRE)")
		looker := &fetch.Runner{Store: r.runner.Store, Now: r.now, Observe: r.reporter(nil).observe}
		for range 2 {
			if _, err := looker.Look(t.Context(), &r.account); err != nil {
				t.Fatal(err)
			}
			r.check("after 5 days (EXPIRE)")
		}
		r.tells()
	})
	t.Run("state", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newToldRig(t, server)
		r.tells()
		if err := r.runner.Store.Close(); err != nil {
			t.Fatal(err)
		}
		r.tells("closed")
		r.tells("closed")
		r.runner.Store = openedStore(t, r.state)
		r.tells()
	})
	t.Run("lock", func(t *testing.T) {
		t.Parallel()
		r := newToldRig(t, newServer(t))
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
		r := newToldRig(t, server)
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
			r.runner.Store = openedStore(t, r.state)
			r.tells("[SYS/TEMP]")
		}
	})
}

// If another run has the account, that is no fault of the state. A missing target is reported once
// too.
func TestNotices_before_the_server(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	r := newToldRig(t, server)
	r.tells()
	hold, err := r.runner.Store.Lock(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	r.tells("another popfetch")
	r.tells()
	if err := hold.Release(); err != nil {
		t.Fatal(err)
	}
	r.tells()
	r.account.Target = deliver.NewMaildir(filepath.Join("/proc/no/such/folder"))
	r.tells("/proc/no/such")
	r.tells()
}

// A run that does not get the account's lock adds this fault and loses no other. The run with the
// lock does not lose this fault either.
func TestNotices_locked(t *testing.T) {
	t.Parallel()
	now := time.Now()
	finished := func(n *notices, err error) {
		n.notice(fetch.Event{Account: "work", Kind: fetch.Finished, Err: err, Code: fetch.CodeOf(err)})
	}
	process := func(told fetch.Told, at time.Time) *notices {
		n := newNotices(false)
		n.now = func() time.Time { return at }
		n.Begin("work", told)
		return n
	}
	locked := &fetch.Error{Account: "work", Phase: fetch.PhaseLock, Err: seen.ErrLocked}
	const since = "\nsince: 2026-01-02T03:04:05Z"
	earlier := fetch.Told{Lines: "error: open/econnrefused\nwarning: shared" + since, At: now.Add(-time.Hour)}

	first, second := process(earlier, now), process(earlier, now)
	finished(second, locked)
	told := second.End("work", earlier)
	want := fetch.Told{Lines: "error: lock/in-use\nerror: open/econnrefused\nwarning: shared" + since, At: earlier.At}
	if told != want {
		t.Errorf("End() of the run without the lock = %+v, want %+v", told, want)
	}
	first.notice(fetch.Event{Account: "work", Kind: fetch.Warning, Code: fetch.CodeShared})
	finished(first, nil)
	for range 2 {
		if got, want := first.End("work", told), (fetch.Told{Lines: "error: lock/in-use\nwarning: shared", At: earlier.At}); got != want {
			t.Errorf("End() of the run with the lock = %+v, want %+v", got, want)
		}
	}
	third := process(told, now)
	finished(third, nil)
	if got := third.End("work", told); got != (fetch.Told{}) {
		t.Errorf("End() of a run that went well = %+v, want nothing", got)
	}
	late := process(earlier, now.Add(day))
	finished(late, locked)
	if got, want := late.End("work", earlier), (fetch.Told{Lines: "error: lock/in-use" + since, At: now.Add(day)}); got != want {
		t.Errorf("End() a day later = %+v, want %+v", got, want)
	}
}

// A fault of one message is always reported, because the next one concerns another message.
func TestNotices_message(t *testing.T) {
	t.Parallel()
	n := newNotices(false)
	n.Begin("work", fetch.Told{Lines: "warning: size-changed", At: time.Now()})
	if n.notice(fetch.Event{Account: "work", Kind: fetch.Warning, Code: fetch.CodeSizeChanged, Number: 3}).repeats {
		t.Error("the warning of a message counts as told, want it told")
	}
}

// If the notices of earlier runs cannot be read, everything is reported.
func TestNotices_unknown(t *testing.T) {
	t.Parallel()
	n := newNotices(false)
	n.Begin("work", fetch.Told{Lines: "warning: shared", At: time.Now()})
	n.notice(fetch.Event{Account: "work", Kind: fetch.Started}) // a run without Begin
	if n.notice(fetch.Event{Account: "work", Kind: fetch.Warning, Code: fetch.CodeShared}).repeats {
		t.Error("the warning counts as told, want it told")
	}
	before := fetch.Told{Lines: "warning: clear-text", At: time.Now()}
	if got := n.End("work", before); got != before {
		t.Errorf("End() = %+v, want %+v as it was", got, before)
	}
}

// A run that a signal stops, while its program is slow, has no fault that lasts. Nothing of it is
// told again tomorrow, and no later run says that mail is fetched again.
func TestNotices_stoppedProgram(t *testing.T) {
	t.Parallel()
	r := newToldRig(t, newServer(t, letter("a"), letter("b")))
	begun := filepath.Join(t.TempDir(), "begun")
	if err := syscall.Mkfifo(begun, 0o600); err != nil {
		t.Fatal(err)
	}
	r.account.Target = &deliver.MDA{Command: "cat >/dev/null; echo >" + begun + "; sleep 60"}
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		_, _ = os.ReadFile(begun) // until the program opens it
		cancel(signalError{syscall.SIGTERM})
	}()
	r.runner.Run(ctx, []fetch.Account{r.account})
	if said := r.said.String(); strings.Contains(said, "tomorrow") || strings.Count(said, "stopped by terminated") != 2 {
		t.Errorf("said %q, want that two messages were stopped, and nothing of tomorrow", said)
	}
	r.said.Reset()
	r.account.Target = &deliver.MDA{Command: "cat >/dev/null"}
	r.later(time.Hour)
	r.tells()
}

// Mail is fetched again once a message went through, or nothing is wrong any more. A run in which
// every message was refused does not say so, and the next one knows how long the trouble lasted.
func TestNotices_refusedAfterError(t *testing.T) {
	t.Parallel()
	r := newToldRig(t, newServer(t, letter("a"), letter("b")))
	r.account.Target = &deliver.MDA{Command: "/nonexistent/mda"}
	r.tells("cannot be run")
	r.later(time.Hour)
	r.account.Target = &deliver.MDA{Command: "exit 1"}
	r.tells("refused", "1 more")
	r.later(time.Hour)
	r.account.Target = &deliver.MDA{Command: "cat >/dev/null"}
	r.tells("work: fetched again after 2 h")
	r.tells()
}

// Several refusals that last say once, not each, that they are told again tomorrow.
func TestNotices_severalRefusals(t *testing.T) {
	t.Parallel()
	r := newToldRig(t, newServer(t, letter("a"), letter("b"), letter("c")))
	r.account.Target = &deliver.MDA{Command: `cat >/dev/null; test $POPFETCH_UID = a || exit 7$(($(printf %d "'$POPFETCH_UID") - 96))`}
	for range 2 {
		r.runner.Run(t.Context(), []fetch.Account{r.account})
		said := r.said.String()
		if strings.Count(said, "is refused") != 2 || strings.Count(said, "tomorrow") != 1 {
			t.Errorf("said %q, want two refusals and one word of tomorrow", said)
		}
		r.said.Reset()
		r.later(day)
	}
}

// Temporary trouble is told when it has lasted as long as the account wants, in whatever form. What is
// shorter is not told, and neither is its end.
func TestNotices_tellAfter(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newToldRig(t, server)
	r.notices.tellAfter = func(string) time.Duration { return time.Hour }
	later := on("AUTH", poptest.Refuse("[SYS/TEMP] later"))
	inUse := on("AUTH", poptest.Refuse("[IN-USE] by another"))
	wrong := on("AUTH", poptest.Refuse("[AUTH] wrong"))

	r.tells()
	hook(server, later)
	for range 2 {
		r.tells()
		r.later(29 * time.Minute)
	}
	hook(server, nil)
	r.tells() // it was short

	hook(server, later)
	r.tells()
	r.later(30 * time.Minute)
	hook(server, inUse) // the same trouble in another form
	r.tells()
	r.later(30 * time.Minute)
	r.tells("[IN-USE]")
	r.tells()
	hook(server, later)
	r.tells("[SYS/TEMP]")
	r.tells()
	r.later(7 * time.Hour)
	hook(server, nil)
	r.tells("work: fetched again after 8 h")

	hook(server, inUse) // trouble that passes by itself
	r.tells()
	r.later(time.Hour)
	r.tells("[IN-USE]")
	hook(server, nil)
	r.tells("work: fetched again after 60 min")

	hook(server, wrong) // a person must act
	r.tells("[AUTH] wrong")
	hook(server, later)
	r.tells() // it has not lasted
	hook(server, wrong)
	r.tells("[AUTH] wrong")
	hook(server, nil)
	r.tells()

	hook(server, later)
	r.tells()
	r.later(-48 * time.Hour) // the clock was wrong
	r.tells("[SYS/TEMP]")
}

// Trouble that nobody was told of stays so while a program refuses messages for now.
func TestNotices_tellAfterRefusals(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"))
	r := newToldRig(t, server)
	r.notices.tellAfter = func(string) time.Duration { return 2 * time.Hour }
	r.account.TellAfter = 2 * time.Hour
	r.account.Target = &deliver.MDA{Command: "cat >/dev/null; exit 75"}
	hook(server, on("AUTH", poptest.Refuse("[SYS/TEMP] later")))
	r.tells()
	hook(server, nil)
	r.later(time.Hour)
	r.tells()
	r.later(119 * time.Minute)
	r.tells()
	r.later(time.Minute)
	r.tells("refused", "1 more")
	r.tells()
	r.account.Target = &deliver.MDA{Command: "cat >/dev/null"}
	r.tells()
}

// A run that a signal stops says nothing of the trouble that was there before: neither is it told once
// more, nor is it forgotten that nobody was told.
func TestNotices_stoppedInTrouble(t *testing.T) {
	t.Parallel()
	for _, tellAfter := range []time.Duration{0, day} {
		t.Run(tellAfter.String(), func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"))
			r := newToldRig(t, server)
			r.notices.tellAfter = func(string) time.Duration { return tellAfter }
			later := on("AUTH", poptest.Refuse("[SYS/TEMP] later"))
			trouble, end := []string{"[SYS/TEMP]"}, []string{"fetched again after 2 h"}
			if tellAfter > 0 {
				trouble, end = nil, nil
			}
			hook(server, later)
			r.tells(trouble...)
			r.later(time.Hour)

			ctx, cancel := context.WithCancelCause(t.Context())
			hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
				if strings.HasPrefix(cmd, "AUTH ") {
					cancel(signalError{syscall.SIGTERM})
					return poptest.Stall(0)
				}
				return poptest.Action{}
			})
			r.runner.Run(ctx, []fetch.Account{r.account})
			r.check("stopped by terminated")

			if tellAfter == 0 {
				hook(server, later)
				r.tells()
			}
			r.later(time.Hour)
			hook(server, nil)
			r.tells(end...)
		})
	}
}

// cron makes a mail of each line, so it gets none about the end of trouble.
func TestNotices_endUnderCron(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newToldRig(t, server)
	report := r.reporter(r.notices)
	report.term.journal = false
	r.runner.Observe = report.observe
	hook(server, on("AUTH", poptest.Refuse("[SYS/TEMP] later")))
	r.tells("[SYS/TEMP]")
	r.later(2 * time.Hour)
	hook(server, nil)
	r.tells()
	hook(server, on("AUTH", poptest.Refuse("[SYS/TEMP] later")))
	r.tells("[SYS/TEMP]") // it was over, and so it is told anew
}
