package policy

import (
	"time"

	"github.com/popfetch/popfetch/seen"
)

// HoldTime is how long deletions by age wait after a gap between runs.
const HoldTime = time.Hour

// IsDoubtful reports whether a clock is clearly wrong: it stands before the newest record, or before
// the program was made.
func IsDoubtful(now, newest, made time.Time) bool {
	now = now.Add(ClockSlack)
	return now.Before(newest) || now.Before(made)
}

// ByAge reports whether messages are deleted some time after their delivery.
func (p *Delete) ByAge() bool { return !p.Keep && !p.All && p.Enabled && p.After > 0 }

// isDue reports whether a delivered message may be deleted at the time asOf. An unknown time of
// delivery has no age.
func (p *Delete) isDue(deliveredAt, asOf time.Time) bool {
	return p.After == 0 || !deliveredAt.IsZero() && !deliveredAt.Add(p.After).After(asOf)
}

// Due returns the latest delivery that is due at the time asOf, of a listing of so many messages;
// zero: none is.
func (p *Delete) Due(asOf time.Time, listed int) time.Time {
	switch {
	case p.Keep || !p.All && !p.Enabled || p.ByAge() && asOf.IsZero() || listed <= p.Keeps():
		return time.Time{}
	case !p.ByAge():
		return seen.AnyTime
	}
	return asOf.Add(-p.After)
}

// AsOf returns the time for which the age of messages is judged. Usually this is now. But if more
// time than the rule allows has passed since the last run, the clock may have jumped, or the machine
// was off. Nobody then had the time in which the messages were to stay on the server. So nothing is
// due, until a run that comes at least HoldTime later. After a gap in each interval, what was due at
// the last run is due.
//
// held is since when deletions wait; the result has its new value. The zero time is none or never.
func (p *Delete) AsOf(now, last, held time.Time) (asOf, newHeld time.Time) {
	gap := !last.IsZero() && now.Sub(last) > p.After+min(p.After/8, HoldTime) // a daily run may come late
	switch {
	case !p.ByAge():
		return now, held
	case !held.IsZero() && now.Sub(held).Abs() < HoldTime:
		return time.Time{}, held
	case gap && held.IsZero():
		return time.Time{}, now
	case gap:
		return last, now
	}
	return now, time.Time{}
}

// IsStale reports whether the time of the last run that was kept is too old. It is not written in
// each run, because that would cost a sync.
func (p *Delete) IsStale(ranAt, now time.Time) bool {
	return now.Sub(ranAt).Abs() > min(p.After/8, 24*time.Hour)
}
