package worker

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// idle is the mean time after which a worker asks again that has got all that was due. It
	// varies by half of it. So a poll starts 0.5 s after it is due on average, and 1.5 s at most,
	// if a job is free. It also bounds how soon a new account, or one that somebody wants polled
	// now, is noticed. An account is polled once in minutes, so a shorter time would not help
	// anybody. To ask costs the database one look into an index: 100 idle workers ask 100 times a
	// second, which is less than 100,000 accounts need at five minutes. Sleeping until the next
	// account is due would hardly save any of that, because there is always one due soon where many
	// accounts are.
	idle = time.Second
	// mostClaimed bounds a claim, so that workers that ask at the same moment get some of what is
	// due.
	mostClaimed = 50
	// claimGrace is for how long a claim may go on when the worker ends. If it were cut at once,
	// nobody would know what was claimed, and these accounts would wait until they count as lost.
	claimGrace = 2 * time.Second
	// longestTick is the longest time between two calls of Alive.
	longestTick = 30 * time.Second
)

// loop is what only the goroutine of Run uses.
type loop struct {
	jobs     int
	working  int  // turns that have not ended
	claiming bool // a claim is under way
	ready    bool // accounts may be due: the next free job asks for one
	woken    bool // somebody wanted that while a claim was under way
	retry    Retry
}

// Run polls until ctx ends. Then it claims nothing more, gives back at once what it has claimed and
// not begun, and returns when the last turn has ended. It may be called once.
func (w *Worker) Run(ctx context.Context) {
	defer close(w.over)
	ticker := time.NewTicker(w.tick())
	defer ticker.Stop()
	timer := time.NewTimer(idle)
	defer timer.Stop()
	claimCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	w.alive()
	for done := ctx.Done(); done != nil || w.loop.working > 0 || w.loop.claiming; {
		if done != nil {
			w.begin(ctx, claimCtx)
		}
		select {
		case <-done:
			done = nil
			time.AfterFunc(claimGrace, cancel)
		case <-timer.C:
			w.loop.ready = true
		case do := <-w.calls:
			do()
		case c := <-w.claims:
			if wait := w.take(ctx, c); wait > 0 {
				timer.Reset(wait)
			}
		case undone := <-w.ended:
			w.loop.working--
			if undone && w.loop.ready { // the account is due, and would come back at once
				w.loop.ready = false
				timer.Reset(pause())
			}
		case <-ticker.C:
			w.alive()
		}
	}
}

// begin begins a claim if accounts may be due, and a job is free for one. All jobs that become free
// while a claim is under way are served by the next one.
func (w *Worker) begin(ctx, claimCtx context.Context) {
	free := min(w.loop.jobs-w.loop.working, mostClaimed)
	if !w.loop.ready || w.loop.claiming || free <= 0 {
		return
	}
	w.loop.claiming = true
	go func() {
		defer w.guard()
		turns, err := w.claim(claimCtx, free)
		w.noteReach(ctx, err)
		w.claims <- claimed{turns, free, err}
	}()
}

// take begins the turns of a claim. It returns how long the worker waits before the next claim;
// zero: until a job is free.
func (w *Worker) take(ctx context.Context, c claimed) (wait time.Duration) {
	w.loop.claiming = false
	for _, t := range c.turns {
		w.loop.working++
		go func() {
			defer w.guard()
			w.ended <- w.turn(ctx, t)
		}()
	}
	if c.err == nil {
		w.loop.retry = Retry{}
	}
	switch {
	case c.err != nil:
		wait = w.loop.retry.Next()
	case len(c.turns) < c.asked && !w.loop.woken:
		wait = pause()
	}
	w.loop.ready, w.loop.woken = wait == 0, false
	return wait
}

// pause returns how long a worker waits that has got all that was due.
func pause() time.Duration { return idle/2 + rand.N(idle) } //nolint:gosec // nothing secret depends on it

func (w *Worker) tick() time.Duration {
	if w.AliveEvery > 0 {
		return min(w.AliveEvery, longestTick)
	}
	return longestTick
}

func (w *Worker) alive() {
	if w.Alive != nil {
		w.Alive()
	}
}

func (w *Worker) guard() {
	if w.Crash == nil {
		return
	}
	if panicked := recover(); panicked != nil {
		w.Crash(panicked)
	}
}
