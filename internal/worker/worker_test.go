//go:build go1.25

package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Accounts that have waited longest come first.
func TestRun_order(t *testing.T) {
	inBubble(t, 1, 10, time.Second, func(r *rig) { r.takes = 30 * time.Second }, func(r *rig) {
		r.after(3 * minute)
		if want := []string{"a00", "a01", "a02", "a03", "a04", "a05"}; !slices.Equal(r.order[:6], want) {
			t.Errorf("polled %v, want %v", r.order, want)
		}
	})
}

func TestRun_jobs(t *testing.T) {
	inBubble(t, 3, 20, 0, func(r *rig) { r.takes = 30 * time.Second }, func(r *rig) {
		r.after(time.Hour)
		for _, e := range r.entries {
			if len(e.polls) < 10 {
				t.Errorf("%s was polled %d times in an hour, want each account to get its turn", e.name, len(e.polls))
			}
		}
		if most := look(r, func() int { return r.most }); most != 3 {
			t.Errorf("%d at work at once, want 3", most)
		}
		r.SetJobs(5)
		r.after(time.Hour)
		if most := look(r, func() int { return r.most }); most != 5 {
			t.Errorf("%d at work at once, want 5", most)
		}
	})
}

// A free job takes the next account at once, as long as some are due.
func TestRun_busy(t *testing.T) {
	inBubble(t, 2, 60, 0, func(r *rig) { r.takes, r.answers = time.Second, 10*time.Millisecond }, func(r *rig) {
		r.after(32 * time.Second)
		if n := len(look(r, func() []string { return r.order })); n != 60 {
			t.Errorf("%d polls of a second each by two jobs in 32 s, want 60", n)
		}
	})
}

// The interval counts from the start of a poll, with jitter.
func TestRun_interval(t *testing.T) {
	for _, test := range []struct{ takes, want time.Duration }{
		{0, 5 * minute}, {2 * minute, 5 * minute},
		{4 * minute, 4*minute + 150*time.Second}, // half of it is the server's
		{time.Hour, time.Hour + 150*time.Second},
	} {
		t.Run(test.takes.String(), func(t *testing.T) {
			inBubble(t, 4, 3, 0, func(r *rig) { r.takes = test.takes }, func(r *rig) {
				r.after(12 * time.Hour)
				gaps := r.gaps("a01")
				if len(gaps) < 5 {
					t.Errorf("%d polls, want more", len(gaps)+1)
				}
				in := make(map[time.Duration]bool)
				for _, e := range r.entries {
					for _, next := range e.ends {
						in[next.In] = true
					}
				}
				if test.takes < time.Minute && len(in) < 50 {
					t.Errorf("only %d different due times, want jitter", len(in))
				}
				for _, gap := range gaps {
					if !about(gap, test.want) {
						t.Errorf("%v from one poll to the next, want about %v", gap, test.want)
					}
				}
			})
		})
	}
}

// After fruitless polls an account waits longer and longer, whichever worker has polled it before.
func TestRun_backOff(t *testing.T) {
	fruitless := func(r *rig) {
		r.entries[0].fruitless = 2 // by another worker
		r.outcome = func(string) Outcome { return Outcome{Interval: 5 * minute, Fruitless: true} }
	}
	inBubble(t, 1, 1, 0, fruitless, func(r *rig) {
		r.after(4 * time.Hour)
		for i, gap := range r.gaps("a00") {
			if want := min(30*minute, 20*minute<<i); !about(gap, want) {
				t.Errorf("gap %d is %v, want about %v", i, gap, want)
			}
		}
		r.set(func() { r.outcome = func(string) Outcome { return Outcome{Interval: 5 * minute} } })
		r.after(34 * minute)
		before := len(r.gaps("a00"))
		r.after(time.Hour)
		if n := len(r.gaps("a00")) - before; n < 10 {
			t.Errorf("%d polls in the hour after a good one, want about 12", n)
		}
	})
}

// A server is polled no more often than it wants.
func TestRun_loginDelay(t *testing.T) {
	for name, outcome := range map[string]Outcome{
		"announced": {Interval: minute, Announced: time.Hour},
		"refused":   {Interval: minute, Refused: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			set := func(r *rig) { r.outcome = func(string) Outcome { return outcome } }
			inBubble(t, 1, 1, 0, set, func(r *rig) {
				r.after(5 * time.Hour)
				for _, gap := range r.gaps("a00") {
					if gap < time.Hour || gap > time.Hour+2*idle {
						t.Errorf("%v from one poll to the next, want an hour", gap)
					}
				}
				if end := r.entries[0].ends[0]; !about(end.Refused, outcome.Refused) {
					t.Errorf("Refused = %v, want %v", end.Refused, outcome.Refused)
				}
			})
		})
	}
}

// A poll starts within two seconds of its time. A worker with nothing to do asks about once a
// second.
func TestRun_idle(t *testing.T) {
	inBubble(t, 100, 50, 7*time.Second, nil, func(r *rig) {
		r.after(10 * time.Hour)
		polls, total := 0, time.Duration(0)
		for _, e := range r.entries {
			for _, late := range e.late {
				polls++
				total += late
				if late > idle*3/2 {
					t.Errorf("%s was polled %v late, want 1.5 s at most", e.name, late)
				}
			}
		}
		if mean := total / time.Duration(polls); mean > idle*3/4 {
			t.Errorf("polls were %v late on average, want half a second", mean)
		}
		if n := len(r.claims); n < 10*3600*9/10 || n > 10*3600*11/10 {
			t.Errorf("%d claims in 36,000 s, want about one a second", n)
		}
	})
}

// An account that comes back as it was, for example because this worker does not know it, does not
// make the worker busy.
func TestRun_undone(t *testing.T) {
	undone := func(r *rig) { r.outcome = func(string) Outcome { return Outcome{Undone: true} } }
	for _, jobs := range []int{1, 4} {
		inBubble(t, jobs, 4, 0, undone, func(r *rig) {
			r.after(time.Hour)
			if n := len(r.claims); n > 3600*11/10 {
				t.Errorf("%d jobs: %d claims in an hour, want one a second at most", jobs, n)
			}
			if e := r.entries[0]; len(e.ends) > 0 || e.givenUp != len(e.polls) {
				t.Errorf("%d polls, %d ends, %d times given up; want it given up each time", len(e.polls), len(e.ends), e.givenUp)
			}
		})
	}
}

// Wake has the worker ask at once, also if a claim is under way that may have come too early.
func TestWake(t *testing.T) {
	inBubble(t, 4, 1, 0, func(r *rig) { r.answers = 200 * time.Millisecond }, func(r *rig) {
		for range 50 {
			r.after(1234 * time.Millisecond)
			r.Wake()
			at := time.Since(r.begun)
			r.after(250 * time.Millisecond)
			asked := look(r, func() time.Duration { return r.claims[len(r.claims)-1] })
			if asked < at {
				t.Errorf("woken at %v, the last claim is of %v", at, asked)
			}
		}
	})
}

// At the end, polls are told, and nothing is claimed any more. What was cut short is given up, and
// what was done gets its next time.
func TestRun_end(t *testing.T) {
	for _, ignores := range []bool{false, true} {
		t.Run(fmt.Sprint(ignores), func(t *testing.T) {
			set := func(r *rig) { r.takes, r.ignores = minute, ignores }
			inBubble(t, 2, 4, 0, set, func(r *rig) {
				r.after(10 * time.Second)
				claims, at := len(r.claims), time.Now()
				r.stop()
				<-r.ended
				if took := time.Since(at); took != time.Second {
					t.Errorf("the end took %v, want a second", took)
				}
				if len(r.claims) != claims {
					t.Errorf("%d claims after the end", len(r.claims)-claims)
				}
				for i, e := range r.entries {
					want := [2]int{0, 0} // it was not claimed
					if i < 2 {
						want = [2]int{1, 0}
						if ignores {
							want = [2]int{0, 1}
						}
					}
					if got := [2]int{e.givenUp, len(e.ends)}; got != want {
						t.Errorf("%s: given up and ended %d times, want %d", e.name, got, want)
					}
				}
				r.Wake() // has no effect
			})
		})
	}
}

// What is claimed when the worker ends is given up at once, and not polled.
func TestRun_endClaiming(t *testing.T) {
	for _, test := range []struct {
		answers, want time.Duration
		claimed       bool
	}{
		{time.Second, 500 * time.Millisecond, true}, // it takes a second, and half of it has passed
		{time.Hour, claimGrace, false},
	} {
		inBubble(t, 4, 3, 0, func(r *rig) { r.answers = test.answers }, func(r *rig) {
			r.after(500 * time.Millisecond)
			at := time.Now()
			r.stop()
			<-r.ended
			if took := time.Since(at); took != test.want {
				t.Errorf("the end took %v, want %v", took, test.want)
			}
			for _, e := range r.entries {
				if len(e.polls) > 0 || e.givenUp > 0 != test.claimed {
					t.Errorf("%s was polled %d times and given up %d times, want it given up: %v", e.name, len(e.polls), e.givenUp, test.claimed)
				}
			}
			if len(r.told) > 0 {
				t.Errorf("it told %v", r.told)
			}
		})
	}
}

// While the store is away the worker tries again and again, and says so once. A poll at work goes
// on, and its account gets its next time as soon as the store is back.
func TestRun_away(t *testing.T) {
	inBubble(t, 4, 2, 2*minute, func(r *rig) { r.takes = minute }, func(r *rig) {
		r.after(30 * time.Second) // the first is at work
		r.set(func() { r.away = errAway })
		before := len(r.claims)
		r.after(10 * minute)
		if tries := len(look(r, func() []time.Duration { return r.claims })) - before; tries < 10*60/8 || tries > 10*60/2 {
			t.Errorf("%d claims in ten minutes without the store, want one every five seconds", tries)
		}
		if told := look(r, func() []error { return r.told }); len(told) != 1 || !errors.Is(told[0], errAway) {
			t.Errorf("told %v, want once that the store is away", told)
		}
		r.set(func() { r.away = nil })
		r.after(longestRetry * 3 / 2)
		told := look(r, func() []error { return r.told })
		if len(told) != 2 || told[1] != nil {
			t.Errorf("told %v, want then that it is back", told)
		}
		first, second := r.entry("a00"), r.entry("a01")
		if len(second.polls) != 1 {
			t.Errorf("what became due meanwhile was polled %d times, want once", len(second.polls))
		}
		if len(first.ends) != 1 || len(first.polls) != 1 && len(first.polls) != 2 || first.ends[0].In != 0 {
			t.Errorf("the poll at work: %+v; want that its account is due at once, since its interval has passed", first)
		}
		if len(r.unsettled) > 0 {
			t.Errorf("unsettled: %v", r.unsettled)
		}
	})
}

// If all jobs wait for a store that is away, nothing is claimed. The worker says all the same that
// it is away, and that it is back.
func TestRun_awayAllBusy(t *testing.T) {
	inBubble(t, 1, 2, 0, func(r *rig) { r.takes = minute }, func(r *rig) {
		r.after(30 * time.Second)
		r.set(func() { r.away = errAway })
		before := len(r.claims)
		r.after(10 * minute)
		if n := len(look(r, func() []time.Duration { return r.claims })) - before; n > 0 {
			t.Errorf("%d claims, want none: no job is free", n)
		}
		if told := look(r, func() []error { return r.told }); len(told) != 1 || !errors.Is(told[0], errAway) {
			t.Errorf("told %v, want once that the store is away", told)
		}
		r.set(func() { r.away = nil })
		r.after(longestRetry * 3 / 2)
		if told := look(r, func() []error { return r.told }); len(told) != 2 || told[1] != nil {
			t.Errorf("told %v, want then that it is back", told)
		}
	})
}

// An account that cannot be given back does not keep a job for ever while the store answers. What
// no further attempt would mend is told at once.
func TestRun_stuck(t *testing.T) {
	for _, test := range []struct {
		name  string
		stuck error
		after time.Duration
		most  int // attempts
	}{
		{"refused", fmt.Errorf("no right to do that: %w", ErrRefused), time.Second, 1},
		{"silent", errAway, 2 * stuckLimit, int(stuckLimit / time.Second)},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, 2, 1, 0, func(r *rig) { r.stuck = test.stuck }, func(r *rig) {
				r.after(test.after)
				if len(r.unsettled) != 1 || !errors.Is(r.unsettled[0], test.stuck) {
					t.Errorf("unsettled: %v, want one", r.unsettled)
				}
				if n := look(r, func() int { return r.attempts }); n < 1 || n > test.most {
					t.Errorf("%d attempts, want %d at most", n, test.most)
				}
				if got := r.Counts(); got.Working != 0 {
					t.Errorf("%d are at work, want none", got.Working)
				}
				if len(r.told) > 0 {
					t.Errorf("told %v, though the store answers", r.told)
				}
			})
		})
	}
}

// A store that is away does not hold up the end.
func TestRun_awayAtEnd(t *testing.T) {
	inBubble(t, 4, 1, 0, func(r *rig) { r.takes = minute }, func(r *rig) {
		r.after(30 * time.Second)
		r.set(func() { r.away = errAway })
		r.after(2 * minute)
		at := time.Now()
		r.stop()
		<-r.ended
		if took := time.Since(at); took > time.Second {
			t.Errorf("the end took %v", took)
		}
		if len(r.unsettled) != 1 || !errors.Is(r.unsettled[0], errAway) {
			t.Errorf("unsettled: %v, want one", r.unsettled)
		}
	})
}

// A lost account is counted, and not given back. When it is free again, it is polled like any
// other.
func TestRun_lost(t *testing.T) {
	inBubble(t, 4, 2, 0, func(r *rig) { r.takes = minute }, func(r *rig) {
		r.after(30 * time.Second)
		r.set(func() { close(r.entry("a01").lost) })
		r.after(40 * time.Second)
		if got, want := r.Counts(), (Counts{Working: 1, Polls: 2, Lost: 1}); got != want {
			t.Errorf("counted %+v, want %+v", got, want)
		}
		if len(r.unsettled) != 1 || !errors.Is(r.unsettled[0], ErrLost) {
			t.Errorf("unsettled: %v, want one that was lost", r.unsettled)
		}
	})
}

// The loop is alive while claims and polls hang.
func TestRun_alive(t *testing.T) {
	var calls []time.Duration
	set := func(r *rig) {
		r.answers, r.AliveEvery = time.Hour, 7*time.Second
		r.Alive = func() { calls = append(calls, time.Since(r.begun)) }
	}
	inBubble(t, 1, 1, 0, set, func(r *rig) {
		r.after(minute)
		want := []time.Duration{0}
		for at := 7 * time.Second; at < minute; at += 7 * time.Second {
			want = append(want, at)
		}
		if !slices.Equal(calls, want) {
			t.Errorf("alive at %v, want %v", calls, want)
		}
	})
}

// The panic of a poll is not lost.
func TestRun_crash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crashed := make(chan any, 1)
		claims := 0
		w := New(func(context.Context, int) ([]*Turn, error) {
			claims++
			return []*Turn{{Account: "work"}}, nil
		}, func(context.Context, string) Outcome { panic("a fault") }, 1)
		w.Crash = func(panicked any) { crashed <- panicked }
		ctx, stop := context.WithCancel(t.Context())
		go w.Run(ctx)
		if got := <-crashed; got != "a fault" || claims != 1 {
			t.Errorf("crashed with %v after %d claims", got, claims)
		}
		stop()
		w.ended <- false // the program would have ended
		<-w.over
	})
}
