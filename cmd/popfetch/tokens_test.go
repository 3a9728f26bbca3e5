//go:build go1.25

package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/postgres"
)

// What a provider has given gets into a database that is away for some minutes: the refresh token
// may be good only once. It does not hold up the end of popfetch.
func TestSettle(t *testing.T) {
	away := fmt.Errorf("keeping tokens: %w", postgres.ErrAway)
	for _, test := range []struct {
		name  string
		back  time.Duration // when the database is back; 0: never
		ends  time.Duration // when the run is told to end; 0: never
		cause error         // why it ends
		other error         // another error of the database
		hangs bool          // an attempt lasts until it is given up
		kept  bool
		is    error
		after time.Duration
	}{
		{name: "at once", back: 1, kept: true},
		{name: "away for two minutes", back: 2 * time.Minute, kept: true, after: 2 * time.Minute},
		{name: "away for good", is: postgres.ErrAway, after: keepTokens},
		{name: "silent for good", hangs: true, is: postgres.ErrAway, after: keepTokens},
		{name: "the run ends", ends: time.Minute, is: postgres.ErrAway, after: time.Minute + settleTokens},
		{name: "silent, the run ends", hangs: true, ends: time.Minute, is: postgres.ErrAway, after: time.Minute + settleTokens},
		{name: "back after the end", ends: time.Minute, back: time.Minute + 5*time.Second, kept: true, after: time.Minute + 5*time.Second},
		{name: "the account is lost", ends: time.Minute, cause: seen.ErrLost, back: 2 * time.Minute, kept: true, after: 2 * time.Minute},
		{name: "refused", other: postgres.ErrRefused, is: postgres.ErrRefused},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				run, end := context.WithCancelCause(t.Context())
				defer end(nil)
				if test.ends > 0 {
					time.AfterFunc(test.ends, func() { end(test.cause) })
				}
				kept, err := settle(run, func(ctx context.Context) (bool, error) {
					switch {
					case test.other != nil:
						return false, test.other
					case test.hangs:
						<-ctx.Done()
						return false, ctx.Err()
					case test.back > 0 && time.Since(start) >= test.back-1:
						return true, nil
					}
					return false, away
				})
				if kept != test.kept || !errors.Is(err, test.is) {
					t.Errorf("settle() = %v, %v; want %v, %v", kept, err, test.kept, test.is)
				}
				if took := time.Since(start); took < test.after-1 || took > test.after+claimPause {
					t.Errorf("it took %v, want %v", took, test.after)
				}
			})
		})
	}
}
