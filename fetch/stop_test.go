package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/seen"
)

// A stop (SIGTERM ends ctx) ends the asking. Messages already asked for arrive and are delivered
// and recorded. QUIT is sent, nothing is deleted, and the next run brings the others
// (behaviour 33).
func TestStop(t *testing.T) {
	t.Parallel()
	for _, pipelining := range []bool{true, false} {
		t.Run(fmt.Sprintf("between messages, pipelining %v", pipelining), func(t *testing.T) {
			t.Parallel()
			messages := make([]poptest.Message, 300)
			for i := range messages {
				messages[i] = letter(fmt.Sprintf("m%03d", i))
			}
			server := newServer(t, messages...)
			if !pipelining {
				server.Configure(without("PIPELINING"))
			}
			ctx, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			stopped := errors.New("stopped by a signal")
			hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
				if cmd == "RETR 5" {
					stop(stopped)
				}
				return poptest.Action{}
			})
			r := newRig(t, server.Addr())
			r.account.Delete.Enabled = true
			result := r.runner.Run(ctx, []fetch.Account{r.account})[0]
			checkFailure(t, result, fetch.PhaseRetrieve)
			if !errors.Is(result.Err, stopped) {
				t.Errorf("Run() = %v, want the cause of the stop", result.Err)
			}
			asked := func() int { server.Wait(); return server.Count("RETR") }()
			if result.Delivered != asked || len(r.mail()) != asked || len(r.recorded()) != asked || asked >= 300 {
				t.Errorf("%d asked for, %d told, %d in new/, %d recorded, want them equal and fewer than 300", asked, result.Delivered, len(r.mail()), len(r.recorded()))
			}
			if !pipelining && asked > 6 {
				t.Errorf("%d were asked for, want no more than 6", asked)
			}
			checkCount(t, server, "QUIT", 1)
			checkCount(t, server, "DELE", 0)
			hook(server, nil)
			result = r.run()
			if result.Err != nil || result.Delivered != 300-asked || result.Deleted != 300 {
				t.Errorf("the next run: %s, error %v, want %d delivered and 300 deleted", outcome(result), result.Err, 300-asked)
			}
			r.holds(messages...)
			server.CheckRules(t)
		})
	}
	t.Run("before it began", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newRig(t, server.Addr())
		ctx, stop := context.WithCancel(t.Context())
		stop()
		result := r.runner.Run(ctx, []fetch.Account{r.account})[0]
		if !errors.Is(result.Err, context.Canceled) {
			t.Errorf("Run() = %v, want context.Canceled", result.Err)
		}
		r.holds()
	})
	t.Run("while it waits for its turn", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, letter("a"))
		r := newRig(t, server.Addr())
		r.runner.Jobs = 1
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "STAT" {
				stop()
			}
			return poptest.Action{}
		})
		second := r.account
		second.Name = "second"
		for _, result := range r.runner.Run(ctx, []fetch.Account{r.account, second}) {
			if !errors.Is(result.Err, context.Canceled) {
				t.Errorf("%s: %v, want context.Canceled", result.Account, result.Err)
			}
		}
	})
}

// The deadline ends a run, however slowly the server sends. Messages complete by then are delivered
// and recorded.
func TestDeadline(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"), letter("c"))
	server.Configure(without("PIPELINING"))
	hook(server, on("RETR 3", poptest.Stall(30)))
	r := newRig(t, server.Addr())
	r.account.Deadline = 2 * silence
	r.account.Delete.Enabled = true
	begun := time.Now()
	err := r.fails(fetch.PhaseRetrieve, "3 listed, 3 new, 2 delivered")
	if took := time.Since(begun); took > patience {
		t.Errorf("the run took %v, want about %v", took, r.account.Deadline)
	}
	if !strings.Contains(err.Error(), "deadline has passed") {
		t.Errorf("Run() = %v, want the deadline told", err)
	}
	r.holds(letter("a"), letter("b"))
	r.has("a", "b")
	hook(server, nil)
	r.account.Deadline = patience
	r.runs("3 listed, 1 new, 1 delivered, 3 deleted")
	r.holds(letter("a"), letter("b"), letter("c"))
	server.CheckRules(t)
}

// A server that falls silent after a stop is given six seconds. Complete messages are delivered and
// recorded even then.
func TestStop_grace(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for six seconds")
	}
	t.Parallel()
	server := newServer(t, letter("a"), letter("b"), letter("c"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == "RETR 3" {
			stop()
			return poptest.Stall(40)
		}
		return poptest.Action{}
	})
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	begun := time.Now()
	result := r.runner.Run(ctx, []fetch.Account{r.account})[0]
	if took := time.Since(begun); took < 5*time.Second || took > 10*time.Second {
		t.Errorf("the run ended after %v, want six seconds, and ten at most (behaviour 33)", took)
	}
	checkFailure(t, result, fetch.PhaseRetrieve)
	checkOutcome(t, result, "3 listed, 3 new, 2 delivered")
	r.holds(letter("a"), letter("b"))
	r.has("a", "b")
	server.Wait()
	checkCount(t, server, "QUIT", 0)
	hook(server, nil)
	r.runs("3 listed, 1 new, 1 delivered, 3 deleted")
	r.holds(letter("a"), letter("b"), letter("c"))
}

// If the records cannot be written, the run ends without DELE. The next one finds the messages at
// the target (R12).
func TestRecord_fails(t *testing.T) {
	t.Parallel()
	messages := []poptest.Message{letter("a"), letter("b"), letter("c")}
	server := newServer(t, messages...)
	r := newRig(t, server.Addr())
	r.account.Delete.Enabled = true
	hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
		if cmd == "RETR 1" { // nothing is at work at the store then
			if err := r.runner.Store.Close(); err != nil {
				t.Error(err)
			}
		}
		return poptest.Action{}
	})
	_ = r.fails(fetch.PhaseRecord, "3 listed, 3 new")
	checkCount(t, server, "DELE", 0)
	checkCount(t, server, "QUIT", 1)
	r.holds(messages...)
	hook(server, nil)
	r.runner.Store = openStore(t, r.state)
	r.runs("3 listed, 3 recognised, 3 deleted")
	r.holds(messages...)
	checkCount(t, server, "RETR", 3)
	server.CheckRules(t)
}

// A wait for a password ends with the run, and no message contains the password (C0045).
func TestStop_password(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	r.account.Deadline = 400 * time.Millisecond
	c := credentials()
	c.Password = func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	r.account.Login = c.Login
	began := time.Now()
	var refused *login.Error
	if err := r.fails(fetch.PhaseLogin, ""); errors.As(err, &refused) || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("Run() = %v, want the deadline, and nothing about the log-in", err)
	}
	if took := time.Since(began); took > r.account.Deadline+2*time.Second {
		t.Errorf("the run took %v, want its deadline and two seconds at most", took)
	}
	checkCount(t, server, "QUIT", 1)
}

// A deadline ends a run even if its MDA ignores SIGTERM.
func TestDeadline_stubbornMDA(t *testing.T) {
	t.Parallel()
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	r.account.Target = &deliver.MDA{Command: "trap '' TERM; sleep 60; sleep 60"}
	r.account.Deadline = 400 * time.Millisecond
	began := time.Now()
	_ = r.fails(fetch.PhaseRetrieve, "1 listed, 1 new, 1 failed")
	if took := time.Since(began); took > r.account.Deadline+2800*time.Millisecond { // with patience for a busy machine
		t.Errorf("the run took %v, want its deadline and less than two seconds", took)
	}
}

// stoppedDiff is a ledger that is stopped while it compares. It tells the reason as SQLite does.
type stoppedDiff struct {
	seen.Ledger
	stop func()
}

func (d stoppedDiff) Diff(ctx context.Context, _ []seen.Entry, _ time.Time) (seen.Diff, error) {
	d.stop()
	<-ctx.Done()
	return seen.Diff{}, fmt.Errorf("comparing: %w", ctx.Err())
}

// A run that is stopped in the state tells why, so that a signal is not taken for trouble.
func TestRun_stoppedInState(t *testing.T) {
	server := newServer(t, letter("a"))
	r := newRig(t, server.Addr())
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("a signal")
	r.runner.Store = wrapped{r.runner.Store, func(l seen.Ledger) seen.Ledger {
		return stoppedDiff{l, func() { cancel(reason) }}
	}}
	result := r.runner.Run(ctx, []fetch.Account{r.account})[0]
	if !errors.Is(result.Err, reason) || !errors.Is(result.Err, context.Canceled) {
		t.Errorf("Run() = %v, want %v as its cause", result.Err, reason)
	}
}
