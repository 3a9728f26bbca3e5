package fetch

import (
	"net/mail"
	"strings"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// InitialPolicy says what the first run of an account leaves out; the zero value leaves out nothing.
type InitialPolicy struct {
	Limited bool
	Within  time.Duration // what arrived within that time is retrieved nevertheless; zero: nothing is
}

// leaveOutOld finds out which messages a first run leaves out. Of an account that only seems to be new, because it was renamed
// or its state was lost, it leaves out nothing: what would be taken for old might never have been retrieved.
func (s *session) leaveOutOld(verdicts map[int]*verdict) error {
	policy := s.account.Initial
	if !policy.Limited || s.known.Records > 0 || s.known.Finished || len(s.diff.New) == 0 {
		return nil
	}
	switch {
	case s.known.Twin != "":
		s.warn("initial is left aside, since account %q has the same server and user", s.known.Twin)
		return nil
	case s.found:
		s.warn("initial is left aside, since the target holds messages of this maildrop already")
		return nil
	}
	numbers := func(yield func(int) bool) {
		for _, i := range s.diff.New {
			if v := verdicts[i]; (v == nil || v == isOld) && !yield(s.listing[i].Number) {
				return
			}
		}
	}
	if policy.Within == 0 {
		for _, i := range s.diff.New {
			if verdicts[i] == nil {
				verdicts[i] = isOld
			}
		}
	} else if !s.hasTop() {
		s.warn("the server has no TOP, or shows nothing of some messages by it, and nothing else could tell how old its messages are: initial is left aside")
		return nil
	}
	s.oldDigests = make([]seen.Digest, len(s.listing))
	cutoff := s.runner.now().Add(-policy.Within)
	return s.askHeaders(numbers, s.octetsOf, func(number int, h *header) {
		if policy.Within > 0 && !h.arrivedBefore(cutoff) {
			return
		}
		i := s.indexOf(number)
		verdicts[i] = isOld
		s.oldDigests[i] = h.digest() // by which it is known under another unique-id (C0040)
	})
}

// arrivedBefore tells whether the message is older than at. POP3 does not say when a message arrived: the topmost Received field
// does, and its Date at least when it was written. A message that lacks both, or has one that cannot be read, may be new.
func (h *header) arrivedBefore(at time.Time) bool {
	dated := false
	for _, name := range []string{"received", "date"} {
		value, ok := h.value(name)
		if !ok {
			continue
		}
		if name == "received" { // the date stands behind the last semicolon (RFC 5322 section 3.6.7)
			value = value[strings.LastIndexByte(value, ';')+1:]
		}
		latest, ok := latestTime(value)
		if !ok || !latest.Before(at) {
			return false
		}
		dated = true
	}
	return dated
}

// firstMail is earlier than any message with a date (RFC 822); clocks that were never set begin in 1970 or 1980.
var firstMail = time.Date(1982, 8, 13, 0, 0, 0, 0, time.UTC)

// latestTime reads a date as late as it may be meant: a zone that is but a name, such as EST, may lie twelve hours behind.
func latestTime(value string) (time.Time, bool) {
	t, err := mail.ParseDate(value)
	if err != nil || t.Before(firstMail) {
		return time.Time{}, false
	}
	if name, offset := t.Zone(); offset == 0 && name != "" && name != "UTC" && name != "GMT" {
		t = t.Add(12 * time.Hour)
	}
	return t, true
}

// mark records the messages that a first run leaves out, all at once: else the run after one that broke off would not be a
// first one any more, and retrieve the others.
func (s *session) mark(entries []seen.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	now := s.runner.now()
	records := func(yield func(seen.Record) bool) {
		for _, e := range entries {
			if !yield(seen.Record{Key: e.Key, Kind: seen.Marked, Listed: e.Octets, Digest: s.oldDigests[s.indexOf(e.Number)], DeliveredAt: now}) {
				return
			}
		}
	}
	if err := s.ledger.Apply(s.hard, seen.Changes{Records: records}); err != nil {
		return s.fail(PhaseRecord, err)
	}
	s.known.Records += len(entries) // a further session of this run is no first one
	s.result.Marked = len(entries)
	s.event(Event{Kind: Marked, Messages: len(entries)})
	return nil
}
