package fetch

import (
	"errors"
	"strings"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// refuse notes that server or target did not give or take one message. The next run tries it again, unless it was refused
// for good as often as the account allows: then it is quarantined, which is told once.
func (r *retrieval) refuse(e seen.Entry, cause error) {
	before, now := r.asides[e.Key], r.runner.now()
	if seen.Differ(before.Listed, e.Octets) { // it was another message
		before = seen.Aside{}
	}
	told := Event{Kind: Refused, Number: e.Number, UniqueID: e.UniqueID, Octets: e.Octets, Err: cause}
	// A clock that was wrong must not silence it for years.
	told.Repeated = sameRefusal(before.Text, cause) && now.Sub(before.ToldAt).Abs() < tellAgain
	// A program that the stop has ended has refused nothing.
	if r.soft.Err() == nil {
		aside := r.aside(e, seen.Refused, cause)
		if isForGood(cause) {
			aside.Count = 1
		}
		if limit := r.account.QuarantineAfter; aside.Count > 0 && limit > 0 && before.Count+aside.Count >= limit {
			aside.Reason = seen.Quarantined
			told.Kind, told.Repeated = Quarantined, false
		}
		if !told.Repeated {
			aside.ToldAt = now
		}
		if err := r.setAside(aside); err != nil {
			r.end(PhaseRecord, errors.Unwrap(err))
		}
	}
	r.mu.Lock()
	if told.Kind == Quarantined {
		r.putApart(e)
	} else {
		r.result.Failed++
	}
	r.tried[e.Key] = true
	r.mu.Unlock()
	r.event(told)
}

// putApart counts a message that is quarantined, once in a run.
func (s *session) putApart(e seen.Entry) {
	s.apart[e.Key] = true
	s.result.Quarantined = len(s.apart)
}

// isForGood tells whether a refusal counts: one for now, or a session that broke, says nothing of the message.
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

// brokeAt puts the message at which the session broke behind the others, in the next run: a server that breaks at the same one
// each time would hold up all that come behind it for ever.
func (r *retrieval) brokeAt(e seen.Entry, cause error) {
	switch {
	case r.suspects[e.Key] != nil:
		r.lookFailed(e, cause)
	case r.soft.Err() != nil, isOutOfStep(cause): // the message is not to blame
	default:
		if err := r.setAside(r.aside(e, seen.Refused, cause)); err != nil {
			r.end(PhaseRecord, errors.Unwrap(err))
		}
	}
}

// sameRefusal tells whether cause is what text, written down by an earlier run, tells. What a program prints is not compared: it
// may name times and processes, and would be another one each time.
func sameRefusal(text string, cause error) bool {
	var target *deliver.Error
	if errors.As(cause, &target) {
		silent := *target
		silent.Output = ""
		return text == silent.Error() || strings.HasPrefix(text, silent.Error()+": ")
	}
	return text == cause.Error()
}
