// Package policy decides, without input or output, which messages of a maildrop are deleted on the
// server, and by which rule.
//
// A wrong deletion cannot be undone. So what is not known counts against it: an unknown or future
// time of delivery, a record of unknown kind, a target that cannot be asked.
package policy

import (
	"time"

	"github.com/popfetch/popfetch/seen"
)

// Delete says when a message is deleted on the server. Its rules stand beside each other: one is
// enough. The zero value deletes only what a filter of headers has discarded.
type Delete struct {
	Enabled bool          // a delivered message is deleted After some time
	After   time.Duration // since its delivery; zero: at once
	// Larger messages than so many octets, by LIST, are deleted as soon as they are delivered. Zero:
	// there is no such rule.
	Larger   int64
	Newest   int  // so many of the last listed messages stay, whatever the other rules say
	Removed  bool // what the user has removed from the target is deleted
	Imported bool // rules also hold for what another program delivered, since it first saw the message
	// Only what still lies at its target as it was delivered is deleted. What was removed, dropped or
	// discarded lies nowhere, so Verify does not hold for it.
	Verify bool

	Keep bool // nothing at all is deleted, not even what was discarded
	All  bool // everything delivered is deleted, also what Newest would keep
}

// Rule names why a message is deleted. The log and the events have it, so it never changes its
// meaning.
type Rule string

// The rules, in the order in which they are tried. The empty Rule deletes nothing.
const (
	None      Rule = ""
	Discarded Rule = "filter_headers" // a filter of headers said so
	Asked     Rule = "--delete"       // somebody said so for this run
	Imported  Rule = "imported"       // another program delivered it, and After has passed
	Delivered Rule = "delivered"      // as soon as it is delivered
	Larger    Rule = "larger_than"
	After     Rule = "after"
	Removed   Rule = "removed"
)

// ClockSlack is how far a clock may stand before a time that has certainly passed. A clock may be
// wrong, and only what other runs noted can show it.
const ClockSlack = 24 * time.Hour

// Clock is the time for which rules are judged.
type Clock struct {
	Now  time.Time
	AsOf time.Time // for the age of messages; see Delete.AsOf
}

// Message is what the rules need to know of a listed message and its record.
type Message struct {
	Kind        seen.Kind
	Octets      int64     // by LIST
	DeliveredAt time.Time // zero: unknown
	Newest      bool      // one of the last listed ones that stay
	Named       bool      // somebody has named its unique-id for this run
	Removed     bool      // its target had it, and the user has removed it there
}

// Rule returns the rule by which a message is deleted now, or None.
func (p *Delete) Rule(m *Message, at Clock) Rule {
	switch {
	case p.Keep:
		return None
	case m.Kind == seen.Discarded:
		return Discarded
	case p.All && (p.covers(m.Kind) || m.Kind == seen.Marked && m.Named):
		return Asked
	case m.Newest || IsFuture(m.DeliveredAt, at.Now) || !p.covers(m.Kind):
		return None
	case p.Enabled && p.isDue(m.DeliveredAt, at.AsOf):
		return p.ruleOf(m.Kind)
	case p.isLarger(m.Octets):
		return Larger
	case p.Removed && m.Removed && m.Kind == seen.Delivered:
		return Removed
	}
	return None
}

// ruleOf names the rule of After.
func (p *Delete) ruleOf(kind seen.Kind) Rule {
	switch {
	case kind == seen.Imported:
		return Imported
	case p.After == 0:
		return Delivered
	}
	return After
}

// covers reports whether messages with such a record are deleted.
func (p *Delete) covers(kind seen.Kind) bool {
	return kind.IsDone() || kind == seen.Imported && p.Imported
}

// Any reports whether a rule may delete what is delivered.
func (p *Delete) Any() bool {
	return !p.Keep && (p.Enabled || p.All || p.Larger > 0 || p.Removed)
}

// AtOnce reports whether a message of so many octets is deleted in the session that delivers it.
// newest says that it is one of those that stay.
func (p *Delete) AtOnce(octets int64, newest bool) Rule {
	m := &Message{Kind: seen.Delivered, Octets: octets, Newest: newest}
	if p.ByAge() {
		q := *p
		q.Enabled = false
		p = &q
	}
	return p.Rule(m, Clock{})
}

// isLarger reports whether Larger holds for so many octets. It never does if they are unknown.
func (p *Delete) isLarger(octets int64) bool { return p.Larger > 0 && octets > p.Larger }

// MayBeLarger reports whether a message of so many octets is deleted as soon as it is delivered,
// because of its size.
func (p *Delete) MayBeLarger(octets int64) bool { return !p.Keep && p.isLarger(octets) }

// NeedsProof reports whether a message with such a record, which the rule deletes, must lie at its
// target as it was delivered.
func (p *Delete) NeedsProof(rule Rule, kind seen.Kind) bool {
	return p.Verify && kind != seen.Dropped && rule != Removed && rule != Discarded && rule != None && kind != seen.Marked
}

// Keeps returns how many of the last listed messages stay.
func (p *Delete) Keeps() int {
	if p.All {
		return 0
	}
	return p.Newest
}

// Staying returns the index from which on messages of a listing stay, if so many of the last ones do.
// What is discarded does not count among these.
func Staying(listed, stay int, isDiscarded func(int) bool) int {
	for listed > 0 && stay > 0 {
		if listed--; !isDiscarded(listed) {
			stay--
		}
	}
	return listed
}

// IsFuture reports whether a time is clearly later than now. Then the clock was wrong at that time,
// or is wrong now.
func IsFuture(at, now time.Time) bool { return at.After(now.Add(ClockSlack)) }
