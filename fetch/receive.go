package fetch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/content"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// deliver streams m into the open batch. It returns an error only if the session has failed. An
// error of the target ends the asking; the rest of the message is read so that the session stays in
// step.
func (t *transfer) deliver(it item, m *pop3.Message) error {
	b, err := t.batchFor(it)
	if err == nil {
		var d deliver.Delivery
		if d, err = b.Create(t.session.job.hard, t.session.job.envelope(it)); err == nil {
			return t.stream(b, d, it, m)
		}
	}
	return t.giveUp(it, m, err)
}

// giveUp gives up a message that the target does not take, and reads the rest of it.
func (t *transfer) giveUp(it item, m *pop3.Message, err error) error {
	t.notTaken(it, err)
	err = t.drain(m)
	if err != nil {
		t.brokeAt(it, err)
	}
	return err
}

// notTaken notes that the target has refused the message, or ends the asking because the target is
// broken.
func (t *transfer) notTaken(it item, err error) {
	var refusal *deliver.Error
	if errors.As(err, &refusal) {
		t.outcomes.refuse(it, err)
	} else {
		t.outcomes.end(t.session.job.fail(PhaseDeliver, err))
	}
	t.room.release(it)
}

func (j *job) envelope(it item) deliver.Envelope {
	a := j.account
	return deliver.Envelope{
		Token:    j.token(it.Entry),
		Account:  a.Name,
		User:     a.User,
		Server:   a.Server,
		UniqueID: it.UniqueID,
		Octets:   it.Octets,
		Has:      it.drop.again[it.index],
	}
}

// stream writes m to d. d becomes part of the batch only when io.EOF has shown that m is complete.
func (t *transfer) stream(b *batch, d deliver.Delivery, it item, m *pop3.Message) error {
	t.content.Reset(it.Octets)
	outline := &t.content.Outline
	for {
		n, err := m.Read(t.buffer)
		t.progress.Octets.Add(int64(n))
		_, _ = t.content.Write(t.buffer[:n]) // it never fails
		if t.session.job.account.tooLarge(outline.Octets) {
			return t.tooLarge(d, it, m)
		}
		if _, writeErr := d.Write(t.buffer[:n]); writeErr != nil {
			return t.giveUp(it, m, errors.Join(writeErr, d.Abort()))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.brokeAt(it, err)
			err = fmt.Errorf("message %d: %w", it.Number, err)
			return t.session.job.fail(PhaseRetrieve, errors.Join(err, d.Abort()))
		}
	}
	if whole, err := t.makeSure(d, it); !whole {
		return err
	}
	if err := d.Close(); err != nil {
		t.notTaken(it, err)
		return nil
	}
	b.add(it, d, t.content.Header.Digest())
	if t.session.job.account.Headers {
		b.headers = append(b.headers, showHeader(&t.content.Header))
	}
	t.progress.Waiting.Add(1)
	t.outcomes.refusals.Came()
	// A message that is larger than announced may hold a part of the next reply. If nothing was
	// announced, the message may be cut. Both show when the next reply is read.
	t.unconfirmed = len(t.asked) > 0 && outline.Excess() > 0 || it.Octets <= 0
	if len(it.twins()) > 0 {
		t.compare(it)
	}
	return nil
}

// compare checks whether the one message of the open batch was delivered before, if only its octets
// can show that (no TOP, or copies of which one was refused). If so, the message is recorded and
// not delivered again.
func (t *transfer) compare(it item) {
	record := t.open.records[0]
	for _, known := range it.twins() {
		one := known.take(record.Came)
		if one == nil || !t.sure(one) {
			continue
		}
		record.Kind, record.Places = one.kind, one.places
		if record.DeliveredAt = one.at; one.at.IsZero() {
			record.DeliveredAt = t.session.job.deliveredAt()
		}
		t.discard()
		t.outcomes.recognised(it, record)
		return
	}
	if !t.unconfirmed {
		t.handOver()
	}
}

// sure syncs the file of a twin, and reports whether it would survive a power cut. The file may
// have been renamed just before a crash, or somebody may have removed it since.
func (t *transfer) sure(one *twin) bool {
	if one.file == "" {
		return true
	}
	err := t.session.job.finder.Sync(t.session.job.hard, []string{one.file})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.outcomes.end(t.session.job.fail(PhaseTarget, err))
	}
	return err == nil
}

// tooLarge gives up a message that is larger than LIST had announced and than the account allows. It
// is noted as too large only when it has ended: the next run gets a message that broke off
// (behaviour 15), and perhaps from a server that is sound by then.
func (t *transfer) tooLarge(d deliver.Delivery, it item, m *pop3.Message) error {
	if err := d.Abort(); err != nil {
		t.outcomes.end(t.session.job.fail(PhaseDeliver, err))
	}
	defer t.room.release(it)
	if _, err := io.Copy(io.Discard, m); err != nil {
		t.brokeAt(it, err)
		return t.session.job.fail(PhaseRetrieve, fmt.Errorf("message %d: %w", it.Number, err))
	}
	return t.outcomes.provedTooLarge(it)
}

// Behaviour 38. Some servers do not stuff a dot that is the first octet of a message (Dovecot 2.3,
// Courier, Twisted). Such a message ends at once, and the text after the dot is read as replies.
// Others cut a message and send a stray reply (Inbucket), or mix the replies to pipelined commands
// (WildDuck).
//
// In a pipelined session, octets that nobody asked for look like the next reply. But a message that
// is not as LIST announced is noticed at its own end, before anything behind it is read. If nothing
// else is outstanding, checkStep then asks whether the session is in step. Otherwise the session is
// dropped: earlier messages are committed, and nothing after this one is read. A further session
// retrieves the suspect message once more, alone.

// makeSure reports whether the message that has just ended is complete. If not, d is aborted, and
// the error ends the session.
func (t *transfer) makeSure(d deliver.Delivery, it item) (whole bool, err error) {
	s := t.session
	second := s.history.suspects[it.Key] != nil
	why := t.content.Outline.Doubt(content.Setting{Pipelined: len(t.asked) > 0, Gap: t.gap, Shortfall: s.memory.shortfall})
	if why == "" && !second {
		return true, nil
	}
	if len(t.asked) == 0 {
		err = t.checkStep(it)
		if err == nil || isReply(err) && second && s.history.overstated(it, &t.content.Outline) {
			t.believe(it)
			return true, nil
		}
	}
	if abortErr := d.Abort(); abortErr != nil {
		t.outcomes.end(s.job.fail(PhaseDeliver, abortErr))
	}
	defer t.room.release(it)
	if why == "" {
		why = "what follows it is not the reply to the next command"
	}
	broke := err != nil && !isOutOfStep(err) && !isReply(err)
	switch {
	case !second && !(broke && it.breaks()): // otherwise it would come first in the next run
		t.outcomes.suspect(it, t.content.Outline.Octets, why)
	case isOutOfStep(err):
		t.outcomes.quarantine(it, why)
	default: // nothing was found out
		t.outcomes.lookFailed(it, err)
	}
	if broke {
		return false, s.job.fail(PhaseRetrieve, err) // the network's fault
	}
	return false, s.job.fail(PhaseRetrieve, &suspectError{it.Number, why})
}

// overstated reports whether LIST announces too much for this message by the same factor as for
// another one, after a second look at each has proved nothing: the server refuses NOOP and UIDL. It
// notes this message for the next one. A cut would hardly leave the same share of two messages.
func (h *history) overstated(it item, outline *content.Outline) bool {
	before, now := h.suspects[it.Key].octets, outline.Extent()
	if !now.Overstated() || before >= 0 && before != now.Came {
		return false
	}
	for key, other := range h.unproved {
		if key != it.Key && now.SameFactor(other) {
			return true
		}
	}
	h.unproved[it.Key] = now
	return false
}

// checkStep is session.checkStep while a delivery is open. No batch may be handed over meanwhile.
//
// Of an empty message, the lines behind the dot may have been read as replies. The sender can write
// refusals, but does not know the unique-id, so only that proves such a message whole.
func (t *transfer) checkStep(it item) error {
	idle := t.session.idle
	t.session.idle = nil
	defer func() { t.session.idle = idle }()
	err := t.session.checkStep(it.Entry)
	if err != nil || t.content.Outline.Octets > 0 {
		return err
	}
	has, err := t.session.client.HasUID(t.session.job.hard, expectedUID(it.Entry))
	if err == nil && (!has || isMade(it.UniqueID)) {
		return errOutOfStep
	}
	return err
}

// believe notes what was odd about a message that is complete all the same.
func (t *transfer) believe(it item) {
	s, outline := t.session, &t.content.Outline
	before := s.history.suspects[it.Key]
	delete(s.history.suspects, it.Key)
	if before != nil && before.octets >= 0 && before.octets != outline.Octets {
		// It was different with other commands outstanding.
		s.memory.blame(fmt.Errorf("message %d had %d octets, and %d when asked for alone", it.Number, before.octets, outline.Octets))
	}
	if share := outline.Shortfall(); outline.Octets > 0 && share > s.memory.shortfall {
		s.memory.shortfall = share
		err := s.memory.change(func(st *seen.Standing) { st.Shortfall = max(st.Shortfall, share) })
		if err != nil {
			t.outcomes.end(err)
		}
	}
}

// suspect notes a message for a second look, in a further session or in the next run. octets is how
// many came.
func (o *outcomes) suspect(it item, octets int64, why string) {
	o.history.suspects[it.Key] = &suspicion{octets: octets}
	o.setAsideOrEnd(o.asideOf(it.Entry, seen.Suspect, errors.New(why)))
}

// lookFailed gives up, for this run, a message whose second look failed. It counts as refused, or as
// one at which sessions end, so it comes last in the next run and cannot hold up the others.
func (o *outcomes) lookFailed(it item, err error) {
	delete(o.history.suspects, it.Key)
	cause := fmt.Errorf("it may be cut, and a second look came to nothing: %w", err)
	if err == nil || isReply(err) || isOutOfStep(err) {
		o.refuse(it, cause)
	} else {
		o.breaksAt(it, cause)
	}
}

// breaksAt notes a message at which the session ends.
func (o *outcomes) breaksAt(it item, cause error) {
	o.setAsideOrEnd(o.asideOf(it.Entry, seen.Breaking, cause))
	o.history.breaks.at(atRETR, it.Entry)
}

// brokeAt makes the message at which the session broke the last one in the next run, or in the next
// session of this one. A server that breaks at the same message each time would hold up all messages
// after it, and their deletion. So would a message that takes longer than a run may last.
func (t *transfer) brokeAt(it item, cause error) {
	o := t.outcomes
	switch {
	case o.history.suspects[it.Key] != nil:
		o.lookFailed(it, cause)
	case isOutOfStep(cause): // the message is not to blame
	case errors.Is(cause, pop3.ErrPipelining) && t.session.memory.pipelines(): // perhaps it is not
		o.goesLast(it, cause)
	default:
		o.breaksAt(it, cause)
	}
}

// quarantine sets a message that the server cuts aside for good. It is never delivered as if it
// were complete, and never deleted.
func (o *outcomes) quarantine(it item, why string) {
	delete(o.history.suspects, it.Key)
	cause := fmt.Errorf("the server cuts it: %s, also when it is retrieved alone", why)
	o.setAsideOrEnd(o.asideOf(it.Entry, seen.Quarantined, cause))
	o.job.count(func(*Result) { it.set(isSettled) })
	o.countQuarantined(it.Key)
	o.job.event(Event{
		Kind: Quarantined, Number: it.Number, UniqueID: it.UniqueID, Octets: it.Octets, Err: cause,
	})
}

// checkStep returns an error if the session is out of step. After a message, only replies to new
// commands may come. The sender of a message could forge the reply to NOOP, and octets behind the
// message may still be on their way. Only the server knows the unique-id, so UIDL is asked. If it
// refuses UIDL for one message, NOOP is asked again; if it refuses both, nothing is proved.
func (s *session) checkStep(e *seen.Entry) error {
	noop := s.client.Noop(s.job.hard)
	if noop != nil && !isReply(noop) {
		return noop
	}
	has, err := s.client.HasUID(s.job.hard, expectedUID(e))
	switch {
	case isReply(err):
		if err = s.client.Noop(s.job.hard); err != nil && !isReply(err) {
			return err
		}
		if isReply(err) != isReply(noop) {
			return errOutOfStep
		}
		return err
	case err == nil && !has:
		return errOutOfStep
	}
	return err
}
