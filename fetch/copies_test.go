package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// C0041: while the headers of many copies of one unique-id are looked at, a signal and the
// account's deadline end the run. It has changed nothing, and the next run does it all.
func TestCopies_ended(t *testing.T) {
	t.Parallel()
	const n = 300
	start := func(t *testing.T) (*rig, *poptest.Server, func()) {
		t.Helper()
		t.Parallel()
		var messages []poptest.Message
		for i := range n + 1 {
			messages = append(messages, letterOf("same", fmt.Sprintf("m%03d", i)))
		}
		server := newServer(t, messages[:n]...)
		server.Configure(without("PIPELINING")) // so that each TOP waits for the last
		r := newRig(t, server.Addr())
		r.runs(fmt.Sprintf("%d listed, %d new, %d delivered", n, n, n))
		server.Drop("").Add(messages[n])
		before := r.recorded()
		return r, server, func() {
			t.Helper()
			if asked := server.Count("TOP"); asked == 0 || asked > n/2 {
				t.Errorf("TOP was sent %d times, want some and no more once the run is to end", asked)
			}
			checkCount(t, server, "RETR", n)
			r.has(before...)
			hook(server, nil)
			r.account.Deadline = 0
			r.runs(fmt.Sprintf("%d listed, 1 new, 1 delivered", n+1))
			r.holds(messages...)
			server.CheckRules(t)
		}
	}
	t.Run("signal", func(t *testing.T) {
		r, server, check := start(t)
		ctx, stop := context.WithCancelCause(t.Context())
		signal := errors.New("signal")
		hook(server, func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "TOP 20 0" {
				stop(signal)
			}
			return poptest.Action{}
		})
		result := r.runner.Run(ctx, []fetch.Account{r.account})[0]
		checkFailure(t, result, fetch.PhaseIdentify)
		if !errors.Is(result.Err, signal) {
			t.Errorf("Run() = %v, want %v", result.Err, signal)
		}
		check()
	})
	t.Run("deadline", func(t *testing.T) {
		r, server, check := start(t)
		hook(server, on("TOP", poptest.Action{Delay: 50 * time.Millisecond}))
		r.account.Deadline = 800 * time.Millisecond
		result := r.run()
		checkFailure(t, result, fetch.PhaseIdentify)
		if result.Err == nil || !strings.Contains(result.Err.Error(), "the account's deadline has passed") {
			t.Errorf("Run() = %v, want the deadline", result.Err)
		}
		check()
	})
}
