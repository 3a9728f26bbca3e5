package fetch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// tellAgain is when a person is told once more of what lasts: cron makes a mail of every line, and
// may run popfetch every five minutes. It is a little less than a day, so that a daily run tells it
// each time.
const tellAgain = 23 * time.Hour

// outcomes notes what became of each message of a transfer, in the ledger and in the result, and
// keeps the error that ends the transfer. Its methods may be called by several goroutines.
type outcomes struct {
	job     *job
	history *history

	mu    sync.Mutex
	fatal error // ends the asking: the target or the ledger is broken
}

// planned tells what is to be retrieved, and counts what is left alone. A further session retrieves
// what the first has counted.
func (o *outcomes) planned(d *maildrop, p *plan) {
	if !o.history.counted {
		o.history.counted = true
		o.job.count(func(r *Result) { r.New = len(p.retrieve) })
	}
	var octets int64
	for it := range d.items(p.retrieve) {
		octets += it.Octets
	}
	o.job.event(Event{Kind: Listed, Messages: len(p.retrieve), Octets: octets})
	for it := range d.items(p.quarantined) {
		o.countQuarantined(it)
	}
}

// end ends the asking because of err, a *Error.
func (o *outcomes) end(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.fatal == nil:
		o.fatal = err
	case isOfRecord(err): // nothing may be delivered any more, whatever went wrong before
		o.fatal = o.job.fail(PhaseRecord, errors.Join(errors.Unwrap(err), o.fatal))
	}
}

// failure returns the error that ended the asking, or nil.
func (o *outcomes) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fatal
}

// isOfRecord reports whether the ledger has failed: what is delivered now would be delivered again.
func isOfRecord(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Phase == PhaseRecord
}

// deliveredAs notes messages that are durable at their target: it records them, and then tells of
// them.
func (o *outcomes) deliveredAs(items []item, records []seen.Record) {
	now := o.job.now()
	for i := range records {
		records[i].DeliveredAt = now
	}
	if err := o.job.record(seen.Changes{Records: slices.Values(records)}); err != nil {
		o.end(err)
		return
	}
	o.job.count(func(r *Result) {
		for i, it := range items {
			r.Delivered++
			r.Octets += records[i].Came.Octets
			it.decide(isRecorded)
			it.set(isSettled)
		}
	})
	for i, it := range items {
		o.job.event(Event{Kind: Delivered, Number: it.Number, UniqueID: it.UniqueID, Octets: records[i].Came.Octets})
	}
}

// recognised notes a message that turned out to be one that was delivered before.
func (o *outcomes) recognised(it item, record seen.Record) {
	if err := o.job.record(seen.Changes{Records: slices.Values([]seen.Record{record})}); err != nil {
		o.end(err)
		return
	}
	o.job.count(func(r *Result) {
		r.Recognised++
		it.decide(isRecorded)
		it.set(isSettled)
	})
	o.job.event(Event{Kind: Recognised, Number: it.Number, UniqueID: it.UniqueID, Octets: record.Came.Octets})
}

// asideOf is what becomes of a message that was not delivered.
func (o *outcomes) asideOf(it item, reason seen.Reason, cause error) seen.Aside {
	return seen.Aside{Key: it.Key, Reason: reason, Listed: it.Octets, Last: o.job.now(), Text: cause.Error()}
}

// setAside notes messages that were not delivered.
func (o *outcomes) setAside(asides ...seen.Aside) error {
	return o.job.record(seen.Changes{Asides: asides})
}

// setAsideOrEnd is setAside where an error ends the asking.
func (o *outcomes) setAsideOrEnd(aside seen.Aside) {
	if err := o.setAside(aside); err != nil {
		o.end(err)
	}
}

// refuse notes that server or target did not give or take one message. The next run tries it again,
// unless it was refused for good as often as the account allows: then it is quarantined, which is
// told once.
func (o *outcomes) refuse(it item, cause error) {
	now := o.job.now()
	var before seen.Aside
	if it.before() != nil && !seen.Differ(it.before().Listed, it.Octets) { // else it was another message
		before = *it.before()
	}
	told := Event{Kind: Refused, Number: it.Number, UniqueID: it.UniqueID, Octets: it.Octets, Err: cause}
	// A clock that was wrong must not silence it for years.
	told.Repeated = sameRefusal(before.Text, cause) && now.Sub(before.ToldAt).Abs() < tellAgain
	// A program that the stop has ended has refused nothing.
	if o.job.soft.Err() == nil {
		aside := o.asideOf(it, seen.Refused, cause)
		if isForGood(cause) {
			aside.Count = 1
		}
		if limit := o.job.account.QuarantineAfter; aside.Count > 0 && limit > 0 && before.Count+aside.Count >= limit {
			aside.Reason = seen.Quarantined
			told.Kind, told.Repeated = Quarantined, false
		}
		if !told.Repeated {
			aside.ToldAt = now
		}
		o.setAsideOrEnd(aside)
	}
	if told.Kind == Quarantined {
		o.countQuarantined(it)
	} else {
		o.job.count(func(r *Result) {
			r.Failed++
			it.set(isSettled)
		})
	}
	o.job.event(told)
}

// countQuarantined counts a message that is quarantined, once in a run.
func (o *outcomes) countQuarantined(it item) {
	o.job.count(func(r *Result) {
		it.set(isSettled)
		o.history.quarantined[it.Key] = true
		r.Quarantined = len(o.history.quarantined)
	})
}

// isForGood reports whether a refusal counts. One for now, or a session that broke, says nothing of
// the message.
func isForGood(cause error) bool {
	var target *deliver.Error
	var reply *pop3.ReplyError
	switch {
	case errors.As(cause, &target):
		return !target.Temporary
	case errors.As(cause, &reply):
		return reply.Code != pop3.CodeSysTemp && reply.Code != pop3.CodeInUse
	}
	return false
}

// sameRefusal reports whether cause is what text, written down by an earlier run, tells. What a
// program prints is not compared: it may name times and processes, and would differ each time.
func sameRefusal(text string, cause error) bool {
	var target *deliver.Error
	if errors.As(cause, &target) {
		silent := *target
		silent.Output = ""
		return text == silent.Error() || strings.HasPrefix(text, silent.Error()+": ")
	}
	return text == cause.Error()
}

// skip notes the messages that are too large; each is told once.
func (o *outcomes) skip(d *maildrop, indexes []int32) error {
	cause := fmt.Errorf("more than max_size allows (%d octets)", o.job.account.MaxSize)
	var fresh []item
	var asides []seen.Aside
	for it := range d.items(indexes) {
		if it.provedTooLarge(o.job.account.MaxSize) {
			continue
		}
		aside := o.asideOf(it, seen.TooLarge, cause)
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
		o.job.event(Event{Kind: Skipped, Number: it.Number, UniqueID: it.UniqueID, Octets: it.Octets, Err: cause})
	}
	return nil
}

// provedTooLarge notes a message that is larger than LIST had announced and than the account
// allows. It is told once, and not retrieved again until LIST or the limit changes.
func (o *outcomes) provedTooLarge(it item) error {
	limit := o.job.account.MaxSize
	cause := fmt.Errorf("more than max_size allows (%d octets), though LIST announced %d", limit, it.Octets)
	aside := o.asideOf(it, seen.TooLarge, cause)
	aside.MaxSize = limit
	if err := o.setAside(aside); err != nil {
		return err
	}
	o.job.count(func(r *Result) { r.Skipped++ })
	if it.reason() != seen.TooLarge {
		o.job.event(Event{Kind: Skipped, Number: it.Number, UniqueID: it.UniqueID, Octets: it.Octets, Err: cause})
	}
	return nil
}

// suspect has a further session look once more at a message, or if there is none in this run, the
// next run. octets are those that came.
func (o *outcomes) suspect(it item, octets int64, why string) {
	o.history.suspects[it.Key] = &suspicion{octets: octets}
	o.setAsideOrEnd(o.asideOf(it, seen.Suspect, errors.New(why)))
}

// lookFailed gives up, for this run, a message whose second look came to nothing. As it is refused
// now it comes last next time, so that it cannot hold up the others.
func (o *outcomes) lookFailed(it item, err error) {
	delete(o.history.suspects, it.Key)
	o.refuse(it, fmt.Errorf("it may be cut, and a second look came to nothing: %w", err))
}

// brokeAt puts the message at which the session broke behind the others, in the next run. A server
// that breaks at the same one each time would hold up all that come behind it for ever.
func (o *outcomes) brokeAt(it item, cause error) {
	switch {
	case o.history.suspects[it.Key] != nil:
		o.lookFailed(it, cause)
	case o.job.soft.Err() != nil, isOutOfStep(cause): // the message is not to blame
	default:
		o.setAsideOrEnd(o.asideOf(it, seen.Refused, cause))
	}
}

// quarantine sets a message that the server cuts aside for good. It is never delivered as if it
// were whole, and never deleted.
func (o *outcomes) quarantine(it item, why string) {
	delete(o.history.suspects, it.Key)
	cause := fmt.Errorf("the server cuts it: %s, also when it is retrieved alone", why)
	o.setAsideOrEnd(o.asideOf(it, seen.Quarantined, cause))
	o.countQuarantined(it)
	o.job.event(Event{Kind: Quarantined, Number: it.Number, UniqueID: it.UniqueID, Octets: it.Octets, Err: cause})
}
