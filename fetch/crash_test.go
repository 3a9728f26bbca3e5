package fetch_test

import (
	"runtime"
	"testing"

	"github.com/popfetch/popfetch/fetch"
)

// A panic in the goroutine of an account, or in a committer, is told to Crash there.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, kind := range []fetch.Kind{fetch.Started, fetch.Delivered} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			server := newServer(t, letter("a"))
			r := newRig(t, server.Addr())
			told := make(chan any, 1)
			r.runner.Crash = func(panicked any) {
				told <- panicked
				runtime.Goexit() // a program ends here
			}
			r.runner.Observe = func(e fetch.Event) {
				if e.Kind == kind {
					panic(e.Kind)
				}
			}
			r.run()
			select {
			case got := <-told:
				if got != kind {
					t.Errorf("Crash() is told %v, want %v", got, kind)
				}
			default:
				t.Error("Crash() is told nothing")
			}
		})
	}
}
