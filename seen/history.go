package seen

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
	"time"
)

// HistoryDays is how many days a store keeps the counts of, for each account.
const HistoryDays = 400

// Verdict says what the end of a run means for the account.
type Verdict int

// The verdicts. The zero value is Failed, so that nothing counts as a success by mistake.
const (
	Failed    Verdict = iota // something is wrong, and lasts until a run succeeds
	Succeeded                // the exit status of the run was 0
	Passing                  // the run ended early, and that says nothing: by a signal, or by LOGIN-DELAY
)

// RunNote is the outcome of one run of an account, as its history keeps it.
type RunNote struct {
	At      time.Time // when the run ended
	Took    time.Duration
	Verdict Verdict
	// Status, Code and Text say what was wrong, unless the run has Succeeded: the exit status, the
	// stable code, and one line for a person in which everything foreign is escaped.
	Status     int
	Code, Text string

	Delivered    int
	Octets       int64 // of the delivered messages
	Deleted      int
	Quarantined  int // messages that were set aside in this run
	LoginRefused bool
	Sizes        Sizes // of the delivered messages
	Largest      int64 // octets of the largest delivered message

	Maildrop *MaildropNote // what the run found and left; nil: it did not come so far
}

// MaildropNote is what a run found in the maildrop, and left to later ones.
type MaildropNote struct {
	Listed      int
	Backlog     int // messages that were new, and were not delivered
	Quarantined int // messages that are listed and set aside
}

// History is what a store keeps of the runs of an account. The zero value is the history of an
// account that was never run.
type History struct {
	RanAt       time.Time // the end of the last run
	SucceededAt time.Time // the end of the last run that succeeded
	Error       LastError
	// NextAt is when a resident popfetch means to run the account again; zero: none does, or it is
	// unknown. A run that ends later clears it, because one that was killed left it behind.
	NextAt time.Time

	Maildrop   MaildropNote // of the last run that listed the maildrop
	MaildropAt time.Time    // the end of that run; zero: there was none

	Total     Totals
	Durations Durations // of all runs

	Days []Day // those on which a run took place, the earliest first
}

// LastError is the last error of an account. The zero value means that there was none.
type LastError struct {
	At time.Time
	// Since is when the first of these errors happened, without a success in between. Zero: a run
	// has succeeded after the error.
	Since      time.Time
	Status     int
	Code, Text string
}

// Totals are counts over all runs of an account since the history began.
type Totals struct {
	Runs, Failed  int
	Delivered     int
	Octets        int64
	Deleted       int
	RefusedLogins int
	Took          time.Duration
}

// Day holds the counts of one day of an account. Days begin at midnight UTC, so that machines in
// several time zones agree.
type Day struct {
	Date         time.Time // its midnight
	Runs, Failed int
	Delivered    int
	Octets       int64
	Deleted      int
	Quarantined  int   // messages that were set aside
	Largest      int64 // octets of the largest delivered message
	Took         time.Duration
	Longest      time.Duration // the longest run
	Sizes        Sizes
	Durations    Durations
	Errors       map[string]int // runs that did not succeed, by code
}

// Sizes counts messages by magnitude. Sizes[i] counts those with 2^(i-1) to 2^i - 1 octets; Sizes[0]
// counts those without octets.
type Sizes []int

// Count adds a message of so many octets.
func (s *Sizes) Count(octets int64) {
	magnitude := bits.Len64(uint64(max(octets, 0))) //nolint:gosec // it is not negative
	for len(*s) <= magnitude {
		*s = append(*s, 0)
	}
	(*s)[magnitude]++
}

func (s *Sizes) add(other Sizes) {
	for len(*s) < len(other) {
		*s = append(*s, 0)
	}
	for i, n := range other {
		(*s)[i] += n
	}
}

// DurationBounds are the upper bounds of the first elements of Durations. They never change, because
// counts by them are stored.
var DurationBounds = [...]time.Duration{
	100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second, 30 * time.Second,
	time.Minute, 3 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour,
}

// Durations counts runs by how long they took: Durations[i] those that took at most
// DurationBounds[i], and longer than the bound before. The last element counts the others.
type Durations [len(DurationBounds) + 1]int

func (d *Durations) count(took time.Duration) {
	i, _ := slices.BinarySearch(DurationBounds[:], took)
	d[i]++
}

// Note adds a run to the history, but not to its Days. A store calls it.
func (h *History) Note(run RunNote) {
	h.RanAt = run.At
	if run.At.After(h.NextAt) {
		h.NextAt = time.Time{}
	}
	switch run.Verdict {
	case Succeeded:
		h.SucceededAt, h.Error.Since = run.At, time.Time{}
	case Failed:
		since := h.Error.Since
		if since.IsZero() || since.After(run.At) { // the clock has gone back
			since = run.At
		}
		h.Error = LastError{At: run.At, Since: since, Status: run.Status, Code: run.Code, Text: run.Text}
		h.Total.Failed++
	case Passing:
	}
	if run.Maildrop != nil {
		h.Maildrop, h.MaildropAt = *run.Maildrop, run.At
	}
	h.Total.Runs++
	h.Total.Delivered += run.Delivered
	h.Total.Octets += run.Octets
	h.Total.Deleted += run.Deleted
	h.Total.Took += run.Took
	if run.LoginRefused {
		h.Total.RefusedLogins++
	}
	h.Durations.count(run.Took)
}

// maxErrorCodes limits the codes that a day counts apart.
const maxErrorCodes = 16

// otherErrors counts the errors of a day that have more codes than maxErrorCodes.
const otherErrors = "other"

// Note adds a run that ended on that day. A store calls it.
func (d *Day) Note(run RunNote) {
	d.Runs++
	d.Delivered += run.Delivered
	d.Octets += run.Octets
	d.Deleted += run.Deleted
	d.Quarantined += run.Quarantined
	d.Largest = max(d.Largest, run.Largest)
	d.Took += run.Took
	d.Longest = max(d.Longest, run.Took)
	d.Sizes.add(run.Sizes)
	d.Durations.count(run.Took)
	if run.Verdict == Failed {
		d.Failed++
	}
	if run.Verdict == Succeeded {
		return
	}
	code := cmp.Or(run.Code, otherErrors)
	if _, counted := d.Errors[code]; !counted && len(d.Errors) >= maxErrorCodes {
		code = otherErrors
	}
	d.Errors = maps.Clone(d.Errors)
	if d.Errors == nil {
		d.Errors = make(map[string]int)
	}
	d.Errors[code]++
}

// DateOf returns the midnight of the day that a time belongs to.
func DateOf(at time.Time) time.Time { return at.UTC().Truncate(24 * time.Hour) }
