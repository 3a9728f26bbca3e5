package fetch

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/headerfilter"
	"github.com/popfetch/popfetch/internal/refusals"
	"github.com/popfetch/popfetch/seen"
)

// tellAgain is when a person is told again about lasting trouble. cron sends a mail for every line,
// and may run popfetch every five minutes. It is a little less than a day, so that a daily run
// reports it each time.
const tellAgain = 23 * time.Hour

// outcomes notes what became of each message of a transfer, in the ledger and in the result. It
// keeps the error that ends the transfer. Several goroutines may call its methods.
type outcomes struct {
	job     *job
	history *history

	refusals *refusals.Tally

	mu    sync.Mutex
	fatal error // no more is asked for: the target, the server or the ledger is broken
}

func newOutcomes(s *session) *outcomes {
	if s.history.refusals == nil {
		s.history.refusals = refusals.New(s.job.now, s.memory.standing)
	}
	return &outcomes{job: s.job, history: s.history, refusals: s.history.refusals}
}

func eventOf(kind Kind, e *seen.Entry, cause error) Event {
	return Event{Kind: kind, Number: e.Number, UniqueID: e.UniqueID, Octets: e.Octets, Err: cause}
}

// end stops the asking because of err, a *Error.
func (o *outcomes) end(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.fatal == nil:
		o.fatal = err
	// Nothing more may be delivered, whatever went wrong before.
	case isOfRecord(err):
		o.fatal = o.job.fail(PhaseRecord, errors.Join(errors.Unwrap(err), o.fatal))
	}
}

// failure returns the error that ended the asking, or nil.
func (o *outcomes) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fatal
}

// isOfRecord reports whether the ledger has failed. Then a message that is delivered now would be
// delivered again.
func isOfRecord(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Phase == PhaseRecord
}

// deliveredAs records messages that are durable at their target or were dropped, and then reports
// them. If headers is not empty, it holds the header of each.
func (o *outcomes) deliveredAs(items []item, records []seen.Record, headers []Header) {
	now := o.job.deliveredAt()
	for i := range records {
		records[i].DeliveredAt = now
	}
	if err := o.job.record(seen.Changes{Records: slices.Values(records)}); err != nil {
		o.end(err)
		return
	}
	o.job.tellRecorded(items...)
	o.refusals.Through(len(items))
	o.job.count(func(r *Result) {
		for i, it := range items {
			if records[i].Kind == seen.Dropped {
				r.Filtered.Dropped++
			} else {
				r.Delivered++
				r.Octets += records[i].Came.Octets
			}
			it.decide(isRecorded)
			it.set(isSettled)
		}
	})
	for i, it := range items {
		e := Event{Kind: Delivered, Number: it.Number, UniqueID: it.UniqueID, Octets: records[i].Came.Octets}
		switch {
		case records[i].Kind == seen.Dropped:
			e.Kind = Dropped
		case len(headers) > 0:
			e.Header = headers[i]
		}
		o.job.event(e)
	}
}

// recognised notes a message that was delivered before.
func (o *outcomes) recognised(it item, record seen.Record) {
	err := o.job.record(seen.Changes{Records: slices.Values([]seen.Record{record})})
	if err != nil {
		o.end(err)
		return
	}
	o.job.tellRecorded(it)
	o.job.count(func(r *Result) {
		r.Recognised++
		it.decide(isRecorded)
		it.set(isSettled)
	})
	o.job.event(Event{
		Kind: Recognised, Number: it.Number, UniqueID: it.UniqueID, Octets: record.Came.Octets,
	})
}

// asideOf makes the Aside of a message that was not delivered.
func (o *outcomes) asideOf(e *seen.Entry, reason seen.Reason, cause error) seen.Aside {
	return seen.Aside{
		Key: e.Key, Reason: reason, Listed: e.Octets, Last: o.job.now(), Text: cause.Error(),
	}
}

// setAside notes messages that were not delivered. A message that was to be retrieved again keeps its
// record, and nothing else is to stand beside that.
func (o *outcomes) setAside(asides ...seen.Aside) error {
	if o.job.account.Missing != nil {
		return nil
	}
	return o.job.record(seen.Changes{Asides: asides})
}

// setAsideOrEnd is setAside, but an error ends the asking.
func (o *outcomes) setAsideOrEnd(aside seen.Aside) {
	if err := o.setAside(aside); err != nil {
		o.end(err)
	}
}

// isEnough reports whether a message with so many refusals is quarantined.
func (o *outcomes) isEnough(refusals int) bool {
	limit := o.job.account.QuarantineAfter
	return limit > 0 && refusals >= limit
}

// refuse notes that the server or the target has refused one message. The next run tries it again.
// If it was refused for good as often as the account allows, it is quarantined, which is reported
// once.
func (o *outcomes) refuse(it item, cause error) {
	now := o.job.now()
	var before seen.Aside
	// Otherwise it was another message.
	if it.before() != nil && it.reason() != seen.Chosen && !seen.Differ(it.before().Listed, it.Octets) {
		before = *it.before()
	}
	told := eventOf(Refused, it.Entry, cause)
	// A wrong clock must not silence it for years.
	told.Repeated = refusals.Same(before.Text, cause) && now.Sub(before.ToldAt).Abs() < tellAgain
	told.Early = o.isEarly(cause, before.Since, now)
	if refusals.IsFileLimit(cause) {
		told.Repeated, told.Always, told.Early = false, true, false
	}
	// If a stop has ended the program, the program has refused nothing. But it may have taken all the
	// time that there is.
	if o.job.soft.Err() == nil {
		aside := o.asideOf(it.Entry, seen.Refused, cause)
		if o.refusals.Counts(it.Entry, cause, &before) {
			aside.Count = 1
			if o.isEnough(before.Count + 1) {
				aside.Reason = seen.Quarantined
				told.Kind, told.Repeated, told.Early = Quarantined, false, false
			}
		}
		if !told.Repeated && !told.Early {
			aside.ToldAt = now
		}
		o.setAsideOrEnd(aside)
	} else {
		o.goesLast(it, cause)
	}
	o.job.count(func(r *Result) {
		it.set(isSettled)
		if told.Kind == Refused {
			r.Failed++
		}
	})
	if told.Kind == Quarantined {
		o.countQuarantined(it.Key)
	}
	o.job.event(told)
	if o.job.soft.Err() == nil && o.refusals.AreTooMany(cause) {
		o.end(o.job.fail(phaseOf(cause), fmt.Errorf("%w, the last one: %w", refusals.ErrAll, cause)))
	}
}

// isEarly reports whether a refusal may pass by itself, and nobody is told of it yet. since is when the
// message was first refused; zero: just now.
func (o *outcomes) isEarly(cause error, since, now time.Time) bool {
	var target *deliver.Error
	if !errors.As(cause, &target) || !target.Temporary {
		return false
	}
	if since.IsZero() {
		since = now
	}
	return now.Sub(since).Abs() < o.job.account.TellAfter
}

// phaseOf returns the phase in which a message was refused.
func phaseOf(cause error) Phase {
	switch {
	case errors.As(cause, new(*headerfilter.Refusal)):
		return PhaseFilter
	case errors.As(cause, new(*deliver.Error)):
		return PhaseDeliver
	}
	return PhaseRetrieve
}

// settle is called at the end of a transfer. It counts the refusals after which other messages went
// through, and notes for later runs when one did.
func (o *outcomes) settle(s *session) {
	for _, r := range o.refusals.Proved() {
		aside := o.asideOf(&r.Entry, seen.Refused, r.Cause)
		aside.Count = 1
		if !o.isEnough(r.Before + 1) {
			o.setAsideOrEnd(aside)
			continue
		}
		aside.Reason = seen.Quarantined
		o.setAsideOrEnd(aside)
		o.job.count(func(result *Result) { result.Failed-- })
		o.countQuarantined(r.Entry.Key)
		o.job.event(eventOf(Quarantined, &r.Entry, r.Cause))
	}
	if len(s.drop.asides) == 0 && o.refusals.None() {
		return // there is nothing that it could matter to
	}
	if err := s.memory.change(o.refusals.Note); err != nil {
		o.end(err)
	}
}

// goesLast notes, without a word, a message that the next run tries after all others. It is not to
// blame, but if it were, it would hold them up.
func (o *outcomes) goesLast(it item, cause error) {
	o.setAsideOrEnd(o.asideOf(it.Entry, seen.Refused, cause))
}

// countQuarantined counts a message that is quarantined, once in a run.
func (o *outcomes) countQuarantined(key seen.Key) {
	o.job.count(func(r *Result) {
		o.history.quarantined[key] = true
		r.Quarantined = len(o.history.quarantined)
	})
}

// skip notes the messages that are too large, and reports each once.
func (o *outcomes) skip(d *maildrop, indexes []int32) error {
	cause := fmt.Errorf("more than max_size allows (%d octets)", o.job.account.MaxSize)
	var fresh []item
	var asides []seen.Aside
	for it := range d.items(indexes) {
		if it.provedTooLarge(o.job.account.MaxSize) {
			continue
		}
		aside := o.asideOf(it.Entry, seen.TooLarge, cause)
		aside.MaxSize = o.job.account.MaxSize
		asides = append(asides, aside)
		if it.reason() != seen.TooLarge {
			fresh = append(fresh, it)
		}
	}
	o.job.count(func(r *Result) { r.Skipped = len(indexes) })
	if len(asides) == 0 {
		return nil
	}
	if err := o.setAside(asides...); err != nil {
		return err
	}
	for _, it := range fresh {
		o.job.event(Event{
			Kind: Skipped, Number: it.Number, UniqueID: it.UniqueID, Octets: it.Octets, Err: cause,
		})
	}
	return nil
}

// provedTooLarge notes a message that is larger than LIST had announced and than the account
// allows. It is reported once, and not retrieved again until LIST or the limit changes.
func (o *outcomes) provedTooLarge(it item) error {
	limit := o.job.account.MaxSize
	cause := fmt.Errorf("more than max_size allows (%d octets), though LIST announced %d",
		limit, it.Octets)
	aside := o.asideOf(it.Entry, seen.TooLarge, cause)
	aside.MaxSize = limit
	if err := o.setAside(aside); err != nil {
		return err
	}
	o.job.count(func(r *Result) { r.Skipped++ })
	if it.reason() != seen.TooLarge {
		o.job.event(Event{
			Kind: Skipped, Number: it.Number, UniqueID: it.UniqueID, Octets: it.Octets, Err: cause,
		})
	}
	return nil
}

// mark records the messages that a first run leaves out, all at once. Otherwise, if that run broke
// off, the next one would not be a first run and would retrieve the others.
func (s *session) mark(indexes []int32) error {
	if len(indexes) == 0 {
		return nil
	}
	now := s.job.now()
	records := func(yield func(seen.Record) bool) {
		for it := range s.drop.items(indexes) {
			if !yield(seen.Record{Key: it.Key, Kind: seen.Marked, Listed: it.Octets, Digest: it.digest(), DeliveredAt: now}) {
				return
			}
		}
	}
	if err := s.job.ledger.Apply(s.job.hard, seen.Changes{Records: records}); err != nil {
		return s.job.fail(PhaseRecord, err)
	}
	for it := range s.drop.items(indexes) {
		it.set(isSettled) // a further session of this run is not a first one
	}
	s.job.count(func(r *Result) { r.Marked += len(indexes) })
	s.job.event(Event{Kind: Marked, Messages: len(indexes)})
	return nil
}
