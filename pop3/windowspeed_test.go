//go:build go1.25

package pop3

import (
	"testing"
	"testing/synctest" // since Go 1.25; the package itself asks for less
	"time"
)

// The window holds as many commands as the server answers in a second, within its limits.
func TestWindowRefill_speed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := window{next: source(9000, 0), keyword: "TOP", most: 400, commands: leastWindow, octets: 1}
		for _, step := range []struct {
			each time.Duration // the server's time for one command
			want int           // how many commands are unanswered afterwards
		}{
			{0, leastWindow},
			{5 * time.Millisecond, 200},
			{time.Millisecond, 400},
			{4 * time.Millisecond, 250},
			{time.Second, 125}, // commands that were sent cannot be taken back
			{time.Second, leastWindow},
		} {
			for len(w.unanswered) > w.refillAt {
				time.Sleep(step.each)
				w.pop()
			}
			w.refill()
			if len(w.unanswered) != step.want {
				t.Errorf("R2449-3: %d are unanswered where one takes %v, want %d", len(w.unanswered), step.each, step.want)
			}
		}
	})
}
