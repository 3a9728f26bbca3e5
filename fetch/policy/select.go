package policy

import "time"

// Select says which messages a pass takes, of those that are to be retrieved. The zero value takes
// all of them.
type Select struct {
	// A pass retrieves no more than so many messages, and so many octets as LIST announces them. Its
	// first message always goes, however large. Zero: no limit.
	Messages int
	Octets   int64
	// What was sent longer ago than Within, or before Since, is left out, by its Date. Zero: nothing is.
	Within  time.Duration
	Since   time.Time
	Session int  // the run logs in again after so many messages; zero: it does not
	Drain   bool // further sessions follow until a listing brings nothing new
	// Only these unique-ids are retrieved or deleted, however old they are; nil: all.
	Only map[string]bool
}

// Names reports whether messages with this unique-id may be retrieved and deleted.
func (s *Select) Names(uniqueID string) bool { return s.Only == nil || s.Only[uniqueID] }

// ByDate reports whether messages are left out by their Date.
func (s *Select) ByDate() bool { return s.Only == nil && (s.Within > 0 || !s.Since.IsZero()) }

// Cutoff returns the time before which a message was sent too long ago.
func (s *Select) Cutoff(now time.Time) time.Time {
	if s.Within > 0 && s.Since.Before(now.Add(-s.Within)) {
		return now.Add(-s.Within)
	}
	return s.Since
}

// Taken is how much a pass has retrieved, or is going to retrieve.
type Taken struct {
	Messages int
	Octets   int64
}

// Add counts one more message of so many octets.
func (t *Taken) Add(octets int64) {
	t.Messages++
	t.Octets += max(0, octets)
}

// Allows reports whether a pass that has taken so much takes another message of so many octets.
func (s *Select) Allows(t Taken, octets int64) bool {
	if s.Messages > 0 && t.Messages >= s.Messages {
		return false
	}
	return s.Octets <= 0 || t.Messages == 0 || max(0, octets) <= s.Octets-t.Octets
}

// Cut divides the messages that are to be retrieved, in their order: now in this session, next in
// further sessions of the pass, and wait in later passes. The pass has taken so much already.
func (s *Select) Cut(queue []int32, octets func(int32) int64, t Taken) (now, next, wait []int32) {
	n := 0
	for n < len(queue) && s.Allows(t, octets(queue[n])) {
		t.Add(octets(queue[n]))
		n++
	}
	queue, wait = queue[:n], queue[n:]
	if s.Session > 0 && n > s.Session {
		return queue[:s.Session], queue[s.Session:], wait
	}
	return queue, nil, wait
}
