//go:build go1.25

package resident

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/popfetch/popfetch/internal/due"
)

// rig is a Resident with a fake time, and what its accounts did.
type rig struct {
	t *testing.T
	*Resident
	begun time.Time
	stop  context.CancelFunc

	mu      sync.Mutex
	polls   map[string][]time.Duration // when polls began, since the start
	working int
	most    int // at work at once
	takes   time.Duration
	outcome Outcome
	clocks  Clocks // how far the clocks are ahead of the fake time
	plans   map[string]time.Time
}

// inBubble runs a test with a fake time. The accounts are polled until the test has ended.
func inBubble(t *testing.T, jobs int, intervals map[string]time.Duration, test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, begun: time.Now(), polls: make(map[string][]time.Duration), plans: make(map[string]time.Time)}
		r.Resident = New(r.accounts(intervals), jobs)
		r.Clocks = r.read
		r.Planned = r.plan
		ctx, stop := context.WithCancel(t.Context())
		r.stop = stop
		ended := make(chan struct{})
		go func() { defer close(ended); r.Run(ctx) }()
		synctest.Wait()
		test(r)
		stop()
		<-ended
		for name, at := range r.plans {
			if !at.IsZero() {
				t.Errorf("after the end %s is planned for %v, want nothing", name, at)
			}
		}
	})
}

// accounts returns accounts in the order of their names.
func (r *rig) accounts(intervals map[string]time.Duration) []Account {
	var accounts []Account
	for name, interval := range intervals {
		accounts = append(accounts, Account{Name: name, Interval: interval, Poll: func(ctx context.Context) Outcome { return r.poll(ctx, name) }})
	}
	slices.SortFunc(accounts, func(a, b Account) int { return compare(a.Name, b.Name) })
	return accounts
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

func (r *rig) poll(ctx context.Context, name string) Outcome {
	r.mu.Lock()
	r.polls[name] = append(r.polls[name], time.Since(r.begun))
	r.working++
	r.most = max(r.most, r.working)
	takes := r.takes
	r.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		time.Sleep(time.Second) // it finishes what is being committed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.working--
	return r.outcome
}

func (r *rig) read() Clocks {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := time.Since(r.begun)
	return Clocks{Wall: at + r.clocks.Wall, Monotonic: at + r.clocks.Monotonic, Boot: at + r.clocks.Boot}
}

func (r *rig) plan(account string, next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plans[account] = next
}

// set changes the rig while nothing moves.
func (r *rig) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// after lets time pass.
func (r *rig) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// count checks how often an account was polled so far.
func (r *rig) count(name string, want int) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := len(r.polls[name]); got != want {
		r.t.Errorf("after %v %s was polled %d times, want %d; at %v", time.Since(r.begun), name, got, want, r.polls[name])
	}
}

// look reads what only the lock guards.
func look[T any](r *rig, read func() T) T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return read()
}

// polled returns how often an account was polled.
func (r *rig) polled(name string) int { return look(r, func() int { return len(r.polls[name]) }) }

// mostAtWork returns how many accounts were at work at once.
func (r *rig) mostAtWork() int { return look(r, func() int { return r.most }) }

// planned returns when accounts are polled next.
func (r *rig) planned() map[string]time.Time {
	return look(r, func() map[string]time.Time { return maps.Clone(r.plans) })
}

// gaps returns the times between the polls of an account.
func (r *rig) gaps(name string) (gaps []time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.polls[name][1:] {
		gaps = append(gaps, r.polls[name][i+1]-r.polls[name][i])
	}
	return gaps
}

// about reports whether a time is what is wanted, with jitter.
func about(got, want time.Duration) bool {
	return got >= want*9/10 && got <= want*11/10+time.Microsecond
}

const minute = time.Minute

func TestRun_interval(t *testing.T) {
	inBubble(t, 4, map[string]time.Duration{"home": time.Hour, "manual": 0, "work": 5 * minute}, func(r *rig) {
		r.after(48 * time.Hour)
		distinct := make(map[time.Duration]bool)
		for name, interval := range map[string]time.Duration{"work": 5 * minute, "home": time.Hour} {
			gaps := r.gaps(name)
			if want := int(48 * time.Hour / interval); len(gaps) < want*8/10 || len(gaps) > want*12/10 {
				t.Errorf("%s: %d polls in two days, want about %d", name, len(gaps), want)
			}
			for _, gap := range gaps {
				distinct[gap] = true
				if !about(gap, interval) {
					t.Errorf("%s: %v between two polls, want about %v", name, gap, interval)
				}
			}
		}
		if len(distinct) < 100 {
			t.Errorf("only %d different pauses, want jitter", len(distinct))
		}
		r.count("manual", 0)
		if next := r.planned()["work"]; time.Until(next) <= 0 || time.Until(next) > 6*minute {
			t.Errorf("work is planned in %v, want within its interval", time.Until(next))
		}
	})
}

// The first polls are spread over ten seconds, or over a shorter interval. The first is at once.
func TestRun_spread(t *testing.T) {
	for _, interval := range []time.Duration{time.Hour, 2 * time.Second} {
		intervals := make(map[string]time.Duration)
		for i := range 50 {
			intervals[fmt.Sprintf("a%02d", i)] = interval
		}
		inBubble(t, 50, intervals, func(r *rig) {
			r.count("a00", 1)
			r.after(min(interval, due.LongestSpread) / 2)
			accounts := func() int { return look(r, func() int { return len(r.polls) }) }
			early := accounts()
			r.after(min(interval, due.LongestSpread) / 2)
			if all := accounts(); early < 20 || early > 30 || all != 50 {
				t.Errorf("%d accounts were polled in the first half and %d in all, want about 25 and 50", early, all)
			}
		})
	}
}

func TestRun_jobs(t *testing.T) {
	intervals := make(map[string]time.Duration)
	for i := range 20 {
		intervals[fmt.Sprint("a", i)] = minute
	}
	inBubble(t, 3, intervals, func(r *rig) {
		r.set(func() { r.takes = 30 * time.Second })
		r.after(time.Hour)
		for name := range intervals {
			if n := r.polled(name); n < 10 {
				t.Errorf("%s was polled %d times in an hour, want each account to get its turn", name, n)
			}
		}
		if r.mostAtWork() != 3 {
			t.Errorf("%d at work at once, want 3", r.mostAtWork())
		}
		r.Replace(r.accounts(intervals), 5)
		r.after(time.Hour)
		if r.mostAtWork() != 5 {
			t.Errorf("after a reload %d at work at once, want 5", r.mostAtWork())
		}
	})
}

// After fruitless polls the pause grows up to half an hour, until one bears fruit.
func TestRun_backOff(t *testing.T) {
	inBubble(t, 1, map[string]time.Duration{"work": 5 * minute}, func(r *rig) {
		r.set(func() { r.outcome.Fruitless = true })
		r.after(4 * time.Hour)
		for i, gap := range r.gaps("work") {
			want := min(30*minute, 5*minute<<i) // the outcome of the first poll was changed too late
			if i > 0 {
				want = min(30*minute, 5*minute<<(i-1))
			}
			if !about(gap, want) {
				t.Errorf("pause %d is %v, want about %v", i, gap, want)
			}
		}
		r.set(func() { r.outcome.Fruitless = false })
		r.after(34 * minute)
		before := r.polled("work")
		r.after(time.Hour)
		if n := r.polled("work") - before; n < 10 {
			t.Errorf("%d polls in the hour after a good one, want about 12", n)
		}
	})
}

// A resident program waits as long as the server has announced. Wake does not, but it keeps what the
// server would refuse.
func TestWake(t *testing.T) {
	for _, test := range []struct {
		name    string
		outcome func(now time.Time) Outcome
		polled  bool // at once
	}{
		{"waiting for the interval", func(time.Time) Outcome { return Outcome{} }, true},
		{"fruitless", func(time.Time) Outcome { return Outcome{Fruitless: true} }, true},
		{"announced", func(now time.Time) Outcome { return Outcome{Announced: now.Add(time.Hour)} }, true},
		{"refused", func(now time.Time) Outcome { return Outcome{Refused: now.Add(time.Hour).Round(0)} }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, 1, map[string]time.Duration{"manual": 0, "work": 5 * minute}, func(r *rig) {
				outcome := test.outcome(time.Now().Add(6 * minute))
				r.set(func() { r.outcome = outcome })
				r.after(6 * minute)
				r.count("work", 2)
				r.after(3 * minute)
				r.count("work", 2)
				r.Wake()
				r.after(time.Second)
				want := 2
				if test.polled {
					want = 3
				}
				r.count("work", want)
				r.count("manual", 0)
				if later(outcome.Announced, outcome.Refused).IsZero() {
					return
				}
				r.after(time.Hour - 3*minute - 10*time.Second)
				r.count("work", want)
				r.after(20 * time.Second)
				r.count("work", want+1)
			})
		})
	}
	t.Run("at work", func(t *testing.T) {
		inBubble(t, 1, map[string]time.Duration{"work": 5 * minute}, func(r *rig) {
			r.set(func() { r.takes = 2 * minute })
			r.after(6 * minute) // the second poll is at work
			r.count("work", 2)
			for range 3 {
				r.Wake()
			}
			r.after(minute * 5 / 3)
			r.count("work", 3)
			r.after(4 * minute)
			r.count("work", 3)
		})
	})
	t.Run("after the end", func(t *testing.T) {
		inBubble(t, 1, map[string]time.Duration{"work": 5 * minute}, func(r *rig) {
			r.stop()
			synctest.Wait()
			r.Wake()
			r.Replace(nil, 1)
			r.count("work", 1)
		})
	})
}

func TestReplace(t *testing.T) {
	t.Run("a changed interval counts from the last poll", func(t *testing.T) {
		inBubble(t, 1, map[string]time.Duration{"work": time.Hour}, func(r *rig) {
			r.after(10 * minute)
			r.Replace(r.accounts(map[string]time.Duration{"work": 20 * minute}), 1)
			r.after(7 * minute)
			r.count("work", 1)
			r.after(6 * minute)
			r.count("work", 2)
			r.after(10 * minute)
			r.Replace(r.accounts(map[string]time.Duration{"work": minute}), 1)
			r.after(0)
			r.count("work", 3) // it is overdue
			r.Replace(r.accounts(map[string]time.Duration{"work": time.Hour}), 1)
			r.after(50 * minute)
			r.count("work", 3)
		})
	})
	t.Run("a woken account that waits for its turn", func(t *testing.T) {
		inBubble(t, 1, map[string]time.Duration{"busy": time.Hour, "work": time.Hour}, func(r *rig) {
			r.after(minute)
			r.set(func() { r.takes = minute })
			r.Wake()
			r.after(time.Second) // one is at work, the other one waits for it
			r.Replace(r.accounts(map[string]time.Duration{"busy": 2 * time.Hour, "work": 2 * time.Hour}), 1)
			r.after(2 * minute)
			r.count("busy", 2)
			r.count("work", 2)
		})
	})
	t.Run("the same interval changes nothing", func(t *testing.T) {
		inBubble(t, 1, map[string]time.Duration{"work": 20 * minute}, func(r *rig) {
			for range 17 {
				r.after(minute)
				r.Replace(r.accounts(map[string]time.Duration{"work": 20 * minute}), 1)
			}
			r.count("work", 1)
			r.after(6 * minute)
			r.count("work", 2)
		})
	})
	t.Run("accounts come and go", func(t *testing.T) {
		inBubble(t, 4, map[string]time.Duration{"busy": minute, "idle": minute}, func(r *rig) {
			r.set(func() { r.takes = 30 * time.Second })
			for look(r, func() bool { return r.working == 0 }) || r.polled("busy") < 3 {
				r.after(time.Second)
			}
			r.count("busy", 3)
			r.after(7 * time.Second)
			idle := r.polled("idle")
			r.Replace(r.accounts(map[string]time.Duration{"fresh": minute}), 4)
			r.after(due.LongestSpread)
			r.count("fresh", 1)
			r.Replace(r.accounts(map[string]time.Duration{"fresh": 0}), 4) // manual
			r.after(time.Hour)
			r.count("busy", 3)
			r.count("idle", idle)
			r.count("fresh", 1)
			for name, at := range r.planned() {
				if !at.IsZero() {
					t.Errorf("%s is planned for %v, want nothing", name, at)
				}
			}
			r.Replace(r.accounts(map[string]time.Duration{"busy": minute}), 4)
			r.after(due.LongestSpread)
			r.count("busy", 4)
		})
	})
	t.Run("gone and back while at work", func(t *testing.T) {
		inBubble(t, 4, map[string]time.Duration{"work": 5 * minute}, func(r *rig) {
			r.set(func() { r.takes = 2 * minute })
			r.after(6 * minute)
			r.Replace(nil, 4)
			r.Replace(r.accounts(map[string]time.Duration{"work": 5 * minute}), 4)
			r.after(4 * minute)
			r.count("work", 2)
			r.after(7 * minute / 2)
			r.count("work", 3)
			if r.mostAtWork() != 1 {
				t.Errorf("%d polls of one account at once, want one", r.mostAtWork())
			}
		})
	})
	t.Run("a changed account", func(t *testing.T) {
		inBubble(t, 1, map[string]time.Duration{"work": 5 * minute}, func(r *rig) {
			changed := 0
			r.Replace([]Account{{Name: "work", Interval: 5 * minute, Poll: func(context.Context) Outcome { changed++; return Outcome{} }}}, 1)
			r.after(6 * minute)
			r.count("work", 1)
			if changed != 1 {
				t.Errorf("the changed account was polled %d times, want once", changed)
			}
		})
	})
}

// When ctx ends, polls at work finish, and no further one begins.
func TestRun_end(t *testing.T) {
	inBubble(t, 1, map[string]time.Duration{"a": minute, "b": minute}, func(r *rig) {
		r.set(func() { r.takes = time.Hour })
		r.after(20 * minute) // the second one waits for the first
		at := time.Now()
		r.stop()
		r.after(10 * time.Second)
		r.count("a", 1)
		r.count("b", 1)
		select {
		case <-r.over:
		default:
			t.Errorf("Run goes on %v after the end, want it to return", time.Since(at))
		}
	})
}

// A machine that has slept, or a clock that was set, is noticed within a minute. Then each account is
// polled once.
func TestRun_jump(t *testing.T) {
	for _, test := range []struct {
		name  string
		jump  Clocks
		polls int
	}{
		{"slept for a night", Clocks{Wall: 8 * time.Hour, Boot: 8 * time.Hour}, 1},
		{"slept, and the clock stood", Clocks{Boot: 8 * time.Hour}, 1},
		{"set forward", Clocks{Wall: 8 * time.Hour}, 1},
		{"set back", Clocks{Wall: -8 * time.Hour}, 1},
		{"corrected", Clocks{Wall: 3 * time.Second}, 0},
		{"the system stood still", Clocks{Wall: time.Hour, Monotonic: time.Hour, Boot: time.Hour}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, 2, map[string]time.Duration{"home": time.Hour, "work": time.Hour}, func(r *rig) {
				r.after(20 * minute)
				r.set(func() { r.clocks = test.jump })
				r.after(minute)
				r.count("home", 1+test.polls)
				r.count("work", 1+test.polls)
				r.after(30 * minute)
				r.count("home", 1+test.polls)
				r.after(time.Hour)
				if n := r.polled("work"); n < 2+test.polls || n > 3+test.polls {
					t.Errorf("work was polled %d times, want its interval again", n)
				}
			})
		})
	}
	// A time that the server wants is one of the wall clock.
	for _, test := range []struct {
		name  string
		jump  time.Duration
		polls int
	}{{"too short a sleep", time.Hour, 1}, {"long enough", 4 * time.Hour, 2}} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, 2, map[string]time.Duration{"announced": minute, "refused": minute}, func(r *rig) {
				r.after(due.LongestSpread)
				accounts := r.accounts(map[string]time.Duration{"announced": minute, "refused": minute})
				until := time.Now().Add(3 * time.Hour)
				for i, outcome := range []Outcome{{Announced: until}, {Refused: until}} {
					poll := accounts[i].Poll
					accounts[i].Poll = func(ctx context.Context) Outcome { poll(ctx); return outcome }
				}
				r.Replace(accounts, 2)
				r.after(10 * minute)
				r.count("announced", 2)
				r.count("refused", 2)
				r.set(func() { r.clocks = Clocks{Wall: test.jump, Boot: test.jump} })
				r.after(minute)
				r.count("announced", 1+test.polls)
				r.count("refused", 1+test.polls)
			})
		})
	}
}

// Alive is called as long as the loop makes progress, and no longer.
func TestRun_alive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New([]Account{{Name: "work", Interval: minute, Poll: func(context.Context) Outcome {
			time.Sleep(time.Hour) // a slow poll is no reason to end the program
			return Outcome{}
		}}}, 1)
		var calls atomic.Int32
		wedge := make(chan struct{})
		r.AliveEvery = time.Second
		r.Alive = func() { calls.Add(1) }
		ctx, stop := context.WithCancel(t.Context())
		go r.Run(ctx)
		time.Sleep(10*time.Minute + time.Second/2)
		if n := calls.Load(); n != 601 {
			t.Errorf("%d calls in 600 seconds, want 601", n)
		}
		r.call(func(time.Time) { <-wedge })
		time.Sleep(time.Hour)
		if n := calls.Load(); n != 601 {
			t.Errorf("%d calls more of a loop that is wedged, want none", n-601)
		}
		close(wedge)
		stop()
		<-r.over
	})
}
