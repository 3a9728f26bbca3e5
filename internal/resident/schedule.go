package resident

import (
	"slices"
	"time"

	"github.com/popfetch/popfetch/internal/due"
)

// schedule says which account is polled when. It does no input or output, and knows the time only
// from its callers. Its times have monotonic readings.
type schedule struct {
	jobs    int
	entries []*entry // in the order of the accounts; those that are gone stay until their poll ends
	working int
	planned func(account string, next time.Time)
}

// entry is one account of a schedule.
type entry struct {
	account Account
	next    time.Time // of a poll that waits
	last    time.Time // the end of the last poll; zero: there was none

	fruitless int // polls in a row
	announced time.Time
	refused   time.Time

	working bool
	gone    bool // no longer among the accounts
	again   bool // to be polled once more, as soon as the poll at work has ended
	pressed bool // and the announced time does not count
}

// replace puts new accounts in the place of the old ones. What is at work goes on.
func (s *schedule) replace(accounts []Account, jobs int, now time.Time) {
	s.jobs = max(1, jobs)
	old := make(map[string]*entry, len(s.entries))
	for _, e := range s.entries {
		e.gone = true
		old[e.account.Name] = e
	}
	accounts = slices.DeleteFunc(slices.Clone(accounts), func(a Account) bool { return a.Interval <= 0 })
	entries := make([]*entry, 0, len(accounts))
	for i, a := range accounts {
		e := old[a.Name]
		switch {
		case e == nil:
			e = &entry{account: a}
			s.plan(e, now.Add(due.Spread(a.Interval, i, len(accounts))))
		case e.account.Interval != a.Interval && !e.last.IsZero() && !e.working && e.next.After(now):
			e.account = a
			s.plan(e, e.due(now))
		}
		e.account, e.gone = a, false
		entries = append(entries, e)
	}
	for _, e := range s.entries {
		switch {
		case e.gone && e.working:
			entries = append(entries, e)
		case e.gone:
			s.planned(e.account.Name, time.Time{})
		}
	}
	s.entries = entries
}

// plan sets the time of the next poll.
func (s *schedule) plan(e *entry, next time.Time) {
	e.next = next
	s.planned(e.account.Name, next)
}

// due returns when an account is to be polled after its last poll. The interval counts from the end of
// that poll: a server has the same pause however slow its sessions are. Workers count from the start
// (package worker), because many machines are sized for so many polls a second.
func (e *entry) due(now time.Time) time.Time {
	return now.Add(due.Poll{
		Interval: e.account.Interval, Fruitless: e.fruitless, Passed: now.Sub(e.last),
		Announced: e.announced.Sub(now), Refused: e.refused.Sub(now),
	}.Wait())
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// take returns the account that has waited longest for its poll, and counts it as at work. It returns
// nil if none is due, or enough are at work.
func (s *schedule) take(now time.Time) *entry {
	first := s.first()
	if first == nil || s.working >= s.jobs || first.next.After(now) {
		return nil
	}
	first.working = true
	s.working++
	return first
}

// first returns the waiting account that is polled first, or nil.
func (s *schedule) first() *entry {
	var first *entry
	for _, e := range s.entries {
		if !e.working && !e.gone && (first == nil || e.next.Before(first.next)) {
			first = e
		}
	}
	return first
}

// wait returns how long the loop may wait before take returns an account; ok is false if only
// another event can change that.
func (s *schedule) wait(now time.Time) (d time.Duration, ok bool) {
	first := s.first()
	if first == nil || s.working >= s.jobs {
		return 0, false
	}
	return first.next.Sub(now), true
}

// end notes the outcome of a poll. Outcomes have times of the wall clock.
func (s *schedule) end(e *entry, outcome Outcome, now time.Time) {
	e.working = false
	s.working--
	e.last, e.fruitless = now, due.Count(e.fruitless, outcome.Fruitless)
	e.announced, e.refused = onClock(outcome.Announced, now), onClock(outcome.Refused, now)
	again, pressed := e.again, e.pressed
	e.again, e.pressed = false, false
	switch {
	case e.gone:
		s.entries = slices.DeleteFunc(s.entries, func(other *entry) bool { return other == e })
		s.planned(e.account.Name, time.Time{})
	case again:
		s.plan(e, e.soonest(now, pressed))
	default:
		s.plan(e, e.due(now))
	}
}

// onClock returns a time of the wall clock by the monotonic clock. The zero time stays zero.
func onClock(wall, now time.Time) time.Time {
	if wall.IsZero() {
		return wall
	}
	return now.Add(wall.Round(0).Sub(now.Round(0)))
}

// soonest returns when an account may be polled at the earliest. A person who has pressed for it does
// not wait for an announced time.
func (e *entry) soonest(now time.Time, pressed bool) time.Time {
	at := later(now, e.refused)
	if !pressed {
		at = later(at, e.announced)
	}
	return at
}

// wake has each account polled at once, and those at work once more. An account that the server would
// refuse waits until it does not.
func (s *schedule) wake(now time.Time) { s.hurry(now, true) }

// jump has each account polled once, because the machine has slept or the clock was set. passed is the
// time that the monotonic clock has missed.
func (s *schedule) jump(passed time.Duration, now time.Time) {
	for _, e := range s.entries {
		e.announced, e.refused, e.fruitless = e.announced.Add(-passed), e.refused.Add(-passed), 0
	}
	s.hurry(now, false)
}

func (s *schedule) hurry(now time.Time, pressed bool) {
	for _, e := range s.entries {
		if e.working {
			e.again, e.pressed = true, e.pressed || pressed
			continue
		}
		if at := e.soonest(now, pressed); at.Before(e.next) {
			s.plan(e, at)
		}
	}
}

// stop tells that no account will be polled any more.
func (s *schedule) stop() {
	for _, e := range s.entries {
		s.planned(e.account.Name, time.Time{})
	}
}
