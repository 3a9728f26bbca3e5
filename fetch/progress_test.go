package fetch_test

import (
	"testing"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// TestProgress reads the counters of a run while the server holds inside of a message, and at the end.
func TestProgress(t *testing.T) {
	t.Parallel()
	const octets = 200_000
	server := poptest.NewServer(t, poptest.Maildrop{User: user, Password: secret, Messages: poptest.Numbered(3, octets)})
	server.Configure(func(c *poptest.Config) {
		c.Hook = func(_ *poptest.Session, cmd string) poptest.Action {
			if cmd == "RETR 3" {
				return poptest.Action{Pieces: 1000, Pause: 10 * time.Millisecond} // 2 s
			}
			return poptest.Action{}
		}
	})
	r := newRig(t, server.Addr())
	counts := make(chan *fetch.Progress, 1)
	observe := r.runner.Observe
	r.runner.Observe = func(e fetch.Event) {
		if e.Kind == fetch.Started {
			counts <- e.Progress
		}
		observe(e)
	}
	results := make(chan []fetch.Result, 1)
	go func() { results <- r.runner.Run(t.Context(), []fetch.Account{r.account}) }()
	progress := <-counts
	const two = 2 * octets
	for over := time.After(patience); progress.Octets.Load() <= two || progress.Waiting.Load() > 2; {
		select {
		case <-time.After(time.Millisecond):
		case <-over:
			t.Fatalf("%d octets and %d messages waiting, want more than %d octets", progress.Octets.Load(), progress.Waiting.Load(), two)
		}
	}
	if came := progress.Octets.Load(); came >= 3*octets {
		t.Errorf("%d octets are counted before the last message has come", came)
	}
	result := (<-results)[0]
	if result.Err != nil || result.Delivered != 3 {
		t.Errorf("the run ended with %d delivered and %v", result.Delivered, result.Err)
	}
	if came, waiting := progress.Octets.Load(), progress.Waiting.Load(); came != 3*octets || waiting != 0 {
		t.Errorf("at the end %d octets are counted and %d messages wait, want %d octets and none", came, waiting, 3*octets)
	}
}
