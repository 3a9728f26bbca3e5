package fetch

import (
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch/policy"
	"github.com/popfetch/popfetch/internal/content"
	"github.com/popfetch/popfetch/seen"
)

const (
	// emptyOctets is what LIST may announce for an empty message: some servers count a line end.
	emptyOctets = 2
	// endedAtOnce says why nothing after such a message can be believed (behaviour 38).
	endedAtOnce = "it ended at once, though LIST announced octets"
	// mostSilent is how many messages may show nothing before a run stops using TOP. If a server
	// shows nothing of any message, not each of them may cost a session.
	mostSilent = 3
)

// hasTop reports whether the server may know TOP. A server that refuses CAPA may know it.
func (s *session) hasTop() bool {
	caps := s.client.Capabilities()
	return (caps == nil || caps.Has("TOP")) && len(s.history.silent) < mostSilent
}

// topReader says what to do with the headers that TOP shows of messages.
type topReader[M any] struct {
	listed func(M) *seen.Entry
	also   func(M) io.Writer // gets the header too, as it comes; nil: nobody does
	take   func(M, *content.Header)
}

// askHeaders asks TOP for the headers of messages, pipelined, and hands each to the reader. It leaves
// out a message whose TOP is refused, and all messages if the server has no TOP.
func askHeaders[M any](s *session, messages iter.Seq[M], to topReader[M]) error {
	if !s.hasTop() {
		return nil
	}
	var asked []M // in order, as the replies come
	numbers := func(yield func(int) bool) {
		for m := range messages {
			number := to.listed(m).Number
			if s.history.silent[number] > 0 {
				continue
			}
			asked = append(asked, m)
			if !yield(number) {
				return
			}
		}
	}
	var h content.Header
	for reply, err := range s.client.Top(s.job.soft, numbers, 0) {
		if err != nil && !isReply(err) {
			if len(asked) > 0 {
				s.brokeAtLook(to.listed(asked[0]), err)
			}
			return s.job.fail(PhaseIdentify, err)
		}
		m := asked[0]
		asked = asked[1:]
		if err != nil {
			continue
		}
		h.Reset()
		var all io.Writer = &h
		if to.also != nil {
			all = io.MultiWriter(&h, to.also(m))
		}
		n, err := io.Copy(all, reply)
		if err != nil {
			s.brokeAtLook(to.listed(m), err)
		} else if n == 0 && to.listed(m).Octets > emptyOctets {
			err = s.silence(to.listed(m))
		}
		if err != nil {
			return s.job.fail(PhaseIdentify, err)
		}
		to.take(m, &h)
	}
	return nil
}

func entryOf(it item) *seen.Entry { return it.Entry }

// headers is askHeaders for items.
func (s *session) headers(items iter.Seq[item], take func(item, *content.Header)) error {
	return askHeaders(s, items, topReader[item]{listed: entryOf, take: func(it item, h *content.Header) {
		it.set(isShown)
		take(it, h)
	}})
}

// askDigests asks for the headers of the items that have no digest yet, and keeps their digests. It
// also notes which of them arrived before or after the time of their only record.
func (s *session) askDigests(items []item, records map[string][]seen.Record) error {
	unknown := func(yield func(item) bool) {
		for _, it := range items {
			if !it.identified() && !yield(it) {
				return
			}
		}
	}
	return s.headers(unknown, func(it item, h *content.Header) {
		it.drop.digests[it.index] = h.Digest()
		of := records[it.UniqueID]
		if len(of) != 1 || of[0].DeliveredAt.IsZero() {
			return
		}
		switch limit := of[0].DeliveredAt.Add(policy.ClockSlack); {
		case h.ArrivedBefore(limit):
			it.set(isOlder)
		case h.ArrivedAfter(limit):
			it.set(isYounger)
		}
	})
}

// silence notes that a message ended at once, so that its own lines may follow as replies. Its
// error ends the session. The next session of this run does not ask TOP for the message. After the
// second time, it does not look at it by RETR either.
func (s *session) silence(e *seen.Entry) error {
	s.history.silent[e.Number]++
	if e.UniqueID != "" {
		s.history.suspects[e.Key] = &suspicion{octets: 0} // if it is retrieved, then alone
	}
	return &suspectError{e.Number, endedAtOnce}
}

// brokeAtLook notes that the session ends while a message is looked at. The next session of this run
// does without the look if it was to make the id of the message or to tell its date, or was for the
// filter of headers, or if the message is a recorded one, which is due for deletion or may be another
// one by now. Others are looked at because they may have been delivered before. They must be seen
// together, so the next run does that.
func (s *session) brokeAtLook(e *seen.Entry, err error) {
	i, found := find(s.drop.listing, e.Number)
	needless := found && (s.drop.states[i].fate == isSeen || s.drop.states[i].flags&isUnasked != 0) || s.asksDates
	if (needless || e.UniqueID == "") && s.job.soft.Err() == nil && !isOutOfStep(err) {
		s.history.breaks.at(atLook, e)
	}
}

// measure retrieves messages and calls take with the sums of their octets; it keeps nothing else.
// It leaves out a message that is refused.
func (s *session) measure(items iter.Seq[item], take func(item, seen.Sum)) error {
	var asked []item
	messages := func(yield func(int, int64) bool) {
		for it := range items {
			if s.history.silent[it.Number] > 1 || s.job.account.tooLarge(it.Octets) {
				continue
			}
			asked = append(asked, it)
			if !yield(it.Number, it.Octets) {
				return
			}
		}
	}
	for m, err := range s.client.Retr(s.job.soft, messages) {
		if err != nil && !isReply(err) {
			return s.job.fail(PhaseIdentify, err)
		}
		it := asked[0]
		asked = asked[1:]
		if err != nil {
			continue
		}
		it.set(isShown)
		sum, err := deliver.Measure(m)
		if err != nil {
			return s.job.fail(PhaseIdentify, fmt.Errorf("message %d: %w", m.Number, err))
		}
		if sum.Octets == 0 && m.Octets > emptyOctets {
			return s.job.fail(PhaseIdentify, s.silence(it.Entry))
		}
		take(it, seen.Sum(sum))
	}
	return nil
}

// judgeRecorded compares the messages in doubt, and those due for deletion, with the records of
// their unique-ids.
//
// An imported message has no digest on record. When it is due, and arrived before the other program
// first saw it, the digest that the server shows is recorded. So a message that has got its
// unique-id since is not deleted, and a deleted one is not taken for another that comes later. A
// message that arrived clearly after that time is another one, and so is one of another size.
func (s *session) judgeRecorded() error {
	doubtful := s.drop.doubtful()
	wanted := func(it item) bool { return it.is(isCheck|isDue|isLikely) && !it.provedTooLarge(s.job.account.MaxSize) }
	return s.drop.groups(wanted, func(part []item) error {
		records, err := s.job.records(uniqueIDs(part))
		if err != nil {
			return err
		}
		if err := s.askDigests(part, records); err != nil {
			return err
		}
		var changes seen.Changes
		var renewed []seen.Record
		for copies := range byID(part) {
			id := copies[0].UniqueID
			present := s.judgeCopies(copies, records[id], doubtful[id])
			if present != nil {
				changes.Replace = append(changes.Replace, id)
				renewed = append(renewed, present...)
			}
		}
		if len(changes.Replace) == 0 {
			return nil
		}
		changes.Records = slices.Values(renewed)
		return s.job.record(changes)
	})
}

// recallRecorded tells which messages an earlier session of the run has recorded, if each listed
// one counts as new. Since then the server may have given the unique-id to another message. So those
// that a rule deletes at once are compared with their records.
func (s *session) recallRecorded() error {
	if len(s.history.settled) == 0 {
		return nil
	}
	for it := range s.drop.all() {
		if s.history.settled[it.Key] == isRecorded {
			it.decide(isSeen)
		}
	}
	falls := func(it item) bool {
		return it.fate() == isSeen && s.job.account.Delete.AtOnce(it.Octets, it.stays()) != policy.None
	}
	return s.drop.groups(falls, func(part []item) error {
		part = slices.DeleteFunc(slices.Clone(part), func(it item) bool { return !falls(it) })
		records, err := s.job.records(uniqueIDs(part))
		if err != nil {
			return err
		}
		if err := s.askDigests(part, nil); err != nil {
			return err
		}
		for _, it := range part {
			isIts := func(r seen.Record) bool { return r.Digest == it.digest() }
			if it.identified() && !slices.ContainsFunc(records[it.UniqueID], isIts) {
				delete(s.history.settled, it.Key)
				it.decide(isNew)
			}
		}
		return nil
	})
}

// judgeCopies judges the copies of one unique-id, unless that would cost too much. It warns of a
// message that clearly has other octets than the recorded one.
func (s *session) judgeCopies(copies []item, records []seen.Record, doubt bool) (present []seen.Record) {
	onlyLikely := !slices.ContainsFunc(copies, func(it item) bool { return it.is(isCheck | isDue) })
	unknown := slices.ContainsFunc(copies, func(it item) bool { return !it.identified() })
	if onlyLikely && unknown && !doubt {
		return nil // retrieving them in each run would cost too much
	}
	present = judgeCopies(copies, records, doubt)
	if len(copies) == 1 && !doubt {
		s.warnOfOtherSize(copies[0], records)
	}
	return present
}

// warnOfOtherSize warns of a message that clearly has other octets than the one that was delivered
// under its unique-id and is still on the server (C0040). It warns once: either the record is
// renewed now, or the message is retrieved and gets its own record.
func (s *session) warnOfOtherSize(it item, records []seen.Record) {
	if len(records) != 1 || !records[0].DeletedAt.IsZero() || !seen.Differ(records[0].Listed, it.Octets) {
		return
	}
	what := "it counts as another message"
	if it.fate() == isSeen {
		what = "by its header it is the same message"
	}
	err := fmt.Errorf("message %d has the unique-id of one of %d octets that was delivered, and %d octets; %s",
		it.Number, records[0].Listed, it.Octets, what)
	s.job.event(Event{
		Kind: Warning, Code: CodeSizeChanged, Number: it.Number, UniqueID: it.UniqueID, Octets: it.Octets, Err: err,
	})
}

// leaveOutOld finds the messages that a first run leaves out, as Policy.Initial says. An account
// may only seem to be new, because it was renamed or its state was lost. Then nothing is left out:
// messages that look old might never have been retrieved.
func (s *session) leaveOutOld() error {
	initial, known := s.job.account.Initial, s.job.ledger.Account()
	if !initial.Limited || known.Records > 0 || known.Finished || s.history.intake.firstDone || len(s.drop.diff.New) == 0 {
		return nil
	}
	switch {
	case isOneShot(known.Twin) || slices.Contains(s.job.account.Shared, known.Twin):
		s.job.warn(CodeInitialKnown, "initial is left aside, since account %q has the same server and user", known.Twin)
		return nil
	case s.drop.found:
		s.job.warn(CodeInitialTarget, "initial is left aside, since the target holds messages of this maildrop already")
		return nil
	case initial.Within > 0 && !s.hasTop():
		s.job.warn(CodeInitialDates, "the server has no TOP, or shows nothing of some messages by it, "+
			"and nothing else could tell how old its messages are: initial is left aside")
		return nil
	}
	cutoff := s.job.now().Add(-initial.Within)
	return s.headers(s.fresh(initial.Within == 0), func(it item, h *content.Header) {
		if initial.Within == 0 || h.ArrivedBefore(cutoff) {
			it.decide(isOld)
			it.drop.digests[it.index] = h.Digest() // known by it under another unique-id (C0040)
		}
	})
}

// fresh yields the messages that nothing is known about, and that nobody has named. With old, all of
// them are to be left out, even those whose header the server does not show.
func (s *session) fresh(old bool) iter.Seq[item] {
	d := s.drop
	isFresh := func(it item) bool {
		return it.fate() == isNew && len(it.twins()) == 0 && !s.job.account.Select.Only[it.UniqueID]
	}
	if old {
		for _, i := range d.diff.New {
			if it := d.item(int32(i)); isFresh(it) {
				it.decide(isOld)
			}
		}
	}
	return func(yield func(item) bool) {
		for _, i := range d.diff.New {
			it := d.item(int32(i))
			if (isFresh(it) || it.fate() == isOld) && !yield(it) {
				return
			}
		}
	}
}
