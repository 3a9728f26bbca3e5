package fetch

import (
	"errors"
	"fmt"
	"slices"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// Behaviour 38. Some servers do not stuff a dot that is the first octet of a message (Dovecot 2.3, Courier, Twisted): such a
// message ends at once, and what its sender wrote behind the dot is read as replies. Others cut a message and send a stray
// reply (Inbucket), or mix the replies to pipelined commands (WildDuck).
//
// In a pipelined session nothing tells octets that nobody asked for from the next reply. But a message that is not what LIST
// announced is noticed at its own end, before anything behind it is read. If nothing else is outstanding then, the session
// is asked whether it is in step. Otherwise it is dropped: what came before is committed, of what comes behind nothing is
// even read. A further session looks at the suspect message once more, alone.

// maxFurther bounds the sessions that a run opens after its first.
const maxFurther = 10

// suspicion is what a run knows of a message that may have come only in part.
type suspicion struct {
	octets int64 // as they came; -1: unknown
}

// suspectError says that a message is suspect or a torso, so that the session cannot go on.
type suspectError struct {
	number int
	why    string
}

func (e *suspectError) Error() string {
	return fmt.Sprintf("message %d may be cut: %s", e.number, e.why)
}

// errOutOfStep says that a command got a reply that is not its own.
var errOutOfStep = errors.New("replies do not belong to their commands")

// suspectsFirst puts those that need a second look at the head of the queue: they come on a new connection.
func (s *session) suspectsFirst(queue []*seen.Entry) {
	for _, m := range s.diff.Aside {
		key := s.listing[m.Index].Key
		if m.Reason == seen.Suspect && s.suspects[key] == nil {
			s.suspects[key] = &suspicion{octets: -1}
		}
	}
	rank := func(e *seen.Entry) int {
		if s.suspects[e.Key] != nil {
			return 0
		}
		return 1
	}
	if len(s.suspects) > 0 {
		slices.SortStableFunc(queue, func(a, b *seen.Entry) int { return rank(a) - rank(b) })
	}
}

// alone tells whether e is asked for with nothing outstanding, so that its end can be made sure of.
func (s *session) alone(e seen.Entry) bool {
	return s.lockstep || e.Octets <= 0 || s.suspects[e.Key] != nil
}

// makeSure tells whether the message that has just ended is whole. If not, d is aborted, and the error ends the session.
func (r *retrieval) makeSure(d deliver.Delivery, e seen.Entry) (whole bool, err error) {
	second := r.suspects[e.Key] != nil
	why := r.outline.doubt(setting{pipelined: len(r.asked) > 0, gap: r.gap, shortfall: r.shortfall})
	if why == "" && !second {
		return true, nil
	}
	if len(r.asked) == 0 {
		if err = r.checkStep(e); err == nil {
			r.believe(e)
			return true, nil
		}
	}
	if abortErr := d.Abort(); abortErr != nil {
		r.end(PhaseDeliver, abortErr)
	}
	defer r.release(e)
	if why == "" {
		why = "what follows it is not the reply to the next command"
	}
	switch {
	case !second:
		r.suspect(e, r.outline.octets, why)
	case isOutOfStep(err):
		r.quarantine(e, why)
	default: // nothing was found out
		r.lookFailed(e, err)
	}
	if err != nil && !isOutOfStep(err) && !isReply(err) {
		return false, r.fail(PhaseRetrieve, err) // the network's
	}
	return false, r.fail(PhaseRetrieve, &suspectError{e.Number, why})
}

// suspect has a further session, or if there is none in this run the next one, look once more at a message.
func (r *retrieval) suspect(e seen.Entry, octets int64, why string) {
	r.suspects[e.Key] = &suspicion{octets: octets}
	if err := r.setAside(r.aside(e, seen.Suspect, errors.New(why))); err != nil {
		r.end(PhaseRecord, errors.Unwrap(err))
	}
}

// lookFailed gives up, for this run, a message whose second look came to nothing. As it is refused now it comes last next
// time, so that it cannot hold up the others.
func (r *retrieval) lookFailed(e seen.Entry, err error) {
	delete(r.suspects, e.Key)
	r.refuse(e, fmt.Errorf("it may be cut, and a second look came to nothing: %w", err))
}

// checkStep tells whether the session is in step: after e nothing may come but the replies to what is asked now. NOOP's own
// could be forged by who wrote the message, and the octets behind it be still on their way; the unique-id, which only the server
// knows, cannot. A server that refuses UIDL for one message is asked NOOP again; one that refuses both shows nothing.
func (s *session) checkStep(e seen.Entry) error {
	idle := s.idle
	s.idle = nil // the delivery is open still
	defer func() { s.idle = idle }()
	noop := s.client.Noop(s.hard)
	if noop != nil && !isReply(noop) {
		return noop
	}
	listed, err := s.client.UIDLNumber(s.hard, e.Number)
	switch {
	case isReply(err):
		if err = s.client.Noop(s.hard); err != nil && !isReply(err) {
			return err
		}
		if isReply(err) != isReply(noop) {
			return errOutOfStep
		}
		return err
	case err == nil && listed.UniqueID != e.UniqueID && !isMade(e.UniqueID):
		return errOutOfStep
	}
	return err
}

func isOutOfStep(err error) bool {
	var protocol *pop3.ProtocolError
	return errors.As(err, &protocol) || errors.Is(err, errOutOfStep)
}

// believe notes what a message has shown that is whole against all appearances.
func (r *retrieval) believe(e seen.Entry) {
	before := r.suspects[e.Key]
	delete(r.suspects, e.Key)
	if before != nil && before.octets >= 0 && before.octets != r.outline.octets {
		// With other commands outstanding it came otherwise.
		r.blameServer(fmt.Errorf("message %d had %d octets, and %d when asked for alone", e.Number, before.octets, r.outline.octets))
	}
	if share := r.outline.shortfall(); r.outline.octets > 0 && share > r.shortfall {
		r.shortfall = share
		if err := r.changeStanding(func(st *seen.Standing) { st.Shortfall = max(st.Shortfall, share) }); err != nil {
			r.end(PhaseRecord, errors.Unwrap(err))
		}
	}
}

// quarantine sets a torso aside for good: it is never delivered as if it were whole, and never deleted.
func (r *retrieval) quarantine(e seen.Entry, why string) {
	delete(r.suspects, e.Key)
	cause := fmt.Errorf("the server cuts it: %s, also when it is retrieved alone", why)
	if err := r.setAside(r.aside(e, seen.Quarantined, cause)); err != nil {
		r.end(PhaseRecord, errors.Unwrap(err))
	}
	r.mu.Lock()
	r.putApart(e)
	r.tried[e.Key] = true
	r.mu.Unlock()
	r.event(Event{Kind: Quarantined, Number: e.Number, UniqueID: e.UniqueID, Octets: e.Octets, Err: cause})
}
